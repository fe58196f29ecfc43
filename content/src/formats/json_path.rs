//! Where in a JSON document the reader stands, and what was found there.

use crate::identifiers::{Place, Tally, Token, meant_for_numbers, printable};
use crate::policy::Policy;
use crate::reader::Sink;
use std::sync::Arc;

/// Objects and arrays within one another.
const MAX_DEPTH: usize = 128;

/// Bytes of a key that are kept.
const KEY_BYTES: usize = 64;

/// Bytes of a value that are kept while its key asks for it.
const VALUE_BYTES: usize = 64;

/// Identifiers that wait for the system of the object that they stand in; those beyond do not wait.
const WAITING: usize = 64;

/// FHIR's systems of Norwegian national numbers: fødselsnummer, D-nummer, hjelpenummer.
const NATIONAL: [&[u8]; 3] = [b"2.16.578.1.12.4.1.4.1", b"2.16.578.1.12.4.1.4.2", b"2.16.578.1.12.4.1.4.3"];

/// Nested too deep.
pub struct TooDeep;

/// The objects and arrays that are open, with their keys.
pub struct Path {
    levels: Vec<Level>,
    /// Keys of the open objects, one after another.
    keys: Vec<u8>,
    tally: Option<Tally>,
    /// The value of a `system`, as far as it is kept.
    value: Vec<u8>,
    capture: bool,
    /// What was found in objects whose system has not come yet: depth, place's name, digits, offset.
    waiting: Vec<(usize, String, [u8; 11], u64)>,
    broken: bool,
}

struct Level {
    object: bool,
    /// Where its key begins in `keys`.
    key: usize,
    /// Whether it says that its value is a national number.
    national: bool,
}

impl Path {
    /// The path of a document's top.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            levels: Vec::new(),
            keys: Vec::new(),
            tally: policy.identifiers.clone().map(Tally::new),
            value: Vec::new(),
            capture: false,
            waiting: Vec::new(),
            broken: false,
        }
    }

    /// Whether identifiers are looked for.
    pub fn weighs(&self) -> bool {
        self.tally.is_some()
    }

    /// Open objects and arrays.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether the innermost is an object.
    pub fn in_object(&self) -> bool {
        self.levels.last().is_some_and(|level| level.object)
    }

    /// Whether the innermost is an array.
    pub fn in_array(&self) -> bool {
        self.levels.last().is_some_and(|level| !level.object)
    }

    /// An object or array opens.
    pub fn open(&mut self, object: bool) -> Result<(), TooDeep> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(TooDeep);
        }
        self.levels.push(Level { object, key: self.keys.len(), national: false });
        Ok(())
    }

    /// The innermost closes: what was found in it is weighed.
    pub fn close(&mut self) {
        let depth = self.levels.len();
        let Some(level) = self.levels.pop() else { return };
        self.keys.truncate(level.key);
        while let Some((_, name, digits, offset)) = self.waiting.pop_if(|waiting| waiting.0 == depth) {
            self.weigh(&name, level.national, &digits, offset);
        }
    }

    /// A key of the innermost object begins.
    pub fn begin_key(&mut self) {
        if let Some(level) = self.levels.last() {
            self.keys.truncate(level.key);
        }
    }

    /// More of a key, or of a string value.
    pub fn piece(&mut self, bytes: &[u8], key: bool) {
        let (kept, bound, text) = match key {
            true => (self.keys.len() - self.levels.last().map_or(0, |level| level.key), KEY_BYTES, &mut self.keys),
            false if self.capture => (self.value.len(), VALUE_BYTES, &mut self.value),
            false => return,
        };
        let room = bound.saturating_sub(kept).min(bytes.len());
        text.extend_from_slice(&bytes[..room]);
    }

    /// A string value begins.
    pub fn begin_value(&mut self) {
        self.capture = self.weighs() && self.in_object() && self.key() == b"system";
        self.value.clear();
    }

    /// The string value is whole.
    pub fn end_value(&mut self) {
        if std::mem::take(&mut self.capture) {
            let system = self.value.strip_prefix(b"urn:oid:").unwrap_or(&self.value);
            let national = NATIONAL.contains(&system);
            if let Some(level) = self.levels.last_mut() {
                level.national |= national;
            }
        }
    }

    /// The document is broken: what follows has no place in it.
    pub fn forget(&mut self) {
        if !std::mem::replace(&mut self.broken, true) {
            while !self.levels.is_empty() {
                self.close();
            }
        }
    }

    /// Takes what stood in a key or value that began `start` bytes from the document's start.
    pub fn take(&mut self, token: &Token, start: u64, key: bool) {
        let offset = start + token.offset;
        if key {
            return self.weigh("keys", false, &token.digits, offset);
        }
        let name = self.name();
        if self.in_object() && self.key() == b"value" && self.waiting.len() < WAITING {
            self.waiting.push((self.levels.len(), name, token.digits, offset));
        } else {
            self.weigh(&name, false, &token.digits, offset);
        }
    }

    /// Tells what was found.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        while !self.levels.is_empty() {
            self.close();
        }
        if let Some(tally) = &mut self.tally {
            tally.finish(sink);
        }
    }

    fn weigh(&mut self, name: &str, national: bool, digits: &[u8; 11], offset: u64) {
        let Some(tally) = &mut self.tally else { return };
        let last = name.rsplit('.').next().unwrap_or(name);
        let place: Place = if national {
            tally.place(&format!("{name} (system of national numbers)"), true)
        } else {
            tally.place(name, meant_for_numbers(last.as_bytes()))
        };
        tally.take(place, digits, offset);
    }

    /// The key of the innermost object.
    pub fn key(&self) -> &[u8] {
        self.levels.last().and_then(|level| self.keys.get(level.key..)).unwrap_or_default()
    }

    /// The key of the object that is so many levels from the top.
    pub fn key_at(&self, level: usize) -> &[u8] {
        let begins = |level: usize| self.levels.get(level).map_or(self.keys.len(), |level| level.key);
        self.keys.get(begins(level)..begins(level + 1)).unwrap_or_default()
    }

    /// The keys of all open objects, joined by dots; a key that may be a value is `*`.
    fn name(&self) -> String {
        if self.levels.is_empty() {
            return "text".into();
        }
        let ends = self.levels.iter().skip(1).map(|level| level.key).chain([self.keys.len()]);
        let keys = self.levels.iter().zip(ends).filter(|(level, _)| level.object);
        let shown = keys.map(|(level, end)| {
            let key = self.keys.get(level.key..end).unwrap_or_default();
            printable(key).unwrap_or_else(|| "*".into())
        });
        let name = shown.collect::<Vec<_>>().join(".");
        if name.is_empty() { "list".into() } else { name }
    }
}
