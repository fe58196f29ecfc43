//! Rooms.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::ids::RoomName;
use sluse_protocol::operator::RoomInfo;

fn from_row(row: &Row<'_>) -> rusqlite::Result<RoomInfo> {
    Ok(RoomInfo {
        name: row::text(row, "name")?,
        folder: row.get("folder")?,
        names: row::json(row, "names")?,
        key: row.get("key")?,
        recipient: row.get("recipient")?,
        elsewhere: row::maybe_json(row, "elsewhere")?,
    })
}

const COLUMNS: &str = "name, folder, names, key, recipient, elsewhere";

/// A room.
pub fn find(sql: &Connection, name: &RoomName) -> Result<Option<RoomInfo>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM rooms WHERE name = ?"))?;
    Ok(statement.query_row([name.as_str()], from_row).optional()?)
}

/// All rooms by name.
pub fn all(sql: &Connection) -> Result<Vec<RoomInfo>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM rooms ORDER BY name"))?;
    Ok(statement.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// Adds a room, whose name and folder must be new; it has no keys yet.
pub fn insert(write: &Write<'_>, room: &RoomInfo) -> Result<(), Failure> {
    write.sql.execute(
        "INSERT INTO rooms (name, folder, names, elsewhere, added) VALUES (?, ?, ?, ?, ?)",
        params![
            room.name.as_str(),
            room.folder,
            row::to_json(&room.names),
            room.elsewhere.as_ref().map(row::to_json),
            write.now.unix()
        ],
    )?;
    Ok(())
}

/// Keeps what of a room may change: by which key it acknowledges, to which what is delivered is encrypted, until when it is reached.
pub fn change(write: &Write<'_>, room: &RoomInfo) -> Result<(), Failure> {
    let text = "UPDATE rooms SET key = ?, recipient = ?, elsewhere = ? WHERE name = ?";
    let elsewhere = room.elsewhere.as_ref().map(row::to_json);
    write.sql.execute(text, params![room.key, room.recipient, elsewhere, room.name.as_str()])?;
    Ok(())
}
