//! XML (KITH messages, CDISC ODM, FHIR, CDA): well-formed, without a document type, bounded in depth; identifiers by element.
//!
//! A document type can name files and define entities that grow without bound: none of the formats that come needs one.

use super::xml_path::Path;
use super::xml_tag::{self, reference};
use crate::identifiers::Scanner;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of a tag with its attributes.
const MAX_TAG: usize = 1 << 20;

/// Bytes of a reference such as `&#x10ffff;`.
const MAX_REFERENCE: usize = 12;

/// Reads one document.
pub struct Xml {
    path: Path,
    at: At,
    /// The tag or reference so far.
    held: Vec<u8>,
    /// The quote within which the tag stands.
    quote: Option<u8>,
    scanner: Scanner,
    offset: u64,
    /// Where the text or tag began.
    start: u64,
    roots: u64,
    broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Text,
    Reference,
    /// After `<`, as long as it may be the start of more than one thing.
    Open,
    Tag,
    /// Within something that ends with these bytes, so many of which have come.
    Until(&'static [u8], usize),
}

const COMMENT: &[u8] = b"!--";
const CDATA: &[u8] = b"![CDATA[";

type Wrong = (usize, &'static str);

impl Xml {
    /// Reads a document under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            path: Path::new(policy),
            at: At::Text,
            held: Vec::new(),
            quote: None,
            scanner: Scanner::default(),
            offset: 0,
            start: 0,
            roots: 0,
            broken: false,
        }
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut at = 0;
        while at < bytes.len() {
            at = match self.at {
                At::Text => self.text(bytes, at)?,
                At::Reference => self.reference(bytes, at)?,
                At::Open => self.open(bytes, at)?,
                At::Tag => self.tag(bytes, at)?,
                At::Until(end, seen) => self.until(bytes, at, end, seen),
            };
        }
        Ok(())
    }

    fn text(&mut self, bytes: &[u8], at: usize) -> Result<usize, Wrong> {
        let rest = &bytes[at..];
        let length = memchr::memchr2(b'<', b'&', rest).unwrap_or(rest.len());
        let text = &rest[..length];
        if self.path.depth() == 0
            && let Some(place) = text.iter().position(|byte| !byte.is_ascii_whitespace())
        {
            return Err((at + place, "text outside of the root element"));
        }
        self.scan(text, at);
        match rest.get(length) {
            None => return Ok(bytes.len()),
            Some(b'<') => self.at = At::Open,
            Some(_) if self.path.depth() == 0 => return Err((at + length, "text outside of the root element")),
            Some(_) => self.at = At::Reference,
        }
        Ok(at + length + 1)
    }

    fn reference(&mut self, bytes: &[u8], at: usize) -> Result<usize, Wrong> {
        if bytes[at] == b';' {
            let meant = reference(&self.held).map_err(|what| (at, what))?;
            self.held.clear();
            self.scan(&[meant], at);
            self.at = At::Text;
        } else if self.held.len() >= MAX_REFERENCE {
            return Err((at, "an & that begins no reference"));
        } else {
            self.held.push(bytes[at]);
        }
        Ok(at + 1)
    }

    /// After `<`: a comment, CDATA, an instruction, a document type, or a tag.
    fn open(&mut self, bytes: &[u8], at: usize) -> Result<usize, Wrong> {
        self.held.push(bytes[at]);
        let held = self.held.as_slice();
        let until = if held == COMMENT {
            Some(&b"-->"[..])
        } else if held == CDATA {
            if self.path.depth() == 0 {
                return Err((at, "text outside of the root element"));
            }
            Some(&b"]]>"[..])
        } else if held == b"?" {
            Some(&b"?>"[..])
        } else {
            None
        };
        if let Some(end) = until {
            // The text of CDATA goes on where that before it ended.
            if held != CDATA {
                self.end_text();
            }
            self.held.clear();
            self.at = At::Until(end, 0);
        } else if held.first() != Some(&b'!') {
            self.end_text();
            self.start = self.offset + at as u64;
            self.held.clear();
            self.at = At::Tag;
            return Ok(at);
        } else if !COMMENT.starts_with(held) && !CDATA.starts_with(held) {
            let doctype = b"!DOCTYPE".starts_with(held);
            return Err((
                at,
                if doctype { "a document type declaration" } else { "markup that a document may not have" },
            ));
        }
        Ok(at + 1)
    }

