//! What the sender remembers in its identity folder, under `transfers/`:
//!
//! - `attempts/<key>.json`: which attempt at sending an unchanged dataset is the current one;
//! - `<transfer>/sealed.json`: what was sealed, durable before the zone is asked to seal; receipts are compared with it;
//! - `<transfer>/status.json`: what the zone said of it last, and when;
//! - `<transfer>/<kind>.json` and `.json.sig`: the zone's receipts, verified.

use crate::error::Error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::TransferStatus;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a [`Note`].
const NOTE: &str = "status.json";

/// Bytes of the largest file of the journal.
const MAX_FILE: u64 = 64 * 1024;

/// What is sent: the same again is the same transfer, unless a new attempt is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub agreement: AgreementId,
    pub dataset: DatasetName,
    pub plan: Sha256,
    /// Of a dataset that is kept in sync, what the version follows: the same files again later are another version. Of another, what
    /// whoever sends it sets it apart by.
    pub follows: Option<String>,
}

impl Subject {
    /// The idempotency key of an attempt.
    pub fn key(&self, attempt: u32) -> Sha256 {
        let Self { agreement, dataset, plan, follows } = self;
        let follows = follows.as_ref().map(|follows| format!("{follows}\n")).unwrap_or_default();
        Sha256::of(format!("sluse-key/1\n{agreement}\n{dataset}\n{plan}\n{attempt}\n{follows}").as_bytes())
    }
}

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    pub agreement: AgreementId,
    pub dataset: DatasetName,
    pub plan: Sha256,
    pub totals: Totals,
    pub manifest_sha256: Sha256,
    pub chunk_list: Sha256,
    /// What the file system said of the files ([`crate::plan::Plan::stamps`]); none when that would not show every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamps: Option<Sha256>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    agreement: AgreementId,
    dataset: DatasetName,
    plan: Sha256,
    attempt: u32,
}

/// What the zone said of a transfer last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// When it said so, by this host's clock.
    pub learnt: Timestamp,
    /// What it said.
    pub status: TransferStatus,
}

