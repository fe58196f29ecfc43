//! The records of a ZIP archive (PKWARE's APPNOTE 6.3.10), read from bytes that may hold anything.

pub(in super::super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
pub(super) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
pub(super) const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const SIGNATURE: [u8; 4] = *b"PK\x05\x05";
const EXTRA_DATA: [u8; 4] = *b"PK\x06\x08";
const SPANNED: [u8; 4] = *b"PK\x07\x08";
const SPANNED_ONCE: [u8; 4] = *b"PK00";

/// Bytes of a local header before its name.
pub(in super::super) const LOCAL_BYTES: usize = 30;

/// Bytes of a zip64 end record, or of extra data, that are waited for.
const MAX_BLOB: u64 = 64 * 1024;

/// The value that stands for one in the zip64 field.
const ESCAPE: u64 = u32::MAX as u64;

/// One record, and its bytes.
pub(super) enum Record {
    Local(Entry),
    Central {
        entry: Entry,
        offset: u64,
        disk: u16,
    },
    End64(End64),
    End(EndRecord),
    /// One that tells nothing here.
    Other,
}

/// What the beginning of some bytes is.
pub(super) enum Parsed {
    More,
    Record(Record, usize),
    Bad,
}

/// What a local or central header says of an entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub name: Vec<u8>,
    /// The name in Info-ZIP's Unicode field, which some programs prefer.
    pub other_name: Option<Vec<u8>>,
    pub facts: Facts,
    /// The extra fields do not fill their room.
    pub damaged: bool,
}

/// The numbers of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u64,
    pub unpacked: u64,
    /// An extra field says that it is encrypted.
    pub aes: bool,
}

impl Facts {
    pub fn encrypted(&self) -> bool {
        self.flags & 0x2041 != 0 || self.method == 99 || self.aes
    }

    /// Sizes and checksum stand behind the data.
    pub fn described_behind(&self) -> bool {
        self.flags & 8 != 0
    }
}

/// The end record.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndRecord {
    pub disk: u16,
    pub entries: u64,
    pub size: u64,
    pub offset: u64,
    /// The comment holds the mark of another end record.
    pub two_ends: bool,
}

/// The zip64 end record.
#[derive(Debug, Clone, Copy)]
pub(super) struct End64 {
    pub entries: u64,
    pub size: u64,
    pub offset: u64,
}

pub(in super::super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Whether these four bytes begin a record that an archive can go on with.
pub(super) fn is_mark(bytes: &[u8]) -> bool {
    [LOCAL, CENTRAL, END, END64].iter().any(|mark| bytes.starts_with(mark))
}

/// Reads the record at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Some(mark) = bytes.first_chunk::<4>() else {
        return if b"PK".starts_with(&bytes[..bytes.len().min(2)]) { Parsed::More } else { Parsed::Bad };
    };
    let read = match *mark {
        LOCAL => local(bytes).map(|(entry, length)| (Record::Local(entry), length)),
        CENTRAL => central(bytes),
        END => end(bytes).map(|(end, length)| (Record::End(end), length)),
        END64 => match u64_at(bytes, 4) {
            Some(size) if !(44..=MAX_BLOB).contains(&size) => return Parsed::Bad,
            Some(size) => end64(bytes).map(|end| (Record::End64(end), 12 + size as usize)),
            None => None,
        },
        LOCATOR64 => Some((Record::Other, 20)),
        SIGNATURE => u16_at(bytes, 4).map(|size| (Record::Other, 6 + usize::from(size))),
        EXTRA_DATA => match u32_at(bytes, 4) {
            Some(size) if u64::from(size) > MAX_BLOB => return Parsed::Bad,
            size => size.map(|size| (Record::Other, 8 + size as usize)),
        },
        SPANNED | SPANNED_ONCE => Some((Record::Other, 4)),
        _ => return Parsed::Bad,
    };
    match read {
        Some((record, length)) if bytes.len() >= length => Parsed::Record(record, length),
        _ => Parsed::More,
    }
}

