//! What the running zone's audit log says of releases, deliveries and the register.

use crate::commands::audit::lines;
use crate::failure::Failure;
use crate::operator::Operator;
use serde::de::DeserializeOwned;
use sluse_protocol::audit::{Entry, Position, Verifier};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::Exit;
use sluse_protocol::register::{CORRECTED, RECORDED};
use sluse_protocol::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// The log as far as the register concerns it.
#[derive(Debug, Default)]
pub struct Log {
    /// Releases by the number of their entry.
    pub released: BTreeMap<u64, (TransferId, Timestamp)>,
    /// Entries of records, by the record's number.
    pub recorded: BTreeMap<u64, Recorded>,
    /// Deliveries.
    pub delivered: HashMap<TransferId, Stated>,
    /// Purges.
    pub purged: HashMap<TransferId, Stated>,
    /// What is wrong with the entries themselves.
    pub problems: Vec<String>,
}

/// An entry about a transfer.
#[derive(Debug)]
pub struct Stated {
    /// The entry's number.
    pub entry: u64,
    /// Its time.
    pub time: Timestamp,
    /// The SHA-256 of a bag's list of its own files, where one was delivered.
    pub tagmanifest: Option<Sha256>,
}

/// An entry of a record.
#[derive(Debug)]
pub struct Recorded {
    /// The entry's number.
    pub entry: u64,
    /// Whether it is of a release or of a correction.
    pub act: String,
    /// The transfer.
    pub transfer: Option<TransferId>,
    /// The record's SHA-256.
    pub sha256: Option<Sha256>,
}

impl Log {
    /// Reads the log up to a checkpoint that the zone signed, and checks that it is the log of that checkpoint.
    ///
    /// # Errors
    /// When the log is broken, or the zone gives no answer.
    pub fn read(operator: &Operator, end: &Position) -> Result<Self, Failure> {
        let broken = |broken: sluse_protocol::audit::Broken| {
            Failure::new(Exit::Integrity, broken.to_string()).hint("`sluse audit verify` says what it is held against")
        };
        let mut verifier = Verifier::new(vec![("checkpoint of now".into(), *end)]);
        let mut log = Self::default();
        lines::of_zone(operator, end.size, |line| {
            log.take(verifier.entry(line).map_err(broken)?);
            Ok(())
        })?;
        verifier.finish().map_err(broken)?;
        Ok(log)
    }

    fn take(&mut self, entry: Entry) {
        let transfer = entry.transfer.clone();
        match (entry.act.as_str(), transfer) {
            ("transfer-released", Some(transfer)) => drop(self.released.insert(entry.number, (transfer, entry.time))),
            ("transfer-delivered", Some(transfer)) => {
                self.delivered.insert(transfer, Stated::by(&entry));
            }
            ("transfer-purged", Some(transfer)) => drop(self.purged.insert(transfer, Stated::by(&entry))),
            (RECORDED | CORRECTED, transfer) => {
                let Some(record) = detail(&entry, "record") else {
                    return self.problems.push(format!("audit entry {} names no record", entry.number));
                };
                let sha256 = detail(&entry, "sha256");
                let recorded = Recorded { entry: entry.number, act: entry.act, transfer, sha256 };
                if let Some(first) = self.recorded.insert(record, recorded) {
                    let (one, other) = (first.entry, entry.number);
                    self.problems.push(format!("audit entries {one} and {other} are both of record {record}"));
                }
            }
            _ => {}
        }
    }
}

impl Stated {
    fn by(entry: &Entry) -> Self {
        Self { entry: entry.number, time: entry.time, tagmanifest: detail(entry, "tagmanifest") }
    }
}

fn detail<T: DeserializeOwned>(entry: &Entry, name: &str) -> Option<T> {
    serde_json::from_value(entry.details.get(name)?.clone()).ok()
}
