//! Between `inspect`, which asks, and `control`.

use crate::digest::Sha256;
use crate::finding::{EngineReport, Report};
use crate::ids::TransferId;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
