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

/// What comes out of the pipeline.
#[derive(Debug)]
pub(crate) enum Item {
    /// The next chunk.
    Chunk(Chunk),
    /// Everything was read; the files' digests in the plan's order.
    End(Vec<Sha256>),
    /// A file cannot be read or was changed: nothing follows.
    Failed(Error),
}

/// Starts reading a plan's files from the beginning, each once.
pub(crate) fn read(plan: Arc<Plan>, pool: Arc<Pool>) -> Result<mpsc::Receiver<Item>, Error> {
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
    Ok(chunks)
}

/// Starts reading chunks again, which must have the digests that they had before. `End` follows the last one.
pub(crate) fn reread(
    plan: Arc<Plan>,
    pool: Arc<Pool>,
    wanted: Vec<(u32, ChunkDigest)>,
) -> Result<mpsc::Receiver<Item>, Error> {
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
    Ok(chunks)
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
