//! The chunks of a sealed transfer in order, decrypted by threads that run ahead of the reader.
//!
//! Thread *i* of *n* decrypts chunks *i*, *i + n*, …; each has a channel of one chunk, from which the reader takes in turn.
//! So at most three chunks a thread are in memory: in work, in its channel, and one with the reader.

use super::ReadError;
use super::folder::Folder;
use crate::age_stream;
use age::x25519::Identity;
use sluse_host::layout::chunk_file;
use sluse_protocol::chunk_index::ChunkIndex;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Threads that decrypt one transfer.
const THREADS: u32 = 2;

/// What is read: the chunks of one transfer.
pub struct Source {
    /// Its folder.
    pub folder: Folder,
    /// Its index, complete.
    pub index: ChunkIndex,
    /// Its identity.
    pub identity: Identity,
    /// Bytes of a chunk but the last.
    pub chunk_bytes: u32,
    /// Bytes of all chunks.
    pub bytes: u64,
}

/// The chunks in order.
pub struct Chunks {
    lanes: Vec<Receiver<Result<Vec<u8>, ReadError>>>,
    threads: Vec<JoinHandle<()>>,
    spare: Arc<Spare>,
    next: u32,
    count: u32,
}

impl Chunks {
    /// Starts to decrypt.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(source: Source) -> Result<Self, ReadError> {
        let count = source.index.count();
        let (source, spare) = (Arc::new(source), Arc::new(Spare::default()));
        let mut chunks = Self { lanes: Vec::new(), threads: Vec::new(), spare, next: 0, count };
        for first in 0..THREADS.min(count) {
            let (lane, taken) = sync_channel(1);
            let (source, spare) = (Arc::clone(&source), Arc::clone(&chunks.spare));
            let thread = std::thread::Builder::new()
                .name("decrypt".into())
                .spawn(move || decrypt_every(&source, first, &spare, &lane))
                .map_err(|error| ReadError::fault("a thread that decrypts", &error))?;
            chunks.lanes.push(taken);
            chunks.threads.push(thread);
        }
        Ok(chunks)
    }

    /// The next chunk's plain bytes; none after the last. Whether they are those that were sealed is known at the end of each file.
    ///
    /// # Errors
    /// When a chunk is not what was sealed, or cannot be read.
    pub fn take_next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.next == self.count {
            return Ok(None);
        }
        let lane = (self.next % THREADS) as usize;
        let chunk = self.lanes.get(lane).and_then(|lane| lane.recv().ok());
        self.next += 1;
        // A thread ends early only after it said why, or when it panicked.
        chunk.unwrap_or_else(|| Err(ReadError::Fault { reason: "a thread that decrypts has died".into() })).map(Some)
    }

    /// Gives a chunk's memory back for the next one.
    pub fn done(&self, chunk: Vec<u8>) {
        self.spare.put(chunk);
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        // Threads that wait to hand a chunk over find nobody there, and end.
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            // A panic of it was noticed in its lane.
            let _ = thread.join();
        }
    }
}

fn decrypt_every(source: &Source, first: u32, spare: &Spare, lane: &SyncSender<Result<Vec<u8>, ReadError>>) {
    let mut sealed = Vec::new();
    for number in (first..source.index.count()).step_by(THREADS as usize) {
        let mut plain = spare.take();
        let opened = open(source, number, &mut sealed, &mut plain).map(|()| plain);
        let last = opened.is_err();
        if lane.send(opened).is_err() || last {
            return;
        }
    }
}

/// Reads and decrypts one chunk. Its BLAKE3 is not looked at again: every byte belongs to a file, and the files' SHA-256 are checked.
fn open(source: &Source, number: u32, sealed: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<(), ReadError> {
    let what = || format!("chunk {number}");
    let Some(stored) = source.index.stored(number) else {
        return Err(ReadError::integrity(format!("{} is not in the index", what())));
    };
    let mut file = source.folder.file(&chunk_file(number)).map_err(|error| ReadError::of_sealed(&what(), &error))?;
    let length = file.metadata().map_err(|error| ReadError::fault(&what(), &error))?.size();
    if length != u64::from(stored) || length > age_stream::most_sealed(source.chunk_bytes) {
        return Err(ReadError::integrity(format!("{} has another length than was sealed", what())));
    }
    sealed.resize(length as usize, 0);
    file.read_exact(sealed).map_err(|error| ReadError::of_sealed(&what(), &error))?;
    let start = u64::from(number) * u64::from(source.chunk_bytes);
    let expected = source.bytes.saturating_sub(start).min(u64::from(source.chunk_bytes)) as usize;
    plain.resize(expected, 0);
    age_stream::open(sealed, &source.identity, plain)
        .map_err(|_| ReadError::integrity(format!("{} does not open with the transfer's identity", what())))
}

/// Memory of chunks that were read, for those to come: fresh pages cost as much as decrypting.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, chunk: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
    }
}
