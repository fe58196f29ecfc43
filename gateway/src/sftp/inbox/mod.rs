//! The inbox of one account: what its clients see, and what they may do. Bytes go into the spool, where they cannot be read
//! again; names and sizes are kept here, in a journal that outlives the process.
//!
//! Order of writes: bytes first (a parcel), then the journal, then the client hears of it. An entry that is whole is handed
//! over in this order: the journal says so, a list of its files goes into the spool, the journal says that it was done. What a
//! crash interrupts is done again when the inbox is opened, before anybody can change it; a list whose files were taken
//! already does nothing.

mod change;
mod journal;
mod tree;

pub use tree::{File, Rules};

use super::packet::{Attributes, Code, Refusal, flags};
use crate::Error;
use crate::spool::{FileId, Inlet, Label, Listed, NotStored, Parcel, Says, Spool};
use age::x25519::Identity;
use change::Change;
use journal::Journal;
use sluse_host::{clock, files};
use sluse_protocol::ids::AgreementId;
use sluse_protocol::time::Timestamp;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tree::Tree;

/// Bytes of all clients of an account that may wait for what belongs in front of them: more than clients have under way.
const MAX_AHEAD: usize = 16 * 1024 * 1024;

/// How long nothing is handed over after that failed.
const REST: Duration = Duration::from_secs(5);

/// The inbox of one account.
#[derive(Debug)]
pub struct Inbox {
    account: String,
    flow: AgreementId,
    inlet: Arc<Inlet>,
    begun: Instant,
    state: Mutex<State>,
    /// Bytes of all its clients that wait for what belongs in front of them.
    ahead: AtomicUsize,
    /// Bytes that may lie in it, that lie in it, and that are on their way into it.
    max_bytes: u64,
    there: AtomicU64,
    coming: AtomicU64,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    journal: Journal,
    writers: u64,
    /// Files whose bytes are wanted no more, of which that could not be said yet.
    unsaid: Vec<FileId>,
    /// When something is handed over again, after that failed.
    rests_until: Duration,
}

/// A file that somebody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// Which.
    pub file: FileId,
    /// Who.
    pub writer: u64,
    /// From where on.
    pub bytes: u64,
}

/// What is durable of a file from now on.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    /// Bytes.
    pub bytes: u64,
    /// It was closed by who wrote it.
    pub whole: bool,
    /// When it was changed last, where the client said so.
    pub mtime: Option<Timestamp>,
}

const FULL: Refusal = Refusal(Code::Failure, "there is too little space: come again later");
const NO_ROOM: Refusal = Refusal(Code::Failure, "the inbox is full: finish or remove what lies in it");
const FAULT: Refusal = Refusal(Code::Failure, "the gateway cannot write to its disk: come again later");
const TAKEN_OVER: Refusal = Refusal(Code::Failure, "the file was removed, or somebody else writes it now");

impl Inbox {
    /// Opens an account's inbox as it was left, and finishes what a crash interrupted. Up to `max_bytes` may lie in it.
    ///
    /// # Errors
    /// When its journal or the spool cannot be used.
    pub fn open(
        account: &str,
        flow: AgreementId,
        rules: Rules,
        max_bytes: u64,
        inlet: Arc<Inlet>,
        spool: &Spool,
        identity: Identity,
    ) -> Result<Self, Error> {
        let folder = spool.inboxes();
        files::create_folder(&folder, 0o700).map_err(Error::at(&folder))?;
        files::sync_folder(spool.folder()).map_err(Error::at(spool.folder()))?;
        // With an end, so that no account's has the name of what another's is written anew as.
        let path = folder.join(format!("{account}.journal"));
        let mut tree = Tree::new(rules);
        for change in Journal::read(&path, &identity).map_err(Error::at(&path))? {
            tree.apply(&change, Duration::ZERO);
        }
        let journal = Journal::write(path.clone(), identity, &tree.changes()).map_err(Error::at(&path))?;
        let bytes = tree.bytes();
        let state = Mutex::new(State { tree, journal, writers: 0, unsaid: Vec::new(), rests_until: Duration::ZERO });
        let (account, ahead, coming) = (account.to_owned(), AtomicUsize::new(0), AtomicU64::new(0));
        let there = AtomicU64::new(bytes);
        let inbox = Self { account, flow, inlet, begun: Instant::now(), state, ahead, max_bytes, there, coming };
        inbox.say_what_remains().map_err(|error| Error::fault("writing to the spool")(io::Error::other(error)))?;
        inbox.hand_over_whole();
        Ok(inbox)
    }