/// The journal of an identity folder.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in `identity`, the identity folder.
    pub fn new(identity: &Path) -> Self {
        Self { folder: identity.join("transfers") }
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a transfer.
    pub fn transfer(&self, transfer: &TransferId) -> PathBuf {
        self.folder.join(transfer.as_str())
    }

    /// The current attempt at `subject`, from 0.
    pub fn attempt(&self, subject: &Subject) -> Result<u32, Error> {
        Ok(read::<Attempt>(&self.attempt_file(subject))?.map_or(0, |attempt| attempt.attempt))
    }

    /// Makes `attempt` the current one.
    pub fn begin_attempt(&self, subject: &Subject, attempt: u32) -> Result<(), Error> {
        let Subject { agreement, dataset, plan, .. } = subject.clone();
        let folder = self.folder.join("attempts");
        self.make(&folder)?;
        write(&self.attempt_file(subject), &Attempt { agreement, dataset, plan, attempt })
    }

    /// What was sealed as `transfer`, if this identity sealed it.
    pub fn sealed(&self, transfer: &TransferId) -> Result<Option<Sealed>, Error> {
        read(&self.transfer(transfer).join("sealed.json"))
    }

    /// Remembers what is going to be sealed as `transfer`.
    pub fn keep_sealed(&self, transfer: &TransferId, sealed: &Sealed) -> Result<(), Error> {
        let folder = self.transfer(transfer);
        self.make(&folder)?;
        write(&folder.join("sealed.json"), sealed)
    }

    /// Remembers what the zone says of a transfer, if that is news.
    pub fn note(&self, status: &TransferStatus) -> Result<(), Error> {
        let folder = self.transfer(&status.transfer);
        if self.noted(&status.transfer)?.is_some_and(|note| note.status == *status) {
            return Ok(());
        }
        self.make(&folder)?;
        write(&folder.join(NOTE), &Note { learnt: sluse_host::clock::now(), status: status.clone() })
    }

    /// What the zone said of a transfer last.
    pub fn noted(&self, transfer: &TransferId) -> Result<Option<Note>, Error> {
        read(&self.transfer(transfer).join(NOTE))
    }

    /// What the zone said last of every transfer that this identity sent, the latest first.
    pub fn notes(&self) -> Result<Vec<Note>, Error> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::file(&self.folder))?,
        };
        let mut notes = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::file(&self.folder))?.file_name();
            if let Some(transfer) = name.to_str().and_then(|name| name.parse::<TransferId>().ok()) {
                notes.extend(self.noted(&transfer)?);
            }
        }
        notes.sort_unstable_by(|one, other| other.status.transfer.cmp(&one.status.transfer));
        Ok(notes)
    }

    fn attempt_file(&self, subject: &Subject) -> PathBuf {
        self.folder.join("attempts").join(format!("{}.json", subject.key(0)))
    }

    /// Makes a folder below `transfers/`, durably.
    pub(crate) fn make(&self, folder: &Path) -> Result<(), Error> {
        if folder.is_dir() {
            return Ok(());
        }
        let identity = self.folder.parent().unwrap_or(&self.folder);
        files::create_folder(&self.folder, 0o700)
            .and_then(|()| files::create_folder(folder, 0o700))
            .and_then(|()| files::sync_folder(&self.folder))
            .and_then(|()| files::sync_folder(identity))
            .map_err(Error::file(folder))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match files::read_bounded(path, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::file(path))?,
    };
    let parsed = serde_json::from_slice(&bytes).map_err(|error| Error::Identity {
        path: path.to_owned(),
        what: error.to_string(),
        hint: "The sender's journal is damaged: restore this file, or remove it to have it made anew.",
    })?;
    Ok(Some(parsed))
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Fault { what: path.display().to_string(), error: error.into() })?;
    text.push('\n');
    files::replace(path, text.as_bytes(), 0o600).map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::transfer::State;

    fn subject(plan: &[u8]) -> Subject {
        let plan = Sha256::of(plan);
        Subject { agreement: "a-1".parse().unwrap(), dataset: "Blodprøver".parse().unwrap(), plan, follows: None }
    }

    #[test]
    fn an_attempt_belongs_to_one_agreement_dataset_and_plan() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        assert_eq!(journal.attempt(&subject(b"one")).unwrap(), 0);
        journal.begin_attempt(&subject(b"one"), 1).unwrap();
        assert_eq!(journal.attempt(&subject(b"one")).unwrap(), 1);
        assert_eq!(journal.attempt(&subject(b"two")).unwrap(), 0);
        assert_ne!(subject(b"one").key(0), subject(b"one").key(1));
        let later = Subject { follows: Some("20261122-101500-7f3k9a2m".into()), ..subject(b"one") };
        assert_ne!(subject(b"one").key(0), later.key(0));
    }

    #[test]
    fn what_the_zone_said_last_of_each_transfer_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        assert_eq!(journal.notes().unwrap(), []);
        let status = |seconds, state| TransferStatus {
            transfer: TransferId::new(Timestamp::from_unix(seconds), [1; 5]),
            agreement: "a-1".parse().unwrap(),
            dataset: "blood".parse().unwrap(),
            state,
            since: Timestamp::from_unix(seconds),
            totals: Totals::default(),
            reason: None,
            receipts: Vec::new(),
        };
        journal.begin_attempt(&subject(b"one"), 1).unwrap();
        journal.note(&status(1, State::Received)).unwrap();
        journal.note(&status(2, State::Received)).unwrap();
        journal.note(&status(1, State::Rejected)).unwrap();
        let said: Vec<_> = journal.notes().unwrap().into_iter().map(|note| note.status).collect();
        assert_eq!(said, [status(2, State::Received), status(1, State::Rejected)]);
    }

    #[test]
    fn a_damaged_journal_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        journal.begin_attempt(&subject(b"one"), 1).unwrap();
        std::fs::write(journal.attempt_file(&subject(b"one")), "{").unwrap();
        let error = journal.attempt(&subject(b"one")).unwrap_err().to_string();
        assert!(error.contains("attempts"), "{error}");
    }
}
