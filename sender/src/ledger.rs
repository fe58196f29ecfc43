//! Which chunks were read, which are durable, and whether both have the same bytes.

use sluse_protocol::digest::{ChunkDigest, Sha256, chunk_list_digest};
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
    /// A ledger of the chunks of `bytes` bytes, none of them read or durable.
    pub fn of(bytes: u64) -> Self {
        let count = bytes.div_ceil(u64::from(limits::CHUNK_BYTES)) as usize;
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

    /// Notes a chunk that was read, the next in order; whether the zone needs it. One of which the zone has other bytes was read
    /// all the same: for another transfer it counts.
    pub fn read(&mut self, index: u32, digest: ChunkDigest) -> Result<bool, Refusal> {
        let at = self.place(index)?;
        let other = self.durable[at] && self.digests[at] != digest;
        self.digests[at] = digest;
        self.read = self.read.max(at + 1);
        if other { Err(conflict()) } else { Ok(!self.durable[at]) }
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

/// The zone's bytes are not what the files hold.
pub(crate) fn conflict() -> Refusal {
    Refusal::new(Code::ChunkConflict, "the zone holds other bytes than the files have now")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = limits::CHUNK_BYTES as u64;

    /// A ledger of three chunks, the last of 7 bytes.
    fn ledger() -> Ledger {
        Ledger::of(2 * SIZE + 7)
    }

    fn digest(byte: u8) -> ChunkDigest {
        ChunkDigest::of(&[byte])
    }

    #[test]
    fn only_chunks_that_are_not_durable_are_needed() {
        let mut ledger = ledger();
        ledger.offered([(1, digest(1))].into_iter()).unwrap();
        assert_eq!(ledger.read(0, digest(0)), Ok(true));
        assert_eq!(ledger.read(1, digest(1)), Ok(false));
        assert_eq!(ledger.read(2, digest(2)), Ok(true));
        ledger.durable(&[2, 2]).unwrap();
        assert_eq!((ledger.durable_bytes(), ledger.is_complete()), (SIZE + 7, false));
        assert_eq!(ledger.lost(), [(0, digest(0))]);
        ledger.durable(&[0]).unwrap();
        assert!(ledger.is_complete());
    }

    #[test]
    fn what_a_zone_names_later_replaces_what_it_named_before() {
        let mut ledger = ledger();
        ledger.offered([(0, digest(0)), (1, digest(1))].into_iter()).unwrap();
        ledger.offered([(1, digest(1))].into_iter()).unwrap();
        assert_eq!(ledger.durable_bytes(), SIZE);
        assert_eq!(ledger.read(0, digest(0)), Ok(true));
    }

    #[test]
    fn other_bytes_than_the_zone_has_are_a_conflict_whichever_is_known_first() {
        let mut first = ledger();
        first.offered([(0, digest(9))].into_iter()).unwrap();
        assert_eq!(first.read(0, digest(0)).unwrap_err().code, Code::ChunkConflict);
        let mut second = ledger();
        second.read(0, digest(0)).unwrap();
        assert_eq!(second.offered([(0, digest(9))].into_iter()).unwrap_err().code, Code::ChunkConflict);
    }

    #[test]
    fn chunks_that_were_not_sent_or_do_not_exist_cannot_be_durable() {
        let mut ledger = ledger();
        ledger.read(0, digest(0)).unwrap();
        for number in [1, 3, u32::MAX] {
            assert_eq!(ledger.durable(&[number]).unwrap_err().code, Code::ProtocolViolation);
        }
        assert_eq!(ledger.offered([(3, digest(3))].into_iter()).unwrap_err().code, Code::ProtocolViolation);
    }
}
