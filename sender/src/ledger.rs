//! Which chunks were read, which are durable, and whether both have the same bytes.

use crate::plan::Plan;
use sluse_protocol::digest::{ChunkDigest, Sha256, chunk_list_digest};
use sluse_protocol::document::Totals;
use sluse_protocol::limits;
use sluse_protocol::refusal::{Code, Refusal};

/// The chunks of one transfer. Chunks are read in order, so those below [`Ledger::read`] have our digest; a chunk above
/// that is durable has the digest that the zone named.
#[derive(Debug)]
pub(crate) struct Ledger {
    digests: Vec<ChunkDigest>,
    durable: Vec<bool>,
    read: usize,
    durable_count: usize,
    durable_bytes: u64,
    /// Bytes of all chunks.
    bytes: u64,
}

impl Ledger {
    /// A ledger of `plan`'s chunks, none of them read or durable.
    pub fn new(plan: &Plan) -> Self {
        let Totals { bytes, .. } = plan.totals();
        let count = plan.totals().chunks(limits::CHUNK_BYTES) as usize;
        let digests = vec![ChunkDigest([0; 32]); count];
        Self { digests, durable: vec![false; count], read: 0, durable_count: 0, durable_bytes: 0, bytes }
    }

    /// Takes in what the zone names durable when a transfer is offered; what it named before no longer counts.
    pub fn offered(&mut self, records: impl Iterator<Item = (u32, ChunkDigest)>) -> Result<(), Refusal> {
        self.durable.fill(false);
        (self.durable_count, self.durable_bytes) = (0, 0);
        for (index, digest) in records {
            let at = self.place(index)?;
            if at < self.read && self.digests[at] != digest {
                return Err(conflict());
            }
            self.digests[at] = digest;
            self.mark_durable(at);
        }
        Ok(())
    }

    /// Notes a chunk that was read, the next in order; whether the zone needs it.
    pub fn read(&mut self, index: u32, digest: ChunkDigest) -> Result<bool, Refusal> {
        let at = self.place(index)?;
        if self.durable[at] && self.digests[at] != digest {
            return Err(conflict());
        }
        self.digests[at] = digest;
        self.read = self.read.max(at + 1);
        Ok(!self.durable[at])
    }

    /// Notes chunks that became durable.
    pub fn durable(&mut self, numbers: &[u32]) -> Result<(), Refusal> {
        for index in numbers {
            let at = self.place(*index)?;
            if at >= self.read {
                return Err(Refusal::new(Code::ProtocolViolation, "the zone acknowledged a chunk that was not sent"));
            }
            self.mark_durable(at);
        }
        Ok(())
    }

    /// Chunks that were read but are not durable.
    pub fn lost(&self) -> Vec<(u32, ChunkDigest)> {
        (0..self.read).filter(|at| !self.durable[*at]).map(|at| (at as u32, self.digests[at])).collect()
    }

    /// Whether every chunk was read and is durable.
    pub fn is_complete(&self) -> bool {
        self.read == self.digests.len() && self.durable_count == self.digests.len()
    }

    /// Bytes that are durable.
    pub fn durable_bytes(&self) -> u64 {
        self.durable_bytes
    }

    /// The digest over all chunks, once they were read.
    pub fn chunk_list(&self) -> Sha256 {
        chunk_list_digest(&self.digests)
    }

    /// Number of chunks.
    pub fn count(&self) -> u32 {
        self.digests.len() as u32
    }

    fn mark_durable(&mut self, at: usize) {
        if !std::mem::replace(&mut self.durable[at], true) {
            let size = u64::from(limits::CHUNK_BYTES);
            self.durable_count += 1;
            self.durable_bytes += self.bytes.saturating_sub(at as u64 * size).min(size);
        }
    }

    fn place(&self, index: u32) -> Result<usize, Refusal> {
        let at = index as usize;
        let violation =
            || Refusal::new(Code::ProtocolViolation, "the zone named a chunk that the dataset does not have");
        (at < self.digests.len()).then_some(at).ok_or_else(violation)
    }
}

fn conflict() -> Refusal {
    Refusal::new(Code::ChunkConflict, "the zone holds other bytes than the files have now")
}
