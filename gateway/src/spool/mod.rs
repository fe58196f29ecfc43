//! What lies between the two processes, and all that a crash leaves. docs/gateway.md tells the order of all writes.
//!
//! ```text
//! intake.lock          held by the one process that takes in
//! epoch                how often intake began: the upper half of parcels' names
//! partial/             parcels that are being written: of no worth to anybody once intake ends
//! arrived/EPOCH-COUNT  parcels, each an age file, durable: a client was, or may have been, told so
//! closing/BATCH/       a dataset on its way out of arrived/: its document, and the parcels that were moved so far
//! outbox/FLOW/BATCH/   a dataset that is whole: its document and all its parcels; what `sluse watch` knows as an outbox
//! inbox/               which names what arrived has in inboxes, of which `intake` keeps account
//! sent/                which files went in which dataset, so that none goes twice
//! uploads/             how much of each upload is durable, without names
//! pulls/               when each pull was done last, and how far one is
//! watch/               the sender's journal
//! status.json          how all of it stands, as `forward` saw it last
//! ```

mod label;
mod opened;
mod parcel;

pub use label::{Ends, FileId, Label, Listed, MAX_GROUP_BYTES, Says, Tail};
pub use opened::Opened;
pub use parcel::{Inlet, NotStored, Parcel};

use crate::Error;
use sluse_host::files;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The spool's folder.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool in `folder`, which must be there; its own folders are made.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let spool = Self::at(folder);
        for part in [spool.partial(), spool.arrived(), spool.closing(), spool.outboxes(), spool.sent()] {
            files::create_folder(&part, 0o770).map_err(Error::at(&part))?;
        }
        files::sync_folder(folder).map_err(Error::at(folder))?;
        Ok(spool)
    }

    /// The same, as it is: for who only reads.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Parcels that are being written.
    pub fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// Parcels that are durable.
    pub fn arrived(&self) -> PathBuf {
        self.folder.join("arrived")
    }

    /// Datasets on their way to an outbox.
    pub fn closing(&self) -> PathBuf {
        self.folder.join("closing")
    }

    /// The folder of all outboxes.
    pub fn outboxes(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    /// The outbox of a flow.
    pub fn outbox(&self, flow: &str) -> PathBuf {
        self.outboxes().join(flow)
    }

    /// What was sent.
    pub fn sent(&self) -> PathBuf {
        self.folder.join("sent")
    }

    /// The accounts of inboxes: `intake`'s alone.
    pub fn inboxes(&self) -> PathBuf {
        self.folder.join("inbox")
    }

    /// How much of each upload is durable: `intake`'s alone.
    pub fn uploads(&self) -> PathBuf {
        self.folder.join("uploads")
    }

    /// What is known of pulls: `intake`'s alone.
    pub fn pulls(&self) -> PathBuf {
        self.folder.join("pulls")
    }

    /// The sender's journal.
    pub fn watch(&self) -> PathBuf {
        self.folder.join("watch")
    }

    /// How the spool stands, as `forward` saw it last.
    pub fn status(&self) -> PathBuf {
        self.folder.join("status.json")
    }

    /// A lock that one process holds for as long as it runs.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.folder.join(name);
        let lock = File::create(&path).map_err(Error::at(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(self.folder.display().to_string())),
            Err(TryLockError::Error(error)) => Err(Error::at(&path)(error)),
        }
    }
}

#[cfg(test)]
mod tests;
