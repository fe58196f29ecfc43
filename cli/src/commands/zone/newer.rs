//! What is newer than a backup, as far as something that left the zone shows it: receipts, which name how long the audit log was, and
//! checkpoints.

use crate::evidence::Signers;
use crate::failure::Failure;
use serde::Serialize;
use sluse_host::files;
use sluse_protocol::audit::Position;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Exit;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

/// How deep below the folder of rooms receipts are looked for: room (of up to four components), dataset, folder of receipts.
const DEPTH: usize = 6;

/// Bytes of the longest checkpoint.
const MAX_CHECKPOINT_BYTES: u64 = 64 * 1024;

/// What stands between a checkpoint's text and its signature in a zone's own file.
const SIGNATURE_BEGINS: &str = "-----BEGIN SSH SIGNATURE-----";

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Newer {
    /// Receipts of after the backup.
    pub receipts: Vec<Found>,
    /// The furthest position that anything attests beyond the backup's.
    pub attested: Option<Position>,
}

/// A receipt of after the backup.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Of which transfer.
    pub transfer: TransferId,
    /// What it states.
    pub kind: ReceiptKind,
    /// Where it lies.
    pub file: PathBuf,
}

/// Holds what is shown against a backup's end of the log.
#[derive(Debug)]
pub struct Search<'a> {
    /// Who may sign.
    pub signers: &'a Signers,
    /// Where the backup's log ends.
    pub backup: Position,
    /// What was found so far.
    pub newer: Newer,
}

impl Search<'_> {
    /// A receipt that somebody has.
    ///
    /// # Errors
    /// When it cannot be read, or is not the zone's.
    pub fn receipt(&mut self, file: &Path) -> Result<(), Failure> {
        let Receipt { transfer, kind, audit, .. } = self.signers.receipt_file(file)?;
        if self.attest(audit) {
            self.newer.receipts.push(Found { transfer, kind, file: file.to_owned() });
        }
        Ok(())
    }

    /// A checkpoint: with its signature beside it, or in one file as a zone keeps its last one.
    ///
    /// # Errors
    /// When it cannot be read, or is not the zone's.
    pub fn checkpoint(&mut self, file: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::file(Exit::Usage, "read", file, &error);
        let text =
            String::from_utf8_lossy(&files::read_bounded(file, MAX_CHECKPOINT_BYTES).map_err(failed)?).into_owned();
        let position = match text.find(SIGNATURE_BEGINS) {
            Some(at) => self.signers.checkpoint(&file.display().to_string(), &text[..at], &text[at..])?,
            None => self.signers.checkpoint_file(file)?,
        };
        self.attest(position);
        Ok(())
    }

    /// The receipts that lie beside delivered bags. What is not this zone's is passed over: rooms are open to others.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn rooms(&mut self, folder: &Path) -> Result<(), Failure> {
        self.look(folder, DEPTH).map_err(|error| Failure::file(Exit::Usage, "look through", folder, &error))
    }

    fn look(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<DirEntry>>>()?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            if !entry.file_type()?.is_dir() || name.parse::<TransferId>().is_ok() {
                continue;
            }
            let of = name.strip_suffix(".receipts").and_then(|id| id.parse::<TransferId>().ok());
            match of {
                Some(_) => drop(self.receipt(&entry.path().join("delivered.json"))),
                None if depth > 1 => self.look(&entry.path(), depth - 1)?,
                None => {}
            }
        }
        Ok(())
    }

    fn attest(&mut self, position: Position) -> bool {
        let newer = position.size > self.backup.size;
        if newer && self.newer.attested.is_none_or(|before| before.size < position.size) {
            self.newer.attested = Some(position);
        }
        newer
    }
}
