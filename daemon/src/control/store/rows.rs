//! Whether the rows that decide say what the audit log says: who may send, under which agreement, to which room, in which state each
//! transfer is, and which update is the newest. Whoever changes one must change the log as well, which shows ([`super::audit`]).

use super::{agreements, rooms, updates};
use crate::control::failure::{Failure, Fault};
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use sluse_protocol::agreement;
use sluse_protocol::audit::Entry;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::RoomInfo;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::transfer::State;
use sluse_protocol::update::{ADMITTED, APPLIED, Update};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Differences that are named.
const NAMED: usize = 5;

/// What the log says.
#[derive(Debug, Default)]
pub struct Told {
    states: HashMap<TransferId, State>,
    agreements: BTreeMap<String, Agreement>,
    sources: BTreeMap<String, Source>,
    rooms: BTreeMap<String, Map<String, Value>>,
    updates: BTreeMap<String, Newest>,
}

/// The newest update of a kind as the log has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Newest {
    number: u64,
    /// SHA-256 of its bundle, hexadecimal.
    bundle: String,
    applied: bool,
}

/// An agreement as the log has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Agreement {
    /// SHA-256 of the text in force, hexadecimal; none for one that is a draft only.
    sha256: Option<String>,
    ended: bool,
    suspended: bool,
}

/// A source as the log has it.
#[derive(Debug, Default)]
struct Source {
    /// SHA-256 of its identity key's OpenSSH line, hexadecimal.
    identity: String,
    /// The room out of which it exports.
    room: Option<String>,
    revoked: bool,
    /// Of the certificates that it got since it was enrolled.
    certificates: BTreeSet<String>,
}

