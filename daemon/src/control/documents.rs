//! Plans, manifests and parts: files of `control`'s own, read in steps however long they are.

use super::failure::{Failure, refuse};
use super::store::{Store, Write, transfers};
use crate::RoleError;
use sha2::Digest as _;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_host::random;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header, Invalid, Reader};
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::Role;
use sluse_protocol::sshsig::{MessageHash, MessageHasher};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a document that are read at a time.
const STEP: usize = 64 * 1024;

/// Which document of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What the source offered.
    Plan,
    /// What it sealed.
    Manifest,
    /// What of it was released, where files were left out.
    Part,
    /// What is not as it was in the version before.
    Changes,
}

impl Which {
    fn extension(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Manifest => "manifest",
            Self::Part => "part",
            Self::Changes => "changes",
        }
    }
}

/// The folder of documents, and the folder of those that are still arriving.
#[derive(Debug)]
pub struct Documents {
    kept: PathBuf,
    arriving: PathBuf,
}

impl Documents {
    /// Makes the folders, and removes what an earlier process left behind: documents that were arriving, and those of
    /// transfers that are not in the database.
    ///
    /// # Errors
    /// When the folders cannot be used.
    pub fn open(layout: &Layout, store: &Store) -> Result<Self, RoleError> {
        let (kept, arriving) = (layout.documents(), layout.role(Role::Control).join("arriving"));
        for folder in [&kept, &arriving] {
            files::create_folder(folder, 0o700).map_err(RoleError::io(folder.display().to_string()))?;
        }
        let documents = Self { kept, arriving };
        documents.remove_leftovers(store).map_err(|error| RoleError::State(error.to_string()))?;
        Ok(documents)
    }

    fn remove_leftovers(&self, store: &Store) -> Result<(), Failure> {
        for entry in
            std::fs::read_dir(&self.arriving).map_err(Failure::io("reading the folder of arriving documents"))?
        {
            let path = entry.map_err(Failure::io("reading the folder of arriving documents"))?.path();
            std::fs::remove_file(path).map_err(Failure::io("removing a document that did not arrive"))?;
        }
        for entry in std::fs::read_dir(&self.kept).map_err(Failure::io("reading the folder of documents"))? {
            let entry = entry.map_err(Failure::io("reading the folder of documents"))?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.split('.').next()).and_then(|id| id.parse::<TransferId>().ok());
            let known = id.map(|id| store.read(|sql| transfers::find(sql, &id))).transpose()?.flatten();
            if known.is_none() {
                std::fs::remove_file(entry.path()).map_err(Failure::io("removing a document without a transfer"))?;
            }
        }
        Ok(())
    }

    /// A new, empty file for a document that arrives.
    ///
    /// # Errors
    /// When the disk or the kernel does not give it.
    pub fn arriving(&self) -> Result<(PathBuf, File), Failure> {
        let random = random::bytes::<16>().map_err(Failure::io("random bytes"))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.arriving.join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        Ok((path, file.map_err(Failure::io("making a document's file"))?))
    }

    /// Makes a document that was [made durable](super::uploads::Arrived::sync) a transfer's: it stands there before the state says so.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, write: &mut Write<'_>, durable: &Path, id: &TransferId, which: Which) -> Result<(), Failure> {
        std::fs::rename(durable, self.path(id, which)).map_err(Failure::io("keeping a document"))?;
        write.rests_on(&self.kept);
        Ok(())
    }

    /// Removes a transfer's document; one that is not there is fine.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, id: &TransferId, which: Which) -> Result<(), Failure> {
        match std::fs::remove_file(self.path(id, which)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("removing a document")(error)),
            _ => Ok(()),
        }
    }

    /// Whether a transfer has a document.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has(&self, id: &TransferId, which: Which) -> Result<bool, Failure> {
        self.path(id, which).try_exists().map_err(Failure::io("looking for a document"))
    }

    /// Opens a transfer's document to read its entries.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entries(&self, id: &TransferId, which: Which) -> Result<Entries, Failure> {
        Entries::open(&self.path(id, which))
    }

    /// At most `limit` bytes of a transfer's document from `offset` on; none at its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self, id: &TransferId, which: Which, offset: u64, limit: usize) -> Result<Vec<u8>, Failure> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.path(id, which))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(limit as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse(Code::WrongState, "the document is not there: not sealed yet, or purged")
            }
            other => other.map_err(Failure::io("reading a document")),
        }
    }

    fn path(&self, id: &TransferId, which: Which) -> PathBuf {
        self.kept.join(format!("{id}.{}", which.extension()))
    }
}

/// A document's entries, one after the other; holds [`STEP`] bytes of them at a time.
#[derive(Debug)]
pub struct Entries {
    file: File,
    reader: Option<Reader>,
    ready: VecDeque<Entry>,
    sha256: sha2::Sha256,
    message: MessageHasher,
}

/// A document that was read to its end.
#[derive(Debug)]
pub struct Ended {
    /// Its header.
    pub header: Header,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// What a signature of it signs.
    pub message: MessageHash,
}

impl Entries {
    /// Opens a document.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            file: File::open(path).map_err(Failure::io("opening a document"))?,
            reader: Some(Reader::new()),
            ready: VecDeque::new(),
            sha256: sha2::Sha256::new(),
            message: MessageHasher::new(),
        })
    }

    /// The next entry; `None` at the end of the file.
    ///
    /// # Errors
    /// When the document is not well-formed, or cannot be read.
    pub fn next(&mut self) -> Result<Option<Entry>, Failure> {
        while self.ready.is_empty() {
            let mut step = [0; STEP];
            let count = self.file.read(&mut step).map_err(Failure::io("reading a document"))?;
            if count == 0 {
                return Ok(None);
            }
            self.sha256.update(&step[..count]);
            self.message.update(&step[..count]);
            let (Some(reader), ready) = (&mut self.reader, &mut self.ready) else { return Ok(None) };
            reader
                .push(&step[..count], |_, entry| {
                    ready.push_back(entry);
                    Ok::<(), Invalid>(())
                })
                .map_err(invalid)?;
        }
        Ok(self.ready.pop_front())
    }

    /// Ends the reading: all entries must have been taken.
    ///
    /// # Errors
    /// When the document does not add up.
    pub fn finish(mut self) -> Result<Ended, Failure> {
        let reader = self.reader.take().unwrap_or_default();
        let header = reader.finish().map_err(invalid)?;
        Ok(Ended { header, sha256: Sha256(self.sha256.finalize().into()), message: self.message.finish() })
    }
}

/// How a document that is not well-formed is refused. Its message names lines, never paths.
fn invalid(invalid: Invalid) -> Failure {
    let code = match invalid {
        Invalid::Path { .. } => Code::ForbiddenPath,
        Invalid::TooMuch | Invalid::LongLine { .. } => Code::TooLarge,
        _ => Code::BadDocument,
    };
    Failure::Refused(Refusal::new(code, invalid.to_string()))
}
