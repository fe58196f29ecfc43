//! Unix: folders and files are opened one from the other, by `openat`.

use super::{Child, Kind, Status};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A folder that is open. What lies in it is reached through it, so that nobody exchanges it on the way.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// Opens the folder at `path`; its last component may not be a symbolic link.
pub(crate) fn open_folder(path: &Path) -> io::Result<Folder> {
    Ok(Folder(open(path, folder_flags(), Mode::empty())?))
}

/// Opens the folder `name` in `parent`.
pub(crate) fn open_folder_in(parent: &Folder, name: &str) -> io::Result<Folder> {
    Ok(Folder(openat(&parent.0, name, folder_flags(), Mode::empty())?))
}

/// Opens the file `name` in `parent` for reading. A pipe that took its place does not block.
pub(crate) fn open_file_in(parent: &Folder, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    Ok(openat(&parent.0, name, flags, Mode::empty())?.into())
}

/// Whether a file or folder cannot be opened since a link or something else took its place.
pub(crate) fn is_replaced(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK))
}

/// Tells the kernel that a file will be read from its beginning to its end.
pub(crate) fn read_ahead(file: &File) {
    // Only advice: a file system that takes none reads as well.
    #[cfg(target_os = "linux")]
    let _ = nix::fcntl::posix_fadvise(file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// What lies at `path`, itself and not what it points to.
pub(crate) fn status_at(path: &Path) -> io::Result<Status> {
    Ok(status(&fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)?))
}

/// What an open file is.
pub(crate) fn status_of(file: &File) -> io::Result<Status> {
    Ok(status(&fstat(file)?))
}

/// The names in a folder, ascending by their bytes. A name that vanishes meanwhile is left out.
pub(crate) fn list(folder: &Folder) -> io::Result<Vec<Child>> {
    let mut folder = Dir::from_fd(folder.0.try_clone()?)?;
    let mut names: Vec<CString> = Vec::new();
    for entry in folder.iter() {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    let mut children = Vec::with_capacity(names.len());
    for name in names {
        match fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => children.push(Child { name: name.into_bytes(), status: status(&stat) }),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(children)
}

fn folder_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "these fields' types differ between systems")]
fn status(stat: &FileStat) -> Status {
    Status {
        kind: kind(stat),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: i64::from(stat.st_mtime),
        mtime_ns: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        changed_ns: i64::from(stat.st_ctime)
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(stat.st_ctime_nsec)),
        inode: stat.st_ino as u64,
        executable: stat.st_mode & Mode::S_IXUSR.bits() != 0,
    }
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        SFlag::S_IFLNK => Kind::Other("a symbolic link"),
        SFlag::S_IFSOCK => Kind::Other("a socket"),
        SFlag::S_IFIFO => Kind::Other("a named pipe"),
        SFlag::S_IFBLK | SFlag::S_IFCHR => Kind::Other("a device"),
        _ => Kind::Other("neither file nor folder"),
    }
}
