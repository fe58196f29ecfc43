//! What is noted with a transfer, besides its state.

use super::super::Write;
use super::super::row::{int, to_json};
use super::{Seal, Withdrawal};
use crate::control::failure::Failure;
use rusqlite::params;
use sluse_protocol::courier::{Remains, Stored};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::finding::Report;
use sluse_protocol::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId};
use sluse_protocol::operator::Retained;
use sluse_protocol::part::Part;
use sluse_protocol::receipt::DecisionRecord;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::sync::Delta;
use sluse_protocol::time::Timestamp;

/// What an accepted offer says.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The new transfer's id.
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
}

/// Inserts a transfer as *offered*.
pub fn insert(write: &mut Write<'_>, offered: &Offered) -> Result<(), Failure> {
    let (totals, now) = (&offered.totals, write.now.unix());
    write
        .sql
        .prepare_cached(
            "INSERT INTO transfers (id, source, agreement, room, dataset, key, plan_sha256, plan_bytes, files, folders, \
             bytes, identity, delta, state, since, offered, progressed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'offered', ?14, ?14, ?14)",
        )?
        .execute(params![
            offered.id.as_str(),
            offered.source.as_str(),
            offered.agreement.as_str(),
            offered.room.as_str(),
            offered.dataset.as_str(),
            offered.key.to_string(),
            offered.plan_sha256.to_string(),
            int(offered.plan_bytes),
            int(totals.files),
            int(totals.folders),
            int(totals.bytes),
            offered.identity,
            offered.delta.as_ref().map(to_json),
            now,
        ])?;
    let id = offered.id.as_str();
    write.sql.execute("INSERT INTO history VALUES (?, 0, 'offered', ?)", params![id, now])?;
    Ok(())
}

fn update(write: &Write<'_>, id: &TransferId, set: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), Failure> {
    let mut statement = write.sql.prepare_cached(&format!("UPDATE transfers SET {set} WHERE id = ?"))?;
    let id = id.as_str();
    let mut all: Vec<&dyn rusqlite::ToSql> = values.to_vec();
    all.push(&id);
    match statement.execute(all.as_slice())? {
        1 => Ok(()),
        _ => Err(Failure::broken(format!("transfer {id} is not there"))),
    }
}

/// Notes a manifest that was checked.
pub fn set_seal(write: &Write<'_>, id: &TransferId, seal: &Seal) -> Result<(), Failure> {
    let set = "manifest_sha256 = ?, manifest_signature = ?, chunk_list = ?, seal_refusal = NULL";
    update(write, id, set, &[&seal.manifest_sha256.to_string(), &seal.signature, &seal.chunk_list.to_string()])
}

/// Forgets a manifest whose bytes could not be taken over, and notes why.
pub fn set_unsealed(write: &Write<'_>, id: &TransferId, why: &Refusal) -> Result<(), Failure> {
    let set = "manifest_sha256 = NULL, manifest_signature = NULL, chunk_list = NULL, seal_refusal = ?";
    update(write, id, set, &[&to_json(why)])
}

/// Keeps what the inspection reported, and the findings' JSON as it came.
pub fn set_report(write: &Write<'_>, id: &TransferId, report: &Report, findings: &[u8]) -> Result<(), Failure> {
    let report = Report { findings: Vec::new(), ..report.clone() };
    update(write, id, "report = ?, findings = ?", &[&to_json(&report), &findings])
}

/// Keeps how it was decided, and what of it was released where files were left out.
pub fn set_decision(
    write: &Write<'_>,
    id: &TransferId,
    decision: &DecisionRecord,
    part: Option<&Part>,
) -> Result<(), Failure> {
    update(write, id, "decision = ?, part = ?", &[&to_json(decision), &part.map(to_json)])
}

/// Keeps what the source may know of why it is where it is.
pub fn set_reason(write: &Write<'_>, id: &TransferId, reason: Option<&Refusal>) -> Result<(), Failure> {
    update(write, id, "reason = ?", &[&reason.map(to_json)])
}

/// Keeps the identity, re-wrapped to `deliver`'s key.
pub fn set_wrapped(write: &Write<'_>, id: &TransferId, wrapped: &[u8], to: &str) -> Result<(), Failure> {
    update(write, id, "wrapped = ?, wrapped_to = ?", &[&wrapped, &to])
}

/// Forgets the re-wrapped identity: nothing may be delivered with it any more.
pub fn clear_wrapped(write: &Write<'_>, id: &TransferId) -> Result<(), Failure> {
    update(write, id, "wrapped = NULL, wrapped_to = NULL", &[])
}

/// Keeps where the bag stands and, in a room elsewhere, how it was stored.
pub fn set_delivered(
    write: &Write<'_>,
    id: &TransferId,
    (bag, tagmanifest): (&str, &Sha256),
    stored: Option<&Stored>,
) -> Result<(), Failure> {
    let set = "bag = ?, tagmanifest = ?, stored = ?, delivered = ?";
    update(write, id, set, &[&bag, &tagmanifest.to_string(), &stored.map(to_json), &write.now.unix()])
}

/// Notes that the bag is not in its room any more.
pub fn set_removed(write: &Write<'_>, id: &TransferId) -> Result<(), Failure> {
    update(write, id, "removed = ?", &[&write.now.unix()])
}

/// Notes how many chunks are durable.
pub fn set_progress(write: &Write<'_>, id: &TransferId, durable: u32, at: Timestamp) -> Result<(), Failure> {
    update(write, id, "durable = ?, progressed = ?", &[&durable, &at.unix()])
}

/// Keeps a transfer from being purged, or no longer.
pub fn set_retained(write: &Write<'_>, id: &TransferId, retained: Option<&Retained>) -> Result<(), Failure> {
    update(write, id, "retained = ?", &[&retained.map(to_json)])
}

/// Has a delivery that was begun taken back, or no longer.
pub fn set_withdrawal(write: &Write<'_>, id: &TransferId, withdrawal: Option<&Withdrawal>) -> Result<(), Failure> {
    update(write, id, "withdrawal = ?", &[&withdrawal.map(to_json)])
}

/// Notes what may be left in its room elsewhere of a delivery that is given up.
pub fn set_remains(write: &Write<'_>, id: &TransferId, remains: Remains) -> Result<(), Failure> {
    update(write, id, "remains = ?", &[&to_json(&remains)])
}

/// Takes a transfer's idempotency key from it: the same offer begins a new transfer.
pub fn free_key(write: &Write<'_>, id: &TransferId) -> Result<(), Failure> {
    update(write, id, "key = ?", &[&Sha256::of(format!("given up\n{id}\n").as_bytes()).to_string()])
}

/// Forgets the findings, which may name files.
pub fn clear_findings(write: &Write<'_>, id: &TransferId) -> Result<(), Failure> {
    update(write, id, "findings = NULL", &[])
}

/// Notes that its waiting was escalated, since when it is held.
pub fn set_escalated(write: &Write<'_>, id: &TransferId, since: Timestamp) -> Result<(), Failure> {
    write.sql.execute("UPDATE transfers SET escalated = ? WHERE id = ?", params![since.unix(), id.as_str()])?;
    Ok(())
}
