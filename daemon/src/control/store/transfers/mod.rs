//! Transfers: their rows ([`Transfer`]), questions about them ([`queries`]), and what is noted with them ([`updates`]). States
//! are changed by [`super::transition`] alone.

mod queries;
mod updates;

pub use queries::*;
pub use updates::*;

use super::row;
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use sluse_protocol::acknowledgement::Acknowledgement;
use sluse_protocol::courier::{Remains, Stored};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::finding::Report;
use sluse_protocol::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId};
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::operator::Retained;
use sluse_protocol::part::{Part, PartOf};
use sluse_protocol::receipt::DecisionRecord;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::sync::Delta;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// A transfer's row, without findings and wrapped identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// Who sends.
    pub source: SourceName,
    /// What allows it.
    pub agreement: AgreementId,
    /// Where it goes.
    pub room: RoomName,
    /// What it carries.
    pub dataset: DatasetName,
    /// The source's idempotency key.
    pub key: Sha256,
    /// SHA-256 of its plan.
    pub plan_sha256: Sha256,
    /// Bytes of its plan.
    pub plan_bytes: u64,
    /// What the plan adds up to.
    pub totals: Totals,
    /// That it carries the difference from another version.
    pub delta: Option<Delta>,
    /// The public half of its identity.
    pub identity: String,
    /// Where it is in its life.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When it was offered.
    pub offered: Timestamp,
    /// Durable chunks, as last noted.
    pub durable: u32,
    /// When that changed last.
    pub progressed: Timestamp,
    /// The manifest that was checked; while the transfer is receiving, `inspect` has yet to take the bytes over.
    pub seal: Option<Seal>,
    /// Why the last seal failed.
    pub seal_refusal: Option<Refusal>,
    /// What the inspection reported, without findings.
    pub report: Option<Report>,
    /// How it was decided.
    pub decision: Option<DecisionRecord>,
    /// What of it was released, where files were left out.
    pub part: Option<Part>,
    /// What the source may know of why it is where it is.
    pub reason: Option<Refusal>,
    /// The key of `deliver`'s that its identity was re-wrapped to.
    pub wrapped_to: Option<String>,
    /// The bag's folder, relative to the room's.
    pub bag: Option<String>,
    /// How it was stored, where the room is elsewhere.
    pub stored: Option<Stored>,
    /// When it was delivered.
    pub delivered: Option<Timestamp>,
    /// The room's own word that it has it.
    pub acknowledgement: Option<Acknowledgement>,
    /// That its delivery, which was begun, is to be taken back.
    pub withdrawal: Option<Withdrawal>,
    /// What may be left in its room elsewhere, where its delivery was given up.
    pub remains: Option<Remains>,
    /// When its bag was removed from its room, since newer versions stand there.
    pub removed: Option<Timestamp>,
    /// When it may be purged.
    pub purge_after: Option<Timestamp>,
    /// That it may not, although its time is over.
    pub retained: Option<Retained>,
    /// Since when it was held when its waiting was escalated.
    pub escalated: Option<Timestamp>,
}

/// Who has a delivery taken back that was begun, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// The operator; nobody where its time was over.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when it is tried; not known of those that older versions noted.
    pub asked: Option<Timestamp>,
}

/// What a checked manifest binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256,
    /// The source's signature.
    pub signature: String,
    /// Digest over all chunk digests.
    pub chunk_list: Sha256,
}

/// A list of files, and what it adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// SHA-256 of the list.
    pub manifest_sha256: Sha256,
    /// Its sums.
    pub totals: Totals,
    /// That it is of a part, and of which whole.
    pub part_of: Option<PartOf>,
}

impl Transfer {
    /// Whether its room has it, as far as is known, or may have it.
    pub fn may_be_disclosed(&self) -> bool {
        self.delivered.is_some() || self.remains == Some(Remains::Bag)
    }

    /// What of a sealed transfer its room receives: the whole, unless files were left out.
    pub fn released(&self) -> Option<Listed> {
        let whole = self.seal.as_ref()?.manifest_sha256;
        Some(match self.part {
            None => Listed { manifest_sha256: whole, totals: self.totals, part_of: None },
            Some(Part { manifest_sha256, totals, left_out }) => {
                Listed { manifest_sha256, totals, part_of: Some(PartOf { manifest_sha256: whole, left_out }) }
            }
        })
    }

    /// Bytes that its chunks carry.
    pub fn carried(&self) -> u64 {
        carried(&self.totals, self.delta.as_ref())
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.carried().div_ceil(u64::from(CHUNK_BYTES))).unwrap_or(u32::MAX)
    }
}

/// Bytes that are carried of a version: of all its files, or of its difference from another.
pub fn carried(totals: &Totals, delta: Option<&Delta>) -> u64 {
    delta.map_or(totals.bytes, Delta::bytes)
}

const COLUMNS: &str = "id, source, agreement, room, dataset, key, plan_sha256, plan_bytes, files, folders, bytes, identity, \
    state, since, offered, durable, progressed, manifest_sha256, manifest_signature, chunk_list, seal_refusal, report, \
    decision, part, reason, wrapped_to, bag, stored, delivered, acknowledgement, withdrawal, remains, removed, purge_after, retained, \
    escalated, delta";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Transfer> {
    let manifest: Option<Sha256> = row::maybe_text(row, "manifest_sha256")?;
    let seal = match manifest {
        None => None,
        Some(manifest_sha256) => Some(Seal {
            manifest_sha256,
            signature: row.get("manifest_signature")?,
            chunk_list: row::text(row, "chunk_list")?,
        }),
    };
    Ok(Transfer {
        id: row::text(row, "id")?,
        source: row::text(row, "source")?,
        agreement: row::text(row, "agreement")?,
        room: row::text(row, "room")?,
        dataset: row::text(row, "dataset")?,
        key: row::text(row, "key")?,
        plan_sha256: row::text(row, "plan_sha256")?,
        plan_bytes: row::count(row, "plan_bytes")?,
        totals: Totals {
            files: row::count(row, "files")?,
            folders: row::count(row, "folders")?,
            bytes: row::count(row, "bytes")?,
        },
        delta: row::maybe_json(row, "delta")?,
        identity: row.get("identity")?,
        state: row::text(row, "state")?,
        since: row::time(row, "since")?,
        offered: row::time(row, "offered")?,
        durable: row.get("durable")?,
        progressed: row::time(row, "progressed")?,
        seal,
        seal_refusal: row::maybe_json(row, "seal_refusal")?,
        report: row::maybe_json(row, "report")?,
        decision: row::maybe_json(row, "decision")?,
        part: row::maybe_json(row, "part")?,
        reason: row::maybe_json(row, "reason")?,
        wrapped_to: row.get("wrapped_to")?,
        bag: row.get("bag")?,
        stored: row::maybe_json(row, "stored")?,
        delivered: row::maybe_time(row, "delivered")?,
        acknowledgement: row::maybe_json(row, "acknowledgement")?,
        withdrawal: row::maybe_json(row, "withdrawal")?,
        remains: row::maybe_json(row, "remains")?,
        removed: row::maybe_time(row, "removed")?,
        purge_after: row::maybe_time(row, "purge_after")?,
        retained: row::maybe_json(row, "retained")?,
        escalated: row::maybe_time(row, "escalated")?,
    })
}
