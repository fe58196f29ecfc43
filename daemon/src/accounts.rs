//! The system users that roles run as, where they exist: `sluse-receive`, `sluse-control`, `sluse-inspect`,
//! `sluse-deliver`.

use crate::RoleError;
use nix::unistd::{Uid, User};
use sluse_protocol::roles::Role;

/// A role's user, if there is one.
///
/// # Errors
/// When the system's users cannot be read.
pub fn of(role: Role) -> Result<Option<User>, RoleError> {
    let name = format!("sluse-{role}");
    User::from_name(&name).map_err(|error| RoleError::io(format!("looking up the user {name}"))(error.into()))
}

/// The user that mails alerts: `sluse-notify` where there is one, or else this process's.
///
/// # Errors
/// When the system's users cannot be read.
pub fn mailer() -> Result<Uid, RoleError> {
    let user = User::from_name("sluse-notify")
        .map_err(|error| RoleError::io("looking up the user sluse-notify")(error.into()))?;
    Ok(user.map_or_else(Uid::effective, |user| user.uid))
}

/// The user that `role` runs as beside this process: its own, or else this process's.
///
/// # Errors
/// When the system's users cannot be read.
pub fn expected(role: Role) -> Result<Uid, RoleError> {
    Ok(of(role)?.map_or_else(Uid::effective, |user| user.uid))
}
