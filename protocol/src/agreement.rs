//! Agreements (*avtaler*): what allows a flow. A TOML file each; [`Agreement`] is its checked form.

use crate::finding::{Action, Class};
use crate::ids::{AgreementId, RoomName, SourceName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod check;
mod draft;
mod ending;
mod export;
mod pattern;
pub use crate::toml_text::Problem;
pub use check::{MAX_TEXT_BYTES, parse};
pub use draft::{Draft, Head, Lack, read};
pub use ending::{Ending, Part, THRESHOLDS};
pub use export::{Export, Output};
pub use pattern::{BadPattern, MAX_MATCH_BYTES, Pattern};

/// A checked agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its identifier.
    pub id: AgreementId,
    /// What it is about, in a line.
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
    #[serde(default)]
    pub variables: Vec<String>,
    /// First moment at which it allows anything.
    pub valid_from: Timestamp,
    /// Last moment at which it allows anything.
    pub valid_to: Timestamp,
    /// The source that may send.
    pub from: SourceName,
    /// The room that receives.
    pub to: RoomName,
    /// As what it stands there.
    #[serde(default)]
    pub delivery: Delivery,
    /// That it is about what leaves a room; then its source is a room's.
    #[serde(default)]
    pub export: Option<Export>,
    /// On which legal basis.
    pub legal_basis: LegalBasis,
    /// Approval by a regional committee for medical research ethics.
    pub rek: Option<Rek>,
    /// Data protection impact assessment.
    pub dpia: Reference,
    /// Agreement with the data processor.
    pub processing_agreement: Reference,
    /// How much may be sent.
    #[serde(default)]
    pub limits: Limits,
    /// What may be in it.
    #[serde(default)]
    pub content: Content,
    /// How it is released.
    pub release: Release,
    /// How long quarantined bytes are kept once nothing more happens to a transfer.
    pub retention: Retention,
    /// Until when the room must say that it has what was delivered; without it nobody waits for that.
    #[serde(default)]
    pub acknowledgement: Option<Awaited>,
    /// That its datasets are kept in sync: versions of each follow one another in the room.
    #[serde(default)]
    pub sync: Option<Sync>,
}

/// How identifiable the persons in the data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identifiability {
    /// Nobody can be identified.
    Anonymous,
    /// Only with a key kept elsewhere.
    Pseudonymised,
    /// Directly.
    Identifiable,
}

/// As what a dataset stands in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// A bag to be worked with: whose it is then is for the room to say.
    #[default]
    Bag,
    /// A bag to be kept for decades: signed as a whole, and read again on a schedule.
    Archive,
}

/// Legal basis (*behandlingsgrunnlag*) of the disclosure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegalBasis {
    /// Consent, exemption from confidentiality, or law.
    pub kind: LegalBasisKind,
    /// Who decided: Helsedataservice, REK, Helsedirektoratet, …
    pub authority: String,
    /// Its reference there.
    pub reference: String,
    /// Conditions that it sets.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// From when it holds.
    pub valid_from: Timestamp,
    /// Until when it holds.
    pub valid_to: Timestamp,
    /// Whether it covers repeated disclosures; if not, one delivered dataset ends what may be offered.
    pub periodic: bool,
}

/// Kinds of legal basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegalBasisKind {
    /// The persons agreed.
    Consent,
    /// Exemption from the duty of confidentiality (helsepersonelloven § 29).
    Exemption,
    /// A law allows it.
    Law,
}

/// An ethics committee's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rek {
    /// Its reference.
    pub reference: String,
    /// When it runs out.
    pub expires: Timestamp,
}

/// A document kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Its reference.
    pub reference: String,
}

/// How much may be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of one transfer.
    pub max_bytes: u64,
    /// Files and folders of one transfer.
    pub max_files: u64,
    /// Bytes of all transfers under this agreement that are not settled yet, and of the plans of all but the last.
    pub max_open_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 200_000_000_000, max_files: 200_000, max_open_bytes: 400_000_000_000 }
    }
}

/// What may be in a dataset, and what each class of finding leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// Types of files that may come, by the names of the `file-type` engine. Empty: every type that it knows, except
    /// programs.
    pub types: Vec<String>,
    /// Engines that must have read every file to its end: `file-type`, `signatures`, `clamd`, `icap`.
    pub engines: Vec<String>,
    /// The engines that suffice, all of them together, for files that are too large for one of those.
    pub above_limit: BTreeMap<String, Vec<String>>,
    /// Patterns of paths that may not come (`*` within a component, `**` across).
    pub forbidden_paths: Vec<String>,
    /// What a class of finding leads to, where it is not the class's default.
    pub actions: BTreeMap<Class, Action>,
    /// Whether direct identifiers are looked for: national identity numbers, names and birth dates in their fields.
    /// Where an agreement does not say, they are, unless its data is identifiable.
    pub forbid_identifiers: bool,
    /// What pseudonyms look like: a whole patient identifier or name in DICOM, HL7 and ODM must match.
    pub pseudonym: Option<Pattern>,
    /// What else may not stand anywhere in a file.
    pub patterns: Vec<NamedPattern>,
    /// The columns that tables may have. Empty: any.
    pub columns: Vec<String>,
    /// Whether DICOM files may have private (odd-group) elements.
    pub private_elements: bool,
    /// Counts in cells of tables from 1 to under this are told; in agreements of exports.
    pub small_cells: Option<u32>,
}

/// A named pattern of an agreement's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPattern {
    /// Its name; findings show it.
    pub name: String,
    /// What it looks for.
    pub pattern: Pattern,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            types: Vec::new(),
            engines: vec!["file-type".into(), "signatures".into()],
            above_limit: BTreeMap::new(),
            forbidden_paths: Vec::new(),
            actions: BTreeMap::new(),
            forbid_identifiers: true,
            pseudonym: None,
            patterns: Vec::new(),
            columns: Vec::new(),
            private_elements: false,
            small_cells: None,
        }
    }
}

impl Content {
    /// What a class of finding leads to.
    pub fn action(&self, class: Class) -> Action {
        self.actions.get(&class).copied().unwrap_or(class.default_action())
    }
}

/// How a dataset is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The rule.
    pub rule: ReleaseRule,
}

/// Release rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseRule {
    /// What no finding holds or blocks is released at once.
    Automatic,
    /// Everything is held until a person releases it.
    OneReviewer,
    /// Everything is held until two different persons have chosen, and both to release it.
    TwoReviewers,
}

/// That a room is to say that it has what was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awaited {
    /// Days after the delivery. At most as many as the zone keeps its own copy.
    pub within_days: u32,
}

/// How versions of a dataset follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// Whether a version may lack files of the one before.
    pub deletions: bool,
    /// Percent of the files of the version before; one that lacks more of them is held for a person.
    pub hold_deletions_above: u32,
    /// Which versions stay in the room; every one where nothing is said.
    #[serde(default)]
    pub keep: Option<KeepVersions>,
}

/// Which versions stay in the room beside the current one. One that neither rule keeps is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepVersions {
    /// The newest so many, the current one among them.
    pub versions: Option<u32>,
    /// Those that were delivered in the last so many days.
    pub days: Option<u32>,
}

/// How long quarantined bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days after the transfer is settled (delivered, rejected, cancelled, expired or failed).
    pub quarantine_days: u32,
    /// Days that a held transfer waits for a decision before it expires.
    pub hold_days: u32,
}
