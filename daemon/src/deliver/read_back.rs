//! Reads back what was written, behind the writer and from the disk where the kernel lets us, and compares every file's
//! SHA-256 with the manifest's.
//!
//! The writer hands over pieces of files. They are gathered to batches; each batch is made durable with one call, dropped
//! from the page cache, and read.

use super::error::DeliverError;
use super::place::Place;
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

/// Bytes read at a time.
const STEP: usize = 1024 * 1024;

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
    /// Starts to read back what lies in `data`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(data: Place) -> io::Result<Self> {
        let (pieces, written) = sync_channel(QUEUED);
        let thread = std::thread::Builder::new().name("read-back".into()).spawn(move || {
            let mut reader = Reader { data, current: None, buffer: vec![0; STEP], files: 0 };
            reader.all(&written)?;
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
    current: Option<Open>,
    buffer: Vec<u8>,
    files: u64,
}

/// A file that is being read back.
struct Open {
    file: File,
    hash: sha2::Sha256,
    read: u64,
}

const WHAT: &str = "reading back from the room";

impl Reader {
    fn all(&mut self, written: &Receiver<Piece>) -> Result<(), DeliverError> {
        while let Ok(first) = written.recv() {
            let mut bytes = first.length();
            let mut batch = vec![first];
            while batch.len() < BATCH_PIECES && bytes < BATCH_BYTES {
                let Ok(piece) = written.recv() else { break };
                bytes += piece.length();
                batch.push(piece);
            }
            self.batch(&batch)?;
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
                if next.from == 0 {
                    ahead.push_back(self.open(next, few)?);
                }
            }
            self.read(piece, few, &mut ahead)?;
        }
        Ok(())
    }

    /// Opens a file, and has the kernel forget its content and fetch it from the disk.
    fn open(&self, piece: &Piece, sync: bool) -> Result<Open, DeliverError> {
        let file = self.data.file(&piece.path).map_err(DeliverError::io(WHAT))?;
        if sync {
            file.sync_data().map_err(DeliverError::io("syncing a file of the room"))?;
        }
        drop_cache(&file, 0, piece.upto);
        Ok(Open { file, hash: sha2::Sha256::new(), read: 0 })
    }

    fn read(&mut self, piece: &Piece, sync: bool, ahead: &mut VecDeque<Open>) -> Result<(), DeliverError> {
        let opened = if piece.from == 0 { ahead.pop_front() } else { self.current.take() };
        let Some(mut open) = opened.filter(|open| open.read == piece.from) else {
            return Err(DeliverError::Fault("pieces to be read back are out of order".into()));
        };
        if piece.from > 0 {
            if sync {
                open.file.sync_data().map_err(DeliverError::io("syncing a file of the room"))?;
            }
            drop_cache(&open.file, piece.from, piece.upto);
        }
        while open.read < piece.upto {
            let most = usize::try_from(piece.upto - open.read).unwrap_or(STEP).min(STEP);
            let count = read_some(&mut open.file, &mut self.buffer[..most])?;
            if count == 0 {
                return Err(DeliverError::Differs);
            }
            open.hash.update(&self.buffer[..count]);
            open.read += count as u64;
        }
        match piece.ends {
            None => self.current = Some(open),
            Some(digest) => self.check_end(open, digest)?,
        }
        Ok(())
    }

    fn check_end(&mut self, mut open: Open, digest: Sha256) -> Result<(), DeliverError> {
        let longer = read_some(&mut open.file, &mut self.buffer[..1])? > 0;
        if longer || Sha256(open.hash.finalize().into()) != digest {
            return Err(DeliverError::Differs);
        }
        self.files += 1;
        Ok(())
    }
}

impl Piece {
    fn length(&self) -> u64 {
        self.upto - self.from
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

fn read_some(file: &mut File, buffer: &mut [u8]) -> Result<usize, DeliverError> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(DeliverError::io(WHAT)),
        }
    }
}
