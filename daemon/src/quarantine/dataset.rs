//! The dataset of a sealed transfer: the stream of its chunks, cut into the files of its manifest again.

use super::ReadError;
use super::chunks::{Chunks, Source};
use super::folder::Folder;
use super::index;
use super::manifest::Entries;
use age::x25519::Identity;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header, Kind, Totals};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::CHUNK_BYTES;
use std::path::Path;

/// Takes a dataset's files and folders in the manifest's order.
pub trait Visitor {
    /// Why it cannot go on.
    type Error: From<ReadError>;

    /// An empty folder.
    ///
    /// # Errors
    /// When it cannot go on.
    fn folder(&mut self, entry: &Entry) -> Result<(), Self::Error>;

    /// A file begins.
    ///
    /// # Errors
    /// When it cannot go on.
    fn begin(&mut self, entry: &Entry) -> Result<(), Self::Error>;

    /// The file's next bytes.
    ///
    /// # Errors
    /// When it cannot go on.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The file has all its bytes.
    ///
    /// # Errors
    /// When it cannot go on.
    fn end(&mut self, entry: &Entry) -> Result<(), Self::Error>;
}

/// A sealed transfer whose manifest and chunk index are those that were sealed.
pub struct Dataset {
    entries: Entries,
    chunks: Source,
    /// Whether only names are shown, and no bytes.
    names_only: bool,
}

impl Dataset {
    /// Opens the transfer in `folder` with its identity; its manifest must have the digest `manifest`.
    ///
    /// # Errors
    /// When it is not what was sealed, or cannot be read.
    pub fn open(folder: &Path, identity: Identity, transfer: &TransferId, manifest: Sha256) -> Result<Self, ReadError> {
        let folder = Folder::open(folder).map_err(|error| ReadError::of_sealed("the transfer's folder", &error))?;
        let entries = Entries::open(&folder, &identity, manifest)?;
        let Header::Manifest { transfer: named, chunk_bytes, chunks, chunk_list, totals, delta, .. } = entries.header()
        else {
            return Err(ReadError::integrity("the manifest is a plan"));
        };
        if named != transfer {
            return Err(ReadError::integrity("the manifest is another transfer's"));
        }
        let (chunk_bytes, bytes) = (*chunk_bytes, totals.bytes);
        let none = || ReadError::integrity("the manifest's chunks do not add up to its bytes");
        if !(1..=CHUNK_BYTES).contains(&chunk_bytes) {
            return Err(none());
        }
        let count = u32::try_from(totals.chunks(chunk_bytes)).map_err(|_| none())?;
        // Of a version that was put together here, the manifest names the chunks that came, and not these.
        let sealed = delta.is_none().then_some(*chunk_list);
        if sealed.is_some() && *chunks != count {
            return Err(none());
        }
        let index = index::read(&folder, count, sealed)?;
        Ok(Self { entries, chunks: Source { folder, index, identity, chunk_bytes, bytes }, names_only: false })
    }

    /// The same, of which [`Self::walk`] shows folders and files without their bytes, as the manifest tells of them.
    pub fn names_only(self) -> Self {
        Self { names_only: true, ..self }
    }

    /// The manifest's header.
    pub fn header(&self) -> &Header {
        self.entries.header()
    }

    /// What the entries add up to.
    pub fn totals(&self) -> Totals {
        *self.entries.header().totals()
    }

    /// Shows `visitor` every folder and every file with all its bytes.
    ///
    /// # Errors
    /// When something is not what was sealed or cannot be read, or the visitor cannot go on.
    pub fn walk<V: Visitor>(mut self, visitor: &mut V) -> Result<(), V::Error> {
        let mut stream = if self.names_only { None } else { Some(Stream::start(self.chunks)?) };
        while let Some(entry) = self.entries.take_next()? {
            if entry.kind == Kind::Folder {
                visitor.folder(&entry)?;
                continue;
            }
            visitor.begin(&entry)?;
            if let Some(stream) = &mut stream {
                stream.file(entry.size, visitor)?;
            }
            visitor.end(&entry)?;
        }
        Ok(stream.map_or(Ok(()), Stream::ends)?)
    }

    /// The files' bytes, one after another.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn stream(self) -> Result<Stream, ReadError> {
        Stream::start(self.chunks)
    }
}

/// What the chunks of a transfer carry, and how far it was read.
pub struct Stream {
    chunks: Chunks,
    current: Vec<u8>,
    at: usize,
}

impl Stream {
    /// Begins to read.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(source: Source) -> Result<Self, ReadError> {
        Ok(Self { chunks: Chunks::start(source)?, current: Vec::new(), at: 0 })
    }

    /// The next bytes, at most `most`, as many as are at hand.
    ///
    /// # Errors
    /// When there are none, or they are not what was sealed.
    pub fn take_next(&mut self, most: u64) -> Result<&[u8], ReadError> {
        if self.at == self.current.len() {
            self.turn()?;
        }
        let here = self.current.len() - self.at;
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(here);
        self.at += count;
        Ok(&self.current[self.at - count..self.at])
    }

    fn file<V: Visitor>(&mut self, size: u64, visitor: &mut V) -> Result<(), V::Error> {
        let mut left = size;
        while left > 0 {
            let bytes = self.take_next(left)?;
            visitor.bytes(bytes)?;
            left -= bytes.len() as u64;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), ReadError> {
        self.chunks.done(std::mem::take(&mut self.current));
        self.at = 0;
        self.current =
            self.chunks.take_next()?.ok_or_else(|| ReadError::integrity("the chunks end before the files do"))?;
        Ok(())
    }

    /// Says that this must be all.
    ///
    /// # Errors
    /// When it is not.
    pub fn ends(mut self) -> Result<(), ReadError> {
        let over = self.at == self.current.len() && self.chunks.take_next()?.is_none();
        over.then_some(()).ok_or_else(|| ReadError::integrity("there are more bytes than the files have"))
    }
}
