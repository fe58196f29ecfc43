//! Sending chunks over one connection: a stream each, a bounded number at a time, and the zone's durable notices.

use crate::connection::{Link, ended};
use crate::error::{Error, Lost};
use crate::ledger::Ledger;
use crate::pipeline::{Chunk, Reading, fault};
use crate::progress::Progress;
use bytes::Bytes;
use quinn::{Connection, WriteError};
use sluse_host::limiter::Limiter;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits;
use sluse_protocol::wire::ChunkHeader;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A zone that is there but takes and acknowledges nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(600);

/// A source that reads for long without sending, since the zone has the chunks, says that it is there once in this time.
const QUIET: Duration = Duration::from_secs(60);

type Written = Result<Result<u64, Error>, JoinError>;

/// Chunks on their way over one connection.
pub(crate) struct Sender<'a> {
    link: &'a mut Link,
    transfer: &'a TransferId,
    ledger: &'a mut Ledger,
    /// Plain bytes that were sent.
    sent: &'a mut u64,
    progress: &'a mut dyn FnMut(Progress),
    writing: JoinSet<Result<u64, Error>>,
    /// When something was sent last.
    spoke: Instant,
    limiter: Arc<Limiter>,
}

impl<'a> Sender<'a> {
    /// Sends `transfer`'s chunks over `link`.
    pub fn new(
        link: &'a mut Link,
        transfer: &'a TransferId,
        ledger: &'a mut Ledger,
        sent: &'a mut u64,
        progress: &'a mut dyn FnMut(Progress),
        limiter: Arc<Limiter>,
    ) -> Self {
        progress(Progress::Durable { bytes: ledger.durable_bytes() });
        Self { link, transfer, ledger, sent, progress, writing: JoinSet::new(), spoke: Instant::now(), limiter }
    }

    /// Sends what is read and not durable, until everything was read and sent.
    pub async fn send(&mut self, reading: &mut Reading) -> Result<(), Error> {
        while !(reading.is_over() && self.writing.is_empty()) {
            let full = self.writing.len() >= limits::MAX_CHUNK_STREAMS as usize;
            let reads = !full && !reading.is_over();
            tokio::select! {
                notice = self.link.notice() => self.note(&notice?)?,
                Some(written) = self.writing.join_next() => self.written(written).await?,
                chunk = reading.next(), if reads => if let Some(chunk) = chunk? {
                    self.chunk(chunk)?;
                },
                () = sleep(STUCK), if !reads => return Err(Lost::Unanswered.into()),
                () = sleep_until(self.spoke + QUIET), if self.writing.is_empty() => {
                    self.spoke = Instant::now();
                    self.link.ping(self.transfer).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until every chunk is durable.
    pub async fn settle(&mut self) -> Result<(), Error> {
        while !self.ledger.is_complete() {
            match timeout(STUCK, self.link.notice()).await {
                Ok(notice) => self.note(&notice?)?,
                Err(_) => return Err(Lost::Unanswered.into()),
            }
        }
        Ok(())
    }

    fn note(&mut self, durable: &[u32]) -> Result<(), Error> {
        self.ledger.durable(durable)?;
        (self.progress)(Progress::Durable { bytes: self.ledger.durable_bytes() });
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), Error> {
        if self.ledger.read(chunk.index, chunk.digest)? {
            let (connection, limiter) = (self.link.connection().clone(), Arc::clone(&self.limiter));
            let write = write(connection, self.transfer.clone(), chunk, limiter);
            self.writing.spawn(write);
            self.spoke = Instant::now();
        }
        Ok(())
    }

    async fn written(&mut self, written: Written) -> Result<(), Error> {
        match written {
            Ok(Ok(bytes)) => {
                *self.sent += bytes;
                Ok(())
            }
            // What the zone said on the control stream tells more than the end of a chunk's stream.
            Ok(Err(_)) => Err(self.link.why_ended().await),
            Err(_) => Err(fault("sending a chunk ended early")),
        }
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        // A stream that is dropped half-written would look like a short chunk.
        if !self.writing.is_empty() {
            self.link.close();
        }
    }
}

async fn write(
    connection: Connection,
    transfer: TransferId,
    chunk: Chunk,
    limiter: Arc<Limiter>,
) -> Result<u64, Error> {
    let length = chunk.bytes.as_ref().len();
    let header = ChunkHeader { transfer, index: chunk.index, length: length as u32, digest: chunk.digest };
    let mut stream = connection.open_uni().await.map_err(|error| ended(&error))?;
    let mut rest = Bytes::from_owner(chunk.bytes);
    let mut written = stream.write_all(&header.encode()).await;
    while written.is_ok() && !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(limiter.piece()));
        limiter.pass(piece.len()).await;
        written = stream.write_chunk(piece).await;
    }
    let finished = written.and_then(|()| stream.finish().map_err(|_| WriteError::ClosedStream));
    match finished {
        Ok(()) => Ok(length as u64),
        Err(WriteError::ConnectionLost(error)) => Err(ended(&error)),
        Err(error) => Err(Lost::Ended(error.to_string()).into()),
    }
}
