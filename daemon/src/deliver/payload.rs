//! Writes the dataset's files into the bag as they are decrypted, and lists them in the bag's manifest.

use super::error::DeliverError;
use super::large_writer::LargeWriter;
use super::place::Place;
use super::read_back::{Piece, ReadBack};
use super::tag_file::TagFile;
use super::tags;
use crate::quarantine::dataset::Visitor;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use sluse_protocol::document::Entry;
use sluse_protocol::path::{self, DataPath, NameRule};
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
    bag: &'a Place,
    data: Place,
    names: NameRule,
    folder: Option<(String, Place)>,
    current: Option<Current>,
    large: Option<LargeWriter>,
    read_back: Option<ReadBack>,
    manifest: TagFile,
    renamed: Option<TagFile>,
}

/// The file that is being written.
struct Current {
    /// Where it is small; a large one is with the [`LargeWriter`].
    small: Option<File>,
    path: Arc<str>,
    /// Bytes that were handed over to be read back.
    given: u64,
}

/// What was written of a dataset.
pub struct Finished {
    /// Files read back, each with the manifest's SHA-256.
    pub files: u64,
    /// The bag's manifest.
    pub manifest: super::tag_file::Written,
    /// The list of changed names, where there is one.
    pub renamed: Option<super::tag_file::Written>,
}

const WHAT: &str = "writing into the room";

impl<'a> Payload<'a> {
    /// Begins to write below `bag`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(bag: &'a Place, names: NameRule) -> Result<Self, DeliverError> {
        let begin = || -> io::Result<Self> {
            let read_back = Some(ReadBack::start(bag.make(tags::DATA, 0o755)?)?);
            let (data, manifest) = (bag.folder(tags::DATA)?, TagFile::create(bag, tags::MANIFEST)?);
            Ok(Self { bag, data, names, folder: None, current: None, large: None, read_back, manifest, renamed: None })
        };
        begin().map_err(DeliverError::io(WHAT))
    }

    /// Waits until everything was read back.
    ///
    /// # Errors
    /// When a file is not what it should be, or the disk fails.
    pub fn finish(self) -> Result<Finished, DeliverError> {
        let files = self.read_back.map_or(Ok(0), ReadBack::finish)?;
        let finish = |file: TagFile| file.finish().map_err(DeliverError::io(WHAT));
        Ok(Finished { files, manifest: finish(self.manifest)?, renamed: self.renamed.map(finish).transpose()? })
    }

    /// Hands a piece over to be read back; when that has ended early, says why.
    fn give(&mut self, piece: Piece) -> Result<(), DeliverError> {
        if self.read_back.as_ref().is_some_and(|read_back| read_back.give(piece)) {
            return Ok(());
        }
        let ended = self.read_back.take().map_or(Ok(0), ReadBack::finish);
        Err(ended.err().unwrap_or_else(|| DeliverError::Fault("reading back has ended early".into())))
    }

    /// The name in the room, which is noted when it is another.
    fn place(&mut self, sent: &DataPath) -> io::Result<DataPath> {
        if self.names != NameRule::WindowsMap {
            return Ok(sent.clone());
        }
        let delivered = path::map_windows(sent);
        if delivered != *sent {
            let list = match &mut self.renamed {
                Some(list) => list,
                None => {
                    let mut list = TagFile::create(self.bag, tags::RENAMED)?;
                    list.write(b"delivered\tsent\n")?;
                    self.renamed.insert(list)
                }
            };
            list.write(format!("{delivered}\t{sent}\n").as_bytes())?;
        }
        Ok(delivered)
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

fn set_time(file: impl AsFd, entry: &Entry) -> io::Result<()> {
    // What a file system cannot hold it moves to its border.
    let time = TimeSpec::new(entry.mtime, i64::from(entry.mtime_ns));
    Ok(futimens(file, &time, &time)?)
}

impl Visitor for Payload<'_> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let mut make = || -> io::Result<()> {
            let path = self.place(&entry.path)?;
            set_time(self.data.make(path.as_str(), 0o755)?, entry)
        };
        make().map_err(DeliverError::io(WHAT))
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let mut begin = || -> io::Result<Current> {
            let path = self.place(&entry.path)?;
            let mode = if entry.executable { 0o755 } else { 0o644 };
            let file = self.create(&path, mode)?;
            if let Some(digest) = &entry.sha256 {
                let line = tags::manifest_line(digest, &format!("{}/{path}", tags::DATA));
                self.manifest.write(line.as_bytes())?;
            }
            let small = if entry.size < DIRECT_FROM {
                Some(file)
            } else {
                self.large()?.begin(file, entry.size)?;
                None
            };
            Ok(Current { small, path: path.as_str().into(), given: 0 })
        };
        self.current = Some(begin().map_err(DeliverError::io(WHAT))?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
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

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let Some(current) = self.current.take() else { return Err(DeliverError::Fault("the end of no file".into())) };
        let finished = match current.small {
            Some(small) => Ok((small, entry.size)),
            None => self.large().and_then(LargeWriter::finish),
        };
        let (file, written) = finished.map_err(DeliverError::io(WHAT))?;
        set_time(&file, entry).map_err(DeliverError::io(WHAT))?;
        let piece = Piece { path: current.path, from: current.given, upto: written, ends: entry.sha256 };
        self.give(piece)
    }
}
