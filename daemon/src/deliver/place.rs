//! Folders of rooms. Others may write there: every path is opened below an open folder, and no link is followed.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat, renameat2};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Folders below one that is removed: what the protocol allows, and the bag's own.
const MAX_DEPTH: u32 = 1100;

/// An open folder.
#[derive(Debug)]
pub struct Place(OwnedFd);

/// What has a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A link, a device, a socket.
    Other,
}

/// Whose a folder is: what the file system says of one that we just made, it must say of every one that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    user: u32,
    mode: u32,
}

impl Facts {
    /// Whether a folder with these facts is of who made `ours`, and nobody may write to it who may not write to that.
    pub fn are_of(self, ours: Facts) -> bool {
        self.user == ours.user && self.mode & !ours.mode & 0o022 == 0
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Place {
    /// The folder at a path of the configuration.
    ///
    /// # Errors
    /// When it is not there.
    pub fn root(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?))
    }

    /// A folder below this one.
    ///
    /// # Errors
    /// When it is not there, or a link lies on the way.
    pub fn folder(&self, path: &str) -> io::Result<Self> {
        self.open(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY).map(Self)
    }

    /// A file below this one, to be read.
    ///
    /// # Errors
    /// When it is not there, is no regular file, or a link lies on the way.
    pub fn file(&self, path: &str) -> io::Result<File> {
        let file = File::from(self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        Ok(file)
    }

    /// Folder by folder, as `openat2` would with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`: that call has its flags in memory, where no
    /// filter sees them, so that systemd takes it from a unit that may set no set-user-ID bits (decision 71).
    fn open(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let (folders, last) = path.rsplit_once('/').map_or((None, path), |(folders, last)| (Some(folders), last));
        let mut reached: Option<OwnedFd> = None;
        for name in folders.into_iter().flat_map(|folders| folders.split('/')) {
            let parent = reached.as_ref().map_or(self.as_fd(), OwnedFd::as_fd);
            reached = Some(open_in(parent, name, OFlag::O_DIRECTORY | OFlag::O_PATH)?);
        }
        open_in(reached.as_ref().map_or(self.as_fd(), OwnedFd::as_fd), last, flags)
    }

    /// A new file in this folder.
    ///
    /// # Errors
    /// When the name is taken, or the disk fails.
    pub fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::from_bits_truncate(mode))?))
    }

    /// A folder below this one, made with all that lead to it where they are not there.
    ///
    /// # Errors
    /// When something else has its name, or the disk fails.
    pub fn make(&self, path: &str, mode: u32) -> io::Result<Self> {
        match self.folder(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut made: Option<Self> = None;
        for name in path.split('/') {
            let parent = made.as_ref().unwrap_or(self);
            match mkdirat(parent, name, Mode::from_bits_truncate(mode)) {
                Err(errno) if errno != Errno::EEXIST => return Err(errno.into()),
                _ => made = Some(parent.folder(name)?),
            }
        }
        made.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Whether anything in this folder has that name.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Tells of each thing in this folder its name, where that is UTF-8, and what has it; until it is told that this is enough.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn each_entry(&self, mut each: impl FnMut(Option<String>, Kind) -> bool) -> io::Result<()> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(&self.0, ".", flags, Mode::empty())?;
        for entry in folder.iter() {
            let name = entry?.file_name().to_owned();
            if name.as_c_str() == c"." || name.as_c_str() == c".." {
                continue;
            }
            let stat = match fstatat(&self.0, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                // It is gone meanwhile.
                Err(Errno::ENOENT) => continue,
                other => other?,
            };
            let of = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
            let kind = [(SFlag::S_IFREG, Kind::File), (SFlag::S_IFDIR, Kind::Folder)];
            let kind = kind.into_iter().find(|(flag, _)| *flag == of).map_or(Kind::Other, |(_, kind)| kind);
            if !each(name.into_string().ok(), kind) {
                break;
            }
        }
        Ok(())
    }

    /// Whose this folder is, and who may write to it.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn facts(&self) -> io::Result<Facts> {
        let stat = fstat(&self.0)?;
        Ok(Facts { user: stat.st_uid, mode: stat.st_mode })
    }

    /// Removes the folder `name` if it is empty.
    pub fn remove_if_empty(&self, name: &str) {
        // It is not, or is gone already: both are fine.
        let _ = unlinkat(&self.0, name, UnlinkatFlags::RemoveDir);
    }

    /// Moves `name` into `to` under another name, replacing nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when that name is taken.
    pub fn rename(&self, name: &str, to: &Place, new_name: &str) -> io::Result<()> {
        match renameat2(&self.0, name, &to.0, new_name, RenameFlags::RENAME_NOREPLACE) {
            // A file system without that flag (NFS): a folder that is not empty is not replaced either.
            Err(Errno::EINVAL | Errno::ENOSYS) => Ok(renameat(&self.0, name, &to.0, new_name)?),
            other => Ok(other?),
        }
    }

    /// Gives a file in this folder the name of another, which it replaces.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn replace(&self, name: &str, new_name: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &self.0, new_name)?)
    }

    /// Makes this folder's entries durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.0)?)
    }

    /// Removes `name` with all that is in it; links are removed, not followed. What is not there is fine.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_tree(&self, name: &str) -> io::Result<()> {
        remove(self.as_fd(), &CString::new(name)?, 0)
    }
}

/// Opens what lies in a folder by one name, unless it is a link.
fn open_in(parent: BorrowedFd<'_>, name: &str, flags: OFlag) -> io::Result<OwnedFd> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(openat(parent, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
}

fn remove(parent: BorrowedFd<'_>, name: &CString, depth: u32) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other("folders lie too deep to be removed"));
    }
    match unlinkat(parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut folder = Dir::openat(parent, name.as_c_str(), flags, Mode::empty())?;
    // Read first: what is removed while a folder is read may hide what follows.
    let mut names = Vec::new();
    for entry in folder.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    names.iter().try_for_each(|inner| remove(folder.as_fd(), inner, depth + 1))?;
    match unlinkat(parent, name.as_c_str(), UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let place = Place::root(folder.path()).unwrap();
        place.make("a/b/c", 0o755).unwrap().create("f", 0o644).unwrap();
        symlink(outside.path(), folder.path().join("a/link")).unwrap();
        assert!(place.folder("a/link").is_err());
        assert!(place.file("a/link/secret").is_err());
        assert!(place.make("a/link/new", 0o755).is_err());
        for path in ["..", "/", "", ".", "a/../a", "a//b", "a/link/../b", "/tmp"] {
            assert!(place.folder(path).is_err(), "{path}");
        }
        assert!(place.make("a", 0o755).unwrap().create("link", 0o644).is_err());
        assert!(place.has("a").unwrap() && !place.has("b").unwrap());
        place.remove_tree("a").unwrap();
        place.remove_tree("a").unwrap();
        assert!(!folder.path().join("a").exists() && outside.path().join("secret").exists());
    }

    #[test]
    fn a_rename_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::root(folder.path()).unwrap();
        for path in ["a", "b", "c/a"] {
            place.make(path, 0o755).unwrap();
        }
        let error = place.rename("a", &place.folder("c").unwrap(), "a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        place.rename("b", &place.folder("c").unwrap(), "b").unwrap();
        assert!(folder.path().join("c/b").exists() && !folder.path().join("b").exists());
    }
}
