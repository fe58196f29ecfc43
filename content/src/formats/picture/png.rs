//! PNG: chunks with their lengths and checksums; texts and EXIF data in some of them.

use super::exif::Signs;
use crate::formats::Plain;
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use std::sync::Arc;

const MARK: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Bytes of a text or of EXIF data that are kept to be looked at.
const KEPT: usize = 256 * 1024;

/// Reads one picture.
pub struct Png {
    looks: bool,
    signs: Signs,
    texts: Plain,
    at: At,
    /// Bytes of a mark, a head or a checksum, until they are all there.
    held: Vec<u8>,
    chunk: Chunk,
    chunks: u64,
    offset: u64,
    wrong: Option<(u64, &'static str)>,
    behind: Option<u64>,
}

enum At {
    Mark,
    Head,
    /// Bytes of the chunk that are still to come.
    Data(u64),
    Sum,
    Behind,
    Wrong,
}

#[derive(Default)]
struct Chunk {
    kind: [u8; 4],
    sum: crc32fast::Hasher,
    start: u64,
    kept: Vec<u8>,
}

impl Png {
    /// Reads a picture under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            looks: policy.identifiers.is_some(),
            signs: Signs::default(),
            texts: Plain::of(policy, "texts beside the picture"),
            at: At::Mark,
            held: Vec::new(),
            chunk: Chunk::default(),
            chunks: 0,
            offset: 0,
            wrong: None,
            behind: None,
        }
    }

    /// Takes what the next step needs from `bytes`; how many it took.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let needed = match self.at {
            At::Mark | At::Head => 8,
            At::Sum => 4,
            At::Data(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.data(&bytes[..count]);
                self.at = if left == count as u64 { At::Sum } else { At::Data(left - count as u64) };
                return count;
            }
            At::Behind => {
                self.behind.get_or_insert(self.offset);
                return bytes.len();
            }
            At::Wrong => {
                self.texts.feed_at(bytes, self.offset);
                return bytes.len();
            }
        };
        let count = (needed - self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..count]);
        if self.held.len() == needed {
            let held = std::mem::take(&mut self.held);
            let end = self.offset + count as u64;
            self.at = self.whole(&held, end).unwrap_or_else(|what| {
                self.wrong = Some((end, what));
                // What was read of a text is not followed by what comes.
                self.texts.end_value();
                At::Wrong
            });
        }
        count
    }

    /// A mark, a head or a checksum is whole, which ends so many bytes from the start.
    fn whole(&mut self, held: &[u8], end: u64) -> Result<At, &'static str> {
        match self.at {
            At::Mark if held == MARK => Ok(At::Head),
            At::Mark => Err("it does not begin as a PNG picture does"),
            At::Head => {
                let (length, kind) = held.split_at(4);
                let length = length.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                let kind: [u8; 4] = kind.try_into().unwrap_or_default();
                let first = self.chunks == 0;
                if length > i32::MAX as u64 || !kind.iter().all(u8::is_ascii_alphabetic) || first != (kind == *b"IHDR")
                {
                    return Err("a chunk that PNG does not have there");
                }
                self.chunks += 1;
                self.chunk = Chunk { kind, start: end, ..Chunk::default() };
                self.chunk.sum.update(&kind);
                Ok(if length == 0 { At::Sum } else { At::Data(length) })
            }
            _ => {
                if held != self.chunk.sum.clone().finalize().to_be_bytes() {
                    return Err("a chunk's checksum is wrong");
                }
                self.end_chunk();
                Ok(if self.chunk.kind == *b"IEND" { At::Behind } else { At::Head })
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        self.chunk.sum.update(bytes);
        if !matches!(&self.chunk.kind, b"tEXt" | b"iTXt" | b"zTXt" | b"eXIf") {
            return;
        }
        if self.chunk.kind != *b"zTXt" {
            self.texts.feed_at(bytes, self.offset);
        }
        let room = KEPT.saturating_sub(self.chunk.kept.len()).min(bytes.len());
        self.chunk.kept.extend_from_slice(&bytes[..room]);
    }

    fn end_chunk(&mut self) {
        let kept = std::mem::take(&mut self.chunk.kept);
        self.texts.end_value();
        if !self.looks {
            return;
        }
        match &self.chunk.kind {
            b"eXIf" => self.signs.look(&kept, self.chunk.start),
            b"tEXt" | b"iTXt" | b"zTXt" => {
                let text = kept.strip_prefix(b"Author\0").unwrap_or_default();
                if text.iter().any(|byte| !matches!(byte, 0 | b' ')) {
                    self.signs.author_at(self.chunk.start);
                }
            }
            _ => {}
        }
    }
}

impl Reader for Png {
    fn feed(&mut self, mut bytes: &[u8], _: &mut dyn Sink) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let ended = matches!(self.at, At::Behind | At::Wrong);
        super::tell_shape(ended, self.offset, self.wrong, self.behind, sink);
        self.signs.tell(sink);
        self.texts.finish(sink);
    }
}
