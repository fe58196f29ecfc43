//! `sluse register reconcile`: register, audit log, receipts and rooms must say the same. Each difference is named.
//!
//! `control`, which has the register, may not look into rooms, and `deliver`, which may, has no register: this command runs as
//! somebody who may do both (docs/decisions/0061).

use super::log::{Log, Recorded};
use super::{records, rooms};
use crate::commands::audit::checkpoint;
use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::{Output, bytes};
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{RoomName, TransferId};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Exit};
use sluse_protocol::register::{Disclosed, Filter, Record, Registered, Sums};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// `sluse register reconcile`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the rooms out: register, audit log and receipts alone
    #[arg(long)]
    without_rooms: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// Each difference, in a sentence.
    pub differences: Vec<String>,
    /// What could not be looked at.
    pub unread: Vec<String>,
    /// Rooms that are no folders of this host: what stands there is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<RoomName>,
    #[serde(rename = "totals")]
    sums: Sums,
    entries: u64,
}

/// What the register says stands in a room.
#[derive(Debug)]
pub struct Delivered {
    /// The record.
    pub record: Record,
    /// The bag's folder, relative to the room's.
    pub bag: String,
    /// SHA-256 of the bag's list of its own files, as the audit log has it.
    pub tagmanifest: Option<Sha256>,
    /// SHA-256 of the *delivered* receipt's statement.
    pub receipt: Option<Sha256>,
}

impl Found {
    /// Adds a difference.
    pub fn difference(&mut self, text: String) {
        self.differences.push(text);
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone gives no answer, or its log is broken.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let layout = zone.layout()?;
        let (operator, signers) = (Operator::of(&layout)?, Signers::read(&layout.allowed_signers())?);
        // The zone goes on meanwhile: what the register says must stand in the log that is read after it, and what stood in the
        // log before must be in the register.
        let began = checkpoint::ask(&operator)?.check(&signers)?.size;
        let mut told = Vec::new();
        records::each(&operator, 0, &Filter::default(), |registered| {
            told.push(registered);
            Ok(())
        })?;
        let end = checkpoint::ask(&operator)?.check(&signers)?;
        let log = Log::read(&operator, &end)?;
        let mut found = Found { differences: log.problems.clone(), entries: end.size, ..Found::default() };
        let register = Register::hold(told, &log, began, &mut found);
        register.compare(&log, began, &mut found);
        let delivered = register.receipts(&operator, &signers, &log, &mut found)?;
        if !self.without_rooms {
            let strangers = rooms::compare(&layout, &operator, &delivered, &mut found)?;
            let moving = register.moving(&operator)?;
            let strangers = strangers.into_iter().filter(|stranger| !moving.contains(&stranger.transfer));
            found.differences.extend(strangers.map(|stranger| stranger.what));
        }
        Ok(print(out, &found))
    }
}

/// The register's records that are what was written.
struct Register {
    records: BTreeMap<u64, (Record, Registered)>,
}