impl Told {
    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        let text = |name: &str| entry.details.get(name).and_then(Value::as_str).map(str::to_owned);
        let state = entry.act.strip_prefix("transfer-").and_then(|state| state.parse().ok());
        if let (Some(transfer), Some(state)) = (&entry.transfer, state) {
            self.states.insert(transfer.clone(), state);
            return;
        }
        match entry.act.as_str() {
            "agreement-added" | "agreement-changed" | "agreement-activated" => {
                let draft = entry.details.get("draft") == Some(&Value::Bool(true));
                let agreement = text("agreement").map(|id| self.agreements.entry(id).or_default());
                if let Some(agreement) = agreement.filter(|_| !draft) {
                    agreement.sha256 = text("sha256");
                }
            }
            "agreement-ended" | "agreement-revoked" => self.agreement(text("agreement"), |it| it.ended = true),
            "agreement-suspended" => self.agreement(text("agreement"), |it| it.suspended = true),
            "agreement-resumed" => self.agreement(text("agreement"), |it| it.suspended = false),
            "source-enrolled" => {
                let certificates = text("certificate").into_iter().collect();
                let identity = text("identity").unwrap_or_default();
                if let Some(name) = entry.actor.strip_prefix("source ") {
                    let source = Source { identity, room: text("room"), revoked: false, certificates };
                    self.sources.insert(name.to_owned(), source);
                }
            }
            "source-renewed" => {
                let source = entry.actor.strip_prefix("source ").and_then(|name| self.sources.get_mut(name));
                source.into_iter().for_each(|source| source.certificates.extend(text("certificate")));
            }
            "source-revoked" => {
                let source = text("source").and_then(|name| self.sources.get_mut(&name));
                source.into_iter().for_each(|source| source.revoked = true);
            }
            "room-added" => {
                if let Some(name) = text("room") {
                    self.rooms.insert(name, entry.details.clone());
                }
            }
            ADMITTED => {
                let number = entry.details.get("number").and_then(Value::as_u64).unwrap_or_default();
                let newest = Newest { number, bundle: text("bundle").unwrap_or_default(), applied: false };
                self.updates.extend(text("kind").map(|kind| (kind, newest)));
            }
            APPLIED => {
                let newest = text("kind").and_then(|kind| self.updates.get_mut(&kind));
                newest.into_iter().for_each(|newest| newest.applied = true);
            }
            "room-changed" => {
                if let Some(room) = text("room").and_then(|name| self.rooms.get_mut(&name)) {
                    room.extend(entry.details.clone());
                }
            }
            _ => {}
        }
    }

    fn agreement(&mut self, id: Option<String>, change: impl FnOnce(&mut Agreement)) {
        if let Some(agreement) = id.and_then(|id| self.agreements.get_mut(&id)) {
            change(agreement);
        }
    }

    /// Compares the rows with it.
    ///
    /// # Errors
    /// Which of them say something else.
    pub fn compare(&self, sql: &Connection) -> Result<(), Failure> {
        let mut found = Vec::new();
        self.transfers(sql, &mut found)?;
        self.agreements(sql, &mut found)?;
        self.sources(sql, &mut found)?;
        self.rooms(sql, &mut found)?;
        self.updates(sql, &mut found)?;
        if found.is_empty() {
            return Ok(());
        }
        let more = if found.len() > NAMED { format!(", and {} more", found.len() - NAMED) } else { String::new() };
        found.truncate(NAMED);
        let what = format!("the database says something else than its audit log of {}{more}", found.join(", "));
        Err(Fault::Broken(what).into())
    }

    fn transfers(&self, sql: &Connection, found: &mut Vec<String>) -> Result<(), Failure> {
        let mut statement = sql.prepare("SELECT id, state FROM transfers")?;
        let mut rows = statement.query([])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let (id, state): (String, String) = (row.get(0)?, row.get(1)?);
            let told = id.parse::<TransferId>().ok().and_then(|id| self.states.get(&id));
            if told.map(|told| told.as_str()) == Some(state.as_str()) {
                seen += 1;
            } else {
                found.push(format!("transfer {id}"));
            }
        }
        if found.is_empty() && seen < self.states.len() {
            found.push(format!("{} transfers that are gone", self.states.len() - seen));
        }
        Ok(())
    }

    fn agreements(&self, sql: &Connection, found: &mut Vec<String>) -> Result<(), Failure> {
        let mut there = BTreeMap::new();
        for stored in agreements::all(sql)? {
            let sha256 = Some(Sha256::of(stored.text.as_bytes()).to_string());
            let own = Agreement { sha256, ended: stored.ended.is_some(), suspended: stored.suspended.is_some() };
            // What was read from it decides. What this build would not take any more was taken by an older one.
            let read = agreement::parse(&stored.text).is_ok_and(|read| read != stored.agreement);
            let id = stored.agreement.id.to_string();
            if read || stored.sha256.to_string() != own.sha256.clone().unwrap_or_default() {
                found.push(format!("agreement {id}"));
            }
            there.insert(id, own);
        }
        let in_force = self.agreements.iter().filter(|(_, told)| told.sha256.is_some());
        compare("agreement", in_force, &there, |told, own| told == own, found);
        Ok(())
    }

    fn sources(&self, sql: &Connection, found: &mut Vec<String>) -> Result<(), Failure> {
        let mut statement = sql.prepare("SELECT name, identity, room, revoked IS NOT NULL FROM sources")?;
        let there = statement.query_map([], |row| {
            let identity = Sha256::of(row.get::<_, String>(1)?.as_bytes()).to_string();
            Ok((row.get::<_, String>(0)?, (identity, row.get::<_, Option<String>>(2)?, row.get::<_, bool>(3)?)))
        })?;
        let there: BTreeMap<_, _> = there.collect::<rusqlite::Result<_>>()?;
        let same = |told: &Source, (identity, room, revoked): &(String, Option<String>, bool)| {
            (&told.identity, &told.room, told.revoked) == (identity, room, *revoked)
        };
        compare("source", self.sources.iter(), &there, same, found);
        let mut statement = sql.prepare("SELECT source, sha256 FROM certificates WHERE withdrawn IS NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (source, sha256): (String, String) = (row.get(0)?, row.get(1)?);
            if !self.sources.get(&source).is_some_and(|told| told.certificates.contains(&sha256)) {
                found.push(format!("a certificate of source {source}"));
            }
        }
        Ok(())
    }

    fn rooms(&self, sql: &Connection, found: &mut Vec<String>) -> Result<(), Failure> {
        let there: BTreeMap<String, RoomInfo> =
            rooms::all(sql)?.into_iter().map(|room| (room.name.to_string(), room)).collect();
        let same = |told: &Map<String, Value>, own: &RoomInfo| {
            // A key that is none would be nobody's, and is no room's.
            let key = own
                .key
                .as_deref()
                .map(|key| PublicKey::from_openssh(key).map_or_else(|_| String::new(), |key| key.fingerprint()));
            let own = json!({"room": own.name, "folder": own.folder, "names": own.names, "key": key, "recipient": own.recipient, "elsewhere": own.elsewhere});
            let same = |(name, value): (&String, &Value)| told.get(name).unwrap_or(&Value::Null) == value;
            own.as_object().is_some_and(|own| own.iter().all(same))
        };
        compare("room", self.rooms.iter(), &there, same, found);
        Ok(())
    }

    fn updates(&self, sql: &Connection, found: &mut Vec<String>) -> Result<(), Failure> {
        let own = |update: Update| {
            let applied = update.applied.is_some();
            (update.kind.to_string(), Newest { number: update.number, bundle: update.bundle.to_string(), applied })
        };
        let there: BTreeMap<_, _> = updates::all(sql)?.into_iter().map(own).collect();
        compare("update", self.updates.iter(), &there, |told, own| told == own, found);
        Ok(())
    }
}

/// Names what only one of both has, and what they have in another way.
fn compare<'a, T: 'a, R>(
    kind: &str,
    told: impl Iterator<Item = (&'a String, &'a T)>,
    there: &BTreeMap<String, R>,
    same: impl Fn(&T, &R) -> bool,
    found: &mut Vec<String>,
) {
    let mut strangers: BTreeSet<&String> = there.keys().collect();
    for (name, told) in told {
        strangers.remove(name);
        if !there.get(name).is_some_and(|own| same(told, own)) {
            found.push(format!("{kind} {name}"));
        }
    }
    found.extend(strangers.into_iter().map(|name| format!("{kind} {name}")));
}
