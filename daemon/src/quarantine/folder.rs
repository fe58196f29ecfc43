//! A sealed transfer's folder: its files are opened below it, never through a link.

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// An open folder of a transfer.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder at `path`, which must not be a link.
    ///
    /// # Errors
    /// When it is not there, or is no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        // O_PATH: `deliver` may pass through the folder to names that it knows, not list it.
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Opens the file `name` in it: a regular file with that one name.
    ///
    /// # Errors
    /// When it is not there, or is not such a file ([`io::ErrorKind::InvalidData`]).
    pub fn file(&self, name: &str) -> io::Result<File> {
        // Not to wait for the other end, were it a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let opened = openat(&self.0, name, flags, Mode::empty()).map_err(|errno| match errno {
            nix::errno::Errno::ELOOP => irregular(),
            other => other.into(),
        })?;
        let file = File::from(opened);
        let facts = file.metadata()?;
        if !facts.is_file() || facts.nlink() != 1 {
            return Err(irregular());
        }
        Ok(file)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file with one name")
}
