//! A transfer's folder in the quarantine, as far as `receive` writes it: `docs/storage.md` in code. Everything here blocks
//! and belongs on a thread of its own.

use sluse_host::config::Zone;
use sluse_host::{files, layout};
use sluse_protocol::chunk_index::{ChunkIndex, Record};
use sluse_protocol::ids::TransferId;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of a transfer's folder. It has the group of `incoming`, whose other member, `inspect`, takes it over and destroys
/// it. Others may pass through it to a name that they know: that is for `deliver`, once the folder lies in `sealed`, where
/// nobody else gets as far as here. What `receive` makes in it has `receive`'s own group, since the set-group bit is gone.
const FOLDER_MODE: u32 = 0o771;

/// Mode of what lies in it: `inspect` and `deliver` are in `receive`'s group, and may read. Others may nothing.
const FILE_MODE: u32 = 0o640;

/// An incoming transfer's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Opens or creates a transfer's folder; its entry in `incoming` is durable.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn open(zone: &Zone, transfer: &TransferId) -> io::Result<Self> {
        let incoming = zone.layout.incoming();
        let path = layout::transfer_folder(&incoming, transfer);
        match DirBuilder::new().mode(FOLDER_MODE).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // A folder that was there may have been made by a process that was killed before what follows.
            _ => {}
        }
        // The umask took bits away, and the parent passed on its set-group bit.
        let mode = std::fs::symlink_metadata(&path)?.permissions().mode() & 0o7777;
        if mode != FOLDER_MODE {
            std::fs::set_permissions(&path, Permissions::from_mode(FOLDER_MODE))?;
        }
        files::sync_folder(&incoming)?;
        let no_link = nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY;
        let handle = OpenOptions::new().read(true).custom_flags(no_link).open(&path)?;
        Ok(Self { path, handle })
    }

    /// Makes what was created, renamed and removed in the folder durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Creates `name` for writing; a leftover of that name, from before a crash, is removed.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&path)?;
                options.open(&path)
            }
            other => other,
        }
    }

    /// Where `name` lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
impl Folder {
    /// A folder whose syncs go to `handle`.
    pub fn synced_by(path: PathBuf, handle: File) -> Self {
        Self { path, handle }
    }
}

#[cfg(test)]
impl IndexFile {
    /// An index that is written to `file`.
    pub fn written_to(file: File) -> Self {
        Self { file, good: 0 }
    }
}

/// Free bytes of the quarantine's file system, for processes without privileges.
///
/// # Errors
/// When the file system does not say.
pub fn free_bytes(zone: &Zone) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(&zone.layout.incoming())?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// The chunk index's file, open for appending.
#[derive(Debug)]
pub struct IndexFile {
    file: File,
    good: u64,
}

impl IndexFile {
    /// Opens or creates the index of a transfer of `count` chunks and reads it. What follows the last good record is cut
    /// off, durably, before anything is appended.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(folder: &Folder, count: u32) -> io::Result<(Self, ChunkIndex)> {
        let path = folder.path(layout::CHUNK_INDEX);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(FILE_MODE).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
        // One record a chunk at most: what is longer is not ours.
        let bound = u64::from(count) * Record::BYTES as u64;
        let mut bytes = Vec::new();
        (&file).take(bound).read_to_end(&mut bytes)?;
        let (chunks, good) = ChunkIndex::read(count, &bytes);
        let length = file.metadata()?.len();
        if length > good {
            tracing::warn!(bytes = length - good, "a torn chunk index was cut to its last good record");
            file.set_len(good)?;
            file.sync_all()?;
        }
        Ok((Self { file, good }, chunks))
    }

    /// Appends records; they are durable only after [`Self::sync`]. When it fails, the file is as it was.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all_at(records, self.good).inspect_err(|_| self.cut())?;
        // Reaching the disk may begin now; what cannot begin now is done by the sync.
        let _ = crate::sys::start_writeback(&self.file);
        Ok(())
    }

    /// Makes the last append, of `bytes`, durable. When it fails, the file is as it was before that append, so that a
    /// record that is only in memory is never taken for a durable one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self, bytes: u64) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.cut())?;
        self.good += bytes;
        Ok(())
    }

    /// Cuts off what was appended since the last sync.
    pub fn cut(&self) {
        if let Err(error) = self.file.set_len(self.good) {
            tracing::error!(%error, "a chunk index could not be cut back after a failed write");
        }
    }
}

/// Removes a file that is not needed any more; that it is gone already is fine.
pub fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a partial file could not be removed");
        }
        _ => {}
    }
}
