//! Bags that are visible, and whose receipt is not in the room yet: a file for each in `deliver`'s own folder, so that a
//! crash between the two is made good at the next start.

use super::delivery::Visible;
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::courier::Stored;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{DatasetName, RoomName, TransferId};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of one file.
const MAX_BYTES: u64 = 16 * 1024;

/// The folder of these files.
pub struct PendingFolder(PathBuf);

/// A bag whose receipt is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// The transfer.
    pub transfer: TransferId,
    /// The room's folder, relative to the folder of rooms.
    pub room_folder: String,
    /// The bag's folder, relative to the room's.
    pub bag: String,
    /// SHA-256 of its `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
    /// Where the room is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Sent>,
}

/// What is known of a bag in a room elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The room.
    pub room: RoomName,
    /// The dataset.
    pub dataset: DatasetName,
    /// How it was stored.
    pub stored: Stored,
}

impl Pending {
    /// The visible bag.
    pub fn visible(&self) -> Visible {
        Visible { bag: self.bag.clone(), tagmanifest: self.tagmanifest }
    }
}

impl PendingFolder {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        files::create_folder(path, 0o700)?;
        Ok(Self(path.to_owned()))
    }

    /// Remembers a bag, durably.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn add(&self, pending: &Pending) -> io::Result<()> {
        let json = serde_json::to_vec(pending)?;
        files::replace(&self.file(&pending.transfer), &json, 0o600)
    }

    /// Whether one is remembered.
    pub fn has(&self, transfer: &TransferId) -> bool {
        self.file(transfer).exists()
    }

    /// Forgets one.
    ///
    /// # Errors
    /// When the disk fails; it is asked about again then, which changes nothing.
    pub fn remove(&self, transfer: &TransferId) -> io::Result<()> {
        match std::fs::remove_file(self.file(transfer)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All that are remembered. A file that cannot be read is named in the log, and left.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> io::Result<Vec<Pending>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match files::read_bounded(&path, MAX_BYTES).and_then(|json| Ok(serde_json::from_slice(&json)?)) {
                Ok(pending) => all.push(pending),
                Err(error) => tracing::error!(file = %path.display(), %error, "a pending receipt cannot be read"),
            }
        }
        Ok(all)
    }

    fn file(&self, transfer: &TransferId) -> PathBuf {
        self.0.join(format!("{transfer}.json"))
    }
}
