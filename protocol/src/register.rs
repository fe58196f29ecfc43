//! The register of disclosures (*utleveringsoversikt*): what was released to whom, on which legal basis, approved by whom.
//!
//! There is a [`Record`] for each release, written with it, and one for each correction. A record is one line of JSON that is kept
//! and passed on unchanged; the audit log has its SHA-256, so that a record that was changed, removed or added shows. What becomes
//! of a release later ([`Outcome`]) is no part of it: that is in the log and in receipts, and is told with the record.

use crate::agreement::{Agreement, Identifiability, LegalBasis, Output, Reference, Rek};
use crate::courier::Remains;
use crate::digest::Sha256;
use crate::document::Totals;
use crate::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId, ZoneName};
use crate::part::PartOf;
use crate::receipt::{DecisionRecord, Receipt};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

mod correction;
mod selection;
pub use correction::{BadChange, CORRECTABLE, Change};
pub use selection::{Filter, Sums};

/// The act of the audit entry that has the digest of a release's record.
pub const RECORDED: &str = "disclosure-recorded";

/// The act of the audit entry that has the digest of a correction.
pub const CORRECTED: &str = "disclosure-corrected";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// `disclosure/1`.
    pub sluse: RecordFormat,
    /// Its number in the register, from 1.
    pub number: u64,
    /// When it was written.
    pub time: Timestamp,
    /// The landing zone that released.
    pub zone: ZoneName,
    /// What it corrects, and why; none in the record of a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
    /// The transfer that brought the dataset.
    pub transfer: TransferId,
    /// When it was released.
    pub released: Timestamp,
    /// Number of the audit entry that says so.
    pub release_entry: u64,
    /// SHA-256 of the *released* receipt's statement.
    pub receipt: Sha256,
    /// Who approved it, or by which rule.
    pub approval: DecisionRecord,
    /// Whose system sent it.
    pub source: SourceName,
    /// Who receives it.
    pub room: RoomName,
    /// How it goes there.
    pub route: Route,
    /// The dataset.
    pub dataset: DatasetName,
    /// How many files, how many bytes.
    pub totals: Totals,
    /// SHA-256 of the list of its files, which has each one's name and digest.
    pub manifest_sha256: Sha256,
    /// That files were left out: of which manifest, and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<PartOf>,
    /// The agreement that allows it.
    pub agreement: AgreementId,
    /// SHA-256 of the agreement's text as it was in force.
    pub agreement_sha256: Sha256,
    /// What the agreement says of it.
    pub terms: Terms,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordFormat {
    /// Version 1.
    #[serde(rename = "disclosure/1")]
    V1,
}

/// That a record corrects another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Number of the record that it stands in for.
    pub corrects: u64,
    /// The person who corrected.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// How data goes to its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// How the source hands it to the zone: `quic-tls1.3`.
    pub intake: String,
    /// How the zone hands it to the room: `bag-in-folder`.
    pub delivery: String,
    /// The room's folder, below the zone's folder of rooms.
    pub folder: String,
}

/// Why data may be disclosed, as the agreement in force says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What the agreement is about, in a line.
    pub title: String,
    /// The research project.
    pub project: String,
    /// Data controller (*dataansvarlig*).
    pub controller: String,
    /// Why the data is disclosed.
    pub purpose: String,
    /// How identifiable the persons are.
    pub identifiability: Identifiability,
    /// The variables disclosed, where they are declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// What kinds of results may leave a room, where it is about that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<Output>,
    /// The period in which the agreement allows anything: its beginning.
    pub valid_from: Timestamp,
    /// Its end.
    pub valid_to: Timestamp,
    /// On which legal basis.
    pub legal_basis: LegalBasis,
    /// Approval by a regional committee for medical research ethics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rek: Option<Rek>,
    /// Data protection impact assessment.
    pub dpia: Reference,
    /// Agreement with the data processor.
    pub processing_agreement: Reference,
}

