//! How far containers are opened, and the pools that bound what decoders hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far the containers within one file are opened. Where one of them ends it, the file's verdict is
/// [`Class::Bomb`](sluse_protocol::finding::Class::Bomb) or, for memory,
/// [`Class::NotInspected`](sluse_protocol::finding::Class::NotInspected): never clean.
///
/// What the walk itself holds is at most twice `held`, 160 bytes for each of `entries`, `windows` dictionaries of
/// `dictionary` bytes (and its half again for the decoder's own tables), and 0.5 MiB for each of `depth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Containers within each other. An export is a `.tar.gz` of `.zip`s of `.xlsx`s with a picture: five. Quines have
    /// no end.
    pub depth: usize,
    /// Members at all depths together. A week's images of a hospital are 135,000 files; a delivery is far smaller.
    pub entries: u64,
    /// Unpacked bytes of all members at all depths together. A genome's reads are 0.4 TB unpacked; past 2 TiB is no
    /// delivery.
    pub bytes: u64,
    /// Unpacked bytes for each byte of the file so far. Tables and JSON pack by 5 to 40, log files by 100, deflated
    /// zeros by 1,030.
    pub ratio: u64,
    /// Unpacked bytes before the ratio counts: an empty image or a sparse table of this size is no harm.
    pub free: u64,
    /// Bytes of archives held in memory at once, all depths together: a 7z archive must be whole to be read, and a
    /// ZIP's directory may point anywhere. What is larger is not inspected, or (ZIP) not where its two lists disagree.
    pub held: usize,
    /// Bytes of one decoder's window or dictionary. `xz -9` needs 64 MiB, `zstd --long` 128.
    pub dictionary: usize,
    /// Decoders with such windows at once, one within the other.
    pub windows: usize,
    /// Notices of one file; beyond, only the first of each class still passes.
    pub notices: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 8,
            entries: 200_000,
            bytes: 2 << 40,
            ratio: 250,
            free: 256 << 20,
            held: 64 << 20,
            dictionary: 128 << 20,
            windows: 2,
            notices: 200,
        }
    }
}

/// So much of something, shared by all containers of one file.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<AtomicUsize>);

impl Pool {
    pub fn new(amount: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(amount)))
    }

    /// Takes `amount` out until the share is dropped; none when so much is not left.
    pub fn take(&self, amount: usize) -> Option<Share> {
        let enough = |left: usize| left.checked_sub(amount);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).ok()?;
        Some(Share { pool: self.clone(), amount })
    }
}

/// What was taken out of a pool; it goes back on drop.
#[derive(Debug)]
pub(super) struct Share {
    pool: Pool,
    amount: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.0.fetch_add(self.amount, Ordering::Relaxed);
    }
}

/// Bytes that are held in memory, counted against a pool.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    share: Share,
}

impl Held {
    pub fn new(pool: &Pool) -> Self {
        Self { bytes: Vec::new(), share: Share { pool: pool.clone(), amount: 0 } }
    }

    /// Appends; says no, and holds what it held, when the pool has no room.
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let Some(mut more) = self.share.pool.take(bytes.len()) else { return false };
        self.share.amount += std::mem::take(&mut more.amount);
        self.bytes.extend_from_slice(bytes);
        true
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
