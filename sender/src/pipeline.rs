//! The threads that prepare chunks.
//!
//! ```text
//!  reading + SHA-256  ──2──▶  BLAKE3  ──2──▶  sending (tokio)
//!         ▲                                        │
//!         └────────────── buffers ◀────────────────┘
//! ```
//! What was read once and is lost with a connection is read again by a thread of its own ([`reread`]).

use crate::buffers::{Buffer, Pool};
use crate::error::Error;
use crate::plan::{Opener, Plan};
use crate::stream::{self, Stopped};
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::limits;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc as threads};
use tokio::sync::mpsc;

/// Chunks that wait before each stage.
const WAITING: usize = 2;

/// A chunk, ready to be sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Its number.
    pub index: u32,
    /// BLAKE3 of its bytes.
    pub digest: ChunkDigest,
    /// Its bytes.
    pub bytes: Buffer,
}

/// What the threads hand out.
enum Item {
    /// The next chunk.
    Chunk(Chunk),
    /// Everything was read; the files' digests in the plan's order.
    End(Vec<Sha256>),
    /// A file cannot be read or was changed: nothing follows.
    Failed(Error),
}

/// Chunks as they are read. It outlives connections: what was not handed out yet is read on over the next one.
pub(crate) struct Reading {
    items: mpsc::Receiver<Item>,
    digests: Option<Arc<Vec<Sha256>>>,
}

impl Reading {
    /// The next chunk, none at the end. Safe to be dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        if self.is_over() {
            return Ok(None);
        }
        match self.items.recv().await {
            Some(Item::Chunk(chunk)) => Ok(Some(chunk)),
            Some(Item::Failed(error)) => Err(error),
            Some(Item::End(digests)) => {
                self.digests = Some(Arc::new(digests));
                Ok(None)
            }
            None => Err(fault("reading ended early")),
        }
    }

    /// Whether everything was handed out.
    pub fn is_over(&self) -> bool {
        self.digests.is_some()
    }

    /// The digests of the files, in the plan's order, once all were read.
    pub fn digests(&self) -> Arc<Vec<Sha256>> {
        self.digests.clone().unwrap_or_default()
    }

    fn of(items: mpsc::Receiver<Item>) -> Self {
        Self { items, digests: None }
    }
}

/// Starts reading a plan's files from the beginning, each once.
pub(crate) fn read(plan: Arc<Plan>, pool: Arc<Pool>) -> Result<Reading, Error> {
    let (read, to_digest) = threads::sync_channel::<Result<Buffer, Item>>(WAITING);
    let (digested, chunks) = mpsc::channel(WAITING);
    spawn("read", move || {
        let mut hand_on = |buffer| match read.send(Ok(buffer)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let end = match stream::read_all(&plan, &pool, &mut hand_on) {
            Ok(digests) => Item::End(digests),
            Err(Stopped::Failed(error)) => Item::Failed(error),
            Err(Stopped::Unwanted) => return,
        };
        // When nobody listens any more, nobody needs the end either.
        let _ = read.send(Err(end));
    })?;
    spawn("digest", move || {
        let mut next = 0;
        for read in to_digest {
            let item = match read {
                Ok(bytes) => {
                    let digest = ChunkDigest::of(bytes.as_ref());
                    next += 1;
                    Item::Chunk(Chunk { index: next - 1, digest, bytes })
                }
                Err(end) => end,
            };
            if digested.blocking_send(item).is_err() {
                return;
            }
        }
    })?;
    Ok(Reading::of(chunks))
}

/// Starts reading chunks again, which must have the digests that they had before.
pub(crate) fn reread(plan: Arc<Plan>, pool: Arc<Pool>, wanted: Vec<(u32, ChunkDigest)>) -> Result<Reading, Error> {
    let (digested, chunks) = mpsc::channel(WAITING);
    spawn("read again", move || {
        let mut opener = Opener::default();
        for (index, digest) in wanted {
            let Some(bytes) = pool.take() else { return };
            let item = match reread_one(&plan, &mut opener, index, digest, bytes) {
                Ok(chunk) => Item::Chunk(chunk),
                Err(error) => Item::Failed(error),
            };
            if digested.blocking_send(item).is_err() {
                return;
            }
        }
        // When nobody listens any more, nobody needs the end either.
        let _ = digested.blocking_send(Item::End(Vec::new()));
    })?;
    Ok(Reading::of(chunks))
}

fn reread_one(
    plan: &Plan,
    opener: &mut Opener,
    index: u32,
    digest: ChunkDigest,
    mut bytes: Buffer,
) -> Result<Chunk, Error> {
    let (start, length) = extent(plan, index);
    stream::read_chunk(plan, opener, start, length, &mut bytes)?;
    if ChunkDigest::of(bytes.as_ref()) == digest {
        return Ok(Chunk { index, digest, bytes });
    }
    Err(Error::Changed { path: stream::files_of(plan, start, length), what: "was changed while it was sent" })
}

/// Where a chunk begins in the logical stream, and its length.
pub(crate) fn extent(plan: &Plan, index: u32) -> (u64, u64) {
    let size = u64::from(limits::CHUNK_BYTES);
    let start = u64::from(index) * size;
    (start, plan.totals().bytes.saturating_sub(start).min(size))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started: io::Result<_> = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| Error::Fault { what: "starting a thread".into(), error })
}

/// A thread of ours ended early.
pub(crate) fn fault(what: &str) -> Error {
    Error::Fault { what: what.to_owned(), error: io::ErrorKind::BrokenPipe.into() }
}
