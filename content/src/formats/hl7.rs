//! HL7 version 2: messages and batches of them (chapter 2), counts of their trailers, and identifiers by field.

use super::hl7_person::Person;
use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of a field that are kept for the rules.
const FIELD_BYTES: usize = 256;

/// Reads one file.
pub struct Hl7 {
    person: Person,
    offset: u64,
    /// The segment's name so far, or whole.
    name: Vec<u8>,
    separator: u8,
    at: At,
    number: u32,
    /// Where the field begins, and its first bytes.
    start: u64,
    value: Vec<u8>,
    file: Count,
    batch: Count,
    segments: u64,
    flaws: Flaws,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Name,
    Field,
    /// In a segment that has no valid name.
    Lost,
}

/// A header that is open, and what came since.
#[derive(Debug, Default)]
struct Count {
    open: bool,
    inside: u64,
}

#[derive(Debug, Default)]
struct Flaws {
    name: Flaw,
    first: Flaw,
    messages: Flaw,
    batches: Flaw,
    no_trailer: Flaw,
    no_header: Flaw,
    separator: Flaw,
}

impl Hl7 {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            person: Person::new(policy),
            offset: 0,
            name: Vec::new(),
            separator: b'|',
            at: At::Name,
            number: 0,
            start: 0,
            value: Vec::new(),
            file: Count::default(),
            batch: Count::default(),
            segments: 0,
            flaws: Flaws::default(),
        }
    }

    fn byte(&mut self, byte: u8, at: u64) {
        match byte {
            b'\r' | b'\n' => return self.end_segment(at),
            // The frame of messages on a network connection (MLLP).
            0x0b | 0x1c if self.at == At::Name && self.name.is_empty() => return,
            _ => {}
        }
        match self.at {
            At::Name if self.name.len() < 3 => self.name.push(byte),
            At::Name => self.named(byte, at),
            At::Field | At::Lost => {}
        }
    }

    /// The byte after a segment's name.
    fn named(&mut self, byte: u8, at: u64) {
        let header = matches!(self.name.as_slice(), b"MSH" | b"BHS" | b"FHS");
        let [first, rest @ ..] = self.name.as_slice() else { return };
        let good =
            first.is_ascii_uppercase() && rest.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if self.segments == 0 && !header {
            self.flaws.first.at(at);
        }
        if header {
            if byte.is_ascii_alphanumeric() {
                self.flaws.separator.at(at);
            }
            self.separator = byte;
        }
        if !good || byte != self.separator {
            return self.lost(byte, at);
        }
        self.at = At::Field;
        // The first field of a header is the separator itself.
        self.number = if header { 2 } else { 1 };
        self.start = at + 1;
        self.segments += 1;
        self.began();
    }

    /// The line is no segment: it is one value without a place.
    fn lost(&mut self, byte: u8, at: u64) {
        self.flaws.name.at(at);
        self.at = At::Lost;
        self.segments += 1;
        self.number = 0;
        self.start = at - self.name.len() as u64;
        let mut begun = std::mem::take(&mut self.name);
        begun.push(byte);
        self.person.piece(b"", 0, self.start, &begun);
    }

    fn began(&mut self) {
        match self.name.as_slice() {
            b"FHS" => self.file = Count { open: true, inside: 0 },
            b"BHS" => {
                if self.batch.open {
                    self.flaws.no_trailer.at(self.start);
                }
                self.batch = Count { open: true, inside: 0 };
                self.file.inside += 1;
            }
            b"MSH" => self.batch.inside += 1,
            _ => {}
        }
    }

    fn end_field(&mut self) {
        let value = std::mem::take(&mut self.value);
        let stated = std::str::from_utf8(&value).ok().and_then(|text| text.trim().parse::<u64>().ok());
        match (self.name.as_slice(), self.number) {
            (b"BTS", 1) => {
                let (open, inside) = (self.batch.open, std::mem::take(&mut self.batch.inside));
                self.batch.open = false;
                self.trailer(open, stated, inside, false);
            }
            (b"FTS", 1) => {
                let (open, inside) = (self.file.open, std::mem::take(&mut self.file.inside));
                self.file.open = false;
                self.trailer(open, stated, inside, true);
            }
            _ => {}
        }
        self.person.end(&self.name, self.number, self.start, &value);
        self.value = value;
        self.value.clear();
    }

    fn trailer(&mut self, open: bool, stated: Option<u64>, inside: u64, file: bool) {
        if !open {
            self.flaws.no_header.at(self.start);
        } else if stated.is_some_and(|stated| stated != inside) {
            let flaw = if file { &mut self.flaws.batches } else { &mut self.flaws.messages };
            flaw.at(self.start);
        }
    }

    fn end_segment(&mut self, at: u64) {
        match self.at {
            At::Field | At::Lost => self.end_field(),
            At::Name if self.name.is_empty() => return,
            // A name alone: a segment without fields.
            At::Name => {
                let header = matches!(self.name.as_slice(), b"MSH" | b"BHS" | b"FHS");
                if self.name.len() < 3 || header {
                    self.flaws.name.at(at);
                } else {
                    self.named(self.separator, at);
                    self.end_field();
                }
            }
        }
        self.name.clear();
        self.at = At::Name;
    }
}

impl Reader for Hl7 {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.at == At::Name || matches!(byte, b'\r' | b'\n') {
                self.byte(byte, self.offset + at as u64);
                at += 1;
                continue;
            }
            let rest = &bytes[at..];
            let length = memchr::memchr3(self.separator, b'\r', b'\n', rest).unwrap_or(rest.len());
            let part = &rest[..length];
            self.person.piece(&self.name, self.number, self.start, part);
            let room = FIELD_BYTES.saturating_sub(self.value.len()).min(length);
            self.value.extend_from_slice(&part[..room]);
            at += length;
            if self.at == At::Lost && rest.get(length) == Some(&self.separator) {
                self.person.piece(b"", 0, self.start, &[self.separator]);
                at += 1;
            } else if rest.get(length) == Some(&self.separator) {
                self.end_field();
                at += 1;
                self.number = self.number.saturating_add(1);
                self.start = self.offset + at as u64;
            }
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let open = self.at != At::Name || !self.name.is_empty();
        self.end_segment(self.offset);
        let flaws = &mut self.flaws;
        if self.segments == 0 {
            let message = "no segment at all".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(0), message });
        }
        flaws.first.tell(Class::Malformed, sink, "the first segment is none of MSH, BHS and FHS");
        flaws.separator.tell(Class::Malformed, sink, "a letter or digit as separator of fields");
        flaws.name.tell(Class::Malformed, sink, "a line that is no segment");
        flaws.messages.tell(
            Class::Malformed,
            sink,
            "a batch has another number of messages than its trailer says (BTS-1)",
        );
        flaws.batches.tell(
            Class::Malformed,
            sink,
            "the file has another number of batches than its trailer says (FTS-1)",
        );
        flaws.no_header.tell(Class::Irregular, sink, "a trailer without a header");
        if self.batch.open || self.file.open {
            flaws.no_trailer.at(self.offset);
        }
        flaws.no_trailer.tell(
            Class::Irregular,
            sink,
            "a batch or file header without its trailer: it may have been cut off",
        );
        if open {
            let message = "the last segment does not end: it may have been cut off".into();
            sink.notice(Notice { class: Class::Irregular, offset: Some(self.offset), message });
        }
        self.person.finish(sink);
    }
}

#[cfg(test)]
#[path = "hl7_tests.rs"]
mod tests;
