//! The index of a transfer's durable chunks: a file of fixed records that only grows.
//!
//! A record is 44 bytes: the chunk's number (`u32`, big endian), the length of its encrypted file (`u32`, big endian), its
//! BLAKE3 digest (32 bytes), and a checksum (the first 4 bytes of BLAKE3 over the 40 before it). A record is written only
//! after its chunk is durable; a torn or damaged record at the end is cut off and its chunk sent again.

use crate::digest::ChunkDigest;

/// One durable chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The chunk's number.
    pub index: u32,
    /// Bytes of its encrypted file.
    pub stored: u32,
    /// BLAKE3 of its plain bytes.
    pub digest: ChunkDigest,
}

impl Record {
    /// Bytes of a record in the file.
    pub const BYTES: usize = 44;

    /// The record as it stands in the file.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.index.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stored.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.digest.0);
        let sum = checksum(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum);
        bytes
    }

    /// Reads a record; `None` when its checksum is wrong.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (body, sum) = bytes.split_at(40);
        if checksum(body) != sum {
            return None;
        }
        let (index, rest) = body.split_first_chunk::<4>()?;
        let (stored, digest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            index: u32::from_be_bytes(*index),
            stored: u32::from_be_bytes(*stored),
            digest: ChunkDigest(digest.try_into().ok()?),
        })
    }
}

/// The durable chunks of a transfer, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkIndex {
    chunks: Vec<Option<(u32, ChunkDigest)>>,
    durable: u32,
}

impl ChunkIndex {
    /// An index of `count` chunks, at most [`crate::limits::MAX_CHUNKS`], none durable.
    pub fn new(count: u32) -> Self {
        Self { chunks: vec![None; count as usize], durable: 0 }
    }

    /// Reads a file's records: the index, and how many bytes of the file are good. What follows the first bad record, or
    /// names a chunk that cannot be, is not read.
    pub fn read(count: u32, file: &[u8]) -> (Self, u64) {
        let mut index = Self::new(count);
        let mut good = 0;
        for bytes in file.chunks_exact(Record::BYTES) {
            let record = bytes.try_into().ok().and_then(Record::decode).filter(|record| record.index < count);
            let Some(record) = record else { break };
            index.insert(record);
            good += Record::BYTES as u64;
        }
        (index, good)
    }

    /// Notes a durable chunk. A number out of range is ignored: callers check it against [`Self::count`] first.
    pub fn insert(&mut self, record: Record) {
        if let Some(slot) = self.chunks.get_mut(record.index as usize) {
            self.durable += u32::from(slot.is_none());
            *slot = Some((record.stored, record.digest));
        }
    }

    /// The digest of a durable chunk.
    pub fn digest(&self, index: u32) -> Option<ChunkDigest> {
        self.chunks.get(index as usize).copied().flatten().map(|(_, digest)| digest)
    }

    /// Bytes of a durable chunk's encrypted file.
    pub fn stored(&self, index: u32) -> Option<u32> {
        self.chunks.get(index as usize).copied().flatten().map(|(stored, _)| stored)
    }

    /// Number of chunks of the transfer.
    pub fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// Number of durable chunks.
    pub fn durable(&self) -> u32 {
        self.durable
    }

    /// Whether every chunk is durable.
    pub fn is_complete(&self) -> bool {
        self.durable == self.count()
    }

    /// The durable chunks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, ChunkDigest)> + '_ {
        (0..).zip(&self.chunks).filter_map(|(index, chunk)| chunk.map(|(_, digest)| (index, digest)))
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u32) -> Record {
        Record { index, stored: 7, digest: ChunkDigest::of(&index.to_be_bytes()) }
    }

    #[test]
    fn a_torn_or_damaged_record_ends_the_index_and_what_precedes_it_stays() {
        let file: Vec<u8> = [2, 0, 1].iter().flat_map(|index| record(*index).encode()).collect();
        let (whole, good) = ChunkIndex::read(3, &file);
        assert_eq!((whole.durable(), good, whole.is_complete()), (3, 132, true));
        assert_eq!(whole.iter().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1, 2]);
        for cut in 89..132 {
            let (index, good) = ChunkIndex::read(3, &file[..cut]);
            assert_eq!((index.durable(), good), (2, 88));
        }
        let mut damaged = file.clone();
        damaged[50] ^= 1;
        assert_eq!(ChunkIndex::read(3, &damaged).1, 44);
        assert_eq!(ChunkIndex::read(2, &file).1, 0);
    }

    #[test]
    fn the_same_chunk_twice_counts_once() {
        let mut index = ChunkIndex::new(3);
        index.insert(record(1));
        index.insert(record(1));
        assert_eq!((index.durable(), index.stored(1), index.stored(2)), (1, Some(7), None));
    }
}
