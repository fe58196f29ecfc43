//! What BAM unpacks to: a header of text, the references, and a record for each read, each with its length before it.

use super::super::plain::Plain;
use super::header::Header;
use super::tags::Tags;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

const MARK: &[u8] = b"BAM\x01";

/// Bytes of a record's fixed part, its length not among them.
const FIXED: usize = 32;

/// Reads one file, or the blocks that it is packed in, which are looked through as their container's members.
pub struct Bam {
    header: Header,
    names: Plain,
    at: At,
    /// Bytes of a number or of a fixed part, until they are all there.
    buffer: Vec<u8>,
    /// Bytes of the read's alignment, bases and qualities.
    bases: u64,
    tags: Tags,
    offset: u64,
    wrong: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Mark,
    /// Bytes of the header's text.
    HeaderLength,
    Header(u64),
    Count,
    /// References that are still to come.
    NameLength(u32),
    Reference(u32, u64),
    /// A record begins, or the file ends.
    RecordLength,
    Fixed(u64),
    /// A read's name, and what follows it in its record.
    Name(u64, u64),
    /// What is no text, and what follows it.
    Bases(u64, u64),
    Tags(u64),
    /// Packed, or no BAM.
    Other,
}

impl Bam {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let names = Plain::of(policy, "names of reads");
        Self {
            header: Header::new(policy),
            names,
            at: At::Mark,
            buffer: Vec::new(),
            bases: 0,
            tags: Tags::new(),
            offset: 0,
            wrong: None,
        }
    }

    /// Bytes that come before the next step.
    fn wanted(&self) -> u64 {
        let needed = match self.at {
            At::Mark | At::HeaderLength | At::Count | At::NameLength(_) | At::RecordLength => 4,
            At::Fixed(_) => FIXED,
            At::Header(left) | At::Reference(_, left) | At::Name(left, _) => return left,
            At::Bases(left, _) | At::Tags(left) => return left,
            At::Other => return u64::MAX,
        };
        (needed - self.buffer.len()) as u64
    }

    fn number(&self, at: usize) -> u32 {
        self.buffer.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// A length; those that are negative are wrong.
    fn length(&mut self) -> Option<u64> {
        let number = self.number(0);
        if number > i32::MAX as u32 {
            self.wrong.get_or_insert(self.offset);
            return None;
        }
        Some(u64::from(number))
    }

    /// What comes after what has come.
    fn next(&mut self) -> At {
        match self.at {
            At::Mark if self.buffer == MARK => At::HeaderLength,
            At::Mark => {
                // Packed blocks begin with gzip's mark.
                if !self.buffer.starts_with(b"\x1f\x8b") {
                    self.wrong = Some(0);
                }
                At::Other
            }
            At::HeaderLength => self.length().map_or(At::Other, At::Header),
            At::Header(_) => At::Count,
            At::Count => self.length().map_or(At::Other, |count| references(count as u32)),
            // A name and the length of the reference.
            At::NameLength(left) => self.length().map_or(At::Other, |length| At::Reference(left, length + 4)),
            At::Reference(left, _) => references(left - 1),
            At::RecordLength => match self.length() {
                Some(length) if length >= FIXED as u64 => At::Fixed(length - FIXED as u64),
                _ => {
                    self.wrong.get_or_insert(self.offset);
                    At::Other
                }
            },
            At::Fixed(left) => {
                let name = u64::from(self.buffer.get(8).copied().unwrap_or(0)).min(left);
                let (operations, bases) = (u64::from(self.number(12) & 0xffff), u64::from(self.number(16)));
                // Two bases stand in a byte.
                self.bases = 4 * operations + bases.div_ceil(2) + bases;
                At::Name(name, left - name)
            }
            At::Name(_, left) if self.bases > left => {
                self.wrong.get_or_insert(self.offset);
                At::Other
            }
            At::Name(_, left) => At::Bases(self.bases, left - self.bases),
            At::Bases(_, left) => {
                self.tags = Tags::new();
                At::Tags(left)
            }
            At::Tags(_) => {
                if !self.tags.may_end() {
                    self.wrong.get_or_insert(self.offset);
                }
                At::RecordLength
            }
            At::Other => At::Other,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.at {
            At::Header(left) => {
                *left -= bytes.len() as u64;
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let ahead = line.as_ptr().addr() - bytes.as_ptr().addr();
                    self.header.part(line, self.offset + ahead as u64);
                }
            }
            At::Name(left, _) => {
                *left -= bytes.len() as u64;
                self.names.feed_at(bytes, self.offset);
            }
            At::Tags(left) => {
                *left -= bytes.len() as u64;
                let (names, offset) = (&mut self.names, self.offset);
                self.tags.feed(bytes, &mut |text, at, ends| {
                    names.feed_at(text, offset + at as u64);
                    if ends {
                        names.end_value();
                    }
                });
            }
            At::Reference(_, left) | At::Bases(left, _) => *left -= bytes.len() as u64,
            At::Other => self.names.feed_at(bytes, self.offset),
            _ => self.buffer.extend_from_slice(bytes),
        }
    }
}

