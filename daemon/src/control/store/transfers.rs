//! Transfers: their rows, and questions about them. States are changed by [`super::transition`] alone.

use super::Write;
use super::row::{self, int, to_json};
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::finding::{Finding, Report};
use sluse_protocol::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId};
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::receipt::DecisionRecord;
use sluse_protocol::refusal::{Code, Refusal};
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
    /// What the source may know of why it is where it is.
    pub reason: Option<Refusal>,
    /// The key of `deliver`'s that its identity was re-wrapped to.
    pub wrapped_to: Option<String>,
    /// The bag's folder, relative to the room's.
    pub bag: Option<String>,
    /// When it was delivered.
    pub delivered: Option<Timestamp>,
    /// When it may be purged.
    pub purge_after: Option<Timestamp>,
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

impl Transfer {
    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.totals.chunks(CHUNK_BYTES)).unwrap_or(u32::MAX)
    }
}

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
    /// The public half of its identity.
    pub identity: String,
}

const COLUMNS: &str = "id, source, agreement, room, dataset, key, plan_sha256, plan_bytes, files, folders, bytes, identity, \
    state, since, offered, durable, progressed, manifest_sha256, manifest_signature, chunk_list, seal_refusal, report, \
    decision, reason, wrapped_to, bag, delivered, purge_after";

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
        reason: row::maybe_json(row, "reason")?,
        wrapped_to: row.get("wrapped_to")?,
        bag: row.get("bag")?,
        delivered: row::maybe_time(row, "delivered")?,
        purge_after: row::maybe_time(row, "purge_after")?,
    })
}

fn one(sql: &Connection, condition: &str, values: impl rusqlite::Params) -> Result<Option<Transfer>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM transfers WHERE {condition}"))?;
    Ok(statement.query_row(values, from_row).optional()?)
}

