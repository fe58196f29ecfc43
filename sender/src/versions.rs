//! What is remembered of the versions of a dataset that is kept in sync: each file's digest and pieces. In the identity folder, under
//! `transfers/`:
//!
//! - `<transfer>/version.json`: the version that a transfer carries, with a checksum behind it;
//! - `datasets/<digest>.json`: which transfers carry versions of a dataset, the latest last.
//!
//! A version that is not there, or damaged, costs bytes on the wire and nothing else: it is sent whole.

use crate::error::Error;
use crate::journal::Journal;
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::document::{Entry, Kind};
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::sync::pieces::Piece;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the largest version that is read: a million files, or a million pieces.
const MAX_BYTES: u64 = 1 << 30;

/// Versions of one dataset that are remembered: the zone builds on one that it delivered, however many are under way.
const MOST: usize = 16;

/// A version of a dataset.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    /// How large its pieces are on average.
    pub average: u32,
    /// Its files and empty folders, in the plan's order.
    pub entries: Vec<Surveyed>,
}

/// A file or empty folder of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Surveyed {
    /// As it stands in the manifest.
    pub entry: Entry,
    /// When it changed last, nanoseconds since 1970, and its number on its file system; none when another change might not have shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<(i64, u64)>,
    /// Its pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

impl Version {
    /// Whether both have the same files with the same bytes. When these were written says nothing: exports write theirs anew each time.
    pub fn has_the_content_of(&self, other: &Version) -> bool {
        let content = |surveyed: &Surveyed| {
            let Entry { path, kind, size, executable, sha256, .. } = &surveyed.entry;
            (path.clone(), *kind, *size, *executable, *sha256)
        };
        self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(one, other)| content(one) == content(other))
    }

    /// The digests of its files, in order.
    pub fn digests(&self) -> Vec<Sha256> {
        let files = self.entries.iter().filter(|surveyed| surveyed.entry.kind == Kind::File);
        files.filter_map(|surveyed| surveyed.entry.sha256).collect()
    }

    /// The pieces of all files, one after another.
    pub fn pieces(&self) -> Vec<Piece> {
        self.entries.iter().flat_map(|surveyed| &surveyed.pieces).copied().collect()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    versions: Vec<TransferId>,
}

/// The remembered versions of one dataset.
#[derive(Debug, Clone)]
pub(crate) struct Versions {
    journal: Journal,
    list: PathBuf,
}

impl Versions {
    /// Those of `dataset` under `agreement`.
    pub fn of(journal: &Journal, agreement: &AgreementId, dataset: &DatasetName) -> Self {
        let name = Sha256::of(format!("{agreement}\n{dataset}\n").as_bytes());
        Self { journal: journal.clone(), list: journal.folder().join("datasets").join(format!("{name}.json")) }
    }

