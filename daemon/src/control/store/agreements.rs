//! Agreements: the operator's text, and what was read from it.

use super::Write;
use super::row;
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::agreement::{Agreement, Ending};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::operator::Suspended;
use sluse_protocol::policy::Standing;
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
    /// When an operator ended it.
    pub ended: Option<Timestamp>,
    /// That an operator suspended it; what was ended since keeps that.
    pub suspended: Option<Suspended>,
    /// The narrowest of the thresholds before its end that the journal has named.
    pub ending_told: Option<u16>,
}

impl Stored {
    /// What operators made of it.
    pub fn standing(&self) -> Standing {
        match (&self.ended, &self.suspended) {
            (Some(_), _) => Standing::Ended,
            (None, Some(_)) => Standing::Suspended,
            (None, None) => Standing::Added,
        }
    }

    /// That it ends soon; nobody waits for the end of what was ended.
    pub fn ending(&self, now: Timestamp) -> Option<Ending> {
        self.agreement.ending(now).filter(|_| self.ended.is_none())
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        agreement: row::json(row, "checked")?,
        text: row.get("text")?,
        sha256: row::text(row, "sha256")?,
        ended: row::maybe_time(row, "revoked")?,
        suspended: row::maybe_json(row, "suspended")?,
        ending_told: row.get("ending_told")?,
    })
}

const COLUMNS: &str = "text, sha256, checked, revoked, suspended, ending_told";

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

/// Puts an agreement's text in force, the first one or in place of another.
pub fn put(write: &Write<'_>, agreement: &Agreement, text: &str) -> Result<(), Failure> {
    write.sql.execute(
        "INSERT INTO agreements (id, text, sha256, checked, added) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (id) DO UPDATE SET text = ?2, sha256 = ?3, checked = ?4, ending_told = NULL",
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
pub fn set_ended(write: &Write<'_>, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    let text = "UPDATE agreements SET revoked = ?, revoke_reason = ? WHERE id = ?";
    write.sql.execute(text, params![write.now.unix(), reason, id.as_str()])?;
    Ok(())
}

/// Notes that an operator suspended it, or resumed it.
pub fn set_suspended(write: &Write<'_>, id: &AgreementId, suspended: Option<&Suspended>) -> Result<(), Failure> {
    let text = "UPDATE agreements SET suspended = ? WHERE id = ?";
    write.sql.execute(text, params![suspended.map(row::to_json), id.as_str()])?;
    Ok(())
}

/// Notes how many days before its end the journal has named.
pub fn set_ending_told(write: &Write<'_>, id: &AgreementId, days: Option<u16>) -> Result<(), Failure> {
    write.sql.execute("UPDATE agreements SET ending_told = ? WHERE id = ?", params![days, id.as_str()])?;
    Ok(())
}
