//! What the roles may ask of each other. Each pair that talks has a socket and a request type of its own, so that what a
//! pair may not ask does not even decode there; [`PERMITTED`] is the same as a table for people and tests.
//!
//! `control` answers; the others ask. Work for `inspect` and `deliver` is fetched by a long poll (`Next`), so that a role
//! that was killed finds its work again when it comes back.

use crate::archive::Fixity;
use crate::courier::{Remains, Stored};
use crate::digest::Sha256;
use crate::document::Totals;
use crate::finding::{EngineReport, Report};
use crate::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId};
use crate::receipt::ReceiptKind;
use crate::refusal::Refusal;
use crate::sync::{Delta, Versions};
use crate::time::Timestamp;
use crate::transfer::State;
use crate::wire::TransferStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The four roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Faces the network.
    Receive,
    /// Faces the operators; holds state, audit log and signing key.
    Control,
    /// Faces quarantined content; holds the quarantine's private key.
    Inspect,
    /// Faces the rooms.
    Deliver,
}

impl Role {
    /// Every role, in the order in which they are started; they are stopped in the reverse order.
    pub const ALL: &[Role] = &[Role::Control, Role::Inspect, Role::Deliver, Role::Receive];

    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Receive => "receive",
            Role::Control => "control",
            Role::Inspect => "inspect",
            Role::Deliver => "deliver",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Which requests pass on which socket: from, to, requests.
pub const PERMITTED: &[(Role, Role, &[&str])] = &[
    (
        Role::Receive,
        Role::Control,
        &[
            "identify", "enrol", "renew", "part", "drop", "offer", "seal", "versions", "status", "list", "receipt",
            "progress", "changes",
        ],
    ),
    (Role::Inspect, Role::Control, &["engines", "identities", "next", "taken", "inspected", "wrapped", "purged"]),
    (
        Role::Deliver,
        Role::Control,
        &[
            "recipient",
            "next",
            "document",
            "sign",
            "checked",
            "delivered",
            "acknowledged",
            "laid",
            "looked",
            "withdrawn",
        ],
    ),
];

/// What `receive` may ask of `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReceiveRequest {
    /// Whose certificate is this? DER in the body. Answered by `Peer`.
    Identify,
    /// Turn an invite into a source. Answered by `Enrolled`.
    Enrol {
        /// SHA-256 of the certificate (DER) that the invite carried.
        certificate: Sha256,
        /// Shows that the source has the invite's secret: see [`crate::invite::code`].
        invite: Sha256,
        /// PKCS#10 request, PEM.
        request: String,
        /// OpenSSH public key line.
        identity: String,
        /// SSHSIG over `request`.
        proof: String,
    },
    /// A source asks for another certificate. Answered by `Renewed`.
    Renew {
        /// Who.
        source: SourceName,
        /// SHA-256 of the certificate (DER) that it showed.
        certificate: Sha256,
        /// PKCS#10 request, PEM.
        request: String,
        /// The source's SSHSIG over `request`.
        proof: String,
    },
    /// The next bytes of a document, in the body; `upload` is `receive`'s own number for it. Answered by `Done`.
    Part {
        /// Which document.
        upload: u64,
    },
    /// A document is not coming after all. Answered by `Done`.
    Drop {
        /// Which document.
        upload: u64,
    },
    /// A source offers; the plan is the document `upload`. Answered by `Accepted`.
    Offer {
        /// Who.
        source: SourceName,
        /// The plan's document.
        upload: u64,
        /// Under which agreement.
        agreement: AgreementId,
        /// The dataset.
        dataset: DatasetName,
        /// The idempotency key.
        key: Sha256,
        /// What the plan adds up to.
        totals: Totals,
        /// SHA-256 of the plan.
        plan_sha256: Sha256,
        /// That it travels as its difference from another version.
        delta: Option<Delta>,
        /// Free bytes of the quarantine's file system now.
        free_bytes: u64,
    },
    /// What the zone has of a dataset that is kept in sync. Answered by `Versions`.
    Versions {
        /// Who asks.
        source: SourceName,
        /// Under which agreement.
        agreement: AgreementId,
        /// The dataset.
        dataset: DatasetName,
    },
    /// A source seals; the manifest is the document `upload`, and `receive` has written it, encrypted, beside the chunks.
    /// Answered by `Sealed` after `inspect` has taken the bytes over.
    Seal {
        /// Who.
        source: SourceName,
        /// The transfer.
        transfer: TransferId,
        /// The manifest's document.
        upload: u64,
        /// SHA-256 of the manifest.
        manifest_sha256: Sha256,
        /// The source's SSHSIG.
        signature: String,
        /// Number of durable chunks.
        chunks: u32,
        /// [`crate::digest::chunk_list_digest`] of the chunk index.
        chunk_list: Sha256,
    },
    /// A transfer's state; see [`crate::wire::Request::Status`]. Answered by `Status`.
    Status {
        /// Who asks: it must be the transfer's source.
        source: SourceName,
        /// The transfer.
        transfer: TransferId,
        /// Answer at once unless it is in this state.
        unless: Option<State>,
        /// How long to wait, seconds.
        wait_seconds: u16,
    },
    /// A source's transfers. Answered by `Transfers`.
    List {
        /// Who asks.
        source: SourceName,
        /// How many.
        limit: u16,
    },
    /// Another certificate for the key of the one of `receive`'s own in the body (DER). Answered by `Renewed`.
    Certify,
    /// Statements of the zone's keys after that of a number. Answered by `Keys`.
    Keys {
        /// The number.
        after: u64,
    },
    /// A receipt. Answered by `Receipt` with the statement in the body.
    Receipt {
        /// Who asks: it must be the transfer's source.
        source: SourceName,
        /// The transfer.
        transfer: TransferId,
        /// Which.
        kind: ReceiptKind,
    },
    /// How many chunks of a transfer are durable. Answered by `Done`.
    Progress {
        /// The transfer.
        transfer: TransferId,
        /// Durable chunks.
        chunks: u32,
    },
    /// Long poll for what was revoked or ended since `after`. Answered by `Changes`.
    Changes {
        /// The number that the last answer carried; 0 at first.
        after: u64,
    },
}