    fn tag(&mut self, bytes: &[u8], at: usize) -> Result<usize, Wrong> {
        let rest = &bytes[at..];
        let length = match self.quote {
            Some(quote) => memchr::memchr(quote, rest),
            None => memchr::memchr3(b'>', b'"', b'\'', rest),
        };
        let part = &rest[..length.unwrap_or(rest.len())];
        if let Some(room) = MAX_TAG.checked_sub(self.held.len()).filter(|room| part.len() >= *room) {
            self.held.extend_from_slice(&part[..room]);
            return Err((at + room, "a tag that is too long"));
        }
        self.held.extend_from_slice(part);
        let Some(length) = length else { return Ok(bytes.len()) };
        let next = at + length + 1;
        if rest[length] == b'>' && self.quote.is_none() {
            let held = std::mem::take(&mut self.held);
            let done = self.whole_tag(&held).map_err(|what| (at + length, what));
            self.held = held;
            self.held.clear();
            self.start = self.offset + next as u64;
            self.at = At::Text;
            done?;
        } else {
            self.held.push(rest[length]);
            self.quote = if self.quote.is_none() { Some(rest[length]) } else { None };
        }
        Ok(next)
    }

    fn whole_tag(&mut self, text: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = text.strip_prefix(b"/") {
            return self.path.close(name.trim_ascii_end());
        }
        let tag = xml_tag::read(text)?;
        for (_, value, _) in &tag.attributes {
            for part in value.split(|byte| *byte == b'&').skip(1) {
                let end = memchr::memchr(b';', part).ok_or("an & that begins no reference")?;
                reference(&part[..end])?;
            }
        }
        if self.path.depth() == 0 {
            self.roots += 1;
            if self.roots > 1 {
                return Err("more than one root element");
            }
        }
        self.path.open(&tag, self.start)?;
        if tag.empty {
            self.path.pop();
        }
        Ok(())
    }

    /// Within a comment, CDATA or an instruction, up to its end.
    fn until(&mut self, bytes: &[u8], at: usize, end: &'static [u8], mut seen: usize) -> usize {
        for (place, byte) in bytes[at..].iter().enumerate() {
            // In each of these ends the first byte repeats at most right before the last.
            seen = match *byte {
                byte if end.get(seen) == Some(&byte) => seen + 1,
                byte if seen + 1 == end.len() && seen > 1 && byte == end[0] => seen,
                byte => usize::from(byte == end[0]),
            };
            if seen == end.len() {
                self.scan(&bytes[at..at + place], at);
                if end != b"]]>" {
                    self.end_text();
                }
                self.at = At::Text;
                return at + place + 1;
            }
        }
        self.scan(&bytes[at..], at);
        self.at = At::Until(end, seen);
        bytes.len()
    }

    fn scan(&mut self, text: &[u8], at: usize) {
        self.scan_from(text, self.offset + at as u64);
    }

    /// As [`Xml::scan`], by its place in the file.
    fn scan_from(&mut self, text: &[u8], begins: u64) {
        if self.path.weighs() && !text.is_empty() {
            if !self.scanner.in_value() {
                self.start = begins;
            }
            let (path, start) = (&mut self.path, self.start);
            self.scanner.feed(text, &mut |token| path.take(&token, start, None));
        }
    }

    fn end_text(&mut self) {
        let (path, start) = (&mut self.path, self.start);
        self.scanner.end(&mut |token| path.take(&token, start, None));
    }

    fn report(&mut self, offset: u64, what: &str, sink: &mut dyn Sink) {
        self.broken = true;
        sink.notice(Notice { class: Class::Malformed, offset: Some(offset), message: what.into() });
        // What was held and not looked through yet.
        self.end_text();
        let held = std::mem::take(&mut self.held);
        self.scan_from(&held, offset.saturating_sub(held.len() as u64));
        self.end_text();
        self.path.forget();
    }
}

impl Reader for Xml {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let mut from = 0;
        if !self.broken
            && let Err((at, what)) = self.walk(bytes)
        {
            self.report(self.offset + at as u64, what, sink);
            from = at;
        }
        if self.broken {
            self.scan(&bytes[from..], from);
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if !self.broken && (self.at != At::Text || self.path.depth() > 0) {
            self.report(self.offset, "the file ends within an element: it may have been cut off", sink);
        } else if !self.broken && self.roots == 0 {
            self.report(0, "no element at all", sink);
        }
        self.end_text();
        self.path.finish(sink);
    }
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
