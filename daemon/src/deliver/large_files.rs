//! Reads large files back past the page cache, piece by piece behind the writer. A thread of its own digests, so that the
//! disk does not wait for SHA-256.

use super::error::DeliverError;
use super::place::Place;
use super::read_back::{Piece, WHAT, sync_file};
use crate::direct::{self, Input, Memory};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes read at a time, a multiple of [`direct::BLOCK`].
const STEP: usize = 4 * 1024 * 1024;

/// Buffers: one is read into, one is digested, one waits.
const BUFFERS: usize = 3;

/// The files that are read back this way, one after the other.
pub struct LargeFiles {
    digesting: Digesting,
    current: Option<Open>,
}

/// A file of which not all pieces were read.
struct Open {
    input: Input,
    read: u64,
}

impl LargeFiles {
    /// Starts the thread that digests.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> io::Result<Self> {
        Ok(Self { digesting: Digesting::start()?, current: None })
    }

    /// Reads the next piece of a file in `data`. When it was the last one, the file's bytes are durable and those that
    /// were sealed.
    ///
    /// # Errors
    /// When it is not what was written, or the disk fails.
    pub fn read(&mut self, data: &Place, piece: &Piece) -> Result<(), DeliverError> {
        let mut open = self.open(data, piece)?;
        if piece.ends.is_some() {
            sync_file(open.input.file())?;
        }
        while open.read < piece.upto {
            let wanted = usize::try_from(piece.upto - open.read).unwrap_or(STEP).min(STEP);
            let mut memory = self.digesting.spare()?;
            let count = open.fill(&mut memory, wanted)?;
            // A file that is longer than it should be fills the last block.
            if count != wanted {
                return Err(DeliverError::Differs);
            }
            self.digesting.bytes(memory, count)?;
        }
        let Some(expected) = piece.ends else {
            self.current = Some(open);
            return Ok(());
        };
        let mut memory = self.digesting.spare()?;
        let longer = open.fill(&mut memory, 1)? > 0;
        self.digesting.bytes(memory, 0)?;
        let agrees = self.digesting.end()? == expected && !longer;
        if agrees { Ok(()) } else { Err(DeliverError::Differs) }
    }

    fn open(&mut self, data: &Place, piece: &Piece) -> Result<Open, DeliverError> {
        let open = if piece.from == 0 {
            let file = data.file(&piece.path).map_err(DeliverError::io(WHAT))?;
            Some(Open { input: Input::new(file), read: 0 })
        } else {
            self.current.take().filter(|open| open.read == piece.from)
        };
        open.ok_or_else(|| DeliverError::Fault("pieces to be read back are out of order".into()))
    }
}

impl Open {
    /// Reads `wanted` bytes, or up to a block more where the file has them.
    fn fill(&mut self, memory: &mut Memory, wanted: usize) -> Result<usize, DeliverError> {
        let whole = &mut memory.bytes()[..direct::whole_blocks(wanted)];
        let count = self.input.fill(whole).map_err(DeliverError::io(WHAT))?;
        self.read += count as u64;
        Ok(count)
    }
}

/// The thread that digests, seen from the reader. It ends with it.
struct Digesting {
    work: SyncSender<Work>,
    spare: Receiver<Memory>,
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
        let (work, to_do) = sync_channel(BUFFERS);
        let (emptied, spare) = sync_channel(BUFFERS);
        let (done, digests) = sync_channel(1);
        for _ in 0..BUFFERS {
            emptied.send(Memory::new(STEP)).map_err(io::Error::other)?;
        }
        let digest = move || {
            let mut hash = sha2::Sha256::new();
            for work in to_do {
                let told = match work {
                    Work::Bytes(mut memory, count) => {
                        hash.update(&memory.bytes()[..count]);
                        emptied.send(memory).is_ok()
                    }
                    Work::End => done.send(Sha256(hash.finalize_reset().into())).is_ok(),
                };
                if !told {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("digest".into()).spawn(digest)?;
        Ok(Self { work, spare, digests })
    }

    fn spare(&self) -> Result<Memory, DeliverError> {
        self.spare.recv().map_err(died)
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
