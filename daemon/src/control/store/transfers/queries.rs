//! Questions about transfers.

use super::super::row;
use super::{COLUMNS, Transfer, from_row};
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, params};
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::{Finding, Report};
use sluse_protocol::ids::{AgreementId, DatasetName, SourceName, TransferId};
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

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

/// Of each agreement, the first transfer in one of `states` that `wanted` takes. Its transfers that wait for more than an
/// hour come first, oldest first; then its small ones before its large ones, so that a large one holds up none.
pub fn first_of_each_agreement(
    sql: &Connection,
    states: &[State],
    now: Timestamp,
    mut wanted: impl FnMut(&Transfer) -> bool,
) -> Result<Vec<Transfer>, Failure> {
    let waiting_long = now.plus(-3600).unix();
    let text = format!(
        "SELECT {COLUMNS} FROM transfers WHERE state IN ({}) \
         ORDER BY since > {waiting_long}, CASE WHEN since > {waiting_long} THEN bytes ELSE since END, id",
        list(states)
    );
    let mut statement = sql.prepare(&text)?;
    let mut rows = statement.query([])?;
    let mut firsts: Vec<Transfer> = Vec::new();
    while let Some(row) = rows.next()? {
        let agreement: AgreementId = row::text(row, "agreement")?;
        if firsts.iter().any(|transfer| transfer.agreement == agreement) {
            continue;
        }
        let transfer = from_row(row)?;
        if wanted(&transfer) {
            firsts.push(transfer);
        }
    }
    Ok(firsts)
}

/// All transfers in one of `states`, oldest first.
pub fn all_in(sql: &Connection, states: &[State]) -> Result<Vec<Transfer>, Failure> {
    many(sql, &format!("WHERE state IN ({}) ORDER BY id", list(states)), [])
}

