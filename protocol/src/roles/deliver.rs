//! Between `deliver`, which asks, and `control`.

use crate::archive::Fixity;
use crate::courier::{Remains, Stored};
use crate::digest::Sha256;
use crate::document::Totals;
use crate::ids::{DatasetName, RoomName, TransferId};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// What `deliver` may ask of `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeliverRequest {
    /// The public half (an age recipient) of `deliver`'s own key, once at start. Answered by `Done`.
    Recipient {
        /// `age1…`.
        recipient: String,
    },
    /// Long poll for work. Answered by `Deliver`, or `Idle` after a while.
    Next,
    /// Bytes of a document that goes into or beside the bag. Answered by `Document` with the bytes in the body.
    Document {
        /// The transfer.
        transfer: TransferId,
        /// Its name, from the task.
        name: String,
        /// From which byte on.
        offset: u64,
    },
    /// Sign for all that is in an archived bag, before it is visible. Answered by `Signed`.
    Sign {
        /// The transfer.
        transfer: TransferId,
        /// SHA-256 of the bag's `tagmanifest-sha256.txt`.
        tagmanifest: Sha256,
    },
    /// An archived bag was read again. Answered by `Done`.
    Checked {
        /// The transfer.
        transfer: TransferId,
        /// What was found.
        outcome: CheckOutcome,
    },
    /// A delivery ended. Answered by `Done`; after success the *delivered* receipt is a document to be laid beside the bag,
    /// and the reply is `Receipt`.
    Delivered {
        /// The transfer.
        transfer: TransferId,
        /// How.
        outcome: DeliverOutcome,
    },
    /// A room dropped an acknowledgement; its statement in the body. Answered by `Receipt`, the *acknowledged* one, the same however
    /// often it is asked.
    Acknowledged {
        /// The transfer whose bag it lies for.
        transfer: TransferId,
        /// The room's signature.
        signature: String,
    },
    /// The *acknowledged* receipt lies beside the bag. Answered by `Done`.
    Laid {
        /// The transfer.
        transfer: TransferId,
    },
    /// A `Look` was done. Answered by `Done`.
    Looked,
    /// A `Remove` ended. Answered by `Done`.
    Removed {
        /// The transfer.
        transfer: TransferId,
        /// How.
        outcome: RemoveOutcome,
    },
    /// A `Withdraw` ended. Answered by `Done`.
    Withdrawn {
        /// The transfer.
        transfer: TransferId,
        /// How.
        outcome: WithdrawOutcome,
    },
}

/// How removing a version from its room ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RemoveOutcome {
    /// It is not in the room any more.
    Gone,
    /// It could not be removed: to be tried again.
    Fault {
        /// A sentence.
        reason: String,
    },
}

/// How taking back a delivery that was begun ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WithdrawOutcome {
    /// Nothing of it is in the room.
    Gone,
    /// Its bag is visible there: it was delivered.
    Visible,
    /// The room cannot be looked into: to be tried again.
    Fault {
        /// A sentence.
        reason: String,
    },
    /// The room elsewhere cannot be reached, and was not to be tried again.
    Left {
        /// What may be left there.
        remains: Remains,
        /// A sentence.
        reason: String,
    },
}

/// A bag whose room has yet to acknowledge it, or whose *acknowledged* receipt is not beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitedBag {
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// The room's folder, relative to the folder of rooms.
    pub room_folder: String,
    /// The bag's, relative to the room's.
    pub bag: String,
}

/// How reading an archived bag again ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CheckOutcome {
    /// It was read, or is not there.
    Read {
        /// What was found.
        fixity: Fixity,
    },
    /// The room's folder cannot be looked into: to be tried again.
    Fault {
        /// A sentence.
        reason: String,
    },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeliverOutcome {
    /// The bag is visible.
    Visible {
        /// The bag's folder, relative to the room's.
        bag: String,
        /// SHA-256 of the bag's `tagmanifest-sha256.txt`.
        tagmanifest: Sha256,
        /// How it was stored, where the room is elsewhere; otherwise every file was read back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored: Option<Box<Stored>>,
    },
    /// Digests did not agree.
    Integrity {
        /// A sentence without names of files.
        reason: String,
    },
    /// The grant is not good: nothing was opened.
    BadGrant {
        /// A sentence.
        reason: String,
    },
    /// The room or the disk failed: to be tried again.
    Fault {
        /// A sentence.
        reason: String,
    },
    /// It was ended by `Stop`; nothing of it became visible, as far as is known.
    Stopped,
}

/// What `control` answers to `deliver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeliverReply {
    /// Done.
    Done,
    /// Nothing to do yet: ask again.
    Idle,
    /// Deliver a transfer; its identity, encrypted to `deliver`'s key (age, binary), in the body.
    Deliver {
        /// The transfer that the grant must be for.
        transfer: TransferId,
        /// The grant's statement.
        grant: String,
        /// Its signature.
        signature: String,
        /// Names of the documents that go into the bag: `receipts/received.json`, `findings.json`, ….
        documents: Vec<String>,
        /// Whether it is a version of a dataset that is kept in sync, and `current` is to name it.
        version: bool,
        /// Whether its room is elsewhere, as the grant says too: what hangs there keeps no room of this host waiting.
        elsewhere: bool,
    },
    /// End the delivery of a transfer that is being made, at once: its agreement was suspended, or it is to be taken back. It ends as any
    /// other, by `Delivered`; one that has ended meanwhile is fine.
    Stop {
        /// The transfer.
        transfer: TransferId,
    },
    /// Read an archived bag again.
    Check {
        /// The transfer that brought it.
        transfer: TransferId,
        /// The room's folder, relative to the folder of rooms.
        room_folder: String,
        /// The bag's, relative to the room's.
        bag: String,
        /// SHA-256 of its `tagmanifest-sha256.txt` when it was delivered.
        tagmanifest: Sha256,
        /// How much the dataset in it is: no more of it is read.
        totals: Totals,
    },
    /// Take back a delivery that was begun: remove what lies under its temporary name, unless its bag is visible.
    Withdraw {
        /// The transfer.
        transfer: TransferId,
        /// The room's folder, relative to the folder of rooms.
        room_folder: String,
        /// The dataset, below which its bag would be.
        dataset: DatasetName,
        /// The room, where it is elsewhere: its courier takes it back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        elsewhere: Option<RoomName>,
        /// Whether it is not tried again: of a room elsewhere that cannot be reached, what may be left there is told instead.
        last: bool,
    },
    /// Remove a version that is not the current one and that nothing keeps in its room any more.
    Remove {
        /// The transfer that brought it.
        transfer: TransferId,
        /// The room's folder, relative to the folder of rooms.
        room_folder: String,
        /// The dataset, below which its bag stands.
        dataset: DatasetName,
    },
    /// Look whether rooms have dropped acknowledgements.
    Look {
        /// Of these bags, those of a room together.
        bags: Vec<AwaitedBag>,
    },
    /// Bytes of a document in the body; an empty body is its end.
    Document,
    /// The statement of an archived bag stands in the body ([`crate::archive::ArchiveStatement`]).
    Signed {
        /// Its signature.
        signature: String,
    },
    /// The *delivered* or *acknowledged* receipt: its statement stands in the body.
    Receipt {
        /// Its signature.
        signature: String,
    },
    /// Refused.
    Refused(Refusal),
}

impl From<Refusal> for DeliverReply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
