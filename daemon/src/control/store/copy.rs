//! A copy of the database that is taken while everything goes on.
//!
//! The write-ahead log is emptied into the database's file, and that file then left as it is until it is copied: what is committed meanwhile
//! stays in the log. So others wait for the emptying alone, however large the file is.

use super::Store;
use crate::control::failure::{Failure, refuse};
use rusqlite::Connection;
use sluse_protocol::audit::Position;
use sluse_protocol::refusal::Code;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{MutexGuard, TryLockError};

/// Bytes that are copied at once.
const STEP: usize = 1024 * 1024;

/// Pages in the write-ahead log at which it is emptied into the database's file by the commit that added them: SQLite's default.
const CHECKPOINT_PAGES: u32 = 1000;

impl Store {
    /// Copies the database, as it is after the last commit, to a new file: where its audit log ends. `step` is called before each piece.
    ///
    /// # Errors
    /// When it is being copied already, or the disk or the database fails.
    pub fn copy_to(&self, path: &Path, mut step: impl FnMut()) -> Result<Position, Failure> {
        let Some(file) = self.still() else { return refuse(Code::Busy, "the database is being copied") };
        let (_still, position) = Still::begin(self)?;
        let copied = || -> io::Result<()> {
            let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            let (mut piece, mut offset) = (vec![0; STEP], 0);
            loop {
                step();
                match file.read_at(&mut piece, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok(0) => return Ok(()),
                    Ok(count) => {
                        copy.write_all(&piece[..count])?;
                        offset += count as u64;
                    }
                }
            }
        }();
        copied.map_err(Failure::io("copying the database"))?;
        Ok(position)
    }

    /// Whether the database is being copied.
    pub fn is_being_copied(&self) -> bool {
        self.still().is_none()
    }

    /// Takes what was deleted out of the write-ahead log too, where earlier versions of pages stand.
    ///
    /// # Errors
    /// When the database fails, or is being copied.
    pub fn forget_deleted(&self) -> Result<(), Failure> {
        let Some(_file) = self.still() else { return refuse(Code::Busy, "the database is being copied") };
        empty_log(&self.lock().sql)
    }

    /// The database's file, for who keeps it as it is or changes it besides a commit; `None` while somebody else does.
    fn still(&self) -> Option<MutexGuard<'_, File>> {
        match self.file.try_lock() {
            Ok(file) => Some(file),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn empty_log(sql: &Connection) -> Result<(), Failure> {
    let busy: i64 = sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(Failure::broken("the write-ahead log is in use by somebody else")) }
}

/// As long as there is this, commits leave the database's file as it is.
struct Still<'a>(&'a Store);

impl<'a> Still<'a> {
    /// Brings the file up to date; where its audit log ends.
    fn begin(store: &'a Store) -> Result<(Self, Position), Failure> {
        let inner = store.lock();
        empty_log(&inner.sql)?;
        inner.sql.pragma_update(None, "wal_autocheckpoint", 0)?;
        let position = inner.tree.position();
        Ok((Self(store), position))
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.lock().sql.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES) {
            tracing::error!(%error, "the write-ahead log is emptied by purges and the next start alone");
        }
        self.0.wake.bump();
    }
}
