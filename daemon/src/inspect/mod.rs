//! The `inspect` role.

use crate::RoleError;
use sluse_host::config::Zone;
use std::os::unix::net::UnixStream;

/// Runs the role until the link to `control` is lost.
///
/// # Errors
/// When keys cannot be used, or the link to `control` is lost.
pub fn run(zone: Zone, control: UnixStream) -> Result<(), RoleError> {
    let _ = (zone, control);
    Ok(())
}
