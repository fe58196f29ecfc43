//! What operators may ask of `control` at its Unix socket. Every act carries the person, known by the socket's peer
//! credentials, and a reason where something is decided.

mod told;

pub use told::*;

use crate::courier::Elsewhere;
use crate::digest::Sha256;
use crate::ids::{AgreementId, RoomName, SourceName, TransferId};
use crate::path::NameRule;
use crate::receipt::ReceiptKind;
use crate::refusal::Refusal;
use crate::register::{Change, Filter};
use crate::time::Timestamp;
use crate::transfer::State;
use crate::update::{Step, Update};
use serde::{Deserialize, Serialize};

/// An operator's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperatorRequest {
    /// Make a one-time enrolment file for a source. Answered by `Invite`, the file's text in the body.
    SourceInvite {
        /// The new source.
        name: SourceName,
        /// How many hours the invite is good for, 1 to 720.
        hours: u16,
        /// The room out of which it exports, where it is a room's.
        room: Option<RoomName>,
    },
    /// Who is enrolled or invited. Answered by `Sources`.
    SourceList {
        /// Only those after this one, for the next page.
        after: Option<SourceName>,
    },
    /// Shut a source out, its running transfers included. Answered by `Done`.
    SourceRevoke {
        /// The source.
        name: SourceName,
        /// Why.
        reason: String,
    },
    /// Make a room known. Answered by `Done`.
    RoomAdd {
        /// The new room.
        name: RoomName,
        /// Its folder, relative to `deliver`'s folder of rooms.
        folder: String,
        /// How it takes names.
        names: NameRule,
        /// That it is no folder of this host, and until when.
        elsewhere: Option<Elsewhere>,
    },
    /// Say by which key a room acknowledges what is delivered there, and to which one it is encrypted. Answered by `Done`.
    RoomChange {
        /// The room.
        name: RoomName,
        /// Its key, an OpenSSH public key line; none takes it away.
        key: Option<String>,
        /// Its age recipient; none takes it away.
        recipient: Option<String>,
        /// Until when its courier may deliver there; only of a room elsewhere. None: without an end.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// The rooms. Answered by `Rooms`.
    RoomList {
        /// Only those after this one, for the next page.
        after: Option<RoomName>,
    },
    /// Add an agreement; its TOML text in the body. Answered by `Agreement`, with its text: it is a draft until somebody else
    /// activates it, unless powers are not separated and it lacks nothing.
    AgreementAdd,
    /// Change an agreement: a new version of it, its TOML text in the body. Answered as `AgreementAdd`; the version in force stays
    /// in force until the new one is activated.
    AgreementChange {
        /// Why.
        reason: String,
    },
    /// Put an agreement's latest version in force: somebody else than who wrote it. Answered by `Done`.
    AgreementActivate {
        /// Which.
        id: AgreementId,
        /// The version's number, so that nobody puts in force what he or she has not read.
        version: u32,
        /// Why.
        reason: String,
    },
    /// The agreements. Answered by `Agreements`.
    AgreementList {
        /// Only those after this one, for the next page.
        after: Option<AgreementId>,
    },
    /// One agreement. Answered by `Agreement`, its text in the body.
    AgreementShow {
        /// Which.
        id: AgreementId,
        /// Of which version the text; without it, of the one in force, or of the latest where none is.
        version: Option<u32>,
    },
    /// End an agreement: nothing new is offered, released or delivered under it. Answered by `Done`.
    AgreementEnd {
        /// Which.
        id: AgreementId,
        /// Why.
        reason: String,
    },
    /// Let an agreement allow nothing for now: what was released under it and is not being delivered yet is held. Answered
    /// by `Done`.
    AgreementSuspend {
        /// Which.
        id: AgreementId,
        /// Why.
        reason: String,
    },
    /// Let a suspended agreement allow again what its text says: what waited for that alone goes on. Answered by `Done`.
    AgreementResume {
        /// Which.
        id: AgreementId,
        /// Why.
        reason: String,
    },
    /// The transfers, newest first. Answered by `Transfers`.
    Transfers {
        /// Only those in this state.
        state: Option<State>,
        /// Only those before this one, for the next page.
        before: Option<TransferId>,
    },
    /// Everything about one transfer. Answered by `Transfer`; the findings stand in the body as JSON (`Vec<Finding>`).
    Show {
        /// Which.
        transfer: TransferId,
    },
    /// Bytes of a sealed transfer's manifest. Answered by `Document` with the bytes in the body.
    Manifest {
        /// Which.
        transfer: TransferId,
        /// Whether the one of what was released is meant, where files were left out.
        part: bool,
        /// From which byte on.
        offset: u64,
    },
    /// A receipt. Answered by `Receipt`, the statement in the body.
    Receipt {
        /// The transfer.
        transfer: TransferId,
        /// Which.
        kind: ReceiptKind,
    },
    /// End a transfer. Answered by `Done`.
    Cancel {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Choose that a held transfer is released, without the files and folders whose paths stand in the body, one a line. Answered by
    /// `Done`, by `Reviewed` where others must choose too, or by `Differing`.
    Release {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Choose that a held transfer is rejected. Answered as `Release`.
    Reject {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Inspect a held transfer once more. Answered by `Done`.
    InspectAgain {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Keep a transfer's bytes and key although their time is over, until that is lifted. Answered by `Done`.
    Retain {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Let a retained transfer be purged in its time again. Answered by `Done`.
    LiftRetention {
        /// Which.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// The audit log's lines from `from` on, as many as fit. Answered by `Audit`, the lines in the body.
    AuditLines {
        /// Number of the first entry.
        from: u64,
    },
    /// A signed checkpoint of the audit log. Answered by `Checkpoint`, its text in the body.
    Checkpoint,
    /// Records of the register of disclosures, by number. Answered by `Register`; each record is a line of the body
    /// ([`crate::register::Registered`] as JSON).
    Register {
        /// Only those after this one; 0 at first.
        after: u64,
        /// Only those that it admits.
        filter: Filter,
    },
    /// Correct a record by a new one that stands in for it. Answered by `Corrected`.
    RegisterCorrect {
        /// The record's number: of those that correct each other, the last.
        number: u64,
        /// Why.
        reason: String,
        /// What should stand there; without any, the reason alone is added.
        changes: Vec<Change>,
    },
    /// The archived bags, by transfer. Answered by `Archives`.
    ArchiveList {
        /// Only those after this one, for the next page.
        after: Option<TransferId>,
    },
    /// Read an archived bag no more: another keeper has it, or its time is over. Answered by `Done`.
    ArchiveEnd {
        /// The transfer that brought it.
        transfer: TransferId,
        /// Why.
        reason: String,
    },
    /// Take a copy of the database for a backup. Answered by `Snapshot`, a checkpoint of its audit log in the body.
    Snapshot,
    /// Bytes of the copy. Answered by `Document` with the bytes in the body; at its end none, and the copy is removed.
    SnapshotBytes {
        /// From which byte on.
        offset: u64,
    },
    /// Sign and change nothing more until this connection ends, and then end, so as to be started again with other keys. Answered by
    /// `Done` when nothing is signed any more.
    Rest,
    /// A step of importing an update, by whoever puts it in place. Answered by `Done`.
    Update {
        /// Which.
        step: Step,
    },
    /// The newest update of each kind. Answered by `Updates`.
    Updates,
    /// What is wrong. Answered by `Health`.
    Health,
}

/// `control`'s answer to an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperatorReply {
    /// Done.
    Done,
    /// The choice is kept, and nothing is decided yet.
    Reviewed {
        /// How many others have yet to choose.
        missing: u32,
    },
    /// All chose to release, but not the same files: no choice counts any more, and all are asked anew.
    Differing,
    /// The invite's text stands in the body.
    Invite {
        /// Until when it is good.
        expires: Timestamp,
    },
    /// The sources by name.
    Sources {
        /// Each source, as many as fit.
        sources: Vec<SourceInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// The rooms by name.
    Rooms {
        /// Each room, as many as fit.
        rooms: Vec<RoomInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// The agreements by id.
    Agreements {
        /// Each agreement, as many as fit.
        agreements: Vec<AgreementInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// One agreement; its text stands in the body.
    Agreement(AgreementInfo),
    /// Transfers, newest first.
    Transfers {
        /// At most 500.
        transfers: Vec<TransferInfo>,
        /// Whether there are older ones.
        more: bool,
    },
    /// One transfer.
    Transfer(Box<TransferDetails>),
    /// Bytes of a document stand in the body; an empty body is its end.
    Document,
    /// A receipt; its statement stands in the body.
    Receipt {
        /// Its signature.
        signature: String,
    },
    /// Audit lines stand in the body, each with its line feed; an empty body is the end.
    Audit {
        /// How many.
        count: u64,
    },
    /// A checkpoint; its text stands in the body.
    Checkpoint {
        /// Its signature.
        signature: String,
    },
    /// Records of the register stand in the body, each with a line feed at its end.
    Register {
        /// To be named in the next request; none at the register's end.
        next: Option<u64>,
    },
    /// The record is corrected.
    Corrected {
        /// The number of the new one.
        number: u64,
    },
    /// The archived bags by transfer.
    Archives {
        /// Each one, as many as fit.
        archives: Vec<ArchiveInfo>,
        /// Whether there are more.
        more: bool,
    },
    /// A copy of the database was taken; a checkpoint of its audit log stands in the body.
    Snapshot {
        /// The copy's length.
        bytes: u64,
        /// Its SHA-256.
        sha256: Sha256,
        /// The checkpoint's signature.
        signature: String,
    },
    /// The newest update of each kind.
    Updates {
        /// By kind.
        updates: Vec<Update>,
    },
    /// How the zone is.
    Health(Health),
    /// Refused.
    Refused(Refusal),
}

impl From<Refusal> for OperatorReply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