/// What `control` answers to `receive`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReceiveReply {
    /// Done.
    Done,
    /// Whose certificate it is: a source's, or an invite's (none).
    Peer {
        /// The source.
        source: Option<SourceName>,
    },
    /// Enrolled.
    Enrolled {
        /// The source's name.
        source: SourceName,
        /// Its certificate, PEM.
        certificate: String,
        /// The zone's signing key as an `allowed_signers` line.
        signer: String,
    },
    /// The certificate is renewed.
    Renewed {
        /// The new one, PEM.
        certificate: String,
    },
    /// Statements of the zone's keys, a line of JSON each, in the body.
    Keys,
    /// The offer is accepted, or was before.
    Accepted {
        /// The transfer.
        transfer: TransferId,
        /// Its state.
        state: State,
        /// The public half (an age recipient) of its identity.
        recipient: String,
        /// Bytes that its chunks carry.
        bytes: u64,
    },
    /// What the zone has of a dataset.
    Versions(Versions),
    /// Sealed: the receipt's statement stands in the body.
    Sealed {
        /// Its signature.
        signature: String,
    },
    /// A transfer's state.
    Status(TransferStatus),
    /// A source's transfers, newest first.
    Transfers {
        /// At most as many as asked for.
        transfers: Vec<TransferStatus>,
    },
    /// A receipt: its statement stands in the body.
    Receipt {
        /// Its signature.
        signature: String,
    },
    /// What changed.
    Changes {
        /// To be named in the next poll.
        upto: u64,
        /// Sources whose connections must close.
        revoked: Vec<SourceName>,
        /// Transfers that no longer receive; their incoming folder is to be forgotten.
        ended: Vec<TransferId>,
    },
    /// Refused.
    Refused(Refusal),
}

