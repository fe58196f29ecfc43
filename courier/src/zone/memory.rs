//! What is kept of a delivery, in a folder of its own below the identity's: `deliveries/<transfer>/`, without a name or a byte of the dataset.
//!
//! - `sent.json`: which transfer there it is, noted before a byte is sent, so that a bag is one transfer whatever happens;
//! - `zone-received.json`, `zone-delivered.json` and `.sig`: what that zone signed;
//! - `delivered.json` and `.sig`: our zone's own receipt, beside it.
//!
//! The folder is locked as long as somebody works on the delivery, so that an attempt that was given up never runs beside the next.

use super::evidence;
use crate::target::{Told, Trouble};
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::courier::{AtZone, NotKept};
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of the largest of these files.
const MAX_BYTES: u64 = 64 * 1024;

/// How long whoever worked on a delivery before may take to leave it: one whose connection was closed hears of that a moment later.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks whether it did.
const PAUSE: Duration = Duration::from_millis(20);

const SENT: &str = "sent.json";

/// What is kept of one delivery.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    /// Held until the last who works on it has ended.
    _lock: File,
}

/// Which transfer it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The transfer there.
    pub transfer: TransferId,
    /// What of the bag does not travel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_kept: Vec<NotKept>,
}

impl Memory {
    /// What is kept of `transfer` below the folder `identity`.
    ///
    /// # Errors
    /// When an attempt before has not ended, or the disk fails.
    pub fn open(identity: &Path, transfer: &TransferId) -> Told<Self> {
        let all = identity.join("deliveries");
        let folder = all.join(transfer.as_str());
        let locked = || -> io::Result<File> {
            files::create_folder(&all, 0o700)?;
            files::create_folder(&folder, 0o700)?;
            files::sync_folder(&all)?;
            files::sync_folder(identity)?;
            File::open(&folder)
        };
        let lock = locked().map_err(|error| failed(&error))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(Trouble::new("an attempt before has not ended yet"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
        }
    }

    /// Which transfer it is there, if one was begun.
    ///
    /// # Errors
    /// When the disk fails, or what is kept is damaged.
    pub fn sent(&self) -> Told<Option<Sent>> {
        let Some(bytes) = self.read(SENT)? else { return Ok(None) };
        let damaged = |_| Trouble::new("what the courier keeps of this delivery is damaged (sent.json)");
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Notes, durably, which transfer it is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note(&self, sent: &Sent) -> io::Result<()> {
        files::replace(&self.folder.join(SENT), &serde_json::to_vec_pretty(sent)?, 0o600)
    }

    /// What the zone signed of it, if it stands in its room.
    ///
    /// # Errors
    /// When the disk fails, or what is kept does not belong together.
    pub fn signed(&self) -> Told<Option<AtZone>> {
        let kept = (self.read(&kept(ReceiptKind::Received))?, self.read(&kept(ReceiptKind::Delivered))?);
        match kept {
            (Some(received), Some(delivered)) => evidence::at_zone(&received, &delivered).map(Some),
            _ => Ok(None),
        }
    }

    /// Keeps what the zone signed; `receipts` are verified. What it says, if the bag stands in its room.
    ///
    /// # Errors
    /// When the disk fails, or it is not of what was sent.
    pub fn keep(&self, receipts: &[(ReceiptKind, PathBuf)]) -> Told<Option<AtZone>> {
        let find = |kind| receipts.iter().find(|(other, _)| *other == kind).map(|(_, file)| file);
        let (Some(received), Some(delivered)) = (find(ReceiptKind::Received), find(ReceiptKind::Delivered)) else {
            return Ok(None);
        };
        let read = |file: &Path| files::read_bounded(file, MAX_BYTES).map_err(|error| failed(&error));
        evidence::at_zone(&read(received)?, &read(delivered)?)?;
        for (kind, file) in [(ReceiptKind::Received, received), (ReceiptKind::Delivered, delivered)] {
            // The statement last: it counts when it is there.
            self.write(&format!("{}.sig", kept(kind)), &read(&file.with_extension("json.sig"))?)?;
            self.write(&kept(kind), &read(file)?)?;
        }
        self.signed()
    }

    /// Writes one of its files, durably.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Told<()> {
        files::replace(&self.folder.join(name), bytes, 0o600).map_err(|error| failed(&error))
    }

    fn read(&self, name: &str) -> Told<Option<Vec<u8>>> {
        match files::read_bounded(&self.folder.join(name), MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|error| failed(&error)),
        }
    }
}

fn kept(kind: ReceiptKind) -> String {
    format!("zone-{kind}.json")
}

fn failed(error: &io::Error) -> Trouble {
    Trouble::new(format!("the courier cannot keep what becomes of this delivery: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_worked_on_by_one_at_a_time_and_what_was_begun_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let transfer = "20261123-010000-7f3k9a2m".parse().unwrap();
        let open = || Memory::open(folder.path(), &transfer);
        let memory = open().unwrap();
        assert_eq!(memory.sent(), Ok(None));
        let sent = Sent { transfer: "20261123-010001-7f3k9a2n".parse().unwrap(), not_kept: Vec::new() };
        memory.note(&sent).unwrap();
        assert!(open().unwrap_err().to_string().contains("has not ended"));
        drop(memory);
        let memory = open().unwrap();
        assert_eq!((memory.sent(), memory.signed()), (Ok(Some(sent)), Ok(None)));
        memory.write(SENT, b"{").unwrap();
        assert!(memory.sent().is_err());
    }
}
