//! Windows: folders and files are opened by their paths, and an open folder can be neither renamed nor removed, nor can those above it, so
//! that nobody exchanges it on the way. Built, and not run yet: docs/open.md.

use super::{Child, Kind, Status};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Opens folders too.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
/// Opens a link itself and not what it points to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Others may read and write meanwhile, but neither rename nor remove.
const FILE_SHARE_READ_WRITE: u32 = 3;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// From 1601, where Windows counts from, to 1970; in its units of 100 nanoseconds.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// A folder that is open. What lies in it is reached by its path, which is its own for as long as it is open.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _held: File,
}

/// Opens the folder at `path`; its last component may not be a link.
pub(crate) fn open_folder(path: &Path) -> io::Result<Folder> {
    let held = open(path, FILE_FLAG_BACKUP_SEMANTICS)?;
    match kind(&held.metadata()?) {
        Kind::Folder => Ok(Folder { path: path.to_owned(), _held: held }),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Opens the folder `name` in `parent`.
pub(crate) fn open_folder_in(parent: &Folder, name: &str) -> io::Result<Folder> {
    open_folder(&parent.path.join(name))
}

/// Opens the file `name` in `parent` for reading.
pub(crate) fn open_file_in(parent: &Folder, name: &str) -> io::Result<File> {
    let file = open(&parent.path.join(name), 0)?;
    match kind(&file.metadata()?) {
        Kind::File => Ok(file),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Whether a file or folder cannot be opened since a link or something else took its place.
pub(crate) fn is_replaced(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory
}

/// Windows finds out by itself that a file is read from its beginning to its end.
pub(crate) fn read_ahead(_file: &File) {}

/// What lies at `path`, itself and not what it points to.
pub(crate) fn status_at(path: &Path) -> io::Result<Status> {
    Ok(status(&std::fs::symlink_metadata(path)?))
}

/// What an open file is.
pub(crate) fn status_of(file: &File) -> io::Result<Status> {
    Ok(status(&file.metadata()?))
}

/// The names in a folder, ascending by their bytes. A name that vanishes meanwhile is left out.
pub(crate) fn list(folder: &Folder) -> io::Result<Vec<Child>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir(&folder.path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(found) => {
                children.push(Child { name: entry.file_name().into_encoded_bytes(), status: status(&found) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    children.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(children)
}

fn open(path: &Path, flags: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).share_mode(FILE_SHARE_READ_WRITE).custom_flags(flags | FILE_FLAG_OPEN_REPARSE_POINT);
    options.open(path)
}

fn status(found: &Metadata) -> Status {
    let since_1970 = i64::try_from(found.last_write_time()).unwrap_or(i64::MAX).saturating_sub(UNIX_EPOCH);
    Status {
        kind: kind(found),
        size: found.len(),
        mtime: since_1970.div_euclid(10_000_000),
        mtime_ns: u32::try_from(since_1970.rem_euclid(10_000_000) * 100).unwrap_or(0),
        // The standard library tells neither the time of the last change of any kind nor the file's number.
        changed_ns: since_1970.saturating_mul(100),
        inode: 0,
        executable: false,
    }
}

fn kind(found: &Metadata) -> Kind {
    if found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Kind::Other("a link");
    }
    match (found.is_file(), found.is_dir()) {
        (true, _) => Kind::File,
        (_, true) => Kind::Folder,
        _ => Kind::Other("neither file nor folder"),
    }
}
