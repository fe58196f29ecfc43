//! The `control` role: decides, remembers and signs. It never touches dataset bytes or the network.

pub mod authority;

use crate::RoleError;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;

/// Runs the role: answers operators at their socket, and each role whose connected socket arrives on `links`, until
/// `links` ends.
///
/// # Errors
/// When state or keys cannot be used.
pub fn run(zone: Zone, links: Receiver<(Role, UnixStream)>) -> Result<(), RoleError> {
    let _ = (zone, links);
    Ok(())
}