    /// The version that a transfer carries, if it is remembered.
    pub fn load(&self, transfer: &TransferId) -> Result<Option<Version>, Error> {
        let path = self.file(transfer);
        let bytes = match files::read_bounded(&path, MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::file(&path))?,
        };
        Ok(decode(&bytes))
    }

    /// The version that was remembered last.
    pub fn last(&self) -> Result<Option<Version>, Error> {
        match self.list()?.versions.last() {
            Some(transfer) => self.load(transfer),
            None => Ok(None),
        }
    }

    /// Remembers what a transfer carries, durably.
    pub fn keep(&self, transfer: &TransferId, version: &Version) -> Result<(), Error> {
        self.journal.make(&self.journal.transfer(transfer))?;
        self.journal.make(self.list.parent().unwrap_or(&self.list))?;
        let path = self.file(transfer);
        files::replace(&path, &encode(&path, version)?, 0o600).map_err(Error::file(&path))?;
        let mut list = self.list()?;
        if !list.versions.contains(transfer) {
            list.versions.push(transfer.clone());
        }
        self.drop_all_but(list, |_| true)
    }

    /// Forgets the versions before `oldest`, on which nothing will be built any more.
    pub fn forget_before(&self, oldest: &TransferId) -> Result<(), Error> {
        let list = self.list()?;
        match list.versions.iter().any(|version| version < oldest) {
            true => self.drop_all_but(list, |version| version >= oldest),
            false => Ok(()),
        }
    }

    fn drop_all_but(&self, list: List, wanted: impl Fn(&TransferId) -> bool) -> Result<(), Error> {
        let surplus = list.versions.len().saturating_sub(MOST);
        let keep = |at: usize, version: &TransferId| at >= surplus && wanted(version);
        let (mut kept, mut gone) = (List::default(), Vec::new());
        for (at, version) in list.versions.into_iter().enumerate() {
            if keep(at, &version) { kept.versions.push(version) } else { gone.push(version) }
        }
        let text = serde_json::to_vec(&kept).map_err(|error| fault(&self.list, error))?;
        files::replace(&self.list, &text, 0o600).map_err(Error::file(&self.list))?;
        for version in gone {
            let path = self.file(&version);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::file(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<List, Error> {
        match files::read_bounded(&self.list, 64 * 1024) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(List::default()),
            // A list that cannot be read any more is begun anew.
            other => Ok(serde_json::from_slice(&other.map_err(Error::file(&self.list))?).unwrap_or_default()),
        }
    }

    fn file(&self, transfer: &TransferId) -> PathBuf {
        self.journal.transfer(transfer).join("version.json")
    }
}

fn fault(path: &Path, error: serde_json::Error) -> Error {
    Error::Fault { what: path.display().to_string(), error: error.into() }
}

/// A line of JSON, and a line with its digest: what is damaged must not be taken for a version.
fn encode(path: &Path, version: &Version) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec(version).map_err(|error| fault(path, error))?;
    let digest = ChunkDigest::of(&bytes);
    bytes.extend_from_slice(format!("\n{digest}\n").as_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Option<Version> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (json, digest) = bytes.split_at(end);
    let digest: ChunkDigest = std::str::from_utf8(digest).ok()?.trim().parse().ok()?;
    if ChunkDigest::of(json) != digest {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::time::Timestamp;

    fn version(size: u64, mtime: i64) -> Version {
        let entry = Entry {
            path: "a.csv".parse().unwrap(),
            kind: Kind::File,
            size,
            mtime,
            mtime_ns: 0,
            executable: false,
            sha256: Some(Sha256::of(&[size as u8])),
        };
        let pieces = vec![Piece { length: size as u32, digest: ChunkDigest::of(&[size as u8]) }];
        Version { average: 16_384, entries: vec![Surveyed { entry, stamp: Some((1, 2)), pieces }] }
    }

    fn id(seconds: i64) -> TransferId {
        TransferId::new(Timestamp::from_unix(seconds), [0; 5])
    }

    #[test]
    fn versions_are_remembered_until_nothing_is_built_on_them() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let versions = Versions::of(&journal, &"a-1".parse().unwrap(), &"edc".parse().unwrap());
        assert!(versions.last().unwrap().is_none());
        for number in 1..4 {
            versions.keep(&id(number), &version(number as u64, 0)).unwrap();
        }
        assert_eq!(versions.last().unwrap(), Some(version(3, 0)));
        versions.forget_before(&id(2)).unwrap();
        assert!(versions.load(&id(1)).unwrap().is_none());
        assert_eq!(versions.load(&id(2)).unwrap(), Some(version(2, 0)));
        let other = Versions::of(&journal, &"a-1".parse().unwrap(), &"other".parse().unwrap());
        assert!(other.last().unwrap().is_none());
        for number in 4..40 {
            versions.keep(&id(number), &version(1, 0)).unwrap();
        }
        assert!(versions.load(&id(20)).unwrap().is_none() && versions.load(&id(39)).unwrap().is_some());
    }

    #[test]
    fn a_damaged_version_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::of(&Journal::new(folder.path()), &"a-1".parse().unwrap(), &"edc".parse().unwrap());
        versions.keep(&id(1), &version(10, 0)).unwrap();
        let good = std::fs::read(versions.file(&id(1))).unwrap();
        for at in [3, good.len() / 2, good.len() - 4] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(versions.file(&id(1)), &bytes).unwrap();
            assert_eq!(versions.load(&id(1)).unwrap(), None, "{at}");
        }
        std::fs::write(versions.file(&id(1)), &good[..good.len() / 2]).unwrap();
        assert_eq!(versions.last().unwrap(), None);
    }

    #[test]
    fn a_file_that_was_written_anew_with_the_same_bytes_is_the_same() {
        assert!(version(1, 0).has_the_content_of(&version(1, 99)));
        assert!(!version(1, 0).has_the_content_of(&version(2, 0)));
    }
}
