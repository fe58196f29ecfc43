//! What is known of a pull between two runs: `pulls/NAME.json`, without names of persons and without secrets.

use crate::spool::FileId;
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::time::Timestamp;
use std::io;
use std::path::PathBuf;

/// Bytes of the longest one: a hundred thousand files of an export.
const MAX_STATE: u64 = 64 * 1024 * 1024;

/// What is known of a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// When it was last done, with or without something new.
    pub done: Option<Timestamp>,
    /// Of which time the last whole FHIR export is, as the server writes it.
    pub transaction_time: Option<String>,
    /// The export that is being fetched.
    pub job: Option<Job>,
}

/// An export that is being fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What was asked for: another configuration is another export.
    pub asked: String,
    /// Where its files lead.
    pub flow: AgreementId,
    /// When it began.
    pub begun: Timestamp,
    /// Where the server tells how it stands.
    pub status: String,
    /// Its files, those that are being fetched too.
    pub files: Vec<Fetched>,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// Its path in the dataset: a type and a number.
    pub place: String,
    /// What its parcel says it is.
    pub file: FileId,
    /// What it was fetched as: a digest of its entry in the manifest; none before it is stored.
    pub entry: Option<Sha256>,
}

/// Where a pull's state lies.
#[derive(Debug, Clone)]
pub struct Kept(PathBuf);

impl Kept {
    /// The state of the pull `name` in `folder`.
    pub fn new(folder: &std::path::Path, name: &str) -> Self {
        Self(folder.join(format!("{name}.json")))
    }

    /// Reads it; nothing is known where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn read(&self) -> io::Result<State> {
        match files::read_bounded(&self.0, MAX_STATE) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, state: &State) -> io::Result<()> {
        files::replace(&self.0, &serde_json::to_vec(state)?, 0o600)
    }
}
