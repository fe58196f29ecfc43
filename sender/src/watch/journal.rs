//! The watcher's journal: one file for each record, in a folder that one watcher has to itself.

use super::record::{Record, RecordId};
use crate::error::Error;
use sluse_host::files;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the largest record; a reason has at most a few kilobytes.
const MAX_RECORD: u64 = 64 * 1024;

/// The journal in its folder.
#[derive(Debug)]
pub struct Journal {
    records: PathBuf,
    /// Held as long as the watcher runs.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When another watcher has it, or it cannot be written.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let records = folder.join("records");
        files::create_folder(folder, 0o700).map_err(Error::file(folder))?;
        files::create_folder(&records, 0o700).map_err(Error::file(&records))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(Error::file(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = "another watcher uses this folder".into();
                let hint = "Run one watcher with it, or give each a `state` folder of its own.";
                return Err(Error::Identity { path: folder.to_owned(), what, hint });
            }
            Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
        }
        files::sync_folder(folder).map_err(Error::file(folder))?;
        Ok(Self { records, _lock: lock })
    }

    /// Every record.
    ///
    /// # Errors
    /// When one cannot be read. A damaged one is an error too: nothing is guessed.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.records).map_err(Error::file(&self.records))? {
            let path = entry.map_err(Error::file(&self.records))?.path();
            // What a crash left of a replacement.
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let bytes = files::read_bounded(&path, MAX_RECORD).map_err(Error::file(&path))?;
            let record: Record = serde_json::from_slice(&bytes).map_err(|error| Error::Identity {
                path: path.clone(),
                what: error.to_string(),
                hint: "The watcher's journal is damaged: remove this file. What lies in the outbox is offered anew, and \
                       nothing that the zone has is sent twice.",
            })?;
            records.push(record);
        }
        Ok(records)
    }

    /// Makes a record durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.id());
        let text = serde_json::to_string_pretty(record).map_err(|error| Error::file(&path)(error.into()))?;
        files::replace(&path, (text + "\n").as_bytes(), 0o600).map_err(Error::file(&path))
    }

    /// Removes a record. One that a crash brings back is found to be done already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, id: &RecordId) -> Result<(), Error> {
        let path = self.path(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(&path)(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &RecordId) -> PathBuf {
        self.records.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Stage;
    use super::*;
    use sluse_protocol::digest::Sha256;

    #[test]
    fn records_outlive_the_watcher_and_one_watcher_keeps_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = Sha256::of(b"x");
        let record =
            Record { outbox: "lab".into(), name: "a".into(), fingerprint, transfer: None, stage: Stage::Whole };
        let journal = Journal::open(folder.path()).unwrap();
        journal.keep(&record).unwrap();
        let second = Journal::open(folder.path()).unwrap_err().to_string();
        assert!(second.contains("another watcher"), "{second}");
        drop(journal);
        let journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.records().unwrap(), std::slice::from_ref(&record));
        journal.forget(&record.id()).unwrap();
        journal.forget(&record.id()).unwrap();
        assert_eq!(journal.records().unwrap(), []);
    }
}
