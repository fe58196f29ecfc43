//! What the sender asks of the operating system beyond the standard library: all of it, in one place. No path is followed
//! through a symbolic link, and nothing but regular files is opened.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Something that a dataset cannot hold: its name in English.
    Other(&'static str),
}

/// What the file system says of a file or folder: enough to see later whether it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Modification time, whole seconds.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    pub mtime_ns: u32,
    /// When anything about it changed last, nanoseconds since 1970: no program can set it back.
    pub changed_ns: i64,
    /// Its number on its file system.
    pub inode: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// One name of a folder, with its status.
#[derive(Debug)]
pub(crate) struct Child {
    /// The name as the file system has it.
    pub name: Vec<u8>,
    /// What it names.
    pub status: Status,
}
