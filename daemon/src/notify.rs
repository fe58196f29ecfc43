//! What systemd is told and what it hands over: readiness, the watchdog, the activated socket, private keys.

use crate::{RoleError, confine, pulse};
use nix::sys::socket::{MsgFlags, UnixAddr, sendto};
use sd_notify::NotifyState;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

/// The first descriptor of socket activation.
const FIRST_ACTIVATED: RawFd = 3;

/// The line to the service manager. Opened before confinement, which takes the right to open it.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
}

impl Notifier {
    /// The service manager's, where one asked to be notified.
    ///
    /// # Errors
    /// When it asked, and cannot be reached.
    pub fn open() -> Result<Option<Self>, RoleError> {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
        let socket = connect(&path).map_err(RoleError::io("connecting to the service manager"))?;
        Ok(Some(Self { socket }))
    }

    /// Says that the process is ready.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn ready(&self) -> io::Result<()> {
        self.send(&NotifyState::Ready)
    }

    /// Says that the process still goes on.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn alive(&self) -> io::Result<()> {
        self.send(&NotifyState::Watchdog)
    }

    /// Says that the process is on its way out.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn stopping(&self) -> io::Result<()> {
        self.send(&NotifyState::Stopping)
    }

    fn send(&self, state: &NotifyState<'_>) -> io::Result<()> {
        self.socket.send(state.to_string().as_bytes()).map(drop)
    }
}

fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    Ok(socket)
}

/// The service manager, for a process that can make no socket and sends to it from one that it was handed.
#[derive(Debug)]
pub struct Manager {
    address: UnixAddr,
}

impl Manager {
    /// The service manager, where one asked to be notified.
    ///
    /// # Errors
    /// When it asked at an address that is none.
    pub fn from_environment() -> Result<Option<Self>, RoleError> {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name),
            None => UnixAddr::new(path.as_os_str()),
        };
        let address = address.map_err(|error| RoleError::io("the service manager's address")(error.into()))?;
        Ok(Some(Self { address }))
    }

    /// Says that the process is ready.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn ready(&self, from: &impl AsRawFd) -> io::Result<()> {
        self.send(from, &NotifyState::Ready)
    }

    /// Says that the process still goes on.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn alive(&self, from: &impl AsRawFd) -> io::Result<()> {
        self.send(from, &NotifyState::Watchdog)
    }

    fn send(&self, from: &impl AsRawFd, state: &NotifyState<'_>) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendto(from.as_raw_fd(), state.to_string().as_bytes(), &self.address, flags)?;
        Ok(())
    }
}

/// How often the service manager wants to hear that the process goes on: half of what it allows.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

/// Says ready as soon as the role is confined, and from then on that it goes on, for as long as its loops do.
///
/// # Errors
/// When a service manager asked for it, and cannot be reached.
pub fn when_ready() -> Result<(), RoleError> {
    let Some(notifier) = Notifier::open()? else { return Ok(()) };
    confine::when_confined(move || {
        notifier.ready()?;
        let Some(interval) = watchdog_interval() else { return Ok(()) };
        std::thread::Builder::new().name("watchdog".into()).spawn(move || go_on(&notifier, interval)).map(drop)
    });
    Ok(())
}

fn go_on(notifier: &Notifier, interval: Duration) {
    loop {
        match pulse::silent() {
            Some(name) => tracing::error!("the {name} loop hangs: the service manager is to start this role again"),
            None => {
                if let Err(error) = notifier.alive() {
                    tracing::warn!(%error, "the service manager cannot be told");
                }
            }
        }
        std::thread::sleep(interval);
    }
}

/// The folder of the private keys that systemd decrypted for this unit, if it did.
pub fn credentials() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The number of the one socket that systemd handed over, if it did.
///
/// # Errors
/// When it handed over several.
pub fn activated() -> Result<Option<RawFd>, RoleError> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    match number("LISTEN_FDS") {
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some(FIRST_ACTIVATED)),
        Some(several) => Err(RoleError::State(format!("{several} sockets were handed over: it must be one"))),
    }
}
