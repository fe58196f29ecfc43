//! Chunks: each on a stream of its own, from its header to its acknowledgement.
//!
//! ```text
//! stream ── header, checks ── records ── pool: BLAKE3, age, write ── rename ── committer ── Durable
//!           transfer::admit   (here)     stored                                commit      outbox
//! ```

use super::commit::not_durable;
use super::intake::Intake;
use super::pool::Buffer;
use super::refusals::{Stop, panicked, violation};
use super::session::Session;
use super::share::Share;
use super::stored::ChunkFile;
use super::transfer::{Admission, Slot, Transfer};
use super::{bounds, pool};
use quinn::{ReadError, RecvStream};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::wire::{ChunkHeader, Reply};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Takes the chunk streams of a connection until it ends or is quiet; returns when the last one is done.
pub async fn receive_all(intake: Arc<Intake>, session: Arc<Session>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= bounds::CHUNKS_IN_FLIGHT as usize {
            // The transport bounds open streams; this bounds those that wait for the disk.
            tasks.join_next().await;
            continue;
        }
        let stream = tokio::select! {
            stream = session.connection().accept_uni() => stream,
            () = session.quiet() => break,
        };
        let Ok(stream) = stream else { break };
        let (intake, session) = (Arc::clone(&intake), Arc::clone(&session));
        tasks.spawn(async move {
            let _counted = session.chunk_begins();
            if let Err(Stop::Refused(refusal)) = receive(&intake, &session, stream).await {
                session.end(refusal);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn receive(intake: &Arc<Intake>, session: &Session, mut stream: RecvStream) -> Result<(), Stop> {
    let header = read_header(&mut stream).await?;
    let transfer = session.transfer_named(&header.transfer);
    let transfer = transfer.ok_or_else(|| bad("a chunk of a transfer that this connection has not offered"))?;
    let (index, left) = (header.index, u64::from(header.length));
    let mut incoming = Incoming { stream, left, transfer: Arc::clone(&transfer) };
    match transfer.admit(&header).await? {
        Admission::Durable => incoming.discard(intake).await?,
        Admission::Fresh(slot) => store(intake, transfer.share(), incoming, slot, header).await?,
    }
    let durable = Reply::Durable { transfer: transfer.id().clone() };
    session.outbox().send(&durable, &index.to_be_bytes()).await
}

async fn read_header(stream: &mut RecvStream) -> Result<ChunkHeader, Stop> {
    let mut bytes = [0; ChunkHeader::BYTES];
    let read = timeout(bounds::STALLED_CHUNK, stream.read_exact(&mut bytes)).await;
    match read.map_err(|_| violation("a chunk's header did not come in time"))? {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(_)) => return Err(violation("a chunk's header ended early").into()),
        Err(quinn::ReadExactError::ReadError(_)) => return Err(Stop::Gone),
    }
    let header = ChunkHeader::decode(&bytes);
    header.ok_or_else(|| violation("a chunk's header names no transfer").into())
}

/// Where a chunk's file stands between two records.
enum Stage {
    Unopened(Slot),
    Writing(oneshot::Receiver<Result<ChunkFile, Refusal>>),
}

/// Writes a chunk, one record behind the network, and waits until it is durable.
async fn store(
    intake: &Arc<Intake>,
    share: &Share,
    mut incoming: Incoming,
    slot: Slot,
    header: ChunkHeader,
) -> Result<(), Stop> {
    let mut stage = Stage::Unopened(slot);
    let (whole, record) = loop {
        let bytes = incoming.next(intake).await?;
        let cost = bytes.filled().len();
        let open: Box<dyn FnOnce() -> Result<ChunkFile, Refusal> + Send> = match stage {
            Stage::Unopened(slot) => {
                let (intake, header) = (Arc::clone(intake), header.clone());
                Box::new(move || {
                    intake.check_room(u64::from(header.length))?;
                    ChunkFile::create(slot, header)
                })
            }
            Stage::Writing(file) => {
                let file = file.await.map_err(|_| panicked(pool::Panicked))??;
                Box::new(move || Ok(file))
            }
        };
        let write = move || {
            let mut file = open()?;
            file.write(bytes.filled())?;
            Ok(file)
        };
        if incoming.left == 0 {
            break intake
                .pool
                .run(share, cost, move || write().and_then(ChunkFile::finish))
                .await
                .map_err(panicked)??;
        }
        stage = Stage::Writing(intake.pool.begin(share, cost, write));
    };
    let durable = timeout(bounds::COMMIT, intake.committer.submit(share, whole, record)).await;
    // The slot goes before the acknowledgement: a peer that does not read holds nobody up.
    let _slot: Slot = durable.ok().and_then(Result::ok).ok_or_else(not_durable)??;
    Ok(())
}

/// The bytes of a chunk that are still to come.
struct Incoming {
    stream: RecvStream,
    left: u64,
    transfer: Arc<Transfer>,
}

impl Incoming {
    /// The next record. With the last one, the stream has ended as announced.
    async fn next(&mut self, intake: &Intake) -> Result<Buffer, Stop> {
        let transfer = Arc::clone(&self.transfer);
        tokio::select! {
            biased;
            () = transfer.closed() => Err(Stop::Gone),
            record = self.record(intake) => record,
        }
    }

    async fn record(&mut self, intake: &Intake) -> Result<Buffer, Stop> {
        let wanted = self.left.min(bounds::RECORD_BYTES as u64);
        intake.turns.pass(self.transfer.share(), usize::try_from(wanted).unwrap_or(usize::MAX)).await;
        // A buffer is taken only when there is something to put into it.
        let first = self.first().await?;
        let mut buffer = intake.buffers.take().await;
        buffer.push(&first);
        drop(first);
        let patience = Instant::now() + bounds::RECORD_PATIENCE;
        // What was filled in stays filled in when time runs out: reads are whole or not at all.
        if let Ok(filled) = timeout_at(patience, self.fill(&mut buffer)).await {
            filled?;
        }
        if self.left == 0 {
            self.expect_end().await?;
        }
        Ok(buffer)
    }

    async fn first(&mut self) -> Result<bytes::Bytes, Stop> {
        let chunk = timeout(bounds::STALLED_CHUNK, self.stream.read_chunk(bounds::RECORD_BYTES, true)).await;
        let chunk = chunk.map_err(|_| bad("a chunk's bytes stopped coming"))?.map_err(gone)?;
        let chunk = chunk.ok_or_else(|| bad("a chunk's stream ended before its announced length"))?;
        let left = self.left.checked_sub(chunk.bytes.len() as u64);
        self.left = left.ok_or_else(|| bad("a chunk has more bytes than announced"))?;
        Ok(chunk.bytes)
    }

    async fn fill(&mut self, buffer: &mut Buffer) -> Result<(), Stop> {
        while self.left > 0 && !buffer.rest().is_empty() {
            let rest = buffer.rest();
            let wanted = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let read = self.stream.read(&mut rest[..wanted]).await.map_err(gone)?;
            let count = read.ok_or_else(|| bad("a chunk's stream ended before its announced length"))?;
            buffer.advance(count);
            self.left -= count as u64;
        }
        Ok(())
    }

    async fn expect_end(&mut self) -> Result<(), Stop> {
        let more = timeout(bounds::STALLED_CHUNK, self.stream.read_chunk(1, true)).await;
        match more.map_err(|_| bad("a chunk's stream did not end"))?.map_err(gone)? {
            None => Ok(()),
            Some(_) => Err(bad("a chunk has more bytes than announced").into()),
        }
    }

    /// Reads a chunk that is durable already, without looking at it.
    async fn discard(&mut self, intake: &Intake) -> Result<(), Stop> {
        while self.left > 0 {
            self.next(intake).await?;
        }
        Ok(())
    }
}

fn bad(what: &'static str) -> Refusal {
    Refusal::new(Code::BadChunk, what)
}

/// A stream that the source reset was given up by it: no fault. A lost connection is noticed elsewhere.
fn gone(_: ReadError) -> Stop {
    Stop::Gone
}
