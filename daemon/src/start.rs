//! Starting one role: what it was handed, its link to `control`, its name; then its `run`.

use crate::{RoleError, control, deliver, inspect, links, notify, receive, sys};
use nix::sys::stat::{Mode, umask};
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::ffi::CString;
use std::net::UdpSocket;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

/// What whoever starts a role hands it: descriptors by number, from the supervisor; a socket's path, from the unit.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Handed {
    /// The link to `control`: a connected socket.
    #[arg(long, hide = true)]
    pub link_fd: Option<RawFd>,
    /// To `control`: the link on which the supervisor sends it the other roles' links.
    #[arg(long, hide = true)]
    pub supervisor_fd: Option<RawFd>,
    /// To `receive`: its UDP socket.
    #[arg(long, hide = true)]
    pub socket_fd: Option<RawFd>,
    /// To `inspect`: the socket of the unit that sees who still writes to a file.
    #[arg(long, value_name = "SOCKET", hide = true)]
    pub leases: Option<PathBuf>,
    /// To `control`: the zone is a sandbox. Only a supervisor can say so: no unit and no configuration does.
    #[arg(long, hide = true, requires = "supervisor_fd")]
    pub sandbox: bool,
}

/// Runs a role until it ends.
///
/// # Errors
/// Why it cannot start or go on.
pub fn role(role: Role, mut zone: Zone, handed: &Handed) -> Result<(), RoleError> {
    // `receive` lets the roles that take over from it read, by group. What the others make is theirs alone, unless they say
    // otherwise where they make it.
    umask(Mode::from_bits_truncate(if role == Role::Receive { 0o027 } else { 0o077 }));
    name_process(role)?;
    // Inherited descriptors first: nothing else is open yet.
    let link = handed.link_fd.map(inherited).transpose()?;
    let supervisor = handed.supervisor_fd.map(inherited).transpose()?;
    let activated = if role == Role::Receive { notify::activated()? } else { None };
    let socket = handed.socket_fd.or(activated).map(inherited).transpose()?;
    notify::when_ready()?;
    if let Some(folder) = notify::credentials() {
        zone.layout = zone.layout.with_keys_in(folder);
    }
    match role {
        Role::Control => {
            let links = match supervisor {
                Some(supervisor) => links::from_supervisor(supervisor.into())?,
                None => links::listen(&zone.layout)?,
            };
            control::run(zone, links, handed.sandbox)
        }
        Role::Receive => {
            let socket = match socket {
                Some(socket) => socket.into(),
                None => bind(&zone)?,
            };
            let control = links::to_control(role, &zone.layout, link)?;
            receive::run(zone, control, socket)
        }
        Role::Inspect => {
            let control = links::to_control(role, &zone.layout, link)?;
            inspect::run(zone, control, handed.leases.as_deref())
        }
        Role::Deliver => {
            let control = links::to_control(role, &zone.layout, link)?;
            deliver::run(zone, control)
        }
    }
}

/// How often, and after which pauses, an address that is taken is tried: five seconds in all.
const BIND_ATTEMPTS: u32 = 50;
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// Binds the zone's UDP socket. Right after a crash the roles of the time before may still be ending: for some seconds an
/// address that is taken is tried again.
///
/// # Errors
/// When the address is not this host's, or stays taken.
pub fn bind(zone: &Zone) -> Result<UdpSocket, RoleError> {
    let address = zone.settings.receive.listen;
    for _ in 0..BIND_ATTEMPTS {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => std::thread::sleep(BIND_PAUSE),
            bound => return bound.map_err(RoleError::io(format!("listening on {address} (UDP)"))),
        }
    }
    UdpSocket::bind(address).map_err(RoleError::io(format!("listening on {address} (UDP)")))
}

fn inherited(number: RawFd) -> Result<OwnedFd, RoleError> {
    sys::inherited(number).map_err(RoleError::io(format!("descriptor {number}")))
}

/// Makes the role's name the process's, for `ps` and `top`.
fn name_process(role: Role) -> Result<(), RoleError> {
    let name = CString::new(format!("slused-{role}")).map_err(|error| RoleError::State(error.to_string()))?;
    nix::sys::prctl::set_name(&name).map_err(|error| RoleError::io("naming the process")(error.into()))
}
