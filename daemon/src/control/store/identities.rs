//! The pool of transfer identities: public halves that `inspect` made ahead of need.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use rusqlite::{Connection, OptionalExtension as _, params};
use sluse_protocol::ids::TransferId;

/// How many are unused.
pub fn unused(sql: &Connection) -> Result<u64, Failure> {
    let text = "SELECT count(*) AS count FROM identities WHERE transfer IS NULL";
    Ok(sql.prepare_cached(text)?.query_row([], |row| row::count(row, "count"))?)
}

/// Adds one; one that is there already, used or not, stays as it is.
pub fn add(write: &Write<'_>, recipient: &str) -> Result<(), Failure> {
    let text = "INSERT OR IGNORE INTO identities (recipient, minted) VALUES (?, ?)";
    write.sql.prepare_cached(text)?.execute(params![recipient, write.now.unix()])?;
    Ok(())
}

/// Takes the oldest unused one for a transfer: no identity serves twice.
pub fn take(write: &Write<'_>, transfer: &TransferId) -> Result<Option<String>, Failure> {
    let text = "UPDATE identities SET transfer = ? WHERE recipient = \
                (SELECT recipient FROM identities WHERE transfer IS NULL ORDER BY minted, recipient LIMIT 1) \
                RETURNING recipient";
    let taken = write.sql.prepare_cached(text)?.query_row([transfer.as_str()], |row| row.get(0)).optional()?;
    Ok(taken)
}
