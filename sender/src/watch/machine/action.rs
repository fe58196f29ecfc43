//! What goes into the machine and what comes out of it.

use crate::watch::happening::Happening;
use crate::watch::record::{Record, RecordId, Why};
use crate::watch::settings::{Delivered, Whole};
use sluse_protocol::ids::TransferId;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use std::time::Duration;

/// What the machine must know of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Its name.
    pub name: String,
    /// When an entry is whole.
    pub whole: Whole,
    /// What becomes of what was delivered.
    pub delivered: Delivered,
    /// How long after.
    pub after: Duration,
    /// Whether its entries are versions of one dataset: they go one after another, in ascending order of their names.
    pub in_order: bool,
    /// The number of the identity, and so of the zone, that it sends with.
    pub zone: usize,
}

/// The times of an input: since the watcher began, and by the calendar; and one random byte.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the watcher began; never goes back.
    pub uptime: Duration,
    /// The host's clock.
    pub clock: Timestamp,
    /// Randomness for one pause.
    pub random: u8,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the record durable before anything that follows.
    Keep(Record),
    /// Remove a record from the journal.
    Forget(RecordId),
    /// Hand an entry over.
    Send {
        /// Whose.
        record: Record,
        /// Whether an earlier transfer of the same content that was lost is followed by a new one.
        again: bool,
    },
    /// Ask a zone what became of these transfers.
    Ask {
        /// The zone.
        zone: usize,
        /// What to ask after.
        transfers: Vec<(RecordId, TransferId)>,
    },
    /// Put the transfer's receipts beside the entry.
    Receipts(Record),
    /// Remove an entry's done-marker: it was taken.
    Unmark(Record),
    /// Put the entry where finished things go, unless something else lies there now.
    PutAway {
        /// Whose.
        record: Record,
        /// Whether the files are deleted.
        delete: bool,
    },
    /// Say in the outbox why nothing is sent, or that there is no trouble any more.
    Problem {
        /// The outbox.
        outbox: usize,
        /// Why.
        why: Option<Why>,
    },
    /// Tell what happened.
    Tell(Happening),
}

/// What a zone said of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on, or waits for a person.
    Open(State),
    /// Delivered, with its receipt.
    Delivered,
    /// It ended otherwise.
    Lost(Why),
    /// The zone does not know it: it must be sent again.
    Unknown,
}

/// The answer for one record, and how many of its receipts are here.
pub type Answer = (RecordId, Standing, usize);
