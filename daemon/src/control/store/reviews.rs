//! What persons chose of held transfers.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use crate::control::people::Person;
use rusqlite::{Connection, Row, params};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::review::{Choice, Review};
use sluse_protocol::time::Timestamp;

/// One person's choice, as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Who chose.
    pub by: Person,
    /// What.
    pub choice: Choice,
    /// Why.
    pub reason: String,
    /// Of which manifest.
    pub manifest: Sha256,
    /// When.
    pub time: Timestamp,
    /// Why it does not count any more.
    pub void: Option<String>,
}

impl Made {
    /// What counts of it.
    pub fn review(&self) -> Review {
        Review { by: self.by.uid, choice: self.choice, manifest: self.manifest }
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Made> {
    Ok(Made {
        by: Person { uid: row.get("uid")?, name: row.get("name")? },
        choice: row::json(row, "choice")?,
        reason: row.get("reason")?,
        manifest: row::text(row, "manifest")?,
        time: row::time(row, "made")?,
        void: row.get("void")?,
    })
}

/// Everything that was chosen of a transfer, in order.
pub fn all(sql: &Connection, transfer: &TransferId) -> Result<Vec<Made>, Failure> {
    let mut statement = sql.prepare_cached("SELECT * FROM reviews WHERE transfer = ? ORDER BY number")?;
    Ok(statement.query_map([transfer.as_str()], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// What counts.
pub fn standing(sql: &Connection, transfer: &TransferId) -> Result<Vec<Made>, Failure> {
    Ok(all(sql, transfer)?.into_iter().filter(|made| made.void.is_none()).collect())
}

/// Keeps a choice.
pub fn insert(
    write: &Write<'_>,
    transfer: &TransferId,
    by: &Person,
    review: &Review,
    reason: &str,
) -> Result<(), Failure> {
    write.sql.execute(
        "INSERT INTO reviews (transfer, uid, name, choice, reason, manifest, made) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            transfer.as_str(),
            by.uid,
            by.name,
            row::to_json(&review.choice),
            reason,
            review.manifest.to_string(),
            write.now.unix()
        ],
    )?;
    Ok(())
}

/// Lets what was chosen of a transfer count no more: by one person, or by all.
pub fn void(write: &Write<'_>, transfer: &TransferId, uid: Option<u32>, why: &str) -> Result<(), Failure> {
    let text = "UPDATE reviews SET void = ?1 WHERE transfer = ?2 AND void IS NULL AND (?3 IS NULL OR uid = ?3)";
    write.sql.execute(text, params![why, transfer.as_str(), uid])?;
    Ok(())
}
