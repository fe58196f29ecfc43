//! SAM: header lines of `@`, then a line for each read, of eleven columns and tags.

use super::super::plain::Plain;
use super::header::Header;
use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Columns of every read; tags follow.
const COLUMNS: usize = 11;

/// Tags that hold qualities.
const QUALITIES: [&[u8]; 9] = [b"BQ", b"CQ", b"CY", b"OQ", b"Q2", b"QT", b"QX", b"U2", b"BZ"];

/// Reads one file.
pub struct Sam {
    header: Header,
    text: Plain,
    line: Line,
    column: usize,
    /// The first bytes of a tag, until it is known whether it is looked at.
    tag: Vec<u8>,
    looks: bool,
    offset: u64,
    start: u64,
    short: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Begins,
    Header,
    Read,
}

impl Sam {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            header: Header::new(policy),
            text: Plain::of(policy, "names and tags of reads"),
            line: Line::Begins,
            column: 0,
            tag: Vec::new(),
            looks: false,
            offset: 0,
            start: 0,
            short: Flaw::default(),
        }
    }

    /// A part of a read's line: fields up to the line's end, or what has come.
    fn fields(&mut self, mut bytes: &[u8], mut offset: u64) {
        while !bytes.is_empty() {
            let end = memchr::memchr2(b'\t', b'\n', bytes);
            let (field, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.field(field, offset);
            offset += field.len() as u64;
            let Some((mark, rest)) = rest.split_first() else { return };
            self.text.end_value();
            self.tag.clear();
            self.column += 1;
            self.looks = false;
            if *mark == b'\n' {
                if self.column < COLUMNS {
                    self.short.at(self.start);
                }
                (self.line, self.column) = (Line::Begins, 0);
            }
            offset += 1;
            bytes = rest;
        }
    }

    fn field(&mut self, field: &[u8], offset: u64) {
        if self.column == 0 {
            return self.text.feed_at(field, offset);
        }
        if self.column < COLUMNS {
            return;
        }
        let mut rest = field;
        while self.tag.len() < 2 && !rest.is_empty() {
            self.tag.push(rest[0]);
            rest = &rest[1..];
            self.looks = self.tag.len() == 2 && !QUALITIES.contains(&self.tag.as_slice());
        }
        if self.looks && !rest.is_empty() {
            self.text.feed_at(rest, offset + (field.len() - rest.len()) as u64);
        }
    }
}

impl Reader for Sam {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let offset = self.offset + (bytes.len() - rest.len()) as u64;
            if self.line == Line::Begins {
                self.line = if *first == b'@' { Line::Header } else { Line::Read };
                self.start = offset;
            }
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (now, later) = rest.split_at(length);
            if self.line == Line::Header {
                self.header.part(now, offset);
                if now.ends_with(b"\n") {
                    self.line = Line::Begins;
                }
            } else {
                self.fields(now, offset);
            }
            rest = later;
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if self.line == Line::Read && self.column + 1 < COLUMNS {
            self.short.at(self.start);
        }
        self.short.tell(Class::Malformed, sink, "a read of fewer than eleven columns: the file may have been cut off");
        self.header.finish(sink);
        self.text.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Notice;
    use crate::testing::{classes, every_cut, policy_with, resident};
    use sluse_protocol::agreement::Content;

    const ROW: &str = "r1\t0\tchr1\t1\t60\t4M\t*\t0\t0\tACGT\tFFFF";

    fn read(text: &str) -> Vec<Notice> {
        let policy = policy_with(Content { pseudonym: Some("P[0-9]+".parse().unwrap()), ..Content::default() });
        every_cut(|| Sam::new(&policy), text.as_bytes())
    }

    #[test]
    fn reads_have_eleven_columns_and_samples_the_form_of_pseudonyms() {
        assert_eq!(read(&format!("@HD\tVN:1.6\n@RG\tID:a\tSM:P17\n{ROW}\tNM:i:0\n{ROW}")), []);
        let cut = read(&format!("@HD\tVN:1.6\n{ROW}\nr2\t0\tchr1"));
        assert_eq!((classes(&cut), cut[0].offset), (vec![Class::Malformed], Some(12 + ROW.len() as u64)));
        let named = read(&format!("@RG\tID:a\tSM:Ola Nordmann\r\n@RG\tSM:x\n{ROW}\n"));
        assert_eq!(classes(&named), [Class::NotDeidentified]);
        assert!(named[0].message.ends_with("(2 times)"), "{named:?}");
    }

    #[test]
    fn numbers_are_found_in_headers_names_and_tags_and_not_among_qualities() {
        let number = resident(0);
        let header = read(&format!("@CO\tof {number}\n{ROW}\n"));
        assert_eq!((classes(&header), header[0].offset), (vec![Class::IdentifierReview], Some(7)));
        for row in
            [format!("{number}{}", &ROW[2..]), format!("{ROW}\tXX:Z:{number}"), format!("{ROW}\tXX:Z:a {number}")]
        {
            let found = read(&row);
            assert_eq!(
                (classes(&found), found[0].offset),
                (vec![Class::IdentifierReview], row.find(&number).map(|at| at as u64))
            );
        }
        assert_eq!(read(&format!("{}#{number}#\tOQ:Z:#{number}#\n", &ROW[..ROW.len() - 4])), []);
    }
}