impl Record {
    /// The record of a release that a receipt attests.
    pub fn of(
        number: u64,
        time: Timestamp,
        receipt: &Receipt,
        statement: &Sha256,
        agreement: &Agreement,
        folder: &str,
    ) -> Option<Self> {
        Some(Self {
            sluse: RecordFormat::V1,
            number,
            time,
            zone: receipt.zone.clone(),
            correction: None,
            transfer: receipt.transfer.clone(),
            released: receipt.time,
            release_entry: receipt.audit.size.checked_sub(1)?,
            receipt: *statement,
            approval: receipt.decision.clone()?,
            source: receipt.source.clone(),
            room: receipt.room.clone(),
            route: Route { intake: "quic-tls1.3".into(), delivery: "bag-in-folder".into(), folder: folder.into() },
            dataset: receipt.dataset.clone(),
            totals: receipt.totals,
            manifest_sha256: receipt.manifest_sha256,
            part_of: receipt.part_of,
            agreement: receipt.agreement.clone(),
            agreement_sha256: receipt.agreement_sha256,
            terms: Terms::of(agreement),
        })
    }

    /// The record's bytes: one line of JSON, without a line feed.
    pub fn to_statement(&self) -> String {
        // Serialising cannot fail: string keys only, no fallible implementations.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The record that this one corrects.
    pub fn corrects(&self) -> Option<u64> {
        self.correction.as_ref().map(|correction| correction.corrects)
    }

    /// The act of the audit entry that has its digest.
    pub fn act(&self) -> &'static str {
        if self.correction.is_some() { CORRECTED } else { RECORDED }
    }
}

impl Terms {
    fn of(agreement: &Agreement) -> Self {
        let Agreement {
            title,
            project,
            controller,
            purpose,
            variables,
            export,
            legal_basis,
            rek,
            dpia,
            processing_agreement,
            ..
        } = agreement.clone();
        Self {
            title,
            project,
            controller,
            purpose,
            identifiability: agreement.identifiability,
            variables,
            output: export.map(|export| export.output).unwrap_or_default(),
            valid_from: agreement.valid_from,
            valid_to: agreement.valid_to,
            legal_basis,
            rek,
            dpia,
            processing_agreement,
        }
    }
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disclosed {
    /// Released, and not in its room yet.
    Underway,
    /// It stands in its room.
    Delivered,
    /// It did not get there: held again, cancelled or failed.
    Withdrawn,
    /// It may stand in its room, which is elsewhere and could not be reached when the delivery was taken back.
    Uncertain,
}

/// What became of a release, as the zone knows it when asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Whether it was disclosed.
    pub disclosed: Disclosed,
    /// When it stood in its room.
    pub delivered: Option<Timestamp>,
    /// SHA-256 of the *delivered* receipt's statement.
    pub receipt: Option<Sha256>,
    /// The bag's folder, relative to the room's.
    pub bag: Option<String>,
    /// SHA-256 of the bag's `tagmanifest-sha256.txt`.
    pub tagmanifest: Option<Sha256>,
    /// What may be left in its room elsewhere, where the delivery was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remains: Option<Remains>,
    /// When the zone's own copy is to be destroyed.
    pub deletion_due: Option<Timestamp>,
    /// When it was.
    pub deleted: Option<Timestamp>,
    /// The record that corrects this one.
    pub corrected_by: Option<u64>,
}

/// A record as the zone tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Its bytes.
    pub statement: String,
    /// Number of the audit entry that has its digest.
    pub entry: u64,
    /// The SHA-256 in that entry.
    pub sha256: Sha256,
    /// What became of it.
    pub outcome: Outcome,
}

/// A record that is not the one that was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Its bytes are others than those whose digest the audit log has.
    #[error("its bytes are not those whose SHA-256 audit entry {0} has")]
    Digest(u64),
    /// It is not a record.
    #[error("it is not a record of a disclosure")]
    Syntax,
}

impl Registered {
    /// The record, when it is the one whose digest the audit log has.
    ///
    /// # Errors
    /// When it is not.
    pub fn record(&self) -> Result<Record, BadRecord> {
        if Sha256::of(self.statement.as_bytes()) != self.sha256 {
            return Err(BadRecord::Digest(self.entry));
        }
        serde_json::from_str(&self.statement).map_err(|_| BadRecord::Syntax)
    }
}

#[cfg(test)]
mod tests;
