//! Writes the dataset's files into the bag as they are decrypted, and lists them in the bag's manifest. Where the room has a recipient each
//! is encrypted to it, under its own name, and a second list has the digests of what comes out.

use super::bag::Content;
use super::error::DeliverError;
use super::large_writer::LargeWriter;
use super::lists::Lists;
use super::place::Place;
use super::read_back::{Piece, ReadBack};
use super::sealed_file::SealedFile;
use super::tag_file::Written;
use super::tags;
use crate::quarantine::dataset::Visitor;
use age::x25519::Recipient;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use sluse_protocol::document::Entry;
use sluse_protocol::path::{DataPath, NameRule};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Bytes of a large file after which the part that was written is read back.
const PIECE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of a file from which on it is written and read past the page cache.
pub const DIRECT_FROM: u64 = 1024 * 1024;

/// Takes a dataset and writes it.
pub struct Payload<'a> {
    data: Place,
    lists: Lists<'a>,
    recipient: Option<Recipient>,
    folder: Option<(String, Place)>,
    current: Option<Current>,
    large: Option<LargeWriter>,
    read_back: Option<ReadBack>,
    /// Bytes of all files as they were written.
    bytes: u64,
}

/// The file that is being written.
struct Current {
    /// Where it is small; a large one is with the [`LargeWriter`].
    small: Option<File>,
    path: Arc<str>,
    /// Where it is encrypted.
    sealed: Option<SealedFile>,
    /// Bytes that it has in the room.
    length: u64,
    /// Bytes that were handed over to be read back.
    given: u64,
}

/// What was written of a dataset.
pub struct Finished {
    /// Files read back, each with the manifest's SHA-256.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bag's manifest.
    pub manifest: Written,
    /// The list of the plain files' digests, where they are encrypted.
    pub plain: Option<Written>,
    /// The list of changed names, where there is one.
    pub renamed: Option<Written>,
}

const WHAT: &str = "writing into the room";

impl<'a> Payload<'a> {
    /// Begins to write below `bag`; what is as in `before`, the files of the version before, is stored once.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(
        bag: &'a Place,
        names: NameRule,
        recipient: Option<Recipient>,
        before: Option<Place>,
    ) -> Result<Self, DeliverError> {
        let begin = || -> io::Result<Self> {
            let read_back = Some(ReadBack::start(bag.make(tags::DATA, 0o755)?, before)?);
            let (data, lists) = (bag.folder(tags::DATA)?, Lists::begin(bag, names, recipient.is_some())?);
            Ok(Self { data, lists, recipient, folder: None, current: None, large: None, read_back, bytes: 0 })
        };
        begin().map_err(DeliverError::io(WHAT))
    }

    /// Hands a piece over to be read back; when that has ended early, says why.
    fn give(&mut self, piece: Piece) -> Result<(), DeliverError> {
        if self.read_back.as_ref().is_some_and(|read_back| read_back.give(piece)) {
            return Ok(());
        }
        let ended = self.read_back.take().map_or(Ok(0), ReadBack::finish);
        Err(ended.err().unwrap_or_else(|| DeliverError::Fault("reading back has ended early".into())))
    }

    /// Writes the next bytes of the file as it stands in the room.
    fn write(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
        let Some(current) = &mut self.current else { return Err(DeliverError::Fault("bytes of no file".into())) };
        let written = match (&mut current.small, &mut self.large) {
            (Some(small), _) => small.write_all(bytes).map(|()| 0),
            (None, Some(large)) => large.write(bytes),
            (None, None) => Err(io::Error::other("nobody writes the file")),
        };
        let written = written.map_err(DeliverError::io(WHAT))?;
        if written - current.given >= PIECE_BYTES {
            let (path, from, upto) = (Arc::clone(&current.path), current.given, written);
            current.given = upto;
            self.give(Piece { path, from, upto, ends: None })?;
        }
        Ok(())
    }

    fn large(&mut self) -> io::Result<&mut LargeWriter> {
        match &mut self.large {
            Some(large) => Ok(large),
            none => Ok(none.insert(LargeWriter::start()?)),
        }
    }

    fn create(&mut self, path: &DataPath, mode: u32) -> io::Result<File> {
        let Some((folder, name)) = path.as_str().rsplit_once('/') else {
            return self.data.create(path.as_str(), mode);
        };
        let place = match self.folder.take() {
            Some((open, place)) if open == folder => place,
            _ => self.data.make(folder, 0o755)?,
        };
        let file = place.create(name, mode)?;
        self.folder = Some((folder.to_owned(), place));
        Ok(file)
    }
}

impl Content for Payload<'_> {
    fn finish(self) -> Result<Finished, DeliverError> {
        let files = self.read_back.map_or(Ok(0), ReadBack::finish)?;
        self.lists.finish(files, self.bytes).map_err(DeliverError::io(WHAT))
    }
}

fn set_time(file: impl AsFd, entry: &Entry) -> io::Result<()> {
    // What a file system cannot hold it moves to its border.
    let time = TimeSpec::new(entry.mtime, i64::from(entry.mtime_ns));
    Ok(futimens(file, &time, &time)?)
}

impl Visitor for Payload<'_> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let mut make = || -> io::Result<()> {
            let path = self.lists.place(&entry.path)?;
            set_time(self.data.make(path.as_str(), 0o755)?, entry)
        };
        make().map_err(DeliverError::io(WHAT))
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let mut begin = || -> io::Result<Current> {
            let path = self.lists.place(&entry.path)?;
            let mode = if entry.executable { 0o755 } else { 0o644 };
            let file = self.create(&path, mode)?;
            let sealed = match &self.recipient {
                Some(recipient) => Some(SealedFile::begin(recipient, entry.size)?),
                None => None,
            };
            let length = sealed.as_ref().map_or(entry.size, SealedFile::length);
            let small = if length < DIRECT_FROM {
                Some(file)
            } else {
                self.large()?.begin(file, length)?;
                None
            };
            Ok(Current { small, path: path.as_str().into(), sealed, length, given: 0 })
        };
        self.current = Some(begin().map_err(DeliverError::io(WHAT))?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
        let sealed = self.current.as_mut().and_then(|current| current.sealed.as_mut());
        match sealed.map(|sealed| sealed.seal(bytes)).transpose().map_err(DeliverError::io(WHAT))? {
            Some(sealed) => self.write(&sealed),
            None => self.write(bytes),
        }
    }

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let sealed = self.current.as_mut().and_then(|current| current.sealed.take());
        let digest = match sealed.map(SealedFile::finish).transpose().map_err(DeliverError::io(WHAT))? {
            Some((last, digests)) => {
                self.write(&last)?;
                // Nothing reads the plain bytes back.
                if Some(digests.plain) != entry.sha256 {
                    return Err(DeliverError::Differs);
                }
                Some(digests.sealed)
            }
            None => entry.sha256,
        };
        let Some(current) = self.current.take() else { return Err(DeliverError::Fault("the end of no file".into())) };
        self.lists.list(&current.path, entry.sha256, digest).map_err(DeliverError::io(WHAT))?;
        let finished = match current.small {
            Some(small) => Ok((small, current.length)),
            None => self.large().and_then(LargeWriter::finish),
        };
        let (file, written) = finished.map_err(DeliverError::io(WHAT))?;
        set_time(&file, entry).map_err(DeliverError::io(WHAT))?;
        self.bytes += written;
        let piece = Piece { path: current.path, from: current.given, upto: written, ends: digest };
        self.give(piece)
    }
}
