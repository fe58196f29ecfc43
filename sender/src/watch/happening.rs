//! What happens in a watcher, for its log and for integrations.

use super::record::{Record, RecordId, Why};
use serde::Serialize;
use sluse_protocol::ids::TransferId;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// One thing that happened. As JSON it is one flat object with the kind under `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// In which outbox; none when it is about a zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbox: Option<String>,
    /// To which entry. Names may tell of persons: they stand in events, never in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// To which content of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// To which transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferId>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of things that happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// An entry is whole and will be sent.
    Whole,
    /// An entry that was whole was changed or removed before the zone had it.
    Withdrawn,
    /// It is being sent.
    Sending,
    /// The zone accepted the offer.
    Accepted,
    /// The zone holds it durably.
    Received,
    /// The transfer's state is another.
    State {
        /// The new state.
        state: State,
    },
    /// It stands in its room.
    Delivered,
    /// It will not get there.
    Refused {
        /// Why.
        why: Why,
    },
    /// It was put where finished things go.
    PutAway {
        /// Whether its files were deleted.
        deleted: bool,
    },
    /// Something failed that is tried again.
    Failed {
        /// Why.
        why: Why,
        /// What rests meanwhile: `zone`, `outbox`, `entry`, or `certificate` where that could not be renewed.
        rests: &'static str,
        /// For how long.
        milliseconds: u64,
    },
    /// Nothing is wrong, and nothing of this outbox is sent before that time: the zone takes it at other hours.
    Waiting {
        /// What the zone said.
        why: Why,
        /// Until when.
        until: Timestamp,
    },
    /// The certificate was renewed.
    Renewed {
        /// Until when it is good now.
        until: Timestamp,
    },
    /// What failed works again.
    Mended {
        /// What rested: `zone` or `outbox`.
        rested: &'static str,
    },
}

impl Happening {
    /// Something about a record.
    pub fn of(record: &Record, what: What) -> Self {
        Self {
            outbox: Some(record.outbox.clone()),
            name: Some(record.name.clone()),
            record: Some(record.id()),
            transfer: record.transfer.clone(),
            what,
        }
    }

    /// Something about an outbox.
    pub fn in_outbox(outbox: &str, what: What) -> Self {
        Self { outbox: Some(outbox.to_owned()), name: None, record: None, transfer: None, what }
    }

    /// Something about a zone.
    pub fn at_zone(what: What) -> Self {
        Self { outbox: None, name: None, record: None, transfer: None, what }
    }
}
