//! One file that a client writes. Clients have several requests under way, and some send them in any order: bytes that come too
//! early wait, within a bound, for what belongs in front of them.

use super::inbox::{Inbox, Stored, Writing};
use super::packet::{Code, Refusal};
use crate::spool::Parcel;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that are kept beside those that wait, whatever their number.
const BESIDE: usize = 128;

/// Bytes after which what came is made durable, so that a client whose connection ends goes on from there.
const DURABLE_EVERY: u64 = 64 * 1024 * 1024;

/// A file that is open for writing. One that is dropped without being closed keeps what came of it, and is not whole.
pub struct Handle {
    inbox: Arc<Inbox>,
    writing: Writing,
    /// Each write goes to the end.
    appends: bool,
    /// Where the next byte belongs.
    at: u64,
    /// Where the parcel begins.
    begins: u64,
    parcel: Option<Parcel>,
    /// Something of the file is in the spool.
    there: bool,
    ahead: BTreeMap<u64, Vec<u8>>,
    waiting: usize,
    /// Bytes in the parcel that the inbox counts as on their way.
    coming: u64,
    mtime: Option<Timestamp>,
    /// Why it cannot be written any more.
    failed: Option<Refusal>,
    closed: bool,
}

const HOLE: Refusal = Refusal(Code::Failure, "bytes in front of others never came: begin again, or resume");

impl Handle {
    /// For a file that was opened.
    pub fn new(inbox: Arc<Inbox>, writing: Writing, appends: bool) -> Self {
        let at = writing.bytes;
        Self {
            inbox,
            writing,
            appends,
            at,
            begins: at,
            parcel: None,
            there: at > 0,
            ahead: BTreeMap::new(),
            waiting: 0,
            coming: 0,
            mtime: None,
            failed: None,
            closed: false,
        }
    }

    /// How many bytes came.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Takes bytes that belong at `offset`.
    ///
    /// # Errors
    /// When they belong where others are already, or too far ahead, or cannot be stored: then nothing more can be written.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.failed.map_or(Ok(()), Err)?;
        let offset = if self.appends { self.at } else { offset };
        if offset < self.at || self.ahead.contains_key(&offset) {
            return Err(Refusal(Code::Unsupported, "what was written cannot be changed: write the file anew"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if offset > self.at {
            if !self.inbox.may_wait(bytes.len() + BESIDE) {
                return Err(Refusal(Code::Failure, "too far ahead of bytes that never came"));
            }
            self.waiting += bytes.len() + BESIDE;
            self.ahead.insert(offset, bytes.to_vec());
            return Ok(());
        }
        let taken = self.take(bytes).and_then(|()| self.follow());
        self.failed = taken.err();
        taken
    }

    /// Takes what waited for what came.
    fn follow(&mut self) -> Result<(), Refusal> {
        while let Some(entry) = self.ahead.first_entry().filter(|entry| *entry.key() <= self.at) {
            let (offset, bytes) = entry.remove_entry();
            self.waiting -= bytes.len() + BESIDE;
            self.inbox.waited(bytes.len() + BESIDE);
            if offset < self.at {
                return Err(Refusal(Code::Unsupported, "bytes that overlap: write the file anew"));
            }
            self.take(&bytes)?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.inbox.may_come(bytes.len() as u64)?;
        self.coming += bytes.len() as u64;
        let parcel = match &mut self.parcel {
            Some(parcel) => parcel,
            none => none.insert(self.inbox.begin()?),
        };
        parcel.write(bytes).map_err(|error| super::inbox::refusal(&error))?;
        self.at += bytes.len() as u64;
        if parcel.bytes() >= DURABLE_EVERY { self.store(false) } else { Ok(()) }
    }

    fn store(&mut self, whole: bool) -> Result<(), Refusal> {
        // A file without bytes is an empty parcel.
        if self.parcel.is_none() && !self.there && whole {
            self.parcel = Some(self.inbox.begin()?);
        }
        let parcel = self.parcel.take().map(|parcel| (parcel, self.begins));
        let new = parcel.is_some();
        let stored = self.inbox.store(self.writing, parcel, Stored { bytes: self.at, whole, mtime: self.mtime });
        // Stored or dropped: they are on their way no more.
        self.inbox.came(std::mem::take(&mut self.coming));
        stored?;
        self.begins = self.at;
        self.there |= new;
        Ok(())
    }

    /// Makes durable what came.
    ///
    /// # Errors
    /// When something in front of it never came, or it cannot be stored.
    pub fn sync(&mut self) -> Result<(), Refusal> {
        self.failed.map_or(Ok(()), Err)?;
        if !self.ahead.is_empty() {
            return Err(HOLE);
        }
        if self.parcel.is_some() {
            self.failed = self.store(false).err();
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The file is whole: it is durable when this returns.
    ///
    /// # Errors
    /// When it is not whole, or cannot be stored. What came of it stays.
    pub fn close(mut self) -> Result<(), Refusal> {
        self.failed.map_or(Ok(()), Err)?;
        if !self.ahead.is_empty() {
            return Err(HOLE);
        }
        self.closed = true;
        self.store(true)
    }

    /// Sets when the file was changed last.
    pub fn set_time(&mut self, mtime: Timestamp) {
        self.mtime = Some(mtime);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever vanished may go on from what came.
        if !self.closed && self.failed.is_none() && self.parcel.is_some() {
            let kept = self.store(false);
            let account = self.inbox.account();
            tracing::info!(account, bytes = self.at, kept = kept.is_ok(), "a file was left in the middle");
        }
        self.inbox.waited(self.waiting);
        self.inbox.came(self.coming);
        self.inbox.let_go(self.writing);
    }
}
