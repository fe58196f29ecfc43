//! Cuts a stream into pieces by its content (FastCDC: a gear hash, and cuts that become likelier behind the average).
//!
//! Where the cuts lie is the source's own affair: nothing of it stands on the wire, and the zone never cuts.

use crate::digest::ChunkDigest;
use serde::{Deserialize, Serialize};

/// Bytes that a piece has on average, where the dataset is not large: a changed row costs one or two of them.
pub const AVERAGE_BYTES: u32 = 4 * 1024;

/// Pieces of one version, beyond which they are cut larger: the index of so many is 40 MB.
pub const MANY_PIECES: u64 = 1 << 20;

/// A piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its bytes.
    pub length: u32,
    /// Their digest.
    pub digest: ChunkDigest,
}

/// How large pieces are on average in a version of `bytes` bytes: a power of two, so that versions of about the same size are cut
/// alike.
pub fn average(bytes: u64) -> u32 {
    let mut average = AVERAGE_BYTES;
    while bytes / u64::from(average) > MANY_PIECES / 4 && average < 1 << 26 {
        average *= 2;
    }
    average
}

/// Random numbers, one for each byte; the same in every build, since pieces are compared with those of earlier ones.
const GEAR: [u64; 256] = gear();

const fn gear() -> [u64; 256] {
    let (mut table, mut at) = ([0; 256], 0);
    let mut state: u64 = 0x536c_7573_6520_6765;
    while at < table.len() {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    table
}

/// Cuts one stream, as its bytes come.
#[derive(Debug)]
pub struct Cutter {
    sizes: Sizes,
    hash: u64,
    /// Bytes of the piece that is open.
    length: usize,
    digest: blake3::Hasher,
    pieces: Vec<Piece>,
}

/// The least, the average and the most bytes of a piece, and which bits of the hash must be zero before and behind the average.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    least: usize,
    average: usize,
    most: usize,
    before: u64,
    behind: u64,
}

impl Cutter {
    /// Cuts into pieces of `average` bytes, a power of two of at least 64.
    pub fn new(average: u32) -> Self {
        let average = average.max(64).next_power_of_two();
        let (bits, bytes) = (average.trailing_zeros(), average as usize);
        // The hash's highest bits depend on most bytes.
        let mask = |bits: u32| u64::MAX << (64 - bits);
        let (before, behind) = (mask(bits + 2), mask(bits - 2));
        let sizes = Sizes { least: bytes / 4, average: bytes, most: bytes * 4, before, behind };
        Self { sizes, hash: 0, length: 0, digest: blake3::Hasher::new(), pieces: Vec::new() }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (count, ends) = self.scan(bytes);
            self.digest.update(&bytes[..count]);
            self.length += count;
            bytes = &bytes[count..];
            if ends {
                self.end();
            }
        }
    }

    /// The pieces of the whole stream.
    pub fn finish(mut self) -> Vec<Piece> {
        if self.length > 0 {
            self.end();
        }
        self.pieces
    }

    /// How many of `bytes` belong to the open piece, and whether it ends behind them.
    fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        let Sizes { least, average, most, before, behind } = self.sizes;
        // No cut lies before: these bytes need no hash, but those right before the first cut that there may be.
        let skipped = (least - 64.min(least)).saturating_sub(self.length).min(bytes.len());
        for (at, byte) in bytes.iter().enumerate().skip(skipped) {
            self.hash = (self.hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
            let length = self.length + at + 1;
            let mask = if length < average { before } else { behind };
            if length >= most || (length >= least && self.hash & mask == 0) {
                return (at + 1, true);
            }
        }
        (bytes.len(), false)
    }

    fn end(&mut self) {
        // A piece has at most four times the average, of at most 2^26.
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        self.pieces.push(Piece { length, digest: ChunkDigest(*self.digest.finalize().as_bytes()) });
        self.digest.reset();
        (self.hash, self.length) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(bytes: &[u8], average: u32, step: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(average);
        bytes.chunks(step.max(1)).for_each(|part| cutter.push(part));
        cutter.finish()
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed as u8; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn pieces_have_about_the_size_that_was_asked_for() {
        let pieces = cut(&noise(1, 4_000_000), 16_384, 1 << 16);
        let mean = 4_000_000 / pieces.len();
        assert!((10_000..30_000).contains(&mean), "{mean}");
        assert!(pieces.iter().rev().skip(1).all(|piece| (4096..=65_536).contains(&piece.length)));
    }

    #[test]
    fn what_is_inserted_changes_the_pieces_around_it_and_no_others() {
        let before = noise(2, 1_000_000);
        let mut after = before.clone();
        after.splice(500_000..500_000, *b"one more row\n");
        let (before, after) = (cut(&before, 4096, 9999), cut(&after, 4096, 777));
        let same = |one: &[Piece], other: &[Piece]| one.iter().zip(other).take_while(|(a, b)| a == b).count();
        let ahead = same(&before, &after);
        let (mut one, mut other) = (before.clone(), after.clone());
        one.reverse();
        other.reverse();
        let behind = same(&one, &other);
        assert!(ahead + behind + 3 >= before.len(), "{ahead} and {behind} of {}", before.len());
    }

    #[test]
    fn a_large_version_is_cut_into_larger_pieces_so_that_they_stay_countable() {
        assert_eq!((average(0), average(3_000_000), average(1 << 30), average(4 << 30)), (4096, 4096, 4096, 16_384));
        for bytes in [5 << 30, 100_000_000_000, 1 << 42] {
            assert!(bytes / u64::from(average(bytes)) <= MANY_PIECES / 4, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_stream_however_it_comes(
            bytes in proptest::collection::vec(any::<u8>(), 0..20_000), step in 1..5000usize
        ) {
            let pieces = cut(&bytes, 256, step);
            prop_assert_eq!(&pieces, &cut(&bytes, 256, usize::MAX));
            let mut at = 0;
            for piece in &pieces {
                let end = at + piece.length as usize;
                prop_assert!(piece.length > 0 && piece.length <= 1024);
                prop_assert_eq!(piece.digest, ChunkDigest::of(&bytes[at..end]));
                at = end;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
