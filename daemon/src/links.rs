//! How the other roles' links reach `control`: handed over by the supervisor, or connected to at its sockets.

use crate::{RoleError, accounts, confine, doors, sys};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Uid;
use sluse_host::layout::Layout;
use sluse_protocol::roles::Role;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Links that wait until `control` takes them.
const WAITING_LINKS: usize = 16;

/// How long a role waits for `control` to listen, and how often it tries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_EVERY: Duration = Duration::from_millis(100);

/// A pause after an accept that failed, so that a lasting failure does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The roles that ask, and the byte that names each on the supervisor's link.
pub const CLIENTS: [(Role, u8); 3] = [(Role::Receive, b'r'), (Role::Inspect, b'i'), (Role::Deliver, b'd')];

/// A client role's link to `control`: the one that was handed over, or a connection to `control`'s socket for that role.
///
/// # Errors
/// When `control` does not listen there in time, or something else does.
pub fn to_control(role: Role, layout: &Layout, handed: Option<OwnedFd>) -> Result<UnixStream, RoleError> {
    if let Some(handed) = handed {
        return Ok(handed.into());
    }
    let path = layout.role_socket(role);
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let stream = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= deadline => {
                return Err(RoleError::io("connecting to control's socket")(error));
            }
            Err(_) => std::thread::sleep(CONNECT_EVERY),
        }
    };
    if !Peer::of(Role::Control)?.is(&stream).map_err(RoleError::io("the peer of control's socket"))? {
        return Err(RoleError::Unsafe("who listens at control's socket is another user".into()));
    }
    Ok(stream)
}

/// The links that the supervisor hands over; they come once this process is confined.
///
/// # Errors
/// When the thread that takes them cannot start.
pub fn from_supervisor(supervisor: UnixStream) -> Result<Receiver<(Role, UnixStream)>, RoleError> {
    let (links, receiver) = sync_channel(WAITING_LINKS);
    confine::when_confined(move || {
        spawn("links", move || {
            if let Err(error) = take_links(&supervisor, &links) {
                tracing::error!(%error, "no more roles can be connected: the link to the supervisor");
            }
        })
    });
    Ok(receiver)
}

fn take_links(supervisor: &UnixStream, links: &SyncSender<(Role, UnixStream)>) -> io::Result<()> {
    while let Some((tag, link)) = sys::receive_socket(supervisor)? {
        let (role, _) = CLIENTS.into_iter().find(|client| client.1 == tag).ok_or(io::ErrorKind::InvalidData)?;
        if links.send((role, link)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Listens for the other roles at a socket for each; their connections come once this process is confined.
///
/// # Errors
/// When a socket cannot be made.
pub fn listen(layout: &Layout) -> Result<Receiver<(Role, UnixStream)>, RoleError> {
    let (links, receiver) = sync_channel(WAITING_LINKS);
    for (role, _) in CLIENTS {
        // Anybody may connect; whoever is not the role's user is cut off at once.
        let listener = doors::bind(&layout.role_socket(role), None, true)
            .map_err(RoleError::io(format!("making the socket for the role {role}")))?;
        let (peer, links) = (Peer::of(role)?, links.clone());
        confine::when_confined(move || spawn("listen", move || accept(role, &listener, peer, &links)));
    }
    Ok(receiver)
}

fn accept(role: Role, listener: &UnixListener, peer: Peer, links: &SyncSender<(Role, UnixStream)>) {
    loop {
        let accepted = listener.accept().and_then(|(stream, _)| Ok((peer.is(&stream)?, stream)));
        match accepted {
            Ok((true, stream)) => {
                if links.send((role, stream)).is_err() {
                    return;
                }
            }
            Ok((false, _)) => tracing::warn!(%role, "another user connected to this role's socket and was cut off"),
            Err(error) => {
                tracing::warn!(%role, %error, "a role's connection failed");
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Who may stand at the other end of a socket.
#[derive(Debug, Clone, Copy)]
struct Peer {
    user: Uid,
    root_too: bool,
}

impl Peer {
    fn of(role: Role) -> Result<Self, RoleError> {
        Ok(Self { user: accounts::expected(role)?, root_too: Uid::effective().is_root() })
    }

    fn is(self, stream: &UnixStream) -> io::Result<bool> {
        let uid = Uid::from_raw(getsockopt(stream, sockopt::PeerCredentials)?.uid());
        Ok(uid == self.user || (self.root_too && uid.is_root()))
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop)
}
