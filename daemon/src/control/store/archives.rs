//! Archived bags: which there are, and what reading them again found.

use super::Write;
use super::row;
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, Row, params};
use sluse_protocol::archive::Fixity;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::ArchiveInfo;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;

/// An archived bag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// Its room's folder.
    pub room_folder: String,
    /// Its own, relative to the room's.
    pub bag: String,
    /// SHA-256 of its list of its own files.
    pub tagmanifest: Sha256,
    /// How much the dataset in it is.
    pub totals: Totals,
    /// When it was delivered or, if it was, read again last.
    pub since: Timestamp,
    /// What was found then.
    pub fixity: Option<Fixity>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Archived> {
    Ok(Archived {
        transfer: row::text(row, "transfer")?,
        room_folder: row.get("folder")?,
        bag: row.get("bag")?,
        tagmanifest: row::text(row, "tagmanifest")?,
        totals: Totals {
            files: row::count(row, "files")?,
            folders: row::count(row, "folders")?,
            bytes: row::count(row, "bytes")?,
        },
        since: row::time(row, "since")?,
        fixity: row::maybe_json(row, "fixity")?,
    })
}

/// All that the zone reads again, those that waited longest first.
pub fn all(sql: &Connection) -> Result<Vec<Archived>, Failure> {
    waiting_since(sql, Timestamp::from_unix(i64::MAX))
}

/// Those that wait since before a time, those that waited longest first.
pub fn waiting_since(sql: &Connection, before: Timestamp) -> Result<Vec<Archived>, Failure> {
    let text = "
        SELECT archives.transfer, rooms.folder, transfers.bag, transfers.tagmanifest,
               transfers.files, transfers.folders, transfers.bytes,
               coalesce(archives.checked, transfers.delivered) AS since, archives.fixity
        FROM archives JOIN transfers ON transfers.id = archives.transfer JOIN rooms ON rooms.name = transfers.room
        WHERE since < ? AND archives.ended IS NULL
        ORDER BY since, archives.transfer";
    let mut statement = sql.prepare_cached(text)?;
    Ok(statement.query_map([before.unix()], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// Adds one that is delivered.
pub fn insert(write: &Write<'_>, transfer: &TransferId) -> Result<(), Failure> {
    write.sql.execute("INSERT INTO archives (transfer) VALUES (?)", [transfer.as_str()])?;
    Ok(())
}

/// Notes what reading one again found.
///
/// # Errors
/// When there is no such bag.
pub fn set_checked(write: &Write<'_>, transfer: &TransferId, fixity: &Fixity) -> Result<(), Failure> {
    let text = "UPDATE archives SET checked = ?, fixity = ? WHERE transfer = ?";
    match write.sql.execute(text, params![write.now.unix(), row::to_json(fixity), transfer.as_str()])? {
        0 => refuse(Code::UnknownName, format!("transfer {transfer} has no archived bag")),
        _ => Ok(()),
    }
}

/// Each that there is or was, by transfer.
pub fn infos(sql: &Connection) -> Result<Vec<ArchiveInfo>, Failure> {
    let text = "
        SELECT archives.transfer, transfers.room, transfers.bag, transfers.delivered, archives.checked, archives.fixity,
               archives.ended, archives.reason
        FROM archives JOIN transfers ON transfers.id = archives.transfer
        ORDER BY archives.transfer";
    let mut statement = sql.prepare_cached(text)?;
    let rows = statement.query_map([], |row| {
        Ok(ArchiveInfo {
            transfer: row::text(row, "transfer")?,
            room: row::text(row, "room")?,
            bag: row.get("bag")?,
            delivered: row::time(row, "delivered")?,
            checked: row::maybe_time(row, "checked")?,
            fixity: row::maybe_json(row, "fixity")?,
            ended: row::maybe_time(row, "ended")?,
            reason: row.get("reason")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Notes that one is read no more.
///
/// # Errors
/// When there is no such bag, or it is read no more already.
pub fn set_ended(write: &Write<'_>, transfer: &TransferId, reason: &str) -> Result<(), Failure> {
    let text = "UPDATE archives SET ended = ?, reason = ? WHERE transfer = ? AND ended IS NULL";
    match write.sql.execute(text, params![write.now.unix(), reason, transfer.as_str()])? {
        0 => refuse(Code::UnknownName, format!("the zone reads no archived bag of transfer {transfer}")),
        _ => Ok(()),
    }
}
