//! The versions of agreements: who wrote which text, why, and who put it in force.

use super::Write;
use super::row;
use crate::control::failure::Failure;
use crate::control::people::Person;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::agreement::{Draft, Head, Lack};
use sluse_protocol::ids::AgreementId;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;

/// Versions of one agreement: each has a text of up to 64 KiB, and they are read together when one is shown.
const MAX_VERSIONS: u32 = 200;

/// One text of an agreement.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u32,
    /// The text.
    pub text: String,
    /// What is known of it, complete or not.
    pub head: Head,
    /// What it cannot be in force without.
    pub lacks: Vec<Lack>,
    /// Since when it is there.
    pub added: Timestamp,
    /// Who wrote it; not known of what was added before there were versions.
    pub author: Option<Person>,
    /// Why it was changed; none of the first.
    pub reason: Option<String>,
    /// Since when it is, or was, in force.
    pub activated: Option<Timestamp>,
    /// Who put it in force.
    pub activated_by: Option<Person>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Version> {
    Ok(Version {
        number: row.get("number")?,
        text: row.get("text")?,
        head: row::json(row, "head")?,
        lacks: row::json(row, "lacks")?,
        added: row::time(row, "added")?,
        author: row::maybe_json(row, "author")?,
        reason: row.get("reason")?,
        activated: row::maybe_time(row, "activated")?,
        activated_by: row::maybe_json(row, "activated_by")?,
    })
}

/// All versions of an agreement, the first one first.
pub fn all(sql: &Connection, id: &AgreementId) -> Result<Vec<Version>, Failure> {
    let mut statement = sql.prepare_cached("SELECT * FROM agreement_versions WHERE agreement = ? ORDER BY number")?;
    Ok(statement.query_map([id.as_str()], from_row)?.collect::<rusqlite::Result<_>>()?)
}

const LATEST: &str = "number = (SELECT max(number) FROM agreement_versions l WHERE l.agreement = v.agreement)";

/// The latest version of an agreement.
pub fn latest(sql: &Connection, id: &AgreementId) -> Result<Option<Version>, Failure> {
    let text = format!("SELECT * FROM agreement_versions v WHERE agreement = ? AND {LATEST}");
    Ok(sql.prepare_cached(&text)?.query_row([id.as_str()], from_row).optional()?)
}

/// The latest versions that are not in force yet, by the agreement's id.
pub fn drafts(sql: &Connection) -> Result<Vec<Version>, Failure> {
    let text = format!("SELECT * FROM agreement_versions v WHERE activated IS NULL AND {LATEST} ORDER BY agreement");
    let mut statement = sql.prepare_cached(&text)?;
    Ok(statement.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
}

/// The version that is in force: the last one that was activated.
pub fn in_force(sql: &Connection, id: &AgreementId) -> Result<Option<Version>, Failure> {
    let text = "SELECT * FROM agreement_versions WHERE agreement = ? AND activated IS NOT NULL \
        ORDER BY number DESC LIMIT 1";
    Ok(sql.prepare_cached(text)?.query_row([id.as_str()], from_row).optional()?)
}

/// Adds a version; its number.
pub fn insert(
    write: &Write<'_>,
    draft: &Draft,
    text: &str,
    author: &Person,
    reason: Option<&str>,
) -> Result<u32, Failure> {
    let id = &draft.head.id;
    let number = latest(&write.sql, id)?.map_or(1, |latest| latest.number.saturating_add(1));
    if number > MAX_VERSIONS {
        let refusal =
            Refusal::new(Code::WrongState, format!("agreement {id} has {MAX_VERSIONS} versions, and may have no more"));
        return Err(refusal.hint("End it, and add an agreement with another id.").into());
    }
    let lacks = draft.agreement.as_ref().err().cloned().unwrap_or_default();
    write.sql.execute(
        "INSERT INTO agreement_versions (agreement, number, text, head, lacks, added, author, reason) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id.as_str(),
            number,
            text,
            row::to_json(&draft.head),
            row::to_json(&lacks),
            write.now.unix(),
            row::to_json(author),
            reason
        ],
    )?;
    Ok(number)
}

/// Notes that a version is in force from now on.
pub fn set_activated(write: &Write<'_>, id: &AgreementId, number: u32, by: &Person) -> Result<(), Failure> {
    let text = "UPDATE agreement_versions SET activated = ?, activated_by = ? WHERE agreement = ? AND number = ?";
    write.sql.execute(text, params![write.now.unix(), row::to_json(by), id.as_str(), number])?;
    Ok(())
}
