//! What rooms acknowledged, and what is waited for.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use rusqlite::{Connection, Row, params};
use sluse_protocol::acknowledgement::Acknowledgement;
use sluse_protocol::ids::{AgreementId, TransferId};
use sluse_protocol::roles::AwaitedBag;
use sluse_protocol::time::Timestamp;

fn from_row(row: &Row<'_>) -> rusqlite::Result<AwaitedBag> {
    Ok(AwaitedBag { transfer: row::text(row, "id")?, room_folder: row.get("folder")?, bag: row.get("bag")? })
}

/// Bags of rooms that have a key, which are not acknowledged or whose receipt is not beside them; by transfer, after one.
pub fn awaited(sql: &Connection, after: Option<&TransferId>, limit: usize) -> Result<Vec<AwaitedBag>, Failure> {
    let text = "
        SELECT transfers.id, rooms.folder, transfers.bag
        FROM transfers JOIN rooms ON rooms.name = transfers.room
        WHERE transfers.state IN ('delivered', 'acknowledged') AND transfers.acknowledged_laid IS NULL
            AND transfers.bag IS NOT NULL AND transfers.removed IS NULL AND rooms.key IS NOT NULL AND (?1 IS NULL OR transfers.id > ?1)
        ORDER BY transfers.id LIMIT ?2";
    let mut statement = sql.prepare_cached(text)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after.map(TransferId::as_str), limit], from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What was delivered under an agreement before a time, is not acknowledged, and of which that was not said yet.
pub fn missing(sql: &Connection, agreement: &AgreementId, before: Timestamp) -> Result<Vec<TransferId>, Failure> {
    let text =
        "SELECT id FROM transfers WHERE agreement = ? AND state = 'delivered' AND delivered < ? AND reason IS NULL";
    let mut statement = sql.prepare_cached(text)?;
    let rows = statement.query_map(params![agreement.as_str(), before.unix()], |row| row::text(row, "id"))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many of those it was said of.
pub fn count_missing(sql: &Connection) -> Result<u64, Failure> {
    let text = "SELECT count(*) AS count FROM transfers WHERE state = 'delivered' AND reason IS NOT NULL";
    Ok(sql.prepare_cached(text)?.query_row([], |row| row::count(row, "count"))?)
}

/// Keeps a room's word.
pub fn set(write: &Write<'_>, transfer: &TransferId, acknowledgement: &Acknowledgement) -> Result<(), Failure> {
    let text = "UPDATE transfers SET acknowledgement = ? WHERE id = ?";
    write.sql.execute(text, params![row::to_json(acknowledgement), transfer.as_str()])?;
    Ok(())
}

/// Notes that the receipt lies beside the bag.
pub fn set_laid(write: &Write<'_>, transfer: &TransferId) -> Result<(), Failure> {
    let text = "UPDATE transfers SET acknowledged_laid = ? WHERE id = ? AND state = 'acknowledged'";
    write.sql.execute(text, params![write.now.unix(), transfer.as_str()])?;
    Ok(())
}
