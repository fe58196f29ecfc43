//! The end of the demo: what stands in the room, and what proves it.

use super::journey::Journey;
use crate::commands::{audit, bag};
use crate::evidence::Signers;
use crate::failure::Failure;
use crate::landing_zone::LandingZone;
use crate::output::Output;
use serde::Serialize;
use sluse_protocol::finding::Finding;
use sluse_protocol::ids::{DatasetName, TransferId};
use sluse_protocol::transfer::State;
use std::path::{Path, PathBuf};

/// Files of a room that are listed one by one.
const LISTED: usize = 40;

/// What a demo made, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    zone: PathBuf,
    room: PathBuf,
    signer: PathBuf,
    transfers: Vec<Transfer>,
    audit: Audit,
}

#[derive(Debug, Serialize)]
struct Audit {
    ok: bool,
    entries: u64,
    witnesses: usize,
}

#[derive(Debug, Serialize)]
struct Transfer {
    id: TransferId,
    dataset: DatasetName,
    state: State,
    files: u64,
    bytes: u64,
    bag: Option<PathBuf>,
    receipts: Vec<PathBuf>,
    findings: Vec<Finding>,
}

/// Verifies every receipt, every bag, and the audit log against the receipts.
///
/// # Errors
/// When one of them is not good.
pub fn make(zone: &LandingZone, journeys: &[Journey]) -> Result<Report, Failure> {
    let layout = &zone.layout;
    let signers = Signers::read(&layout.allowed_signers())?;
    let rooms = layout.root().join("rooms");
    let mut witnesses = Vec::new();
    let mut transfers = Vec::new();
    for journey in journeys {
        let (details, status) = (&journey.details, &journey.details.info.status);
        for file in &journey.receipts {
            witnesses.push((format!("receipt {}", file.display()), signers.receipt_file(file)?.audit));
        }
        let bag = details.bag.as_ref().map(|bag| rooms.join(details.info.room.as_str()).join(bag));
        if let Some(bag) = &bag {
            bag::verify(bag, &signers)?;
        }
        transfers.push(Transfer {
            id: status.transfer.clone(),
            dataset: status.dataset.clone(),
            state: status.state,
            files: status.totals.files,
            bytes: status.totals.bytes,
            bag,
            receipts: journey.receipts.clone(),
            findings: journey.findings.clone(),
        });
    }
    let whole = audit::verify::live(layout, witnesses)?;
    let audit = Audit { ok: true, entries: whole.end.size, witnesses: whole.witnesses };
    let room = journeys.first().map_or_else(|| rooms.clone(), |journey| rooms.join(journey.details.info.room.as_str()));
    Ok(Report { zone: layout.root().to_owned(), room, signer: layout.allowed_signers(), transfers, audit })
}

impl Report {
    /// Whether a person must decide about one of the datasets.
    pub fn is_undecided(&self) -> bool {
        self.transfers.iter().any(|transfer| transfer.state == State::Held)
    }

    /// Prints it; `kept` says whether there is something left to look at.
    pub fn print(&self, out: &Output, kept: bool) {
        if out.is_json() {
            out.object(self);
        } else {
            self.explain(out);
        }
        match kept {
            true => out.note(format!(
                "Look around: sluse transfers --zone {} needs slused; the room is {}",
                self.zone.display(),
                self.room.display()
            )),
            false => out.note("Everything was made in a temporary folder and is gone; `--keep DIR` leaves it there."),
        }
    }

    fn explain(&self, out: &Output) {
        let rows: Vec<Vec<String>> = self.transfers.iter().map(Transfer::row).collect();
        out.table(&["DATASET", "STATE", "FILES", "BYTES", "RECEIPTS", "FINDINGS"], &rows);
        out.line("");
        out.line(format!("In the room {}:", self.room.display()));
        for transfer in &self.transfers {
            if let Some(bag) = &transfer.bag {
                list(out, &self.room, bag);
            }
        }
        let receipts: usize = self.transfers.iter().map(|transfer| transfer.receipts.len()).sum();
        out.line("");
        out.line(format!("{receipts} receipts verified; bags complete and unchanged"));
        let (entries, witnesses) = (self.audit.entries, self.audit.witnesses);
        out.line(format!("Audit log whole: {entries} entries, held against {witnesses} receipts and checkpoints"));
        out.note("Done without ClamAV: only file types and the built-in signatures were checked.");
    }
}

impl Transfer {
    fn row(&self) -> Vec<String> {
        vec![
            self.dataset.to_string(),
            self.state.to_string(),
            self.files.to_string(),
            self.bytes.to_string(),
            self.receipts.len().to_string(),
            self.findings.len().to_string(),
        ]
    }
}

/// Lists the files of a bag, as far as a person wants to read.
fn list(out: &Output, room: &Path, bag: &Path) {
    let mut files = Vec::new();
    let mut folders = vec![bag.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => files.push(entry.path()),
            }
        }
    }
    files.sort();
    for file in files.iter().take(LISTED) {
        out.line(format!("  {}", file.strip_prefix(room).unwrap_or(file).display()));
    }
    if files.len() > LISTED {
        out.line(format!("  and {} files more", files.len() - LISTED));
    }
}
