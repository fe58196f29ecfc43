//! Where a key lies, and how it is replaced in one step: a file of its role, or a credential that is encrypted for this host.

use crate::commands::zone::{creds, sealed};
use crate::failure::Failure;
use nix::unistd::{Gid, Uid};
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::refusal::Exit;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of the longest key file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A private key's place.
#[derive(Debug, Clone)]
pub struct PrivateKey {
    layout: Layout,
    file: PathBuf,
}

impl PrivateKey {
    /// The place of the key that lies in `file` or, in an installed zone, among the credentials under the same name.
    pub fn at(layout: &Layout, file: PathBuf) -> Self {
        Self { layout: layout.clone(), file }
    }

    /// Whether it is encrypted for this host.
    pub fn is_encrypted(&self) -> bool {
        self.credential().is_some()
    }

    /// The file that it really lies in.
    pub fn kept_in(&self) -> PathBuf {
        sealed::held(&self.layout, self.file.clone())
    }

    /// The file that the key is known by.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn credential(&self) -> Option<PathBuf> {
        sealed::credential(&self.layout, &self.file)
    }

    fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read or decrypted.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        sealed::read(&self.layout, &self.file)
    }

    /// Replaces it in one step. The bytes of an old file are overwritten, as far as the disk lets us.
    ///
    /// # Errors
    /// When it cannot be written or encrypted; then the old one stands there, or the new one.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::file(Exit::Fault, "replace", &self.file, &error);
        match self.credential() {
            Some(credential) => {
                let encrypted = creds::encrypt(&self.name(), bytes)?;
                let new = temporary(&credential);
                // Tried before it counts: what does not open is a key that is lost.
                write(&new, &encrypted, 0o600, &credential).map_err(failed)?;
                if *creds::decrypt(&self.name(), &new)? != *bytes {
                    return Err(Failure::new(Exit::Fault, "what was encrypted for this host does not open"));
                }
                put(&new, &credential).map_err(failed)
            }
            None => {
                let old = OpenOptions::new().write(true).open(&self.file);
                let new = temporary(&self.file);
                write(&new, bytes, 0o600, &self.file).and_then(|()| put(&new, &self.file)).map_err(failed)?;
                match old {
                    Ok(old) => overwrite(old).map_err(failed),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(failed(error)),
                }
            }
        }
    }

    /// Writes it below a folder, as `sluse-setup --keys-to` lays keys out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn copy_to(&self, folder: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let role = self.file.parent().and_then(Path::file_name).unwrap_or_default();
        let folder = folder.join(role);
        let path = folder.join(self.name());
        let made = std::fs::create_dir_all(&folder).and_then(|()| files::replace(&path, bytes, 0o600));
        made.map_err(|error| Failure::file(Exit::Usage, "write", &path, &error))
    }
}

/// Replaces a file that everybody may read, in one step.
///
/// # Errors
/// When it cannot be written; then the old one stands there, or the new one.
pub fn replace_public(path: &Path, text: &str) -> Result<(), Failure> {
    let new = temporary(path);
    let replaced = write(&new, text.as_bytes(), 0o644, path).and_then(|()| put(&new, path));
    replaced.map_err(|error| Failure::file(Exit::Fault, "replace", path, &error))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes a new file, durably, owned as `like` is or, where that is not there, as its folder.
fn write(path: &Path, bytes: &[u8], mode: u32, like: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        // Left by an attempt that was cut off.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files::write_new(path, bytes, 0o600)?;
    let owner = std::fs::metadata(like).or_else(|_| std::fs::metadata(like.parent().unwrap_or(like)))?;
    if Uid::effective().is_root() {
        nix::unistd::chown(path, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    File::open(path)?.sync_all()
}

fn put(new: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(new, path)?;
    files::sync_folder(path.parent().unwrap_or(path))
}

fn overwrite(mut old: File) -> io::Result<()> {
    let length = old.metadata()?.len().min(MAX_FILE_BYTES);
    old.write_all(&vec![0; length as usize])?;
    old.sync_all()
}
