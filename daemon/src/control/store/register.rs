//! The register of disclosures: written with the release that it records, never changed.

use super::row;
use super::{Who, Write, agreements, rooms};
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;
use sluse_protocol::audit::Entry;
use sluse_protocol::courier::Remains;
use sluse_protocol::digest::Sha256;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Code;
use sluse_protocol::register::{Change, Disclosed, Outcome, RECORDED, Record, Registered};
use sluse_protocol::transfer::State;

/// Writes the record of a release that was just attested by `receipt`, whose statement has this digest, and its audit entry.
pub fn record(write: &mut Write<'_>, receipt: &Receipt, statement: &Sha256) -> Result<(), Failure> {
    let agreement = agreements::get(&write.sql, &receipt.agreement)?.agreement;
    let Some(room) = rooms::find(&write.sql, &receipt.room)? else {
        return refuse(Code::ForbiddenRoom, "the room is not known any more");
    };
    let number = next(&write.sql)?;
    let record = Record::of(number, write.now, receipt, statement, &agreement, &room.folder);
    let record = record
        .ok_or_else(|| Failure::broken(format!("the release of {} has no decision to record", receipt.transfer)))?;
    let details = json!({
        "record": number,
        "files": record.totals.files,
        "bytes": record.totals.bytes,
    });
    append(write, &Who::Control, &record, details)
}

/// Writes a record that stands in for record `number`; its own number.
///
/// # Errors
/// When there is no such record, another one stands in for it already, or a change cannot be made.
pub fn correct(
    write: &mut Write<'_>,
    operator: &Who,
    number: u64,
    reason: &str,
    changes: &[Change],
) -> Result<u64, Failure> {
    let Some(registered) = find(&write.sql, number)? else {
        return refuse(Code::UnknownName, format!("the register has no record {number}"));
    };
    if let Some(later) = registered.outcome.corrected_by {
        return refuse(Code::WrongState, format!("record {number} is corrected by record {later}: correct that one"));
    }
    let broken = |error| Failure::broken(format!("record {number} of the register was changed: {error}"));
    let old = registered.record().map_err(broken)?;
    let by = match operator {
        Who::Operator(name) => name.clone(),
        other => other.to_string(),
    };
    let new = match old.corrected(next(&write.sql)?, write.now, by, reason.to_owned(), changes) {
        Ok(new) => new,
        Err(bad) => return refuse(Code::Invalid, bad.to_string()),
    };
    let details = json!({
        "record": new.number,
        "corrects": number,
        "reason_sha256": Sha256::of(reason.as_bytes()),
    });
    append(write, operator, &new, details)?;
    Ok(new.number)
}

/// The entry comes first: the row names it. Both or neither are committed.
fn append(write: &mut Write<'_>, who: &Who, record: &Record, mut details: serde_json::Value) -> Result<(), Failure> {
    let statement = record.to_statement();
    details["sha256"] = json!(Sha256::of(statement.as_bytes()));
    let entry = write.record(who, record.act(), Some(&record.transfer), details)?.position.size.saturating_sub(1);
    write
        .sql
        .prepare_cached(
            "INSERT INTO register (number, transfer, release_entry, corrects, entry, statement) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row::int(record.number),
            record.transfer.as_str(),
            row::int(record.release_entry),
            record.corrects().map(row::int),
            row::int(entry),
            statement
        ])?;
    Ok(())
}

fn next(sql: &Connection) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT coalesce(max(number), 0) + 1 AS next FROM register")?;
    Ok(statement.query_row([], |row| row::count(row, "next"))?)
}

