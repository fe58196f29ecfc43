//! Corrections: which fields of a record may be set right, and how. What the zone itself saw (digests, counts, times, who approved)
//! cannot be: only what people wrote into the agreement.

use super::{Correction, Record, Terms};
use crate::agreement::{Identifiability, LegalBasisKind, Reference};
use crate::limits::MAX_REASON_BYTES;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The fields that may be corrected, as [`Change::field`] names them.
pub const CORRECTABLE: &[&str] = &[
    "title",
    "project",
    "controller",
    "purpose",
    "identifiability",
    "variables",
    "legal-basis.kind",
    "legal-basis.authority",
    "legal-basis.reference",
    "rek.reference",
    "dpia",
    "processing-agreement",
];

/// A field and what it should say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// One of [`CORRECTABLE`].
    pub field: String,
    /// Its text; several variables are parted by commas.
    pub value: String,
}

/// A change that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// There is no such field, or it is not for correcting.
    #[error("`{0}` cannot be corrected; what can: {fields}", fields = CORRECTABLE.join(", "))]
    Field(String),
    /// The value does not fit the field.
    #[error("`{field}`: {what}")]
    Value {
        /// The field.
        field: String,
        /// What it takes.
        what: &'static str,
    },
}

impl Record {
    /// The record that stands in for this one.
    ///
    /// # Errors
    /// When a change cannot be made.
    pub fn corrected(
        &self,
        number: u64,
        time: Timestamp,
        by: String,
        reason: String,
        changes: &[Change],
    ) -> Result<Self, BadChange> {
        let mut record = self.clone();
        (record.number, record.time) = (number, time);
        record.correction = Some(Correction { corrects: self.number, by, reason });
        changes.iter().try_for_each(|change| record.terms.set(change))?;
        Ok(record)
    }
}

impl Terms {
    fn set(&mut self, change: &Change) -> Result<(), BadChange> {
        let bad = |what| BadChange::Value { field: change.field.clone(), what };
        let value = change.value.trim();
        if value.is_empty() || value.len() > MAX_REASON_BYTES || value.chars().any(char::is_control) {
            return Err(bad("a line of text, not empty and not over 2000 bytes"));
        }
        let text = value.to_owned();
        match change.field.as_str() {
            "title" => self.title = text,
            "project" => self.project = text,
            "controller" => self.controller = text,
            "purpose" => self.purpose = text,
            "identifiability" => {
                self.identifiability = match value {
                    "anonymous" => Identifiability::Anonymous,
                    "pseudonymised" => Identifiability::Pseudonymised,
                    "identifiable" => Identifiability::Identifiable,
                    _ => return Err(bad("anonymous, pseudonymised or identifiable")),
                }
            }
            "variables" => self.variables = value.split(',').map(|name| name.trim().to_owned()).collect(),
            "legal-basis.kind" => {
                self.legal_basis.kind = match value {
                    "consent" => LegalBasisKind::Consent,
                    "exemption" => LegalBasisKind::Exemption,
                    "law" => LegalBasisKind::Law,
                    _ => return Err(bad("consent, exemption or law")),
                }
            }
            "legal-basis.authority" => self.legal_basis.authority = text,
            "legal-basis.reference" => self.legal_basis.reference = text,
            "rek.reference" => match &mut self.rek {
                Some(rek) => rek.reference = text,
                None => return Err(bad("the record names no approval")),
            },
            "dpia" => self.dpia = Reference { reference: text },
            "processing-agreement" => self.processing_agreement = Reference { reference: text },
            _ => return Err(BadChange::Field(change.field.clone())),
        }
        Ok(())
    }
}