impl From<Refusal> for ReceiveReply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What `inspect` may ask of `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InspectRequest {
    /// The engines that are there and passed their self-test, once at start and whenever that changes. Answered by `Done`.
    Engines {
        /// Each engine with its version; `files` is 0.
        engines: Vec<EngineReport>,
        /// Engines that are configured but absent, failing or not up to date, each with its reason in a sentence.
        failing: Vec<EngineFailure>,
        /// When the signatures of each engine that grows old were made, where it says so.
        dated: BTreeMap<String, Timestamp>,
        /// Whether one of them is a full malware engine.
        full_malware_engine: bool,
    },
    /// New transfer identities: their public halves (age recipients). Answered by `Done`.
    Identities {
        /// At most 100.
        recipients: Vec<String>,
    },
    /// Long poll for work. Answered by a task, or `Idle` after a while.
    Next,
    /// A `TakeOver` was done. Answered by `Done`.
    Taken {
        /// The transfer.
        transfer: TransferId,
        /// What went wrong, if anything.
        refused: Option<Refusal>,
    },
    /// An `Inspect` ended. Answered by `Done`.
    Inspected {
        /// The transfer.
        transfer: TransferId,
        /// How.
        outcome: InspectOutcome,
    },
    /// A `Mint`, `Wrap` or `Purge` was not done: it is handed out again later. Answered by `Done`.
    NotDone {
        /// Which.
        task: QuickTask,
        /// Whose fault it is.
        cause: FaultCause,
        /// Why, in a sentence.
        reason: String,
    },
    /// A `Wrap` was done; the identity, encrypted to `deliver`'s key (age, binary), in the body. Answered by `Done`.
    Wrapped {
        /// The transfer.
        transfer: TransferId,
    },
    /// A `Purge` was done: identity and bytes are gone. Answered by `Done`.
    Purged {
        /// The transfer.
        transfer: TransferId,
    },
}

/// A task of `inspect`'s that reads no dataset, as it is named when it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
pub enum QuickTask {
    /// Making identities.
    Mint,
    /// Re-wrapping an identity.
    Wrap {
        /// The transfer.
        transfer: TransferId,
    },
    /// Destroying identity and bytes.
    Purge {
        /// The transfer.
        transfer: TransferId,
    },
}

/// What a role that could not do a task thinks of it. The text is the stable code in journals and in `sluse health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCause {
    /// A disk, memory, a file that is not there: it may heal by itself.
    Retrying,
    /// A grant that is not `control`'s, or does not say what was asked for: somebody may be forging, or a key was exchanged.
    BadGrant,
}

impl FaultCause {
    /// The stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::BadGrant => "bad-grant",
        }
    }
}

/// An engine that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFailure {
    /// Its name.
    pub engine: String,
    /// Why.
    pub reason: String,
    /// Whether every transfer is held until it is mended, and not only those whose agreements require the engine.
    pub holds_everything: bool,
}

/// How an inspection ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InspectOutcome {
    /// Every digest agreed; this is what the engines saw.
    Report {
        /// The report without its findings: those stand in the body, as JSON.
        report: Report,
    },
    /// Digests did not agree: what arrived is not what was declared.
    Integrity {
        /// A sentence without names of files.
        reason: String,
        /// The file, where it is one.
        file: Option<crate::path::DataPath>,
    },
    /// Our fault (disk, memory): to be tried again.
    Fault {
        /// A sentence.
        reason: String,
    },
}

/// The version of a dataset from which a transfer carries the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// The public half of its identity.
    pub recipient: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: Sha256,
}

/// What `control` answers to `inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InspectReply {
    /// Done.
    Done,
    /// Nothing to do yet: ask again.
    Idle,
    /// Make so many transfer identities.
    Mint {
        /// How many, at most 100.
        count: u16,
    },
    /// Take a sealed transfer over from `receive`: move it out of its reach and prove that nobody can write there.
    TakeOver {
        /// The transfer.
        transfer: TransferId,
        /// Number of chunks.
        chunks: u32,
        /// Digest over the chunk index.
        chunk_list: Sha256,
        /// Whether the chunks carry a difference, from which the version is still to be put together.
        delta: bool,
    },
    /// Inspect a transfer.
    Inspect {
        /// The transfer.
        transfer: TransferId,
        /// The public half of its identity.
        recipient: String,
        /// SHA-256 of its manifest.
        manifest_sha256: Sha256,
        /// What the agreement allows and requires.
        content: Box<crate::agreement::Content>,
        /// Of a difference, the version that it is one from: to be put together first, if that was not done.
        base: Option<Base>,
    },
    /// Re-wrap a transfer's identity to `deliver`.
    Wrap {
        /// The transfer that the grant must be for.
        transfer: TransferId,
        /// The grant's statement.
        grant: String,
        /// Its signature.
        signature: String,
    },
    /// Destroy a transfer's identity and bytes.
    Purge {
        /// The transfer.
        transfer: TransferId,
        /// The public half of its identity, which names it.
        recipient: String,
    },
    /// Refused.
    Refused(Refusal),
}

impl From<Refusal> for InspectReply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

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
        stored: Option<Stored>,
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
