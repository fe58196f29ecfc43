//! Reads large files back past the page cache, piece by piece behind the writer, by two threads ([`Lanes`]). Another one digests, so that
//! the disk does not wait for SHA-256.

use super::error::DeliverError;
use super::lanes::{Done, Lanes, STEP, THREADS};
use super::place::Place;
use super::read_back::{Piece, WHAT, sync_file};
use crate::direct::{self, Input, Memory};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Buffers that may wait to be digested.
const WAITING: usize = 2;

/// The files that are read back this way, one after the other.
pub struct LargeFiles {
    lanes: Lanes,
    digesting: Digesting,
    current: Option<Open>,
}

/// A file of which not all pieces were read.
struct Open {
    input: Arc<Input>,
    read: u64,
}

impl LargeFiles {
    /// Starts the threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start() -> io::Result<Self> {
        Ok(Self { lanes: Lanes::start("read")?, digesting: Digesting::start()?, current: None })
    }

    /// Reads the next piece of a file in `data`. When it was the last one, the file's bytes are durable and those that
    /// were sealed.
    ///
    /// # Errors
    /// When it is not what was written, or the disk fails.
    pub fn read(&mut self, data: &Place, piece: &Piece) -> Result<(), DeliverError> {
        let open = self.open(data, piece)?;
        if piece.ends.is_some() {
            sync_file(open.input.file())?;
        }
        self.steps(&open, piece.upto)?;
        let Some(expected) = piece.ends else {
            self.current = Some(Open { read: piece.upto, ..open });
            return Ok(());
        };
        let digest = self.digesting.end()?;
        let length = open.input.file().metadata().map_err(DeliverError::io(WHAT))?.len();
        if (digest, length) == (expected, piece.upto) { Ok(()) } else { Err(DeliverError::Differs) }
    }

    /// Reads and digests up to `upto`.
    fn steps(&mut self, open: &Open, upto: u64) -> Result<(), DeliverError> {
        let count = (upto - open.read).div_ceil(STEP as u64);
        let (mut begun, mut next, mut early) = (0, 0, BTreeMap::new());
        while next < count {
            while begun < count && begun < next + THREADS as u64 {
                let offset = open.read + begun * STEP as u64;
                self.begin(&open.input, begun, offset, upto)?;
                begun += 1;
            }
            let Done { step, memory, result } = self.lanes.wait().map_err(DeliverError::io(WHAT))?;
            early.insert(step, (memory, result));
            while let Some((memory, result)) = early.remove(&next) {
                let length = result.map_err(DeliverError::io(WHAT))?;
                // A file that is longer than it should be may fill the last block.
                if length as u64 != (upto - open.read - next * STEP as u64).min(STEP as u64) {
                    return Err(DeliverError::Differs);
                }
                self.digesting.bytes(memory, length)?;
                next += 1;
            }
        }
        Ok(())
    }

    /// Begins to read a step of a file of which the bytes up to `upto` are wanted, and whole blocks of it.
    fn begin(&mut self, input: &Arc<Input>, step: u64, offset: u64, upto: u64) -> Result<(), DeliverError> {
        let memory = match self.lanes.spare() {
            Some(memory) => memory,
            None => self.digesting.emptied()?,
        };
        let wanted = usize::try_from(upto - offset).unwrap_or(STEP).min(STEP);
        let input = Arc::clone(input);
        let read = move |memory: &mut Memory| input.fill(&mut memory.bytes()[..direct::whole_blocks(wanted)], offset);
        self.lanes.begin(step, memory, read).map_err(DeliverError::io(WHAT))
    }

    fn open(&mut self, data: &Place, piece: &Piece) -> Result<Open, DeliverError> {
        let open = if piece.from == 0 {
            let file = data.file(&piece.path).map_err(DeliverError::io(WHAT))?;
            Some(Open { input: Arc::new(Input::new(file)), read: 0 })
        } else {
            self.current.take().filter(|open| open.read == piece.from)
        };
        open.ok_or_else(|| DeliverError::Fault("pieces to be read back are out of order".into()))
    }
}

/// The thread that digests, seen from the reader. It ends with it.
struct Digesting {
    work: SyncSender<Work>,
    emptied: Receiver<Memory>,
    digests: Receiver<Sha256>,
}

enum Work {
    /// So many bytes of a buffer are the next ones of the file.
    Bytes(Memory, usize),
    /// The file has ended.
    End,
}

impl Digesting {
    fn start() -> io::Result<Self> {
        let (work, to_do) = sync_channel(WAITING);
        // As many as there can be: nobody waits to give one back.
        let (give_back, emptied) = std::sync::mpsc::channel();
        let (done, digests) = sync_channel(1);
        let digest = move || {
            let mut hash = sha2::Sha256::new();
            for work in to_do {
                let told = match work {
                    Work::Bytes(mut memory, count) => {
                        hash.update(&memory.bytes()[..count]);
                        give_back.send(memory).is_ok()
                    }
                    Work::End => done.send(Sha256(hash.finalize_reset().into())).is_ok(),
                };
                if !told {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("digest".into()).spawn(digest)?;
        Ok(Self { work, emptied, digests })
    }

    /// A buffer that was digested, or one that will be.
    fn emptied(&self) -> Result<Memory, DeliverError> {
        self.emptied.recv().map_err(died)
    }

    fn bytes(&self, memory: Memory, count: usize) -> Result<(), DeliverError> {
        self.work.send(Work::Bytes(memory, count)).map_err(died)
    }

    /// The digest of all bytes since the last end.
    fn end(&self) -> Result<Sha256, DeliverError> {
        self.work.send(Work::End).map_err(died)?;
        self.digests.recv().map_err(died)
    }
}

fn died<E>(_: E) -> DeliverError {
    DeliverError::Fault("the thread that digests has died".into())
}
