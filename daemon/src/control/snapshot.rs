//! A copy of the database for a backup: taken while everything goes on, and without what must never be in one.
//!
//! Transfer identities, wrapped to `deliver`'s key, stand in the database until they are delivered; that key is in the backup too. So
//! they are taken out of the copy, and with them the unused identities, whose private halves no backup has.

use super::failure::{Failure, Fault, refuse};
use super::shared::Control;
use super::store::Who;
use rusqlite::Connection;
use serde_json::json;
use sha2::Digest as _;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::audit::{Position, checkpoint};
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::NAMESPACE_CHECKPOINT;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Bytes of the copy in one answer.
const STEP: usize = 512 * 1024;

/// What leaves the copy. What is left is written whole to another file, so that nothing of it stays in a free page; nor in memory, as
/// large as the database.
const STRIP: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = DELETE; \
    UPDATE transfers SET wrapped = NULL, wrapped_to = NULL; \
    DELETE FROM identities WHERE transfer IS NULL;";

/// The copy, in a folder of its own with whatever SQLite puts beside it; one at a time.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    taking: Mutex<()>,
}

/// A copy that was taken.
#[derive(Debug)]
pub struct Snapshot {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// A checkpoint of its audit log, …
    pub checkpoint: String,
    /// … and the signature of that.
    pub signature: String,
}

impl Snapshots {
    /// Forgets what an earlier process left.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn open(layout: &Layout) -> io::Result<Self> {
        let folder = layout.snapshot();
        remove(&folder)?;
        Ok(Self { folder, taking: Mutex::new(()) })
    }

    fn file(&self) -> PathBuf {
        self.folder.join("state.db")
    }

    /// At most [`STEP`] bytes of the copy from `offset` on; at its end none, and it is removed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn bytes(&self, offset: u64) -> Result<Vec<u8>, Failure> {
        // Until it is whole it still has what no copy may have.
        let Ok(_whole) = self.taking.try_lock() else {
            return refuse(Code::Busy, "a copy of the database is being taken");
        };
        let mut file = match File::open(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refuse(Code::WrongState, "no copy of the database is there");
            }
            other => other.map_err(Failure::io("opening the copy of the database"))?,
        };
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.take(STEP as u64).read_to_end(&mut bytes));
        read.map_err(Failure::io("reading the copy of the database"))?;
        if bytes.is_empty() {
            remove(&self.folder).map_err(Failure::io("removing the copy of the database"))?;
        }
        Ok(bytes)
    }
}

/// Takes a copy, which replaces the one before. The log says that an operator did.
///
/// # Errors
/// When the disk or the database fails, or another one is being taken.
pub fn take(control: &Control, operator: &Who) -> Result<Snapshot, Failure> {
    let Ok(_taking) = control.snapshots.taking.try_lock() else {
        return refuse(Code::Busy, "a copy of the database is being taken");
    };
    let folder = &control.snapshots.folder;
    let made = remove(folder).and_then(|()| files::create_folder(folder, 0o700));
    made.map_err(Failure::io("making a folder for the copy of the database"))?;
    let taken = copy(control, &control.snapshots.file());
    if taken.is_err() {
        // The first error is the one to report; the next copy removes what is left.
        let _ = remove(folder);
    }
    let (position, bytes, sha256) = taken?;
    let signer = &control.store.signer;
    let text = checkpoint(signer.zone.as_str(), &position);
    let signature = signer.key.sign(NAMESPACE_CHECKPOINT, text.as_bytes());
    let details = json!({"size": position.size, "root": position.root, "database": sha256});
    control.store.write(|write| write.record(operator, "zone-copied", None, details).map(drop))?;
    Ok(Snapshot { bytes, sha256, checkpoint: text, signature })
}

fn copy(control: &Control, path: &Path) -> Result<(Position, u64, Sha256), Failure> {
    let raw = path.with_extension("raw");
    let position = control.store.copy_to(&raw, || {})?;
    let sql = Connection::open(&raw)?;
    sql.execute_batch(STRIP)?;
    sql.execute("VACUUM INTO ?", [path.to_string_lossy()])?;
    sql.close().map_err(|(_, error)| Fault::from(error))?;
    std::fs::remove_file(&raw).map_err(Failure::io("removing the first copy of the database"))?;
    let digest = || -> io::Result<(u64, Sha256)> {
        let (mut file, mut hash, mut step) = (File::open(path)?, sha2::Sha256::new(), vec![0; STEP]);
        let mut bytes = 0;
        loop {
            match file.read(&mut step)? {
                0 => return Ok((bytes, Sha256(hash.finalize().into()))),
                count => {
                    hash.update(&step[..count]);
                    bytes += count as u64;
                }
            }
        }
    };
    let (bytes, sha256) = digest().map_err(Failure::io("reading the copy of the database"))?;
    Ok((position, bytes, sha256))
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
