//! Agreements: the operator's text, and what was read from it.

use super::Write;
use super::row;
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::agreement::Agreement;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;

/// An agreement that was added.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What was read from its text.
    pub agreement: Agreement,
    /// Its text.
    pub text: String,
    /// SHA-256 of its text.
    pub sha256: Sha256,
    /// When an operator revoked it.
    pub revoked: Option<Timestamp>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        agreement: row::json(row, "checked")?,
        text: row.get("text")?,
        sha256: row::text(row, "sha256")?,
        revoked: row::maybe_time(row, "revoked")?,
    })
}

const COLUMNS: &str = "text, sha256, checked, revoked";

/// An agreement.
pub fn find(sql: &Connection, id: &AgreementId) -> Result<Option<Stored>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM agreements WHERE id = ?"))?;
    Ok(statement.query_row([id.as_str()], from_row).optional()?)
}

/// An agreement that must be there.
pub fn get(sql: &Connection, id: &AgreementId) -> Result<Stored, Failure> {
    find(sql, id)?.map_or_else(|| refuse(Code::UnknownName, format!("there is no agreement {id}")), Ok)
}

/// All agreements by id.
pub fn all(sql: &Connection) -> Result<Vec<Stored>, Failure> {
    let mut statement = sql.prepare_cached(&format!("SELECT {COLUMNS} FROM agreements ORDER BY id"))?;
    Ok(statement.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// Adds an agreement, whose id must be new.
pub fn insert(write: &Write<'_>, agreement: &Agreement, text: &str) -> Result<(), Failure> {
    write.sql.execute(
        "INSERT INTO agreements (id, text, sha256, checked, added) VALUES (?, ?, ?, ?, ?)",
        params![
            agreement.id.as_str(),
            text,
            Sha256::of(text.as_bytes()).to_string(),
            row::to_json(agreement),
            write.now.unix()
        ],
    )?;
    Ok(())
}

/// Notes that an operator ended it.
pub fn set_revoked(write: &Write<'_>, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    let text = "UPDATE agreements SET revoked = ?, revoke_reason = ? WHERE id = ?";
    write.sql.execute(text, params![write.now.unix(), reason, id.as_str()])?;
    Ok(())
}