/// The latest transfer of a dataset, whatever became of it.
pub fn latest_of(
    sql: &Connection,
    source: &SourceName,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<Transfer>, Failure> {
    let condition = "source = ? AND agreement = ? AND dataset = ? ORDER BY id DESC LIMIT 1";
    one(sql, condition, [source.as_str(), agreement.as_str(), dataset.as_str()])
}

/// Of a dataset that is kept in sync, the latest version that was sealed and is not lost.
pub fn latest_version(
    sql: &Connection,
    source: &SourceName,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<Transfer>, Failure> {
    let condition = format!(
        "source = ? AND agreement = ? AND dataset = ? AND manifest_sha256 IS NOT NULL AND state NOT IN ({}) \
         ORDER BY id DESC LIMIT 1",
        list(NO_VERSION)
    );
    one(sql, &condition, [source.as_str(), agreement.as_str(), dataset.as_str()])
}

/// Of a dataset that is kept in sync, the latest version that was delivered; of those that were offered before another one, if it is named.
pub fn delivered_version(
    sql: &Connection,
    (source, agreement, dataset): (&SourceName, &AgreementId, &DatasetName),
    before: Option<&TransferId>,
) -> Result<Option<Transfer>, Failure> {
    let condition = "source = ?1 AND agreement = ?2 AND dataset = ?3 AND delivered IS NOT NULL \
                     AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT 1";
    let before = before.map(TransferId::as_str);
    one(sql, condition, params![source.as_str(), agreement.as_str(), dataset.as_str(), before])
}

/// Versions that their agreements do not keep in their rooms any more, which `wanted` takes: the first. Never the latest one; and only what
/// was acknowledged, where that is waited for.
pub fn first_to_remove(
    sql: &Connection,
    now: Timestamp,
    mut wanted: impl FnMut(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let rest = "
        t JOIN (SELECT id AS kept_by, checked -> '$.sync.keep' AS keep, checked ->> '$.acknowledgement' AS awaited
            FROM agreements WHERE checked ->> '$.sync.keep' IS NOT NULL) ON kept_by = t.agreement
        WHERE t.delivered IS NOT NULL AND t.removed IS NULL AND t.retained IS NULL
            AND (t.state IN ('acknowledged', 'purged') OR (t.state = 'delivered' AND awaited IS NULL))
            AND coalesce(t.delivered < ?1 - 86400 * (keep ->> 'days'), TRUE)
            AND (SELECT count(*) FROM transfers newer WHERE newer.agreement = t.agreement AND newer.source = t.source
                AND newer.dataset = t.dataset AND newer.delivered IS NOT NULL AND newer.removed IS NULL AND newer.id > t.id)
                >= coalesce(keep ->> 'versions', 1)
        ORDER BY t.id";
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM transfers {rest}"))?;
    let mut rows = statement.query([now.unix()])?;
    while let Some(row) = rows.next()? {
        let transfer = from_row(row)?;
        if wanted(&transfer) {
            return Ok(Some(transfer));
        }
    }
    Ok(None)
}

/// Whether a transfer's bag stands in its room.
pub fn is_in_room(sql: &Connection, id: &TransferId) -> Result<bool, Failure> {
    let text = "SELECT EXISTS (SELECT 1 FROM transfers WHERE id = ? AND delivered IS NOT NULL AND removed IS NULL)";
    Ok(sql.prepare_cached(text)?.query_row([id.as_str()], |row| row.get(0))?)
}

/// States in which a sealed transfer is no version of its dataset: not received yet, or lost.
const NO_VERSION: &[State] = &[
    State::Offered,
    State::Receiving,
    State::Refused,
    State::Rejected,
    State::Expired,
    State::Cancelled,
    State::Failed,
];

/// What keeps a transfer from being purged although its time is over: it is the current version of a dataset that is kept in sync, on
/// which the next one is built; or one is being built on it.
const NEEDED: &str = "
    (delivered IS NOT NULL
        AND EXISTS (SELECT 1 FROM agreements a WHERE a.id = t.agreement AND a.revoked IS NULL
            AND a.checked ->> 'sync' IS NOT NULL AND a.checked ->> 'valid_to' >= ?2)
        AND NOT EXISTS (SELECT 1 FROM transfers newer WHERE newer.source = t.source AND newer.agreement = t.agreement
            AND newer.dataset = t.dataset AND newer.delivered IS NOT NULL AND newer.id > t.id))
    OR EXISTS (SELECT 1 FROM transfers next WHERE next.state IN ('offered', 'receiving', 'received', 'inspecting')
        AND next.delta ->> 'base' = t.id)";

/// Transfers whose retention is over and was not extended, which `wanted` takes and on which no version is built: the first.
pub fn first_to_purge(
    sql: &Connection,
    now: Timestamp,
    mut wanted: impl FnMut(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let rest = format!(
        "t WHERE purge_after <= ?1 AND state <> 'purged' AND retained IS NULL AND NOT ({NEEDED}) \
         ORDER BY purge_after LIMIT 1000"
    );
    let due = many(sql, &rest, params![now.unix(), now.to_string()])?;
    Ok(due.into_iter().find(|transfer| wanted(transfer)))
}

/// Bytes of the transfers under an agreement that are not settled, with their plans, which lie on disk like them.
pub fn open_bytes(sql: &Connection, agreement: &AgreementId) -> Result<u64, Failure> {
    let text = format!(
        "SELECT coalesce(sum(bytes + plan_bytes), 0) AS bytes FROM transfers WHERE agreement = ? AND state NOT IN ({})",
        settled()
    );
    Ok(sql.prepare_cached(&text)?.query_row([agreement.as_str()], |row| row::count(row, "bytes"))?)
}

/// The same of a source's transfers, under whatever agreement.
pub fn open_bytes_of(sql: &Connection, source: &SourceName) -> Result<u64, Failure> {
    let text = format!(
        "SELECT coalesce(sum(bytes + plan_bytes), 0) AS bytes FROM transfers WHERE source = ? AND state NOT IN ({})",
        settled()
    );
    Ok(sql.prepare_cached(&text)?.query_row([source.as_str()], |row| row::count(row, "bytes"))?)
}

/// How many transfers of a source are being received.
pub fn count_receiving(sql: &Connection, source: &SourceName) -> Result<u64, Failure> {
    let text = "SELECT count(*) AS count FROM transfers WHERE source = ? AND state = 'receiving'";
    Ok(sql.prepare_cached(text)?.query_row([source.as_str()], |row| row::count(row, "count"))?)
}

/// Datasets that were delivered under an agreement, may have been, or are being delivered; `except` is not counted.
pub fn disclosures(sql: &Connection, agreement: &AgreementId, except: Option<&TransferId>) -> Result<u64, Failure> {
    let text = "SELECT count(*) AS count FROM transfers \
                WHERE agreement = ?1 AND (delivered IS NOT NULL OR state = 'delivering' OR remains = '\"bag\"') AND (?2 IS NULL OR id <> ?2)";
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
