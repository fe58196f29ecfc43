//! Private keys that lie in a zone encrypted for its host, as `sluse-setup` leaves them, and systemd hands them to the units.

use super::creds;
use crate::failure::Failure;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::refusal::Exit;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a private key lies encrypted for this host, if it does.
pub fn credential(layout: &Layout, key: &Path) -> Option<PathBuf> {
    key.file_name().map(|name| layout.credentials().join(name)).filter(|credential| credential.exists())
}

/// The file in which a private key is, encrypted or in the clear.
pub fn held(layout: &Layout, key: PathBuf) -> PathBuf {
    credential(layout, &key).unwrap_or(key)
}

/// A private key as its file says it in the clear: read there, or decrypted where it lies encrypted.
///
/// # Errors
/// When it cannot be read, or this host does not decrypt it.
pub fn read(layout: &Layout, key: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(credential) = credential(layout, key) {
        let name = credential.file_name().unwrap_or_default().to_string_lossy();
        return creds::decrypt(&name, &credential);
    }
    let read = files::read_bounded(key, creds::MAX_KEY_BYTES).map(Zeroizing::new);
    read.map_err(|error| {
        let failure = Failure::file(Exit::Configuration, "read", key, &error);
        if error.kind() == io::ErrorKind::PermissionDenied { failure.hint("run this as root") } else { failure }
    })
}
