//! Reads back what was written, behind the writer and from the disk where the kernel lets us, and compares every file's
//! SHA-256 with the manifest's.
//!
//! The writer hands over small files whole: they are gathered to batches, each of which is made durable with one call, dropped
//! from the page cache, and read. Large files come in pieces, each of which is read at once ([`LargeFiles`]).

use super::error::DeliverError;
use super::large_files::LargeFiles;
use super::payload::DIRECT_FROM;
use super::place::Place;
use super::stored_once::StoredOnce;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a batch.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// Pieces of a batch.
const BATCH_PIECES: usize = 4096;

/// Pieces that the writer may be ahead of the batch in work.
const QUEUED: usize = 4096;

/// A batch of so few pieces is made durable file by file; one of more by the whole file system.
const FEW: usize = 4;

/// Files that are opened, and asked for from the disk, ahead of the one that is read.
const AHEAD: usize = 64;

/// Bytes of a small file read at a time.
const STEP: usize = 256 * 1024;

/// A part of a file that was written.
#[derive(Debug)]
pub struct Piece {
    /// The file, relative to the data folder.
    pub path: Arc<str>,
    /// Where the part begins: 0, or where the file's last piece ended.
    pub from: u64,
    /// Where it ends.
    pub upto: u64,
    /// The whole file's SHA-256, with its last piece.
    pub ends: Option<Sha256>,
}

/// The thread that reads back.
pub struct ReadBack {
    pieces: SyncSender<Piece>,
    thread: JoinHandle<Result<u64, DeliverError>>,
}

impl ReadBack {
    /// Starts to read back what lies in `data`, and to share it with what lies in `before`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(data: Place, before: Option<Place>) -> io::Result<Self> {
        let (pieces, written) = sync_channel(QUEUED);
        let thread = std::thread::Builder::new().name("read-back".into()).spawn(move || {
            let stored_once = StoredOnce::with(before);
            let mut reader = Reader { data, large: None, buffer: vec![0; STEP], stored_once, files: 0 };
            reader.all(&written)?;
            tracing::debug!(bytes = reader.stored_once.bytes(), "stored once with the version before");
            Ok(reader.files)
        })?;
        Ok(Self { pieces, thread })
    }

    /// Hands over a piece; false when reading back has failed, which [`Self::finish`] tells.
    pub fn give(&self, piece: Piece) -> bool {
        self.pieces.send(piece).is_ok()
    }

    /// Waits for all that was handed over; says how many files agreed.
    ///
    /// # Errors
    /// When a file is not what was written, or the disk fails.
    pub fn finish(self) -> Result<u64, DeliverError> {
        drop(self.pieces);
        self.thread.join().unwrap_or_else(|_| Err(DeliverError::Fault("reading back crashed".into())))
    }
}

struct Reader {
    data: Place,
    large: Option<LargeFiles>,
    buffer: Vec<u8>,
    stored_once: StoredOnce,
    files: u64,
}

/// A small file that is being read back.
struct Open {
    file: File,
    path: Arc<str>,
}

pub(super) const WHAT: &str = "reading back from the room";

impl Reader {
    fn all(&mut self, written: &Receiver<Piece>) -> Result<(), DeliverError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for piece in written {
            if piece.is_of_large_file() {
                self.large(&piece)?;
                continue;
            }
            bytes += piece.length();
            batch.push(piece);
            if batch.len() == BATCH_PIECES || bytes >= BATCH_BYTES {
                self.batch(&std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.batch(&batch)
    }

    fn large(&mut self, piece: &Piece) -> Result<(), DeliverError> {
        let large = match &mut self.large {
            Some(large) => large,
            None => self.large.insert(LargeFiles::start().map_err(DeliverError::io("starting a thread"))?),
        };
        large.read(&self.data, piece)?;
        if piece.ends.is_some() {
            self.done(&piece.path, piece.upto);
        }
        Ok(())
    }

    fn batch(&mut self, batch: &[Piece]) -> Result<(), DeliverError> {
        let few = batch.len() <= FEW;
        if !few {
            nix::unistd::syncfs(&self.data).map_err(|errno| DeliverError::io("syncing the room")(errno.into()))?;
        }
        let mut ahead = VecDeque::new();
        let mut unopened = batch.iter();
        for piece in batch {
            while ahead.len() < AHEAD
                && let Some(next) = unopened.next()
            {
                ahead.push_back(self.open(next, few)?);
            }
            let open = ahead.pop_front().filter(|open| open.path == piece.path);
            self.check(
                open.ok_or_else(|| DeliverError::Fault("files to be read back are out of order".into()))?,
                piece,
            )?;
        }
        Ok(())
    }

    /// Opens a file, and has the kernel forget its content and fetch it from the disk.
    fn open(&self, piece: &Piece, sync: bool) -> Result<Open, DeliverError> {
        let file = self.data.file(&piece.path).map_err(DeliverError::io(WHAT))?;
        if sync {
            sync_file(&file)?;
        }
        drop_cache(&file, 0, piece.upto);
        Ok(Open { file, path: Arc::clone(&piece.path) })
    }

    /// Reads a whole file and compares length and digest.
    fn check(&mut self, mut open: Open, piece: &Piece) -> Result<(), DeliverError> {
        let mut hash = sha2::Sha256::new();
        let mut length = 0;
        loop {
            let count = read_some(&mut open.file, &mut self.buffer)?;
            length += count as u64;
            if count == 0 {
                break;
            }
            if length > piece.upto {
                return Err(DeliverError::Differs);
            }
            hash.update(&self.buffer[..count]);
        }
        if length != piece.upto || Some(Sha256(hash.finalize().into())) != piece.ends {
            return Err(DeliverError::Differs);
        }
        self.done(&open.path, length);
        Ok(())
    }

    /// A file agreed.
    fn done(&mut self, path: &str, length: u64) {
        self.files += 1;
        self.stored_once.share(&self.data, path, length);
    }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> Result<usize, DeliverError> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(DeliverError::io(WHAT)),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        self.upto - self.from
    }

    fn is_of_large_file(&self) -> bool {
        self.upto >= DIRECT_FROM
    }
}

/// Has the kernel drop what it holds of a file and fetch it again. It may not be able to: then its own copy is read, which
/// still proves what it holds and would write.
pub fn drop_cache(file: &File, from: u64, upto: u64) {
    let (Ok(from), Ok(length)) = (i64::try_from(from), i64::try_from(upto - from)) else { return };
    for advice in [PosixFadviseAdvice::POSIX_FADV_DONTNEED, PosixFadviseAdvice::POSIX_FADV_WILLNEED] {
        let _ = posix_fadvise(file, from, length, advice);
    }
}

/// Has a file's bytes on the disk.
///
/// # Errors
/// When the disk fails.
pub fn sync_file(file: &File) -> Result<(), DeliverError> {
    file.sync_data().map_err(DeliverError::io("syncing a file of the room"))
}
