//! The threads that prepare chunks.
//!
//! ```text
//!  reading + SHA-256  ──2──▶  BLAKE3  ──2──▶  sending (tokio)
//!         ▲                                        │
//!         └────────────── buffers ◀────────────────┘
//! ```
//! What was read once and is lost with a connection is read again by a thread of its own ([`reread`]). A difference is read by one, too:
//! its files' digests are known.

use crate::buffers::{Buffer, Pool};
use crate::carried::Carried;
use crate::error::Error;
use crate::plan::{Opener, Plan};
use crate::stream::{self, Stopped};
use sluse_protocol::digest::{ChunkDigest, Sha256};
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

/// Starts reading what is carried from the beginning, each byte once.
pub(crate) fn read(carried: &Arc<Carried>, pool: Arc<Pool>) -> Result<Reading, Error> {
    match carried.digests() {
        None => read_files(Arc::clone(carried.plan()), pool),
        Some(digests) => read_chunks(Arc::clone(carried), pool, digests),
    }
}

/// Starts reading a plan's files.
fn read_files(plan: Arc<Plan>, pool: Arc<Pool>) -> Result<Reading, Error> {
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

/// Starts reading the chunks of a difference; the files' digests are known.
fn read_chunks(carried: Arc<Carried>, pool: Arc<Pool>, digests: Vec<Sha256>) -> Result<Reading, Error> {
    let all = 0..carried.chunks();
    read_each("read", carried, pool, all.map(|index| (index, None)), digests)
}

/// Starts reading chunks again, which must have the digests that they had before.
pub(crate) fn reread(
    carried: Arc<Carried>,
    pool: Arc<Pool>,
    wanted: Vec<(u32, ChunkDigest)>,
) -> Result<Reading, Error> {
    let wanted = wanted.into_iter().map(|(index, digest)| (index, Some(digest)));
    read_each("read again", carried, pool, wanted, Vec::new())
}

/// Reads chunk by chunk; one that had a digest before must have it still.
fn read_each(
    name: &str,
    carried: Arc<Carried>,
    pool: Arc<Pool>,
    wanted: impl Iterator<Item = (u32, Option<ChunkDigest>)> + Send + 'static,
    digests: Vec<Sha256>,
) -> Result<Reading, Error> {
    let (digested, chunks) = mpsc::channel(WAITING);
    spawn(name, move || {
        let mut opener = Opener::default();
        for (index, before) in wanted {
            let Some(bytes) = pool.take() else { return };
            let item = match read_one(&carried, &mut opener, index, before, bytes) {
                Ok(chunk) => Item::Chunk(chunk),
                Err(error) => Item::Failed(error),
            };
            if digested.blocking_send(item).is_err() {
                return;
            }
        }
        // When nobody listens any more, nobody needs the end either.
        let _ = digested.blocking_send(Item::End(digests));
    })?;
    Ok(Reading::of(chunks))
}

fn read_one(
    carried: &Carried,
    opener: &mut Opener,
    index: u32,
    before: Option<ChunkDigest>,
    mut bytes: Buffer,
) -> Result<Chunk, Error> {
    carried.read_chunk(opener, index, &mut bytes)?;
    let digest = ChunkDigest::of(bytes.as_ref());
    if before.is_none_or(|before| before == digest) {
        return Ok(Chunk { index, digest, bytes });
    }
    Err(Error::Changed { path: carried.files_of(index), what: "was changed while it was sent" })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started: io::Result<_> = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| Error::Fault { what: "starting a thread".into(), error })
}

/// A thread of ours ended early.
pub(crate) fn fault(what: &str) -> Error {
    Error::Fault { what: what.to_owned(), error: io::ErrorKind::BrokenPipe.into() }
}
