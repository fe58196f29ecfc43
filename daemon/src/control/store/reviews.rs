//! What persons chose of held transfers.

use super::row;
use super::{Who, Write};
use crate::control::failure::Failure;
use crate::control::people::Person;
use rusqlite::{Connection, Row, params};
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::part::Part;
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
    /// What of it would be released, where files are left out.
    pub part: Option<Part>,
    /// When.
    pub time: Timestamp,
    /// Why it does not count any more.
    pub void: Option<String>,
}

impl Made {
    /// What counts of it.
    pub fn review(&self) -> Review {
        Review { by: self.by.uid, choice: self.choice, manifest: self.manifest, part: self.part }
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Made> {
    Ok(Made {
        by: Person { uid: row.get("uid")?, name: row.get("name")? },
        choice: row::json(row, "choice")?,
        reason: row.get("reason")?,
        manifest: row::text(row, "manifest")?,
        part: row::maybe_json(row, "part")?,
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
        "INSERT INTO reviews (transfer, uid, name, choice, reason, manifest, part, made) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            transfer.as_str(),
            by.uid,
            by.name,
            row::to_json(&review.choice),
            reason,
            review.manifest.to_string(),
            review.part.as_ref().map(row::to_json),
            write.now.unix()
        ],
    )?;
    Ok(())
}

/// Lets choices about a transfer count no more. Each is in the log: whose it was, and which.
pub fn void(
    write: &mut Write<'_>,
    who: &Who,
    transfer: &TransferId,
    which: impl Fn(&Made) -> bool,
    why: &str,
) -> Result<(), Failure> {
    for made in standing(&write.sql, transfer)?.iter().filter(|made| which(made)) {
        let text = "UPDATE reviews SET void = ? WHERE transfer = ? AND void IS NULL AND uid = ?";
        write.sql.execute(text, params![why, transfer.as_str(), made.by.uid])?;
        write.record(who, "review-voided", Some(transfer), json!({"by": made.by.name, "choice": made.choice}))?;
    }
    Ok(())
}