fn references(left: u32) -> At {
    if left == 0 { At::RecordLength } else { At::NameLength(left) }
}

impl Reader for Bam {
    fn feed(&mut self, mut bytes: &[u8], _: &mut dyn Sink) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(usize::try_from(self.wanted()).unwrap_or(usize::MAX).min(bytes.len()));
            self.take(now);
            self.offset += now.len() as u64;
            bytes = later;
            while self.wanted() == 0 {
                self.at = self.next();
                self.buffer.clear();
                self.names.end_value();
            }
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let mut tell = |offset, message: &str| {
            sink.notice(Notice { class: Class::Malformed, offset: Some(offset), message: message.into() });
        };
        let whole = matches!((self.at, self.buffer.len()), (At::RecordLength, 0) | (At::Other, _));
        if let Some(offset) = self.wrong {
            tell(offset, "a length or a tag in it cannot be: what follows may have no known places");
        } else if !whole {
            tell(self.offset, "the file ends within its header or a read: it may have been cut off");
        }
        self.header.finish(sink);
        self.names.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut, policy_with, resident};
    use sluse_protocol::agreement::Content;

    fn bam(header: &str, name: &str) -> Vec<u8> {
        tagged(header, name, b"XAA!XBBs\x03\0\0\0\x01\x02\x03\x04\x05\x06XCZtext\0")
    }

    fn tagged(header: &str, name: &str, tags: &[u8]) -> Vec<u8> {
        let number = |number: usize| (number as u32).to_le_bytes().to_vec();
        let mut fixed = [vec![0; 8], vec![name.len() as u8 + 1], vec![0; 23]].concat();
        // One operation of the alignment, three bases.
        (fixed[12], fixed[16], fixed[31]) = (1, 3, 0xff);
        let record = [fixed, name.as_bytes().to_vec(), vec![0; 1 + 4 + 2 + 3], tags.to_vec()].concat();
        [
            MARK.to_vec(),
            number(header.len()),
            header.as_bytes().to_vec(),
            number(1),
            number(5),
            b"chr1\0".to_vec(),
            number(1000),
            number(record.len()),
            record,
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Vec<Notice> {
        let policy = policy_with(Content { pseudonym: Some("P[0-9]+".parse().unwrap()), ..Content::default() });
        every_cut(|| Bam::new(&policy), bytes)
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_told() {
        let whole = bam("@HD\tVN:1.6\n@RG\tSM:P1\n", "r1");
        assert_eq!(read(&whole), []);
        let header_ends = whole.windows(4).position(|four| four == 1000u32.to_le_bytes()).unwrap() + 4;
        for length in (0..whole.len()).filter(|length| *length != header_ends) {
            let cut = read(&whole[..length]);
            assert!(cut.iter().any(|notice| notice.class == Class::Malformed), "{length} {cut:?}");
        }
        assert_eq!(classes(&read(b"BAM\x01\xff\xff\xff\xff")), [Class::Malformed]);
        assert_eq!(read(b"\x1f\x8b\x08\x04 and so on"), []);
    }

    #[test]
    fn samples_and_numbers_are_found_in_header_and_names() {
        let number = resident(0);
        assert_eq!(classes(&read(&bam("@RG\tSM:Ola\n", "r1"))), [Class::NotDeidentified]);
        let text = |before: &str| tagged("", "r", format!("XYi\x01\x02\x03\x04XZZ{before}{number}\0").as_bytes());
        for bytes in [bam(&format!("@CO\t{number}\n"), "r"), bam("", &number), text(""), text("see ")] {
            let found = read(&bytes);
            let place = bytes.windows(11).position(|window| window == number.as_bytes()).unwrap();
            assert_eq!((classes(&found), found[0].offset), (vec![Class::IdentifierReview], Some(place as u64)));
        }
    }

    #[test]
    fn qualities_are_not_looked_at_and_tags_of_no_type_are_told() {
        let number = resident(0);
        let mut bytes = tagged("", "r", b"");
        assert_eq!(read(&bytes), []);
        // As many bases more as the number has digits.
        let start = bytes.len() - 10 - 1 - 32;
        bytes[start + 16] = 3 + 11;
        bytes[start - 4] += 5 + 11;
        bytes.extend([&[0; 5][..], number.as_bytes()].concat());
        assert_eq!(read(&bytes), []);
        assert_eq!(classes(&read(&tagged("", "r", b"XXQ\x01"))), [Class::Malformed]);
        assert_eq!(classes(&read(&tagged("", "r", b"XXZno end"))), [Class::Malformed]);
    }
}
