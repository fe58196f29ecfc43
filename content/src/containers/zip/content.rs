//! The content of one entry: decoded, shown, and compared with what was stated of it.

use super::header::{Facts, u32_at, u64_at};
use crate::containers::codec::{Codec, Fault, Pumped};
use crate::containers::outlet::Outlet;
use sluse_protocol::finding::Class;

const ENCRYPTED: &str = "an encrypted entry: it cannot be inspected";
const METHOD: &str = "an entry is compressed by a method that cannot be opened here: not inspected";
const WINDOWS: &str = "entries within each other need more memory than there is: not inspected";
const REFUSED: &str = "an entry needs more memory than there is, or an option that is not read here: not inspected";
pub(super) const DAMAGED: &str = "the compressed data of an entry is damaged";
pub(super) const CHECKSUM: &str = "the content of an entry does not have the checksum that was stated";
pub(super) const SIZES: &str = "the content of an entry does not have the size that was stated";

/// Bytes that stand before LZMA's data in a ZIP archive: a version, the properties' length, and five bytes of them.
const LZMA_HEAD: usize = 9;

/// How an entry is read.
pub(super) enum Reading {
    /// By this decoder.
    Codec(Codec),
    /// LZMA: the beginning is not all there, from which its own header is made.
    LzmaHead { head: Vec<u8>, size: Option<u64> },
    /// Not at all.
    Opaque,
}

/// One entry's content so far.
pub(super) struct Content {
    pub reading: Reading,
    pub facts: Facts,
    pub packed: u64,
    pub unpacked: u64,
    crc: crc32fast::Hasher,
    buffer: Vec<u8>,
}

/// What a piece came to.
pub(super) enum Came {
    /// All of it was taken.
    All,
    /// The data ended after so many bytes.
    Ended(usize),
    /// Nothing more comes out of it; a notice says why.
    Faulty,
    /// Nothing more is opened.
    Stopped,
}

impl Content {
    /// Starts on the content of the member that was just begun; says so when it cannot be read.
    pub fn new(facts: Facts, out: &mut Outlet<'_>) -> Self {
        let reading = reading(&facts, out);
        let crc = crc32fast::Hasher::new();
        Self { reading, facts, packed: 0, unpacked: 0, crc, buffer: Vec::new() }
    }