/// Writes records of what was released before there was a register: once, when it has nothing yet.
///
/// # Errors
/// When the register had records once: they were taken out.
pub fn catch_up(write: &mut Write<'_>) -> Result<(), Failure> {
    if next(&write.sql)? > 1 {
        return Ok(());
    }
    let released: Vec<String> = {
        let text = "SELECT statement FROM receipts WHERE kind = ? ORDER BY transfer, number";
        let mut statement = write.sql.prepare(text)?;
        let rows = statement.query_map([ReceiptKind::Released.as_str()], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    if released.is_empty() {
        return Ok(());
    }
    let recorded: i64 =
        write.sql.query_row("SELECT count(*) FROM audit WHERE line ->> 'act' = ?", [RECORDED], |row| row.get(0))?;
    if recorded > 0 {
        return Err(Failure::broken(format!("the register is empty, and the audit log has {recorded} of its records")));
    }
    tracing::info!(releases = released.len(), "recording what was released before there was a register");
    for statement in released {
        let receipt: Receipt =
            serde_json::from_str(&statement).map_err(|_| Failure::broken("a stored receipt cannot be read"))?;
        record(write, &receipt, &Sha256::of(statement.as_bytes()))?;
    }
    Ok(())
}

const SELECT: &str = "SELECT r.number, r.statement, r.entry, a.line, t.state, t.bag, t.tagmanifest, t.delivered, t.remains, t.purge_after, \
    (SELECT number FROM register c WHERE c.corrects = r.number) AS corrected_by, \
    EXISTS (SELECT 1 FROM register l WHERE l.transfer = r.transfer AND l.release_entry > r.release_entry) AS released_again, \
    (SELECT statement FROM receipts WHERE transfer = r.transfer AND kind = 'delivered') AS receipt, \
    (SELECT since FROM history WHERE transfer = r.transfer AND state = 'purged') AS deleted \
    FROM register r JOIN transfers t ON t.id = r.transfer LEFT JOIN audit a ON a.number = r.entry";

fn find(sql: &Connection, number: u64) -> Result<Option<Registered>, Failure> {
    let mut statement = sql.prepare_cached(&format!("{SELECT} WHERE r.number = ?"))?;
    let row = statement.query_row([row::int(number)], |row| Ok(from_row(row)?.1)).optional()?;
    Ok(row)
}

/// At most `limit` records after a number, each with its number.
pub fn after(sql: &Connection, number: u64, limit: u16) -> Result<Vec<(u64, Registered)>, Failure> {
    let mut statement = sql.prepare_cached(&format!("{SELECT} WHERE r.number > ? ORDER BY r.number LIMIT ?"))?;
    let rows = statement.query_map(params![row::int(number), limit], from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<(u64, Registered)> {
    let state: State = row::text(row, "state")?;
    let delivered = row::maybe_time(row, "delivered")?;
    let remains: Option<Remains> = row::maybe_json(row, "remains")?;
    let disclosed = if row.get("released_again")? {
        Disclosed::Withdrawn
    } else if delivered.is_some() {
        Disclosed::Delivered
    } else if matches!(state, State::Released | State::Delivering) {
        Disclosed::Underway
    } else if remains == Some(Remains::Bag) {
        Disclosed::Uncertain
    } else {
        Disclosed::Withdrawn
    };
    let there = disclosed == Disclosed::Delivered;
    let receipt: Option<String> = row.get("receipt")?;
    let line: Option<String> = row.get("line")?;
    // What is not in the log has a digest that nothing has.
    let sha256 = line.and_then(|line| serde_json::from_str::<Entry>(&line).ok());
    let sha256 = sha256.and_then(|entry| serde_json::from_value(entry.details.get("sha256")?.clone()).ok());
    let registered = Registered {
        statement: row.get("statement")?,
        entry: row::count(row, "entry")?,
        sha256: sha256.unwrap_or(Sha256([0; 32])),
        outcome: Outcome {
            disclosed,
            delivered: delivered.filter(|_| there),
            receipt: receipt.filter(|_| there).map(|statement| Sha256::of(statement.as_bytes())),
            bag: row.get::<_, Option<String>>("bag")?.filter(|_| there),
            tagmanifest: row::maybe_text(row, "tagmanifest")?.filter(|_| there),
            remains: remains.filter(|_| !there),
            deletion_due: row::maybe_time(row, "purge_after")?,
            deleted: row::maybe_time(row, "deleted")?,
            corrected_by: row.get::<_, Option<i64>>("corrected_by")?.map(i64::unsigned_abs),
        },
    };
    Ok((row::count(row, "number")?, registered))
}
