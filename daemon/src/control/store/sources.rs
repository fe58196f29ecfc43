//! Sources, their certificates, and invites.

use super::Write;
use super::row;
use crate::control::failure::{Failure, refuse};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{RoomName, SourceName};
use sluse_protocol::operator::SourceInfo;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::time::Timestamp;

/// An enrolled source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// Its signing key.
    pub identity: PublicKey,
    /// The room out of which it exports, where it is a room's.
    pub room: Option<RoomName>,
    /// Since when.
    pub enrolled: Timestamp,
    /// When an operator shut it out.
    pub revoked: Option<Timestamp>,
}

/// A certificate that this zone issued to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub source: SourceName,
    /// Until when it is good.
    pub expires: Timestamp,
    /// Whether a later enrolment replaced it.
    pub withdrawn: bool,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// For whom.
    pub source: SourceName,
    /// The room out of which that exports, where it is a room's.
    pub room: Option<RoomName>,
    /// SHA-256 of its secret.
    pub token: Sha256,
    /// Until when it is good.
    pub expires: Timestamp,
    /// Whether a source was enrolled with it.
    pub used: bool,
    /// Whether an operator took it back, by shutting the source out.
    pub withdrawn: bool,
}

fn source_from_row(row: &Row<'_>) -> rusqlite::Result<Source> {
    Ok(Source {
        name: row::text(row, "name")?,
        identity: row::text::<OpenSsh>(row, "identity")?.0,
        room: row::maybe_text(row, "room")?,
        enrolled: row::time(row, "enrolled")?,
        revoked: row::maybe_time(row, "revoked")?,
    })
}

struct OpenSsh(PublicKey);

impl std::str::FromStr for OpenSsh {
    type Err = sluse_protocol::sshsig::BadSignature;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        PublicKey::from_openssh(line).map(Self)
    }
}

/// A source that was enrolled at some time.
pub fn find(sql: &Connection, name: &SourceName) -> Result<Option<Source>, Failure> {
    let mut statement =
        sql.prepare_cached("SELECT name, identity, room, enrolled, revoked FROM sources WHERE name = ?")?;
    Ok(statement.query_row([name.as_str()], source_from_row).optional()?)
}

/// A source that is enrolled now.
///
/// # Errors
/// [`Code::RevokedSource`] or [`Code::UnknownCertificate`].
pub fn enrolled(sql: &Connection, name: &SourceName) -> Result<Source, Failure> {
    match find(sql, name)? {
        Some(Source { revoked: Some(_), .. }) => refuse(Code::RevokedSource, format!("source {name} was shut out")),
        Some(source) => Ok(source),
        None => refuse(Code::UnknownCertificate, "no such source is enrolled"),
    }
}

/// A source's certificate, by the SHA-256 of its DER.
pub fn certificate(sql: &Connection, sha256: &Sha256) -> Result<Option<Certificate>, Failure> {
    let text = "SELECT source, expires, withdrawn FROM certificates WHERE sha256 = ?";
    let found = sql.prepare_cached(text)?.query_row([sha256.to_string()], |row| {
        Ok(Certificate {
            source: row::text(row, "source")?,
            expires: row::time(row, "expires")?,
            withdrawn: row::maybe_time(row, "withdrawn")?.is_some(),
        })
    });
    Ok(found.optional()?)
}

/// An invite, by the SHA-256 of its certificate.
pub fn invite(sql: &Connection, certificate: &Sha256) -> Result<Option<Invite>, Failure> {
    let text = "SELECT source, room, token, expires, used, withdrawn FROM invites WHERE certificate = ?";
    let found = sql.prepare_cached(text)?.query_row([certificate.to_string()], |row| {
        Ok(Invite {
            source: row::text(row, "source")?,
            room: row::maybe_text(row, "room")?,
            token: row::text(row, "token")?,
            expires: row::time(row, "expires")?,
            used: row::maybe_time(row, "used")?.is_some(),
            withdrawn: row::maybe_time(row, "withdrawn")?.is_some(),
        })
    });
    Ok(found.optional()?)
}

/// When a source's latest certificate runs out.
pub fn certified_until(sql: &Connection, name: &SourceName) -> Result<Option<Timestamp>, Failure> {
    let text = "SELECT max(expires) AS expires FROM certificates WHERE source = ? AND withdrawn IS NULL";
    Ok(sql.prepare_cached(text)?.query_row([name.as_str()], |row| row::maybe_time(row, "expires"))?)
}

