//! Rooms elsewhere: what `deliver` asks of the *courier* of a room that is no folder of this host, and what is said of what it
//! stored there.
//!
//! A courier has the network and the credential of one target; it has no key of the zone and keeps no state. `deliver` has neither
//! network nor credential: it builds the bag, gives it away file by file over a Unix socket, has it read back, compares, and only then
//! has it made visible. A connection is one delivery: [`CourierRequest::Open`] comes first, and requests are answered in order. A target
//! that must know all files before the first byte, as another landing zone does, has them listed first, and then takes them in the order of
//! their paths.
//!
//! Paths are those of files in the bag, `/` between components, checked as [`crate::path::DataPath`]; a frame's body is at most
//! [`STEP_BYTES`].

use crate::digest::Sha256;
use crate::ids::{DatasetName, RoomName, TransferId, ZoneName};
use crate::path::DataPath;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of a file in one frame.
pub const STEP_BYTES: usize = 1024 * 1024;

/// How long one answer of a courier may take: what an earlier attempt left may have many files to be removed. A courier itself gives
/// up on a target that is silent for a minute.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// The file of a bag that is given away last: where a target can make nothing visible in one step, the bag is whole when it is there.
pub const LAST_FILE: &str = "bagit.txt";

/// That a room is no folder of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// When its credential or its endpoint ends: nothing is delivered there any more.
    pub until: Option<Timestamp>,
}

/// How what a target stored was compared with what was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// Every byte was read back, and every file's SHA-256 compared.
    ReadBack,
    /// The target does not let us read: it says that each file has its length.
    Sizes,
    /// The target does not let us read: as each piece of a file came it told the digest of what it has, which was the piece's; and it says
    /// that each file has its length.
    PieceDigests,
    /// The target is another landing zone, which has signed that it stands in a room of its own: see [`AtZone`].
    Receipt,
}

/// What another landing zone has signed of a bag that was sent to it: its *delivered* receipt, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtZone {
    /// That zone.
    pub zone: ZoneName,
    /// Its room.
    pub room: RoomName,
    /// The transfer by which the bag came there.
    pub transfer: TransferId,
    /// SHA-256 of the manifest by which it was sent: each file of the bag with its SHA-256.
    pub manifest_sha256: Sha256,
    /// When it stood in that room.
    pub time: Timestamp,
    /// SHA-256 of the receipt's statement.
    pub receipt_sha256: Sha256,
}

/// What of a dataset a target did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotKept {
    /// Folders without files.
    EmptyFolders,
    /// Modification times.
    Times,
    /// Which files may be run.
    ExecutableBits,
}

/// What may be left in a room elsewhere of a delivery that was given up, since the room could not be reached to take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remains {
    /// Files of it, or parts of them: nothing there is a bag.
    Files,
    /// The whole bag, visible: whether it became so is not known.
    Bag,
}

/// What is said of a bag that was delivered to a room elsewhere; in the *delivered* receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// What the target speaks: `sftp`, `s3`, `tsd`, `zone`.
    pub by: String,
    /// How what it stored was compared.
    pub verified: Verified,
    /// What it did not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_kept: Vec<NotKept>,
    /// Where it is another landing zone: what that has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<AtZone>,
}

/// A file that is given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHead {
    /// Its path in the bag.
    pub path: DataPath,
    /// Its bytes.
    pub bytes: u64,
    /// When it was changed, seconds since 1970.
    pub mtime: i64,
    /// Whether it may be run.
    pub executable: bool,
    /// Go on where an earlier attempt ended, if what is there is not longer; otherwise what is there is of no use.
    pub resume: bool,
}

/// What `deliver` may ask of a courier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CourierRequest {
    /// Begin, or go on with, the bag of a transfer, `<dataset>/<transfer>` in the room. Answered by `Opened`.
    Open {
        /// The transfer.
        transfer: TransferId,
        /// Its dataset.
        dataset: DatasetName,
        /// Remove first what an earlier attempt left: it was of something else, or was not as it should be.
        anew: bool,
    },
    /// Of a target that has files listed first: one of them, in any order, before the first is begun. Answered by `Done`.
    List {
        /// The file.
        file: FileHead,
    },
    /// Begin a file of the bag that is not visible yet; one that was begun and not ended is given up. Answered by `Begun`.
    Begin {
        /// The file.
        file: FileHead,
    },
    /// The next bytes of the file that was begun, in the body, from `offset` on. Answered by `Done`.
    Put {
        /// Where they belong: where what is durable, or was put before, ends.
        offset: u64,
    },
    /// The file has all its bytes. Answered by `Done` when the target has them durably, as far as it lets us know, and says that they are
    /// so many.
    End,
    /// An empty folder. Answered by `Done`, also where the target has none: `Published` says so.
    Folder {
        /// Its path in the bag.
        path: DataPath,
    },
    /// Bytes of a file of the bag, visible or not; at most [`STEP_BYTES`], none at its end. Answered by `Bytes`.
    Read {
        /// Its path in the bag.
        path: DataPath,
        /// From which byte on.
        offset: u64,
    },
    /// Make the bag visible. Answered by `Published`.
    Publish,
    /// Lay a file beside the visible bag, in `<bag>.receipts/`, its bytes in the body; one that lies there is replaced. Answered by `Done`.
    Lay {
        /// Its name.
        name: DataPath,
    },
    /// Remove what is there of the bag unless it is visible. Answered by `Withdrawn`.
    Withdraw,
}

/// What a courier answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CourierReply {
    /// Done.
    Done,
    /// The bag is open.
    Opened {
        /// Whether it is visible already.
        visible: bool,
        /// What the target speaks.
        by: String,
        /// How what it stores is compared: whether it lets us read back, and else what the courier has it say.
        verifies: Verified,
        /// Whether it has all files listed before the first is begun, and then takes them in ascending order of their paths.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lists: bool,
    },
    /// A file was begun.
    Begun {
        /// So many of its bytes the target has already.
        durable: u64,
    },
    /// Bytes of a file, in the body.
    Bytes,
    /// The bag is visible.
    Published {
        /// What the target did not keep.
        not_kept: Vec<NotKept>,
        /// Where it is another landing zone: what that has signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<AtZone>,
    },
    /// Nothing of the bag is there, unless it is visible.
    Withdrawn {
        /// Whether it is.
        visible: bool,
    },
    /// The target, or the way to it, failed: to be tried again.
    Failed {
        /// A sentence without names of files.
        message: String,
    },
}

impl From<Refusal> for CourierReply {
    fn from(refusal: Refusal) -> Self {
        Self::Failed { message: refusal.message }
    }
}
