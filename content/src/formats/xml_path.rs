//! Where in an XML document the reader stands, and what was found there.

use super::xml_tag::{Tag, local};
use crate::flaw::Flaw;
use crate::identifiers::{Tally, Token, meant_for_numbers, printable, scan_whole};
use crate::policy::Policy;
use crate::reader::Sink;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Elements within one another, and bytes of all their names.
const MAX_DEPTH: usize = 256;
const NAMES_BYTES: usize = 64 * 1024;

/// Names of a path that are shown, innermost ones.
const SHOWN: usize = 4;

/// Identifiers that wait for what their element or the one around it says; those beyond do not wait.
const WAITING: usize = 64;

/// Attributes that say that an identifier is a national number: KITH's types of identifiers (code list 8116), and the
/// systems that FHIR and CDA name.
const NATIONAL: [&[u8]; 10] = [
    b"FNR",
    b"DNR",
    b"HNR",
    b"FHN",
    b"2.16.578.1.12.4.1.4.1",
    b"2.16.578.1.12.4.1.4.2",
    b"2.16.578.1.12.4.1.4.3",
    b"urn:oid:2.16.578.1.12.4.1.4.1",
    b"urn:oid:2.16.578.1.12.4.1.4.2",
    b"urn:oid:2.16.578.1.12.4.1.4.3",
];

/// The elements that are open.
pub struct Path {
    policy: Arc<Policy>,
    levels: Vec<Level>,
    names: Vec<u8>,
    tally: Option<Tally>,
    waiting: Vec<Waiting>,
    subject: Flaw,
}

struct Level {
    /// Where its name begins in `names`.
    name: usize,
    /// Whether it, or an element right within it, says that a number is a national one.
    national: bool,
}

struct Waiting {
    depth: usize,
    /// Whether it waits for the element around its own.
    outer: bool,
    place: String,
    named: bool,
    digits: [u8; 11],
    offset: u64,
}

impl Path {
    /// The path of a document's top.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            policy: policy.clone(),
            levels: Vec::new(),
            names: Vec::new(),
            tally: policy.identifiers.clone().map(Tally::new),
            waiting: Vec::new(),
            subject: Flaw::default(),
        }
    }

    /// Whether identifiers are looked for.
    pub fn weighs(&self) -> bool {
        self.tally.is_some()
    }

    /// Open elements.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// An element opens whose tag's text begins `start` bytes from the document's start.
    ///
    /// # Errors
    /// Nested too deep.
    pub fn open(&mut self, tag: &Tag<'_>, start: u64) -> Result<(), &'static str> {
        if self.levels.len() >= MAX_DEPTH || self.names.len() + tag.name.len() > NAMES_BYTES {
            return Err("nested too deep");
        }
        self.levels.push(Level { name: self.names.len(), national: false });
        self.names.extend_from_slice(tag.name);
        if !self.weighs() {
            return Ok(());
        }
        for (name, value, at) in &tag.attributes {
            let start = start + *at as u64;
            if NATIONAL.contains(value) {
                self.levels.iter_mut().rev().take(2).for_each(|level| level.national = true);
            }
            // CDISC ODM's key of a person.
            if *name == b"SubjectKey" && self.policy.pseudonym.is_some() && !self.policy.is_pseudonym(value) {
                self.subject.at(start);
            }
            let attribute = local(name);
            scan_whole(value, &mut |token| self.take(&token, start, Some(attribute)));
        }
        Ok(())
    }

    /// The innermost element closes, by this name.
    ///
    /// # Errors
    /// It has another name.
    pub fn close(&mut self, name: &[u8]) -> Result<(), &'static str> {
        let open = self.levels.last().and_then(|level| self.names.get(level.name..));
        if open != Some(name) {
            return Err("tags do not pair");
        }
        self.pop();
        Ok(())
    }

    /// The innermost element closes itself.
    pub fn pop(&mut self) {
        let depth = self.levels.len();
        let Some(level) = self.levels.pop() else { return };
        self.names.truncate(level.name);
        let first = self.waiting.iter().position(|waiting| waiting.depth == depth).unwrap_or(self.waiting.len());
        for waiting in self.waiting.split_off(first) {
            if !level.national && !waiting.outer && depth > 1 {
                self.waiting.push(Waiting { depth: depth - 1, outer: true, ..waiting });
            } else if level.national {
                let place = format!("{} (national number)", waiting.place);
                self.weigh(&place, true, &waiting.digits, waiting.offset);
            } else {
                self.weigh(&waiting.place, waiting.named, &waiting.digits, waiting.offset);
            }
        }
    }

    /// The document is broken: what follows has no place in it.
    pub fn forget(&mut self) {
        while !self.levels.is_empty() {
            self.pop();
        }
    }

    /// Takes what stood in text, or in an attribute, that began `start` bytes from the document's start.
    pub fn take(&mut self, token: &Token, start: u64, attribute: Option<&[u8]>) {
        let offset = start + token.offset;
        let (depth, digits) = (self.levels.len(), token.digits);
        let element = self.levels.last().and_then(|level| self.names.get(level.name..)).map(local).unwrap_or_default();
        let named = meant_for_numbers(element) || attribute.is_some_and(meant_for_numbers);
        let place = self.name(attribute);
        if depth > 0 && self.waiting.len() < WAITING {
            self.waiting.push(Waiting { depth, outer: false, place, named, digits, offset });
        } else {
            self.weigh(&place, named, &digits, offset);
        }
    }

    /// Tells what was found.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        self.forget();
        self.subject.tell(Class::NotDeidentified, sink, "SubjectKey: not of the agreement's pseudonym form");
        if let Some(tally) = &mut self.tally {
            tally.finish(sink);
        }
    }

    fn weigh(&mut self, place: &str, named: bool, digits: &[u8; 11], offset: u64) {
        if let Some(tally) = &mut self.tally {
            let place = tally.place(place, named);
            tally.take(place, digits, offset);
        }
    }

    /// The innermost names, joined by slashes.
    fn name(&self, attribute: Option<&[u8]>) -> String {
        if self.levels.is_empty() {
            return "text".into();
        }
        let ends = self.levels.iter().skip(1).map(|level| level.name).chain([self.names.len()]);
        let names =
            self.levels.iter().zip(ends).map(|(level, end)| self.names.get(level.name..end).unwrap_or_default());
        let from = self.levels.len().saturating_sub(SHOWN);
        let shown = |name: &[u8]| printable(local(name)).unwrap_or_else(|| "*".into());
        let mut parts: Vec<String> = names.skip(from).map(shown).collect();
        parts.extend(attribute.map(|name| format!("@{}", shown(name))));
        parts.join("/")
    }
}
