//! Receipts (*kvitteringer*): signed statements of the landing zone about a transfer.
//!
//! A receipt is one JSON object and its SSHSIG signature (namespace [`crate::sshsig::NAMESPACE_RECEIPT`]). The signature
//! covers the statement's bytes as they stand, so they are kept and passed on unchanged.

use crate::acknowledgement::Acknowledgement;
use crate::audit::{BadProof, Inclusion, Position};
use crate::courier::Stored;
use crate::digest::Sha256;
use crate::document::Totals;
use crate::finding::EngineReport;
use crate::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId, ZoneName};
use crate::part::PartOf;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What a receipt states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptKind {
    /// The zone holds every chunk durably, and the manifest agrees.
    Received,
    /// The dataset is kept out of its room.
    Rejected,
    /// The dataset is allowed into its room.
    Released,
    /// The dataset stands in its room, verified by reading back; where the room is elsewhere, as [`Receipt::stored`] says.
    Delivered,
    /// The room confirmed it.
    Acknowledged,
    /// The zone's own copy, and the key that it was encrypted to, are destroyed.
    Purged,
}

impl ReceiptKind {
    /// Every kind.
    pub const ALL: &[ReceiptKind] = &[
        ReceiptKind::Received,
        ReceiptKind::Rejected,
        ReceiptKind::Released,
        ReceiptKind::Delivered,
        ReceiptKind::Acknowledged,
        ReceiptKind::Purged,
    ];

    /// The kind's name; a receipt's file is called `<name>.json`, its signature `<name>.json.sig`.
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptKind::Received => "received",
            ReceiptKind::Rejected => "rejected",
            ReceiptKind::Released => "released",
            ReceiptKind::Delivered => "delivered",
            ReceiptKind::Acknowledged => "acknowledged",
            ReceiptKind::Purged => "purged",
        }
    }
}

impl std::fmt::Display for ReceiptKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How the dataset came to be released or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// `automatic`, or `operator` with the person's name in `by`.
    pub rule: String,
    /// The person; none when a rule decided.
    pub by: Option<String>,
    /// The reason given, or the classes of findings that decided.
    pub reason: String,
}

/// The statement of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// `receipt/1`.
    pub sluse: ReceiptFormat,
    /// What is stated.
    pub kind: ReceiptKind,
    /// Who states it.
    pub zone: ZoneName,
    /// When.
    pub time: Timestamp,
    /// Of which transfer.
    pub transfer: TransferId,
    /// Who sent it.
    pub source: SourceName,
    /// The agreement that allows it.
    pub agreement: AgreementId,
    /// SHA-256 of the agreement's text as it was in force.
    pub agreement_sha256: Sha256,
    /// The dataset.
    pub dataset: DatasetName,
    /// Where it goes.
    pub room: RoomName,
    /// What it holds.
    pub totals: Totals,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256,
    /// That these are of a part of what was sent: some files were left out of what was released. In *released*, *delivered* and
    /// *acknowledged*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<PartOf>,
    /// Digest over all chunk digests.
    pub chunk_list: Sha256,
    /// The engines that inspected it; from *released* or *rejected* on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<EngineReport>,
    /// How it was decided; from *released* or *rejected* on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// How it was stored, where the room is no folder of the zone's host; in *delivered* and *acknowledged*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// The room's own signed word; in *acknowledged*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<Acknowledgement>,
    /// SHA-256 of the statement of the receipt before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
    /// The audit log just after the entry of what is stated.
    pub audit: Position,
    /// Proof that the entry of what is stated is the last one of that log. Receipts of the first builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion: Option<Inclusion>,
    /// What the digests and the signature are made with.
    pub algorithms: Algorithms,
}

/// Why a receipt's proof does not show that what it states stands in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadInclusion {
    /// It proves nothing.
    #[error(transparent)]
    Proof(#[from] BadProof),
    /// It proves something else.
    #[error("its audit entry is about another transfer, act or time")]
    OtherEntry,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiptFormat {
    /// Version 1.
    #[serde(rename = "receipt/1")]
    V1,
}

/// Algorithm identifiers of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithms {
    /// Of files and documents.
    pub files: String,
    /// Of chunks.
    pub chunks: String,
    /// Of the audit tree.
    pub audit: String,
    /// Of the signature.
    pub signature: String,
}

impl Default for Algorithms {
    fn default() -> Self {
        Self {
            files: "sha-256".into(),
            chunks: "blake3".into(),
            audit: "rfc6962-sha-256".into(),
            signature: "sshsig-ed25519-sha-512".into(),
        }
    }
}

impl Receipt {
    /// The statement's bytes: indented JSON with a final line feed.
    pub fn to_statement(&self) -> String {
        // Serialising cannot fail: no maps, no fallible implementations.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// SHA-256 of the manifest that the source sealed, whatever of it was released.
    pub fn sealed_manifest(&self) -> Sha256 {
        self.part_of.map_or(self.manifest_sha256, |part_of| part_of.manifest_sha256)
    }

    /// What the source sent, whatever of it was released; none when the sums do not fit.
    pub fn sealed_totals(&self) -> Option<Totals> {
        self.part_of.map_or(Some(self.totals), |part_of| self.totals.and(part_of.left_out))
    }

    /// Checks the proof that what is stated stands in the audit log: whether there is one.
    ///
    /// # Errors
    /// When the proof does not lead to the root that the receipt names, or is about something else.
    pub fn check_inclusion(&self) -> Result<bool, BadInclusion> {
        let Some(inclusion) = &self.inclusion else { return Ok(false) };
        let entry = inclusion.check(&self.audit)?;
        let stated = (Some(&self.transfer), format!("transfer-{}", self.kind), self.time);
        if (entry.transfer.as_ref(), entry.act, entry.time) != stated {
            return Err(BadInclusion::OtherEntry);
        }
        Ok(true)
    }
}
