//! One transfer while a connection receives it: what is durable, what is being written, and whether it goes on.

use super::bounds;
use super::control::broken;
use super::folder::{Folder, IndexFile};
use super::pool::lock;
use super::refusals::storage;
use super::share::Share;
use age::x25519::Recipient;
use sluse_host::config::Zone;
use sluse_protocol::chunk_index::{ChunkIndex, Record};
use sluse_protocol::digest::{Sha256, chunk_list_digest};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::{CHUNK_BYTES, MAX_CHUNKS};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::wire::{ChunkHeader, DurableRecord};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A transfer that a connection receives.
#[derive(Debug)]
pub struct Transfer {
    id: TransferId,
    share: Share,
    bytes: u64,
    recipient: Recipient,
    folder: Folder,
    chunks: Mutex<ChunkIndex>,
    index: Mutex<Option<IndexFile>>,
    writing: Mutex<HashSet<u32>>,
    slots: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

/// What is to be done with a chunk that begins to arrive.
#[derive(Debug)]
pub enum Admission {
    /// It is durable already: to be acknowledged once more.
    Durable,
    /// To be written.
    Fresh(Slot),
}

/// The right to write one chunk. While there is one, the transfer is not quiet.
#[derive(Debug)]
pub struct Slot {
    transfer: Arc<Transfer>,
    index: Option<u32>,
    _permit: OwnedSemaphorePermit,
}

impl Transfer {
    /// Opens the folder of a transfer of `bytes` bytes that may be written, and reads which chunks are durable. Blocks.
    ///
    /// # Errors
    /// When the quarantine is full or fails.
    pub fn open(zone: &Zone, id: &TransferId, share: Share, bytes: u64, recipient: &str) -> Result<Arc<Self>, Refusal> {
        let recipient = recipient.parse().map_err(|_| broken("a transfer's recipient is not an age recipient"))?;
        let count = u32::try_from(bytes.div_ceil(u64::from(CHUNK_BYTES))).ok().filter(|count| *count <= MAX_CHUNKS);
        let count = count.ok_or_else(|| broken("a transfer has more chunks than the protocol allows"))?;
        let folder = Folder::open(zone, id).map_err(|error| storage("open a transfer's folder", &error))?;
        let (index, chunks) = IndexFile::open(&folder, count).map_err(|error| storage("open a chunk index", &error))?;
        Ok(Self::with(id.clone(), share, bytes, recipient, folder, index, chunks))
    }

