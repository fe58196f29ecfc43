//! The document of a dataset in the spool: its files and the parcels that they consist of. An age file, since it has names.

use crate::gather::{Gathered, Part};
use crate::spool::Opened;
use age::x25519::Identity;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use sluse_sender::{Given, GivenFile, Supply};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Its name in the dataset's folder.
pub const DOCUMENT: &str = "dataset.age";

/// Bytes of the longest document: some hundred for each of 100,000 files, and 80 for each parcel.
const MAX_DOCUMENT: u64 = 256 * 1024 * 1024;

/// A dataset that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its flow.
    pub flow: AgreementId,
    /// What it was gathered by.
    pub group: String,
    /// The dataset's name at the zone.
    pub dataset: DatasetName,
    /// Its files, ascending by path.
    pub files: Vec<DocumentFile>,
    /// The parcel with the list that named them, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentFile {
    /// Its path in the dataset.
    pub path: DataPath,
    /// When it was changed last.
    pub mtime: Timestamp,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Whether it shows how something stands now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands: bool,
    /// What stands for its content when it is compared, where that is not its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<Sha256>,
    /// The parcels that it consists of, and how many bytes of each.
    pub parts: Vec<(String, u64)>,
}

impl DocumentFile {
    /// A file that was gathered; what nobody knows the digest of is read for it in `folder`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: Gathered, folder: &Path, identity: &Identity) -> io::Result<Self> {
        let Gathered { path, mtime, sha256, stands, same_as, parts } = file;
        let parts: Vec<_> = parts.into_iter().map(|Part { parcel, bytes }| (parcel, bytes)).collect();
        let sha256 = match sha256 {
            Some(known) => known,
            None => digest(Joined::new(folder.to_owned(), identity.clone(), parts.clone(), 0))?,
        };
        Ok(Self { path, mtime, sha256, stands, same_as, parts })
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

fn digest(mut bytes: impl Read) -> io::Result<Sha256> {
    let (mut digest, mut buffer) = (sha2::Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(Sha256(digest.finalize().into())),
            count => digest.update(&buffer[..count]),
        }
    }
}

impl Document {
    /// Reads the document in a dataset's folder; none where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged ([`io::ErrorKind::InvalidData`]).
    pub fn read(folder: &Path, identity: &Identity) -> io::Result<Option<Self>> {
        let sealed = match files::read_bounded(&folder.join(DOCUMENT), MAX_DOCUMENT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let plain = age::decrypt(identity, &sealed).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Some(serde_json::from_slice(&plain)?))
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path, identity: &Identity) -> io::Result<()> {
        let sealed = age::encrypt(&identity.to_public(), &serde_json::to_vec(self)?).map_err(io::Error::other)?;
        files::replace(&folder.join(DOCUMENT), &sealed, 0o640)
    }

    /// Every parcel of it.
    pub fn parcels(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| &file.parts).map(|(parcel, _)| parcel.as_str())
    }

    /// What the sender sends, out of `folder`.
    pub fn content(self, folder: PathBuf, identity: Identity) -> Given {
        let mut version = sha2::Sha256::new();
        for file in &self.files {
            version.update(file.sha256.0);
        }
        let given = |file: &DocumentFile| GivenFile { path: file.path.clone(), bytes: file.bytes(), mtime: file.mtime };
        let files = self.files.iter().map(given).collect();
        let parts = self.files.into_iter().map(|file| file.parts).collect();
        let supply = Arc::new(Parcels { folder, identity, files: parts });
        Given { files, version: Sha256(version.finalize().into()), supply }
    }
}

/// The parcels of a dataset's files, decrypted as they are read.
struct Parcels {
    folder: PathBuf,
    identity: Identity,
    files: Vec<Vec<(String, u64)>>,
}

impl std::fmt::Debug for Parcels {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Parcels").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Supply for Parcels {
    fn open(&self, number: usize, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let parts = self.files.get(number).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Joined::new(self.folder.clone(), self.identity.clone(), parts.clone(), from)))
    }
}

/// One file, parcel after parcel.
struct Joined {
    folder: PathBuf,
    identity: Identity,
    parts: std::vec::IntoIter<(String, u64)>,
    /// Bytes in front that are not wanted.
    skip: u64,
    open: Option<Box<dyn Read + Send>>,
}

impl Joined {
    fn new(folder: PathBuf, identity: Identity, parts: Vec<(String, u64)>, from: u64) -> Self {
        Self { folder, identity, parts: parts.into_iter(), skip: from, open: None }
    }

    /// Opens the next parcel that has wanted bytes.
    fn next(&mut self) -> io::Result<Option<Box<dyn Read + Send>>> {
        for (parcel, bytes) in self.parts.by_ref() {
            if self.skip >= bytes {
                self.skip -= bytes;
                continue;
            }
            let opened = Opened::open(&self.folder.join(parcel), &self.identity)?;
            return Ok(Some(Box::new(opened.bytes(std::mem::take(&mut self.skip), bytes)?)));
        }
        Ok(None)
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(open) = &mut self.open else {
                match self.next()? {
                    Some(next) => self.open = Some(next),
                    None => return Ok(0),
                }
                continue;
            };
            match open.read(buffer)? {
                0 if !buffer.is_empty() => self.open = None,
                count => return Ok(count),
            }
        }
    }
}
