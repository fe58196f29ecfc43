//! What inspectors saw, and what they report of a whole transfer.

use crate::digest::Sha256;
use crate::ids::TransferId;
use crate::path::DataPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! classes {
    ($($name:ident, $text:literal, $default:ident, $doc:literal;)*) => {
        /// What kind of thing was found. An agreement says what each class leads to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Class {
            $(#[doc = $doc] #[serde(rename = $text)] $name,)*
        }

        impl Class {
            /// Every class.
            pub const ALL: &[Class] = &[$(Class::$name),*];

            /// The class's name, as in agreements and findings.
            pub fn as_str(self) -> &'static str {
                match self { $(Class::$name => $text,)* }
            }

            /// What it leads to where the agreement says nothing.
            pub fn default_action(self) -> Action {
                match self { $(Class::$name => Action::$default,)* }
            }
        }
    };
}

classes! {
    Malware, "malware", Block, "An engine names malware.";
    Executable, "executable", Block, "A program, library or script that a computer would run.";
    Encrypted, "encrypted", Hold, "Encrypted by its sender: it cannot be inspected.";
    Bomb, "bomb", Hold, "An archive made to overwhelm what opens it, or past the limits to which archives are opened.";
    Polyglot, "polyglot", Hold, "One file that is two: programs disagree about what it is.";
    ActiveContent, "active-content", Hold, "A document that acts when it is opened: scripts, launches, embedded files.";
    Path, "path", Hold, "A name in an archive that plays tricks: it leads elsewhere, looks like another, or stands twice.";
    BrokenArchive, "broken-archive", Hold, "An archive that is not what its format requires: cut off, disagreeing lists, hidden bytes.";
    Malformed, "malformed", Hold, "Not what its format requires.";
    TypeNotAllowed, "type-not-allowed", Hold, "A known type that the agreement does not list.";
    TypeUnknown, "type-unknown", Hold, "A type that no inspector recognises.";
    TypeMismatch, "type-mismatch", Warn, "The content is of another type than the name says.";
    NotInspected, "not-inspected", Hold, "An engine that the agreement requires did not read all of it: absent, timed out, crashed, or too large for it.";
    AboveLimit, "above-limit", Warn, "Larger than an engine that the agreement requires takes: read by those that suffice then.";
    Identifier, "identifier", Block, "National identity numbers, certain by their place or their number.";
    IdentifierReview, "identifier-review", Hold, "Digits that may be a national identity number: a person must look.";
    IdentifierTest, "identifier-test", Warn, "Synthetic national identity numbers, as test data has them.";
    NamedPattern, "named-pattern", Hold, "Something that one of the agreement's own patterns looks for.";
    NotDeidentified, "not-deidentified", Hold, "Names, birth dates or other signs that persons were not de-identified.";
    ColumnNotAgreed, "column-not-agreed", Hold, "A column that the agreement's list does not have.";
    SmallCells, "small-cells", Warn, "Counts in a table of an export so small that persons may be recognised in them.";
    Irregular, "irregular", Warn, "Readable, but not quite as its format asks.";
}

impl std::fmt::Display for Class {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a finding leads to, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing; it is recorded.
    Allow,
    /// It is pointed out to the room and the operators.
    Warn,
    /// A person must decide.
    Hold,
    /// The transfer is rejected.
    Block,
}

/// What one inspector saw in one file. Names and places only: never content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The engine that saw it.
    pub engine: String,
    /// What it is.
    pub class: Class,
    /// The file; none when it concerns the whole transfer.
    pub file: Option<DataPath>,
    /// Where in the file, bytes from its start.
    pub offset: Option<u64>,
    /// A sentence for a person, with the name of the signature or type; no content of the file.
    pub message: String,
}

/// One engine's part in an inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineReport {
    /// Its name, as in agreements: `file-type`, `signatures`, `clamd`, `icap`.
    pub engine: String,
    /// Its version; empty when it could not be asked.
    pub version: String,
    /// Version or date of its signatures, as it states it.
    pub signatures: String,
    /// Files that it read to their end.
    pub files: u64,
    /// What others read instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_limit: Option<AboveLimit>,
}

/// Files that were too large for an engine that an agreement requires, and were read by engines that suffice then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AboveLimit {
    /// How many there were.
    pub files: u64,
    /// The engines that read each of them to its end, as the agreement names them.
    pub read_by: Vec<String>,
}

/// What `inspect` reports of a transfer whose digests all agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The transfer.
    pub transfer: TransferId,
    /// The manifest that was inspected.
    pub manifest: Sha256,
    /// Files whose SHA-256 agreed.
    pub files: u64,
    /// What each engine did.
    pub engines: Vec<EngineReport>,
    /// How many findings there were of each class, those beyond the kept ones included.
    pub counts: BTreeMap<Class, u64>,
    /// What was found: the gravest, at most [`crate::limits::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_stands_in_documents_as_its_name() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_string(class).unwrap(), format!("\"{class}\""));
        }
    }

    #[test]
    fn the_documentation_states_each_class_and_its_default() {
        let page = include_str!("../../docs/findings.md");
        for class in Class::ALL {
            let default = serde_json::to_string(&class.default_action()).unwrap();
            let row = format!("| `{class}` | {} |", default.trim_matches('"'));
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn actions_order_from_mild_to_grave() {
        assert!(Action::Allow < Action::Warn && Action::Warn < Action::Hold && Action::Hold < Action::Block);
    }
}
