//! Between `receive`, which asks, and `control`.

use crate::digest::Sha256;
use crate::document::Totals;
use crate::ids::{AgreementId, DatasetName, SourceName, TransferId};
use crate::receipt::ReceiptKind;
use crate::refusal::Refusal;
use crate::sync::{Delta, Versions};
use crate::transfer::State;
use crate::wire::TransferStatus;
use serde::{Deserialize, Serialize};

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
