//! The thread of one outbox: it looks, and it moves things, one after the other. A share that hangs holds up this outbox and
//! no other.

use super::place;
use super::record::{Record, RecordId, Why};
use super::scan::{self, Listing};
use super::service::Input;
use super::settings::Outbox;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

/// What an outbox's thread is to do.
#[derive(Debug)]
pub enum Command {
    /// Look what lies there.
    Look,
    /// Put a transfer's receipts beside the entry.
    Receipts(Record),
    /// Remove a done-marker.
    Unmark(Record),
    /// Put a finished entry away; whether its files are deleted.
    PutAway(Record, bool),
    /// Say why nothing is sent, or that it is over.
    Problem(Option<Why>),
}

/// What an outbox's thread tells.
#[derive(Debug)]
pub enum Told {
    /// Something changed there.
    Changed,
    /// What lies there.
    Listed(io::Result<Listing>),
    /// A record was put away, or not.
    PutAway(RecordId, io::Result<()>),
}

/// One outbox, and whom its thread tells.
pub struct Keeper {
    outbox: Outbox,
    number: usize,
    inputs: Sender<Input>,
    /// What could not be done, and is tried again with each look.
    owed: Vec<Command>,
    notifier: Option<notify::RecommendedWatcher>,
    /// Whether a change was told and not looked at yet: one is enough.
    changed: Arc<AtomicBool>,
}

impl Keeper {
    /// An outbox's keeper.
    pub fn new(outbox: Outbox, number: usize, inputs: Sender<Input>) -> Self {
        Self { outbox, number, inputs, owed: Vec::new(), notifier: None, changed: Arc::default() }
    }

    /// Does what it is told until nobody tells any more.
    pub fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            match command {
                Command::Look => self.look(),
                Command::PutAway(record, delete) => {
                    let done = place::put_away(&self.outbox, &record, delete);
                    self.tell(Told::PutAway(record.id(), done));
                }
                other => self.attempt(other),
            }
        }
    }

    fn look(&mut self) {
        for command in std::mem::take(&mut self.owed) {
            self.attempt(command);
        }
        // Before the look: what changes from here on is told again.
        self.changed.store(false, Ordering::SeqCst);
        self.begin_notify();
        let listed = scan::scan(&self.outbox);
        if listed.is_err() {
            // A folder that was away may be another one when it is back.
            self.notifier = None;
        }
        self.tell(Told::Listed(listed));
    }

    fn attempt(&mut self, command: Command) {
        let done = match &command {
            Command::Receipts(record) => place::put_receipts(&self.outbox, record),
            Command::Unmark(record) => place::unmark(&self.outbox, record),
            Command::Problem(why) => place::tell_problem(&self.outbox, why.as_ref()),
            Command::Look | Command::PutAway(..) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(outbox = %self.outbox.name, "cannot write in the outbox, will try again: {error}");
            self.owed.push(command);
        }
    }

    /// Asks the kernel to tell of changes. Where it cannot, the outbox is looked at again and again, as always.
    fn begin_notify(&mut self) {
        if !self.outbox.notify || self.notifier.is_some() {
            return;
        }
        let (inputs, number, changed) = (self.inputs.clone(), self.number, Arc::clone(&self.changed));
        let told = move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost: that is a change too.
            let counts = event.map_or(true, |event| match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                EventKind::Access(_) => false,
                _ => true,
            });
            if counts && !changed.swap(true, Ordering::SeqCst) {
                // A watcher that has ended needs no news.
                let _ = inputs.send(Input::Outbox(number, Told::Changed));
            }
        };
        let made = notify::recommended_watcher(told).and_then(|mut watcher| {
            watcher.watch(&self.outbox.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match made {
            Ok(watcher) => self.notifier = Some(watcher),
            Err(error) => {
                tracing::debug!(outbox = %self.outbox.name, "no notifications: {error}");
            }
        }
    }

    fn tell(&self, told: Told) {
        // A watcher that has ended needs no news.
        let _ = self.inputs.send(Input::Outbox(self.number, told));
    }
}
