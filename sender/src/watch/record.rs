//! What the watcher remembers of one thing that was put into an outbox whole.

use serde::{Deserialize, Serialize};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;

/// Names one content of one entry of one outbox: the same files are the same record, whoever asks and however often.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(String);

impl RecordId {
    /// The id of an entry's content.
    pub fn of(outbox: &str, name: &str, fingerprint: &Sha256) -> Self {
        let digest = Sha256::of(format!("{outbox}\n{fingerprint}\n{name}").as_bytes()).to_string();
        Self(digest[..16].to_owned())
    }

    /// The id as text: 16 hexadecimal digits, also the name of a folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// One content of one entry, from the moment at which it was whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its outbox.
    pub outbox: String,
    /// Its name there.
    pub name: String,
    /// What lay there under that name.
    pub fingerprint: Sha256,
    /// The transfer that carries it, once the zone accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferId>,
    /// How far it is.
    pub stage: Stage,
}

impl Record {
    /// Its id.
    pub fn id(&self) -> RecordId {
        RecordId::of(&self.outbox, &self.name, &self.fingerprint)
    }
}

/// How far a record is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Stage {
    /// Whole, and not handed over yet.
    Whole,
    /// The zone holds it durably; what it decides is waited for.
    Received,
    /// It stands in its room.
    Delivered {
        /// When the watcher learnt of it.
        since: Timestamp,
    },
    /// It will not get there: it goes to the folder of what was refused.
    Refused {
        /// When the watcher learnt of it.
        since: Timestamp,
        /// Why.
        why: Why,
    },
}

/// Why something was not taken, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The zone's code; none where the sender itself refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Whether the message names files: then it is no text for a log, since names may tell of persons.
    #[serde(default)]
    pub names_files: bool,
}

impl Why {
    /// What the sender itself found.
    pub fn here(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), hint: hint.into(), names_files: false }
    }

    /// The same in words for a log.
    pub fn for_log(&self) -> String {
        match self.names_files {
            true => "files of this dataset, which the events and WHY.txt name".to_owned(),
            false => self.to_string(),
        }
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        Self { code: Some(refusal.code), message: refusal.message, hint: refusal.hint, names_files: false }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(out, "{} ({code})", self.message),
            None => out.write_str(&self.message),
        }
    }
}
