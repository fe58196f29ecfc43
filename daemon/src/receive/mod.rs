//! The `receive` role: faces the network. It can write to transfers that are not sealed, and read nothing back.

use crate::RoleError;
use sluse_host::config::Zone;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

/// Runs the role on `socket` until SIGTERM, or until the link to `control` is lost.
///
/// # Errors
/// When keys cannot be used, or the link to `control` is lost.
pub fn run(zone: Zone, control: UnixStream, socket: UdpSocket) -> Result<(), RoleError> {
    let _ = (zone, control, socket);
    Ok(())
}