    /// Its account.
    pub fn account(&self) -> &str {
        &self.account
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn stat(&self, path: &str) -> Result<Attributes, Refusal> {
        self.state().tree.stat(path)
    }

    /// Up to `limit` names in a folder behind `after`, ascending.
    ///
    /// # Errors
    /// When it is not there, or no folder.
    pub fn list(&self, folder: &str, after: &str, limit: usize) -> Result<Vec<(String, Attributes)>, Refusal> {
        self.state().tree.list(folder, after, limit)
    }

    /// Opens a file for writing, as the [`flags`] say. Whoever wrote it before writes it no more: his connection may be gone
    /// without our hearing of it.
    ///
    /// # Errors
    /// When it may not be.
    pub fn write(&self, path: &str, how: u32) -> Result<Writing, Refusal> {
        self.inlet.check_space(0).map_err(|error| refusal(&error))?;
        let (now, mut state) = (self.now(), self.state());
        let known = state.tree.file(path).map(|file| (file.id, file.bytes > 0 || file.whole));
        let has = |flag| how & flag != 0;
        if has(flags::EXCLUSIVE) && known.is_some() {
            return Err(Refusal(Code::Failure, "there is something of that name"));
        }
        let from_nothing = has(flags::TRUNCATE) || has(flags::EXCLUSIVE);
        let there = state.tree.stat(path).is_ok();
        let (file, bytes) = if has(flags::CREATE) && (from_nothing || !there) || from_nothing && known.is_some() {
            state.tree.may_write_new(path)?;
            (FileId::new().map_err(|error| refusal(&error.into()))?, 0)
        } else {
            state.tree.may_resume(path).map(|file| (file.id, file.bytes))?
        };
        if let Some((old, true)) = known.filter(|(old, _)| *old != file) {
            // What is cut off is gone, whatever becomes of the rest.
            self.change(&mut state, &[Change::Removed { path: path.to_owned() }], now)?;
            self.withdraw(&mut state, old);
        }
        state.writers += 1;
        let writer = state.writers;
        state.tree.writes(path, file, writer, clock::now(), now);
        Ok(Writing { file, writer, bytes })
    }

    /// Whether so many bytes more may wait for what belongs in front of them. Who was told so gives them back.
    pub fn may_wait(&self, bytes: usize) -> bool {
        let more = |waiting: usize| waiting.checked_add(bytes).filter(|all| *all <= MAX_AHEAD);
        self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// So many bytes wait no more.
    pub fn waited(&self, bytes: usize) {
        self.ahead.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether so many bytes more may come into the inbox. Who was told so says when they have [`Inbox::came`].
    ///
    /// # Errors
    /// When they do not fit.
    pub fn may_come(&self, bytes: u64) -> Result<(), Refusal> {
        let coming = self.coming.fetch_add(bytes, Ordering::SeqCst).saturating_add(bytes);
        if self.there.load(Ordering::SeqCst).saturating_add(coming) <= self.max_bytes {
            return Ok(());
        }
        self.came(bytes);
        tracing::warn!(account = self.account, max_bytes = self.max_bytes, "a client was sent away: its inbox is full");
        Err(NO_ROOM)
    }

    /// So many bytes are on their way no more: they lie there, or never will.
    pub fn came(&self, bytes: u64) {
        self.coming.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Begins a parcel of an account's file.
    ///
    /// # Errors
    /// When there is too little space, or the disk fails.
    pub fn begin(&self) -> Result<Parcel, Refusal> {
        self.inlet.begin().map_err(|error| refusal(&error))
    }

    /// Makes durable what was written to a file: a parcel and where it begins in the file, if anything is new.
    ///
    /// # Errors
    /// When somebody else writes the file now, there is too little space, or the disk fails.
    pub fn store(&self, writing: Writing, parcel: Option<(Parcel, u64)>, stored: Stored) -> Result<(), Refusal> {
        // Under the lock: whoever takes the file over must not be overtaken by what was stored before.
        let (now, mut state) = (self.now(), self.state());
        let (path, known) = state.tree.written_by(writing.file, writing.writer).ok_or(TAKEN_OVER)?;
        let (path, mtime) = (path.to_owned(), stored.mtime.unwrap_or(known.mtime));
        if let Some((parcel, offset)) = parcel {
            let says = Says::Inbox { file: writing.file, offset };
            parcel.store(self.label(says)).map_err(|error| refusal(&error))?;
        }
        let Stored { bytes, whole, .. } = stored;
        self.change(&mut state, &[Change::File { path, file: writing.file, bytes, whole, mtime }], now)
    }

    /// Somebody writes a file no more.
    pub fn let_go(&self, writing: Writing) {
        let now = self.now();
        self.state().tree.let_go(writing.file, writing.writer, now);
    }

    /// Sets when a file was changed last; of a folder that means nothing.
    ///
    /// # Errors
    /// When it is not there, or the journal cannot be written.
    pub fn set_time(&self, path: &str, mtime: Timestamp) -> Result<(), Refusal> {
        let (now, mut state) = (self.now(), self.state());
        let Some(File { id, bytes, whole, .. }) = state.tree.file(path).cloned() else {
            return state.tree.stat(path).map(drop);
        };
        state.tree.may_resume(path)?;
        let path = path.to_owned();
        self.change(&mut state, &[Change::File { path, file: id, bytes, whole, mtime }], now)
    }

    /// Removes a file that was not handed over yet.
    ///
    /// # Errors
    /// When it is not there, or may not be removed.
    pub fn remove(&self, path: &str) -> Result<(), Refusal> {
        let (now, mut state) = (self.now(), self.state());
        let file = state.tree.may_remove(path)?.id;
        self.change(&mut state, &[Change::Removed { path: path.to_owned() }], now)?;
        self.withdraw(&mut state, file);
        Ok(())
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// When it may not be made there.
    pub fn make_folder(&self, path: &str) -> Result<(), Refusal> {
        let now = self.now();
        self.state().tree.make_folder(path, now)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// When it is not there, or not empty.
    pub fn remove_folder(&self, path: &str) -> Result<(), Refusal> {
        let now = self.now();
        self.state().tree.remove_folder(path, now)
    }

    /// Renames a file or folder; whether a file that has the name may be replaced.
    ///
    /// # Errors
    /// When it may not be renamed so.
    pub fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), Refusal> {
        let (now, mut state) = (self.now(), self.state());
        let replaced = state.tree.may_rename(from, to, replace)?;
        let moved = Change::Moved { from: from.to_owned(), to: to.to_owned() };
        let Some(replaced) = replaced else { return self.change(&mut state, &[moved], now) };
        // What takes its place may be remembered only later.
        self.change(&mut state, &[Change::Removed { path: to.to_owned() }, moved], now)?;
        self.withdraw(&mut state, replaced);
        Ok(())
    }

    /// Hands over every entry that is whole. What fails is tried again the next time.
    pub fn hand_over_whole(&self) {
        let (now, mut state) = (self.now(), self.state());
        if now < state.rests_until {
            return;
        }
        for file in std::mem::take(&mut state.unsaid) {
            self.withdraw(&mut state, file);
        }
        for entry in state.tree.ready(now) {
            match self.hand_over(&mut state, &entry, now) {
                Ok(files) => tracing::info!(account = self.account, files, "an entry was handed over"),
                Err(Refusal(_, why)) => {
                    tracing::error!(account = self.account, "an entry cannot be handed over: {why}");
                    state.rests_until = now + REST;
                    return;
                }
            }
        }
        if !state.unsaid.is_empty() {
            state.rests_until = now + REST;
        }
    }

    fn hand_over(&self, state: &mut State, entry: &str, now: Duration) -> Result<usize, Refusal> {
        let name = entry.to_owned();
        if !state.tree.is_handing(entry) {
            self.change(state, &[Change::Handing { entry: name.clone() }], now)?;
        }
        let (list, marker) = (state.tree.contents(entry)?, state.tree.marker(entry));
        let mut label = self.label(Says::Listed);
        label.group = format!("{}/{entry}", label.group);
        label.dataset = entry.parse().ok();
        self.say(label, &list)?;
        self.change(state, &[Change::HandedOver { entry: name }], now)?;
        if let Some(marker) = marker {
            self.withdraw(state, marker);
        }
        Ok(list.len())
    }

    /// How many entries wait for whoever began them, unchanged for so long.
    pub fn waiting(&self, since: Duration) -> usize {
        self.state().tree.waiting(self.now(), since)
    }

    /// Makes changes durable, and then makes them.
    fn change(&self, state: &mut State, changes: &[Change], now: Duration) -> Result<(), Refusal> {
        if let Err(error) = state.journal.tidy(|| state.tree.changes()) {
            tracing::warn!(account = self.account, "the journal of an inbox cannot be written anew: {error}");
        }
        state.journal.add(changes).map_err(|error| refusal(&error.into()))?;
        changes.iter().for_each(|change| state.tree.apply(change, now));
        self.there.store(state.tree.bytes(), Ordering::SeqCst);
        Ok(())
    }

    /// Says that a file's bytes are wanted no more, now or later.
    fn withdraw(&self, state: &mut State, file: FileId) {
        let said = self.inlet.begin_word().and_then(|parcel| parcel.store(self.label(Says::Withdrawn { file })));
        if let Err(error) = said {
            tracing::warn!(account = self.account, "bytes that are wanted no more stay for now: {error}");
            state.unsaid.push(file);
        }
    }

    /// Says which files there are: a crash may have left bytes in the spool that no client was told of.
    fn say_what_remains(&self) -> Result<(), NotStored> {
        let files: Vec<FileId> = self.state().tree.files().collect();
        let said = self.say_lines(self.label(Says::Remaining), &files);
        match said {
            // That can wait; what is needed is room.
            Err(NotStored::Full) => Ok(()),
            other => other,
        }
    }

    fn say(&self, label: Label, list: &[Listed]) -> Result<(), Refusal> {
        self.say_lines(label, list).map_err(|error| refusal(&error))
    }

    fn say_lines<T: serde::Serialize>(&self, label: Label, lines: &[T]) -> Result<(), NotStored> {
        let mut parcel = self.inlet.begin_word()?;
        for line in lines {
            let mut line = serde_json::to_vec(line).map_err(io::Error::from)?;
            line.push(b'\n');
            parcel.write(&line)?;
        }
        parcel.store(label).map(drop)
    }

    fn label(&self, says: Says) -> Label {
        Label { flow: self.flow.clone(), group: format!("sftp/{}", self.account), dataset: None, says }
    }
}

/// What a client hears of a failure.
pub fn refusal(error: &NotStored) -> Refusal {
    match error {
        NotStored::Full => {
            tracing::warn!("a client was sent away: {error}");
            FULL
        }
        NotStored::Fault(cause) => {
            tracing::error!("{error}: {cause}");
            FAULT
        }
    }
}

#[cfg(test)]
mod tests;