    /// Decodes `input` and shows what comes out.
    pub fn feed(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Came {
        let mut skipped = 0;
        if let Reading::LzmaHead { head, size } = &mut self.reading {
            skipped = input.len().min(LZMA_HEAD - head.len());
            head.extend_from_slice(&input[..skipped]);
            self.packed += skipped as u64;
            if head.len() < LZMA_HEAD {
                return Came::All;
            }
            // What it states of its properties' length must be five.
            let size = size.unwrap_or(u64::MAX).to_le_bytes();
            let properties = (head[2..4] == [5, 0]).then(|| [&head[4..], &size].concat());
            let codec = out.windows().take(1).and_then(|window| Codec::lzma(out.limits(), window));
            match (properties, codec) {
                (None, _) => return self.fail(Class::BrokenArchive, DAMAGED, out),
                (_, None) => return self.fail(Class::NotInspected, WINDOWS, out),
                (Some(properties), Some(codec)) => {
                    self.reading = Reading::Codec(codec);
                    match self.pump(&properties, out) {
                        Pumped::All => {}
                        Pumped::Faulty(Fault::Refused) => return self.fail(Class::NotInspected, REFUSED, out),
                        Pumped::Stopped => return Came::Stopped,
                        // Nothing at all, and no mark of the end: LZMA's five bytes of range coder follow unread.
                        Pumped::Ended(_) => return Came::Ended(skipped),
                        Pumped::Faulty(Fault::Damaged) => return self.fail(Class::BrokenArchive, DAMAGED, out),
                    }
                }
            }
        }
        let rest = &input[skipped..];
        if matches!(self.reading, Reading::Opaque) {
            self.packed += rest.len() as u64;
            return Came::All;
        }
        match self.pump(rest, out) {
            Pumped::All => {
                self.packed += rest.len() as u64;
                Came::All
            }
            Pumped::Ended(read) => {
                self.packed += read as u64;
                Came::Ended(skipped + read)
            }
            Pumped::Faulty(Fault::Damaged) => self.fail(Class::BrokenArchive, DAMAGED, out),
            Pumped::Faulty(Fault::Refused) => self.fail(Class::NotInspected, REFUSED, out),
            Pumped::Stopped => Came::Stopped,
        }
    }

    /// Whether the content's own end tells where it ends, to the byte.
    pub fn ends_itself(&self) -> bool {
        match &self.reading {
            Reading::Codec(codec) => codec.ends_itself() && codec.is_exact(),
            Reading::LzmaHead { .. } => true,
            Reading::Opaque => false,
        }
    }

    pub fn is_stored(&self) -> bool {
        matches!(self.reading, Reading::Codec(Codec::Stored))
    }

    pub fn is_opaque(&self) -> bool {
        matches!(self.reading, Reading::Opaque)
    }

    /// What a data descriptor must say of it.
    pub fn measured(&self) -> Measured {
        Measured { crc: self.crc.clone().finalize(), packed: self.packed, unpacked: self.unpacked }
    }

    /// Compares with what was stated. Without a checksum there is none to compare (AE-2, or a descriptor behind).
    pub fn compare(&self, stated: &Facts, out: &mut Outlet<'_>) -> bool {
        let measured = self.measured();
        if measured.unpacked != stated.unpacked {
            out.member(Class::BrokenArchive, SIZES);
            return false;
        }
        if measured.crc != stated.crc {
            out.member(Class::BrokenArchive, CHECKSUM);
            return false;
        }
        true
    }

    fn pump(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Pumped {
        let Reading::Codec(codec) = &mut self.reading else { return Pumped::All };
        let (crc, unpacked) = (&mut self.crc, &mut self.unpacked);
        codec.pump(input, &mut self.buffer, |bytes| {
            crc.update(bytes);
            *unpacked += bytes.len() as u64;
            out.bytes(bytes)
        })
    }

    fn fail(&mut self, class: Class, text: &'static str, out: &mut Outlet<'_>) -> Came {
        out.cut(class, text);
        self.reading = Reading::Opaque;
        Came::Faulty
    }
}

/// How an entry with these facts is read; a notice when it cannot be.
fn reading(facts: &Facts, out: &mut Outlet<'_>) -> Reading {
    if facts.encrypted() {
        out.cut(Class::Encrypted, ENCRYPTED);
        return Reading::Opaque;
    }
    let window = || out.windows().take(1);
    let codec = match facts.method {
        0 => Some(Codec::Stored),
        8 => Some(Codec::deflate()),
        9 => Some(Codec::deflate64()),
        12 => Some(Codec::bzip2()),
        14 => {
            // Bit 1: a mark stands at the end. Else the size must be known.
            let size = (facts.flags & 2 == 0).then_some(facts.unpacked);
            return Reading::LzmaHead { head: Vec::new(), size };
        }
        20 | 93 => window().and_then(|window| Codec::zstd(out.limits(), window)),
        95 => window().and_then(|window| Codec::xz(out.limits(), window)),
        _ => {
            out.cut(Class::NotInspected, METHOD);
            return Reading::Opaque;
        }
    };
    match codec {
        Some(codec) => Reading::Codec(codec),
        None => {
            out.cut(Class::NotInspected, WINDOWS);
            Reading::Opaque
        }
    }
}

/// What was counted of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measured {
    pub crc: u32,
    pub packed: u64,
    pub unpacked: u64,
}

/// A data descriptor at the start of `bytes`.
pub(super) enum Descriptor {
    More,
    /// It agrees with what was counted, and has so many bytes.
    Agrees(usize),
    Differs,
}

impl Measured {
    /// Looks for a descriptor in any of its four forms: with and without mark, with sizes of 4 and of 8 bytes.
    pub fn descriptor(&self, bytes: &[u8]) -> Descriptor {
        for start in [4, 0] {
            if start == 4 {
                let common = bytes.len().min(4);
                if bytes[..common] != b"PK\x07\x08"[..common] {
                    continue;
                }
            }
            for wide in [false, true] {
                let length = start + if wide { 20 } else { 12 };
                if bytes.len() < length {
                    return Descriptor::More;
                }
                if self.agrees(&bytes[start..], wide) {
                    return Descriptor::Agrees(length);
                }
            }
        }
        Descriptor::Differs
    }

    fn agrees(&self, bytes: &[u8], wide: bool) -> bool {
        let sizes = if wide {
            (u64_at(bytes, 4), u64_at(bytes, 12))
        } else {
            (u32_at(bytes, 4).map(u64::from), u32_at(bytes, 8).map(u64::from))
        };
        let mask = if wide { u64::MAX } else { u32::MAX.into() };
        u32_at(bytes, 0) == Some(self.crc) && sizes == (Some(self.packed & mask), Some(self.unpacked & mask))
    }
}