/// Everyone who is enrolled, invited or shut out, by name.
pub fn all(sql: &Connection) -> Result<Vec<SourceInfo>, Failure> {
    let text = "
        SELECT name, CASE WHEN revoked IS NULL THEN 'enrolled' ELSE 'revoked' END AS status,
               coalesce(revoked, enrolled) AS since, room,
               (SELECT max(expires) FROM certificates WHERE source = name AND withdrawn IS NULL) AS expires
        FROM sources
        UNION ALL
        SELECT source, CASE WHEN min(withdrawn) IS NULL THEN 'invited' ELSE 'revoked' END,
               max(coalesce(withdrawn, issued)), max(room), max(expires)
        FROM invites WHERE source NOT IN (SELECT name FROM sources) GROUP BY source
        ORDER BY name";
    let mut statement = sql.prepare_cached(text)?;
    let rows = statement.query_map([], |row| {
        Ok(SourceInfo {
            name: row::text(row, "name")?,
            status: row.get("status")?,
            room: row::maybe_text(row, "room")?,
            since: row::time(row, "since")?,
            expires: row::maybe_time(row, "expires")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Keeps an invite; what was issued to the source before and not used is taken back.
pub fn insert_invite(
    write: &Write<'_>,
    source: &SourceName,
    certificate: &Sha256,
    token: &Sha256,
    expires: Timestamp,
    room: Option<&RoomName>,
) -> Result<(), Failure> {
    withdraw_invites(write, source)?;
    write.sql.execute(
        "INSERT INTO invites (certificate, source, room, token, issued, expires) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            certificate.to_string(),
            source.as_str(),
            room.map(RoomName::as_str),
            token.to_string(),
            write.now.unix(),
            expires.unix()
        ],
    )?;
    Ok(())
}

/// Takes back every invite that was not used: how many.
pub fn withdraw_all_invites(write: &Write<'_>) -> Result<usize, Failure> {
    let text = "UPDATE invites SET withdrawn = ? WHERE used IS NULL AND withdrawn IS NULL";
    Ok(write.sql.execute(text, [write.now.unix()])?)
}

/// Takes back a source's invites that were not used: how many.
pub fn withdraw_invites(write: &Write<'_>, source: &SourceName) -> Result<usize, Failure> {
    let text = "UPDATE invites SET withdrawn = ? WHERE source = ? AND used IS NULL AND withdrawn IS NULL";
    Ok(write.sql.execute(text, params![write.now.unix(), source.as_str()])?)
}

/// Uses an invite up; `false` when it was used before.
pub fn use_invite(write: &Write<'_>, certificate: &Sha256) -> Result<bool, Failure> {
    let text = "UPDATE invites SET used = ? WHERE certificate = ? AND used IS NULL";
    Ok(write.sql.execute(text, params![write.now.unix(), certificate.to_string()])? == 1)
}

/// Enrols a source with its signing key; the certificates that this zone issued to it before are replaced.
pub fn enrol(
    write: &Write<'_>,
    name: &SourceName,
    identity: &PublicKey,
    room: Option<&RoomName>,
) -> Result<(), Failure> {
    let now = write.now.unix();
    write.sql.execute(
        "INSERT INTO sources (name, identity, enrolled, room) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (name) DO UPDATE SET identity = ?2, enrolled = ?3, room = ?4, revoked = NULL, revoke_reason = NULL",
        params![name.as_str(), identity.to_openssh(), now, room.map(RoomName::as_str)],
    )?;
    let withdraw = "UPDATE certificates SET withdrawn = ? WHERE source = ? AND withdrawn IS NULL";
    write.sql.execute(withdraw, params![now, name.as_str()])?;
    Ok(())
}

/// Adds a certificate to those that a source has.
pub fn add_certificate(
    write: &Write<'_>,
    name: &SourceName,
    certificate: &Sha256,
    expires: Timestamp,
) -> Result<(), Failure> {
    write.sql.execute(
        "INSERT INTO certificates (sha256, source, expires) VALUES (?, ?, ?)",
        params![certificate.to_string(), name.as_str(), expires.unix()],
    )?;
    Ok(())
}

/// How many of a source's certificates are in force.
pub fn certificates_in_force(sql: &Connection, name: &SourceName, now: Timestamp) -> Result<i64, Failure> {
    let text = "SELECT count(*) FROM certificates WHERE source = ? AND withdrawn IS NULL AND expires >= ?";
    Ok(sql.prepare_cached(text)?.query_row(params![name.as_str(), now.unix()], |row| row.get(0))?)
}

/// Shuts a source out.
pub fn set_revoked(write: &Write<'_>, name: &SourceName, reason: &str) -> Result<(), Failure> {
    let text = "UPDATE sources SET revoked = ?, revoke_reason = ? WHERE name = ?";
    write.sql.execute(text, params![write.now.unix(), reason, name.as_str()])?;
    Ok(())
}
