//! FASTQ: four lines for each read, its name, its bases, a plus and as many qualities.

use super::super::plain::Plain;
use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Reads one file.
pub struct Fastq {
    names: Plain,
    line: Line,
    /// Bytes of this line so far, its CR not among them.
    length: u64,
    bases: u64,
    /// Whether the last byte was CR.
    carriage: bool,
    offset: u64,
    broken: Option<u64>,
    unequal: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Name,
    Bases,
    Plus,
    Qualities,
}

impl Fastq {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            names: Plain::of(policy, "names of reads"),
            line: Line::Name,
            length: 0,
            bases: 0,
            carriage: false,
            offset: 0,
            broken: None,
            unequal: Flaw::default(),
        }
    }

    /// A part of a line, up to its end if `ends`.
    fn part(&mut self, bytes: &[u8], ends: bool, offset: u64) {
        let mark = match self.line {
            Line::Name => b'@',
            Line::Plus => b'+',
            Line::Bases | Line::Qualities => 0,
        };
        let blank = self.line == Line::Name && matches!(bytes.first(), Some(b'\r' | b'\n'));
        if self.length == 0 && mark != 0 && !blank && bytes.first() != Some(&mark) && self.broken.is_none() {
            self.broken = Some(offset);
        }
        if mark != 0 || self.broken.is_some() {
            self.names.feed_at(bytes, offset);
        }
        self.length += bytes.len() as u64;
        if !ends {
            return;
        }
        // The line feed and, before it, a carriage return are no part of it.
        let length = self.length - 1 - u64::from(self.carriage);
        self.length = 0;
        self.line = match self.line {
            Line::Name if length == 0 => Line::Name,
            Line::Name => Line::Bases,
            Line::Bases => {
                self.bases = length;
                Line::Plus
            }
            Line::Plus => Line::Qualities,
            Line::Qualities => {
                if length != self.bases {
                    self.unequal.at(offset + bytes.len() as u64);
                }
                Line::Name
            }
        };
    }
}

impl Reader for Fastq {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (now, later) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
            let offset = self.offset + (bytes.len() - rest.len()) as u64;
            let text = if end.is_some() { &now[..now.len() - 1] } else { now };
            self.carriage = text.last().map_or(self.carriage && self.length > 0, |byte| *byte == b'\r');
            self.part(now, end.is_some(), offset);
            rest = later;
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let mut tell = |offset, message: &str| {
            sink.notice(Notice { class: Class::Malformed, offset: Some(offset), message: message.into() });
        };
        let length = self.length - u64::from(self.carriage && self.length > 0);
        let whole = match self.line {
            Line::Name => length == 0,
            Line::Qualities => length == self.bases,
            Line::Bases | Line::Plus => false,
        };
        if let Some(offset) = self.broken {
            tell(offset, "a read does not begin with @, or its third line not with +");
        } else if !whole {
            tell(self.offset, "the file ends within a read: it may have been cut off");
        }
        if self.broken.is_none() {
            self.unequal.tell(Class::Malformed, sink, "a read has not as many qualities as bases");
        }
        self.names.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut, policy_with, resident};
    use sluse_protocol::agreement::Content;

    fn read(text: &str) -> Vec<Notice> {
        let policy = policy_with(Content::default());
        every_cut(|| Fastq::new(&policy), text.as_bytes())
    }

    #[test]
    fn reads_have_four_lines_and_as_many_qualities_as_bases() {
        assert_eq!(read("@a 1\nACGT\n+\nFF:,\n@b\nA\n+b\n@\n"), []);
        assert_eq!(read("@a\r\nACGT\r\n+\r\nFFFF\r\n\n"), []);
        assert_eq!(read("@a\nACGT\n+\nFFFF"), [], "without a last line feed");
        assert_eq!(classes(&read("@a\nACGT\n+\nFFF\n")), [Class::Malformed]);
        assert_eq!(classes(&read(">a\nACGT\n")), [Class::Malformed]);
        for text in ["@a", "@a\n", "@a\nAC", "@a\nAC\n", "@a\nAC\n+", "@a\nAC\n+\n", "@a\nAC\n+\nF"] {
            let cut = read(text);
            assert!(cut[0].message.contains("cut off") && cut.len() == 1, "{text:?} {cut:?}");
        }
    }

    #[test]
    fn numbers_are_found_in_names_and_not_among_qualities() {
        let number = resident(0);
        let named = read(&format!("@r {number}\nACGT\n+\nFFFF\n"));
        assert_eq!((classes(&named), named[0].offset), (vec![Class::IdentifierReview], Some(3)));
        assert!(named[0].message.starts_with("names of reads"), "{named:?}");
        assert_eq!(read(&format!("@r\nACGTACGTACGTA\n+\n#{number}#\n")), []);
        let broken = read(&format!("x\n{number}\n"));
        assert_eq!(classes(&broken), [Class::Malformed, Class::IdentifierReview], "what is no FASTQ is looked through");
    }
}