    fn with(
        id: TransferId,
        share: Share,
        bytes: u64,
        recipient: Recipient,
        folder: Folder,
        index: IndexFile,
        chunks: ChunkIndex,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            share,
            bytes,
            recipient,
            folder,
            chunks: Mutex::new(chunks),
            index: Mutex::new(Some(index)),
            writing: Mutex::default(),
            slots: Arc::new(Semaphore::new(bounds::CHUNKS_IN_FLIGHT as usize)),
            closing: watch::Sender::new(false),
        })
    }

    /// A transfer of two chunks on a folder and an index of a test's making.
    #[cfg(test)]
    pub fn on(folder: Folder, index: IndexFile) -> Arc<Self> {
        let id = TransferId::new(sluse_protocol::time::Timestamp::from_unix(0), [0; 5]);
        let recipient = age::x25519::Identity::generate().to_public();
        let weights = sluse_protocol::sharing::Weights::EVEN;
        let share = Share { flow: ("lab".parse().unwrap(), None), weights };
        Self::with(id, share, u64::from(CHUNK_BYTES) * 2, recipient, folder, index, ChunkIndex::new(2))
    }

    /// Its id.
    pub fn id(&self) -> &TransferId {
        &self.id
    }

    /// Whose it is, and how much it gets beside others.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// To whom its bytes are encrypted.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Where its bytes lie.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The index's file; none once the transfer is closed.
    pub fn index(&self) -> &Mutex<Option<IndexFile>> {
        &self.index
    }

    /// Whether a chunk may be written: its number, its length, and that nobody else is about to.
    ///
    /// # Errors
    /// When the header is wrong, or the zone holds other bytes for that chunk.
    pub async fn admit(self: &Arc<Self>, header: &ChunkHeader) -> Result<Admission, Refusal> {
        let start = u64::from(header.index) * u64::from(CHUNK_BYTES);
        let expected = self.bytes.saturating_sub(start).min(u64::from(CHUNK_BYTES));
        if header.length == 0 || u64::from(header.length) != expected {
            return Err(Refusal::new(Code::BadChunk, "a chunk's number or length is not the plan's"));
        }
        if self.is_durable(header)? {
            return Ok(Admission::Durable);
        }
        let mut slot = self.slot().await?;
        if !lock(&self.writing).insert(header.index) {
            return Err(Refusal::new(Code::BadChunk, "a chunk was sent twice at the same time"));
        }
        slot.index = Some(header.index);
        // It may have become durable since we looked; as long as the slot lives it cannot any more.
        Ok(if self.is_durable(header)? { Admission::Durable } else { Admission::Fresh(slot) })
    }

    /// The right to write in the transfer's folder.
    ///
    /// # Errors
    /// When the transfer is closing.
    pub async fn slot(self: &Arc<Self>) -> Result<Slot, Refusal> {
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        let permit = permit.ok().filter(|_| !*self.closing.borrow());
        let permit = permit.ok_or_else(|| Refusal::new(Code::TakenOver, "the transfer is no longer received here"))?;
        Ok(Slot { transfer: Arc::clone(self), index: None, _permit: permit })
    }

    /// Notes chunks that are durable now.
    pub fn note(&self, records: &[Record]) {
        let mut chunks = lock(&self.chunks);
        for record in records {
            chunks.insert(*record);
        }
    }

    /// Number of durable chunks, and of all.
    pub fn progress(&self) -> (u32, u32) {
        let chunks = lock(&self.chunks);
        (chunks.durable(), chunks.count())
    }

    /// Digest over all chunks' digests; none while some are missing.
    pub fn chunk_list(&self) -> Option<Sha256> {
        let chunks = lock(&self.chunks);
        if !chunks.is_complete() {
            return None;
        }
        let digests: Vec<_> = chunks.iter().map(|(_, digest)| digest).collect();
        Some(chunk_list_digest(&digests))
    }

    /// The records of at most `count` durable chunks from number `from` on, as they stand on the wire, and the number to
    /// go on with; none at the end.
    pub fn durable_records(&self, from: u32, count: usize) -> (Vec<u8>, Option<u32>) {
        let chunks = lock(&self.chunks);
        let mut bytes = Vec::new();
        for index in from..chunks.count() {
            if let Some(digest) = chunks.digest(index) {
                if bytes.len() >= count * DurableRecord::BYTES {
                    return (bytes, Some(index));
                }
                bytes.extend_from_slice(&DurableRecord { index, digest }.encode());
            }
        }
        (bytes, None)
    }

    /// Returns when the transfer is to be written no more.
    pub async fn closed(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Begins to close: what is still arriving is given up, what is whole becomes durable.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Closes, waits until nothing is being written any more, and closes the index's file.
    ///
    /// # Errors
    /// When that takes too long: then something may still be written.
    pub async fn quiesce(&self) -> Result<(), Refusal> {
        self.close();
        let all = self.slots.acquire_many(bounds::CHUNKS_IN_FLIGHT);
        // A closed semaphore means that somebody else waited before us, successfully.
        let settled = tokio::time::timeout(bounds::SETTLE, all).await;
        let settled = settled.map_err(|_| Refusal::new(Code::Busy, "the transfer is still being written"))?;
        self.slots.close();
        drop(settled);
        lock(&self.index).take();
        Ok(())
    }

    fn is_durable(&self, header: &ChunkHeader) -> Result<bool, Refusal> {
        match lock(&self.chunks).digest(header.index) {
            None => Ok(false),
            Some(digest) if digest == header.digest => Ok(true),
            Some(_) => Err(Refusal::new(Code::ChunkConflict, "the zone holds other bytes for this chunk")),
        }
    }
}

impl Slot {
    /// The transfer.
    pub fn transfer(&self) -> &Arc<Transfer> {
        &self.transfer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            lock(&self.transfer.writing).remove(&index);
        }
    }
}