impl Register {
    /// Holds each record that was told against its entry.
    fn hold(told: Vec<Registered>, log: &Log, began: u64, found: &mut Found) -> Self {
        let (mut records, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for registered in told {
            let record = match registered.record() {
                Ok(record) => record,
                Err(bad) => {
                    let number = log.recorded.iter().find(|(_, recorded)| recorded.entry == registered.entry);
                    let name = number.map_or("a record".into(), |(number, _)| format!("record {number}"));
                    seen.extend(number.map(|(number, _)| *number));
                    found.difference(format!("{name} of the register was changed: {bad}"));
                    continue;
                }
            };
            seen.insert(record.number);
            let stated = log.recorded.get(&record.number);
            let agrees = stated.is_some_and(|stated| {
                (stated.entry, stated.act.as_str(), stated.transfer.as_ref(), stated.sha256)
                    == (registered.entry, record.act(), Some(&record.transfer), Some(registered.sha256))
            });
            if !agrees {
                found.difference(format!("record {} of the register is not the one in the audit log", record.number));
            }
            found.sums.add(&record, &registered.outcome);
            records.insert(record.number, (record, registered));
        }
        let missing = |(number, recorded): &(&u64, &Recorded)| recorded.entry < began && !seen.contains(number);
        for (number, recorded) in log.recorded.iter().filter(missing) {
            let entry = recorded.entry;
            found.difference(format!("record {number} is not in the register; audit entry {entry} has its digest"));
        }
        Self { records }
    }

    /// Releases, deliveries and purges must be those of the log.
    fn compare(&self, log: &Log, began: u64, found: &mut Found) {
        let mut recorded = BTreeSet::new();
        for (record, registered) in self.records.values() {
            let (number, transfer, outcome) = (record.number, &record.transfer, &registered.outcome);
            if log.released.get(&record.release_entry) != Some(&(transfer.clone(), record.released)) {
                let entry = record.release_entry;
                found.difference(format!("record {number}: audit entry {entry} is not the release of {transfer}"));
            }
            if record.correction.is_none() && !recorded.insert(record.release_entry) {
                found.difference(format!("record {number}: its release has a record already"));
            }
            let purged = log.purged.get(transfer).filter(|stated| outcome.deleted.is_some() || stated.entry < began);
            if purged.map(|stated| stated.time) != outcome.deleted {
                found.difference(format!(
                    "record {number}: the audit log says something else of the purge of {transfer}"
                ));
            }
            if outcome.disclosed != Disclosed::Delivered {
                continue;
            }
            let stated = log.delivered.get(transfer);
            if stated.map(|stated| stated.time) != outcome.delivered {
                found.difference(format!(
                    "record {number}: the audit log says something else of the delivery of {transfer}"
                ));
            }
            if stated.is_some_and(|stated| stated.tagmanifest != outcome.tagmanifest) {
                found.difference(format!(
                    "record {number}: the audit log says that another bag of {transfer} was delivered"
                ));
            }
        }
        for (entry, (transfer, _)) in log.released.iter().filter(|(entry, _)| **entry < began) {
            if !recorded.contains(entry) {
                found.difference(format!("the release of {transfer} in audit entry {entry} has no record"));
            }
        }
        let told: BTreeSet<&TransferId> = self.delivered().map(|(record, _)| &record.transfer).collect();
        for (transfer, _) in log.delivered.iter().filter(|(_, stated)| stated.entry < began) {
            if !told.contains(transfer) {
                found.difference(format!("{transfer} was delivered, as the audit log has it, and no record says so"));
            }
        }
    }

    /// Transfers that may have reached a room since the register was read: those that were on their way, and newer ones.
    fn moving(&self, operator: &Operator) -> Result<BTreeSet<TransferId>, Failure> {
        let underway = self.records.values().filter(|(_, told)| told.outcome.disclosed == Disclosed::Underway);
        let mut moving: BTreeSet<TransferId> = underway.map(|(record, _)| record.transfer.clone()).collect();
        let last = self.records.keys().next_back().copied().unwrap_or_default();
        records::each(operator, last, &Filter::default(), |registered| {
            moving.extend(registered.record().ok().map(|record| record.transfer));
            Ok(())
        })?;
        Ok(moving)
    }

    fn delivered(&self) -> impl Iterator<Item = &(Record, Registered)> {
        self.records.values().filter(|(_, registered)| registered.outcome.disclosed == Disclosed::Delivered)
    }

    /// Each record's receipts must be those that the zone signed; what is to be found in rooms.
    fn receipts(
        &self,
        operator: &Operator,
        signers: &Signers,
        log: &Log,
        found: &mut Found,
    ) -> Result<HashMap<TransferId, Delivered>, Failure> {
        let mut delivered = HashMap::new();
        for (record, registered) in self.records.values() {
            let outcome = &registered.outcome;
            // An earlier release's receipt is named by the later one; the zone hands out the latest.
            if outcome.disclosed == Disclosed::Withdrawn || outcome.corrected_by.is_some() {
                continue;
            }
            receipt(operator, signers, record, ReceiptKind::Released, Some(record.receipt), found)?;
            if outcome.disclosed == Disclosed::Delivered {
                receipt(operator, signers, record, ReceiptKind::Delivered, outcome.receipt, found)?;
                let there = Delivered {
                    record: record.clone(),
                    bag: outcome.bag.clone().unwrap_or_default(),
                    tagmanifest: log.delivered.get(&record.transfer).and_then(|stated| stated.tagmanifest),
                    receipt: outcome.receipt,
                };
                delivered.insert(record.transfer.clone(), there);
            }
        }
        Ok(delivered)
    }
}

/// Compares a receipt with what the register says of it: signed by the zone, of that digest, about that dataset.
fn receipt(
    operator: &Operator,
    signers: &Signers,
    record: &Record,
    kind: ReceiptKind,
    expected: Option<Sha256>,
    found: &mut Found,
) -> Result<(), Failure> {
    let (number, transfer) = (record.number, record.transfer.clone());
    let name = format!("the {kind} receipt of {transfer}");
    let (reply, statement) = match operator.ask(&OperatorRequest::Receipt { transfer, kind }, &[]) {
        Err(failure) if failure.exit() == Code::WrongState.exit() => {
            found.difference(format!("record {number}: {name} is missing"));
            return Ok(());
        }
        other => other?,
    };
    let OperatorReply::Receipt { signature } = reply else { return Err(unexpected()) };
    match signers.receipt(&name, &statement, &signature) {
        Err(failure) => found.difference(format!("record {number}: {}", failure.sentence())),
        Ok(receipt) => {
            let same = (&receipt.source, &receipt.room, &receipt.dataset, receipt.totals, receipt.manifest_sha256)
                == (&record.source, &record.room, &record.dataset, record.totals, record.manifest_sha256);
            if !same {
                found.difference(format!("record {number}: {name} is about another dataset, source or room"));
            }
        }
    }
    if Some(Sha256::of(&statement)) != expected {
        found.difference(format!("record {number}: {name} is not the one that the register names"));
    }
    Ok(())
}

fn print(out: &Output, found: &Found) -> Exit {
    let good = found.differences.is_empty();
    if out.is_json() {
        let mut object = serde_json::json!(found);
        object["ok"] = (good && found.unread.is_empty()).into();
        out.object(&object);
    } else {
        found.differences.iter().for_each(|text| out.line(format!("difference: {text}")));
        found.unread.iter().for_each(|text| out.line(format!("not compared: {text}")));
        found.elsewhere.iter().for_each(|room| out.line(format!("elsewhere, not looked at: room {room}")));
        let Sums { records, releases, delivered, files, bytes: size, .. } = found.sums;
        let verdict = match found.differences.len() {
            0 => "OK".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        let sums =
            format!("{records} records, {releases} releases, {delivered} delivered, {files} files, {}", bytes(size));
        out.line(format!("{verdict}: {sums}; audit log of {} entries", found.entries));
    }
    if !good {
        return Exit::Integrity;
    }
    if found.unread.is_empty() {
        return Exit::Done;
    }
    out.note("Run it as root or as sluse-deliver, who may read rooms; --without-rooms leaves them out.");
    Exit::Usage
}
