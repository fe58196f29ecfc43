//! What was sent: for each group, which files went in which dataset. It outlives the bytes, so that the same study sent twice is
//! one dataset.
//!
//! A file is known by a keyed digest of its path and its bytes, a group by one of its name: who has the memory and not the
//! spool's private key can neither read it nor try names against it.

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::DataPath;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Bytes of the longest memory of a group.
const MAX_MEMORY: u64 = 64 * 1024 * 1024;

/// Files of all versions of a group that are remembered, each with some 30 bytes: fewer than fill [`MAX_MEMORY`].
const MAX_FILES: usize = 1_000_000;

/// The memory, in its folder.
pub struct Memory {
    folder: PathBuf,
    identity: Identity,
    key: [u8; 32],
}

/// What is known of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its datasets, the first one first.
    pub versions: Vec<Version>,
}

/// One dataset of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The name of its folder in the outbox.
    pub batch: String,
    /// Its files: keyed digests of path and bytes.
    pub files: BTreeSet<String>,
    /// The list that it was made of, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

impl Known {
    /// Adds a version. What is too old to be remembered beside it is forgotten.
    pub fn add(&mut self, version: Version) {
        self.versions.push(version);
        let mut files: usize = self.versions.iter().map(|version| version.files.len()).sum();
        while files > MAX_FILES && self.versions.len() > 1 {
            files -= self.versions.remove(0).files.len();
        }
    }
}

impl Memory {
    /// The memory in `folder`.
    pub fn new(folder: PathBuf, identity: Identity) -> Self {
        let secret = identity.to_string();
        let key = blake3::derive_key("sluse gateway 1: names of groups and files", secret.expose_secret().as_bytes());
        Self { folder, identity, key }
    }

    /// What stands for a group wherever its name may not be read: 24 hexadecimal digits.
    pub fn pseudonym(&self, flow: &str, group: &str) -> String {
        self.keyed(&[b"group", flow.as_bytes(), group.as_bytes()])
    }

    /// What stands for a file.
    pub fn file(&self, path: &DataPath, sha256: &Sha256) -> String {
        self.keyed(&[b"file", path.as_str().as_bytes(), &sha256.0])
    }

    /// What is known of a group.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn recall(&self, pseudonym: &str) -> io::Result<Known> {
        let sealed = match files::read_bounded(&self.path(pseudonym), MAX_MEMORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
            other => other?,
        };
        let plain = age::decrypt(&self.identity, &sealed).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(serde_json::from_slice(&plain)?)
    }

    /// Remembers, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, pseudonym: &str, known: &Known) -> io::Result<()> {
        let sealed = age::encrypt(&self.identity.to_public(), &serde_json::to_vec(known)?).map_err(io::Error::other)?;
        files::replace(&self.path(pseudonym), &sealed, 0o640)
    }

    /// Forgets groups of which nothing came for so long; how many.
    ///
    /// # Errors
    /// When they cannot be looked at or removed.
    pub fn forget(&self, after: Duration) -> io::Result<usize> {
        let mut forgotten = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
            // What is of the future is not old.
            if age.is_ok_and(|age| age > after) {
                fs::remove_file(entry.path())?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn path(&self, pseudonym: &str) -> PathBuf {
        self.folder.join(format!("{pseudonym}.age"))
    }

    fn keyed(&self, parts: &[&[u8]]) -> String {
        let mut hash = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().to_hex()[..24].to_owned()
    }
}