fn many(sql: &Connection, rest: &str, values: impl rusqlite::Params) -> Result<Vec<Transfer>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM transfers {rest}"))?;
    Ok(statement.query_map(values, from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// A transfer.
pub fn find(sql: &Connection, id: &TransferId) -> Result<Option<Transfer>, Failure> {
    one(sql, "id = ?", [id.as_str()])
}

/// A transfer that must be there.
pub fn get(sql: &Connection, id: &TransferId) -> Result<Transfer, Failure> {
    find(sql, id)?.map_or_else(|| refuse(Code::UnknownTransfer, format!("there is no transfer {id}")), Ok)
}

/// A source's own transfer; another's is as unknown to it as none.
pub fn of_source(sql: &Connection, source: &SourceName, id: &TransferId) -> Result<Transfer, Failure> {
    match find(sql, id)? {
        Some(transfer) if transfer.source == *source => Ok(transfer),
        _ => refuse(Code::UnknownTransfer, format!("there is no transfer {id} of this source")),
    }
}

/// The transfer that a source offered under `key`.
pub fn by_key(sql: &Connection, source: &SourceName, key: &Sha256) -> Result<Option<Transfer>, Failure> {
    one(sql, "source = ? AND key = ?", [source.as_str(), &key.to_string()])
}

/// A source's latest transfers.
pub fn latest(sql: &Connection, source: &SourceName, limit: u16) -> Result<Vec<Transfer>, Failure> {
    many(sql, "WHERE source = ? ORDER BY id DESC LIMIT ?", params![source.as_str(), limit])
}

/// A source's transfers in a state.
pub fn of_source_in(sql: &Connection, source: &SourceName, state: State) -> Result<Vec<Transfer>, Failure> {
    many(sql, "WHERE source = ? AND state = ? ORDER BY id", [source.as_str(), state.as_str()])
}

/// Transfers, newest first: those in a state, those before one.
pub fn page(
    sql: &Connection,
    state: Option<State>,
    before: Option<&TransferId>,
    limit: u16,
) -> Result<Vec<Transfer>, Failure> {
    let rest = "WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3";
    many(sql, rest, params![state.map(State::as_str), before.map(TransferId::as_str), limit])
}

/// The first transfer in one of `states` that `wanted` takes. Those that wait for more than an hour come first, oldest
/// first; then small ones before large ones, so that a large one holds up none.
pub fn first(
    sql: &Connection,
    states: &[State],
    now: Timestamp,
    mut wanted: impl FnMut(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let waiting_long = now.plus(-3600).unix();
    let text = format!(
        "SELECT {COLUMNS} FROM transfers WHERE state IN ({}) \
         ORDER BY since > {waiting_long}, CASE WHEN since > {waiting_long} THEN bytes ELSE since END, id",
        list(states)
    );
    let mut statement = sql.prepare(&text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let transfer = from_row(row)?;
        if wanted(&transfer) {
            return Ok(Some(transfer));
        }
    }
    Ok(None)
}

/// All transfers in one of `states`, oldest first.
pub fn all_in(sql: &Connection, states: &[State]) -> Result<Vec<Transfer>, Failure> {
    many(sql, &format!("WHERE state IN ({}) ORDER BY id", list(states)), [])
}

/// Transfers whose retention is over, which `wanted` takes: the first.
pub fn first_to_purge(
    sql: &Connection,
    now: Timestamp,
    mut wanted: impl FnMut(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let due = many(sql, "WHERE purge_after <= ? AND state <> 'purged' ORDER BY purge_after LIMIT 1000", [now.unix()])?;
    Ok(due.into_iter().find(|transfer| wanted(transfer)))
}

/// Bytes of the transfers under an agreement that are not settled.
pub fn open_bytes(sql: &Connection, agreement: &AgreementId) -> Result<u64, Failure> {
    let text = format!(
        "SELECT coalesce(sum(bytes), 0) AS bytes FROM transfers WHERE agreement = ? AND state NOT IN ({})",
        settled()
    );
    Ok(sql.prepare_cached(&text)?.query_row([agreement.as_str()], |row| row::count(row, "bytes"))?)
}

/// Datasets that were delivered under an agreement, or are being delivered; `except` is not counted.
pub fn disclosures(sql: &Connection, agreement: &AgreementId, except: Option<&TransferId>) -> Result<u64, Failure> {
    let text = "SELECT count(*) AS count FROM transfers \
                WHERE agreement = ?1 AND (delivered IS NOT NULL OR state = 'delivering') AND (?2 IS NULL OR id <> ?2)";
    let values = params![agreement.as_str(), except.map(TransferId::as_str)];
    Ok(sql.prepare_cached(text)?.query_row(values, |row| row::count(row, "count"))?)
}

/// How many transfers are in each state.
pub fn counts(sql: &Connection) -> Result<Vec<(String, u64)>, Failure> {
    let mut statement = sql.prepare_cached("SELECT state, count(*) AS count FROM transfers GROUP BY state")?;
    let rows = statement.query_map([], |row| Ok((row.get("state")?, row::count(row, "count")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Each state that a transfer was in, and since when.
pub fn history(sql: &Connection, id: &TransferId) -> Result<Vec<(State, Timestamp)>, Failure> {
    let mut statement = sql.prepare_cached("SELECT state, since FROM history WHERE transfer = ? ORDER BY number")?;
    let rows = statement.query_map([id.as_str()], |row| Ok((row::text(row, "state")?, row::time(row, "since")?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The findings' JSON (`Vec<Finding>`), as `inspect` sent it.
pub fn findings_json(sql: &Connection, id: &TransferId) -> Result<Vec<u8>, Failure> {
    let mut statement = sql.prepare_cached("SELECT findings FROM transfers WHERE id = ?")?;
    let findings: Option<Vec<u8>> = statement.query_row([id.as_str()], |row| row.get(0))?;
    Ok(findings.unwrap_or_else(|| b"[]".to_vec()))
}

/// The report with its findings.
pub fn full_report(sql: &Connection, transfer: &Transfer) -> Result<Option<Report>, Failure> {
    let Some(mut report) = transfer.report.clone() else { return Ok(None) };
    let json = findings_json(sql, &transfer.id)?;
    let findings: Result<Vec<Finding>, _> = serde_json::from_slice(&json);
    report.findings = findings.map_err(|_| Failure::broken("stored findings cannot be read"))?;
    Ok(Some(report))
}

/// The transfer's identity, re-wrapped to `deliver`.
pub fn wrapped(sql: &Connection, id: &TransferId) -> Result<Option<Vec<u8>>, Failure> {
    Ok(sql.prepare_cached("SELECT wrapped FROM transfers WHERE id = ?")?.query_row([id.as_str()], |row| row.get(0))?)
}

fn list(states: &[State]) -> String {
    states.iter().map(|state| format!("'{state}'")).collect::<Vec<_>>().join(", ")
}

fn settled() -> String {
    list(&State::ALL.iter().copied().filter(|state| state.is_settled()).collect::<Vec<_>>())
}

/// Inserts a transfer as *offered*.
pub fn insert(write: &mut Write<'_>, offered: &Offered) -> Result<(), Failure> {
    let (totals, now) = (&offered.totals, write.now.unix());
    write
        .sql
        .prepare_cached(
            "INSERT INTO transfers (id, source, agreement, room, dataset, key, plan_sha256, plan_bytes, files, folders, \
             bytes, identity, state, since, offered, progressed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'offered', ?13, ?13, ?13)",
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

/// Keeps how it was decided.
pub fn set_decision(write: &Write<'_>, id: &TransferId, decision: &DecisionRecord) -> Result<(), Failure> {
    update(write, id, "decision = ?", &[&to_json(decision)])
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

/// Keeps where the bag stands.
pub fn set_delivered(write: &Write<'_>, id: &TransferId, bag: &str, tagmanifest: &Sha256) -> Result<(), Failure> {
    let set = "bag = ?, tagmanifest = ?, delivered = ?";
    update(write, id, set, &[&bag, &tagmanifest.to_string(), &write.now.unix()])
}

/// Notes how many chunks are durable.
pub fn set_progress(write: &Write<'_>, id: &TransferId, durable: u32, at: Timestamp) -> Result<(), Failure> {
    update(write, id, "durable = ?, progressed = ?", &[&durable, &at.unix()])
}

/// Forgets the findings, which may name files.
pub fn clear_findings(write: &Write<'_>, id: &TransferId) -> Result<(), Failure> {
    update(write, id, "findings = NULL", &[])
}
