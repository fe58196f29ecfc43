//! The newest update of each kind.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use rusqlite::{Connection, Row, params};
use sluse_protocol::update::{Kind, Update};

fn from_row(row: &Row<'_>) -> rusqlite::Result<Update> {
    Ok(Update {
        kind: row::json(row, "kind")?,
        number: row::count(row, "number")?,
        bundle: row::text(row, "bundle")?,
        key: row.get("key")?,
        admitted: row::time(row, "admitted")?,
        applied: row::maybe_time(row, "applied")?,
    })
}

/// Each kind's, by kind.
pub fn all(sql: &Connection) -> Result<Vec<Update>, Failure> {
    let mut statement = sql.prepare_cached("SELECT * FROM updates ORDER BY kind")?;
    Ok(statement.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// A kind's.
pub fn find(sql: &Connection, kind: Kind) -> Result<Option<Update>, Failure> {
    Ok(all(sql)?.into_iter().find(|update| update.kind == kind))
}

/// Keeps a kind's newest.
pub fn put(write: &Write<'_>, update: &Update) -> Result<(), Failure> {
    let text =
        "INSERT OR REPLACE INTO updates (kind, number, bundle, key, admitted, applied) VALUES (?, ?, ?, ?, ?, ?)";
    let applied = update.applied.map(|time| time.unix());
    let (kind, number, bundle) = (row::to_json(&update.kind), row::int(update.number), update.bundle.to_string());
    write.sql.execute(text, params![kind, number, bundle, update.key, update.admitted.unix(), applied])?;
    Ok(())
}