/// Reads a local header; also its length.
pub(super) fn local(bytes: &[u8]) -> Option<(Entry, usize)> {
    let (name, extra) = (usize::from(u16_at(bytes, 26)?), usize::from(u16_at(bytes, 28)?));
    let (end_of_name, length) = (LOCAL_BYTES + name, LOCAL_BYTES + name + extra);
    let facts = Facts {
        flags: u16_at(bytes, 6)?,
        method: u16_at(bytes, 8)?,
        crc: u32_at(bytes, 14)?,
        packed: u32_at(bytes, 18)?.into(),
        unpacked: u32_at(bytes, 22)?.into(),
        aes: false,
    };
    let name = bytes.get(LOCAL_BYTES..end_of_name)?.to_vec();
    let mut entry = Entry { name, other_name: None, facts, damaged: false };
    let mut offset = 0;
    entry.extra(bytes.get(end_of_name..length)?, &mut offset);
    Some((entry, length))
}

fn central(bytes: &[u8]) -> Option<(Record, usize)> {
    let name = usize::from(u16_at(bytes, 28)?);
    let (extra, comment) = (usize::from(u16_at(bytes, 30)?), usize::from(u16_at(bytes, 32)?));
    let facts = Facts {
        flags: u16_at(bytes, 8)?,
        method: u16_at(bytes, 10)?,
        crc: u32_at(bytes, 16)?,
        packed: u32_at(bytes, 20)?.into(),
        unpacked: u32_at(bytes, 24)?.into(),
        aes: false,
    };
    let disk = u16_at(bytes, 34)?;
    let mut offset = u64::from(u32_at(bytes, 42)?);
    let name = bytes.get(46..46 + name)?.to_vec();
    let at = 46 + name.len();
    let mut entry = Entry { name, other_name: None, facts, damaged: false };
    entry.extra(bytes.get(at..at + extra)?, &mut offset);
    Some((Record::Central { entry, offset, disk }, at + extra + comment))
}

impl Entry {
    /// Reads the extra fields; `offset` is the central header's.
    fn extra(&mut self, mut fields: &[u8], offset: &mut u64) {
        while !fields.is_empty() {
            let (Some(id), Some(size)) = (u16_at(fields, 0), u16_at(fields, 2)) else {
                // Android's tools fill up with zeros.
                self.damaged |= fields.iter().any(|byte| *byte != 0);
                return;
            };
            let Some(body) = fields.get(4..4 + usize::from(size)) else {
                self.damaged |= fields.iter().any(|byte| *byte != 0);
                return;
            };
            match id {
                0x0001 => self.zip64(body, offset),
                0x7075 => self.other_name = body.get(5..).map(<[u8]>::to_vec),
                0x9901 | 0x0017 => self.facts.aes = true,
                _ => {}
            }
            fields = &fields[4 + body.len()..];
        }
    }

    /// Takes those values that the header itself escapes, in their order.
    fn zip64(&mut self, body: &[u8], offset: &mut u64) {
        let mut at = 0;
        for value in [&mut self.facts.unpacked, &mut self.facts.packed, offset] {
            if *value == ESCAPE {
                let Some(wide) = u64_at(body, at) else { return };
                *value = wide;
                at += 8;
            }
        }
    }
}

fn end(bytes: &[u8]) -> Option<(EndRecord, usize)> {
    let comment = usize::from(u16_at(bytes, 20)?);
    let two_ends = memchr::memmem::find(bytes.get(22..22 + comment)?, &END).is_some();
    let (entries, size, offset) = (u16_at(bytes, 10)?.into(), u32_at(bytes, 12)?.into(), u32_at(bytes, 16)?.into());
    Some((EndRecord { disk: u16_at(bytes, 4)?, entries, size, offset, two_ends }, 22 + comment))
}

fn end64(bytes: &[u8]) -> Option<End64> {
    Some(End64 { entries: u64_at(bytes, 32)?, size: u64_at(bytes, 40)?, offset: u64_at(bytes, 48)? })
}
