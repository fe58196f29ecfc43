//! Making the Unix sockets at which others on this host ask.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Makes a socket in place of one that was left behind: for `group` and its members alone, mode 0660, or for anybody on this host, where who
/// connects is told by the kernel's word.
///
/// # Errors
/// When it cannot be made.
pub fn bind(path: &Path, group: Option<u32>, anybody: bool) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Where it has its group already, as in the unit, the role needs no call to change it, and has none.
    if let Some(group) = group
        && std::fs::metadata(path)?.gid() != group
    {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    let mode = if anybody { 0o666 } else { 0o660 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}
