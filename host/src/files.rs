//! Files that survive a power cut, and files that only their owner may read.

use crate::os;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Makes a folder's entries (new files, renames) durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    os::sync_folder(folder)
}

/// One replacement at a time in this process: two of the same file would share the temporary name, and the second would
/// find it gone.
static REPLACING: Mutex<()> = Mutex::new(());

/// Replaces or creates `path` with `bytes` in one step: after a power cut the old or the new content stands there, whole.
///
/// # Errors
/// When the folder is not writable, or the disk is full; then nothing changed.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _one_at_a_time = REPLACING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&temporary, bytes, mode).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to report; a leftover is removed by the next attempt.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(folder)
}

/// Creates `path`, which must not exist, with `bytes`, durably but for its folder's entry.
///
/// # Errors
/// When it exists, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = os::making(mode).write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates a folder with `mode`; one that is there already is fine.
///
/// # Errors
/// When it cannot be created, or something else has its name.
pub fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    match os::create_folder(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        // The process's umask may have taken bits away that the layout needs.
        Ok(()) => os::set_mode(path, mode),
        other => other,
    }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it is longer ([`io::ErrorKind::FileTooLarge`]) or cannot be read.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Reads a private key's file, of at most 64 KiB, refusing one that group or others may read. One that the service manager
/// decrypted for this process is closed by its folder; there a list of users, of whom it has one, shows as the group's right.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] when its mode is too wide; else when it cannot be read.
pub fn read_private(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mode = os::mode(path)?;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY");
    let strangers =
        if path.parent().is_some_and(|folder| handed_over.is_some_and(|it| it == folder)) { 0o007 } else { 0o077 };
    if mode & strangers != 0 {
        let message = format!("{} may be read by others (mode {:03o}): chmod 600 it", path.display(), mode & 0o777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    read_bounded(path, 64 * 1024).map(zeroize::Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_may_replace_the_same_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| replace(&path, b"whole", 0o600).unwrap()));
            }
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
