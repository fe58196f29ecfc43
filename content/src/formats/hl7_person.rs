//! What the fields of HL7 messages say of a person.

use crate::flaw::Flaw;
use crate::identifiers::{Scanner, Tally, Token, printable};
use crate::policy::Policy;
use crate::reader::Sink;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Fields that hold national numbers: segment and field.
const NUMBERS: [(&[u8], u32); 9] = [
    (b"PID", 2),
    (b"PID", 3),
    (b"PID", 4),
    (b"PID", 19),
    (b"PID", 20),
    (b"MRG", 1),
    (b"NK1", 33),
    (b"NK1", 37),
    (b"GT1", 12),
];

/// Fields that are empty, or a pseudonym, where persons were de-identified.
const EMPTY: [(&[u8], u32, &str); 11] = [
    (b"PID", 5, "PID-5 (name)"),
    (b"PID", 6, "PID-6 (mother's name)"),
    (b"PID", 7, "PID-7 (birth date)"),
    (b"PID", 9, "PID-9 (alias)"),
    (b"PID", 11, "PID-11 (address)"),
    (b"PID", 13, "PID-13 (telephone)"),
    (b"PID", 14, "PID-14 (telephone)"),
    (b"PID", 19, "PID-19 (national number)"),
    (b"NK1", 2, "NK1-2 (name of next of kin)"),
    (b"NK1", 4, "NK1-4 (address of next of kin)"),
    (b"NK1", 5, "NK1-5 (telephone of next of kin)"),
];

/// Digits of a birth date that names more than the year.
const DATE_DIGITS: usize = 6;

/// What was seen in one file.
pub struct Person {
    policy: Arc<Policy>,
    tally: Option<Tally>,
    scanner: Scanner,
    filled: [Flaw; EMPTY.len()],
    identifier: Flaw,
}

impl Person {
    /// Nothing seen yet.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            policy: policy.clone(),
            tally: policy.identifiers.clone().map(Tally::new),
            scanner: Scanner::default(),
            filled: Default::default(),
            identifier: Flaw::default(),
        }
    }

    /// A part of a field that began at `start`.
    pub fn piece(&mut self, segment: &[u8], field: u32, start: u64, bytes: &[u8]) {
        if let Some(tally) = &mut self.tally {
            self.scanner.feed(bytes, &mut |token| take(tally, segment, field, start, &token));
        }
    }

    /// A field is whole; `value` is its beginning.
    pub fn end(&mut self, segment: &[u8], field: u32, start: u64, value: &[u8]) {
        let Some(tally) = &mut self.tally else { return };
        self.scanner.end(&mut |token| take(tally, segment, field, start, &token));
        let first = value.split(|byte| matches!(byte, b'^' | b'~')).next().unwrap_or_default();
        let empty = value.iter().all(|byte| matches!(byte, b'^' | b'~' | b'&' | b'"' | b' '));
        if empty || self.policy.is_pseudonym(first) {
            return;
        }
        if let Some(at) = EMPTY.iter().position(|(one, number, _)| *one == segment && *number == field) {
            let year_alone = field == 7 && value.iter().filter(|byte| byte.is_ascii_digit()).count() < DATE_DIGITS;
            if !year_alone && let Some(flaw) = self.filled.get_mut(at) {
                flaw.at(start);
            }
        }
        if segment == b"PID" && field == 3 && self.policy.pseudonym.is_some() {
            self.identifier.at(start);
        }
    }

    /// Tells what was seen.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        let Some(tally) = &mut self.tally else { return };
        tally.finish(sink);
        for (flaw, (_, _, name)) in self.filled.iter().zip(EMPTY) {
            flaw.tell(Class::NotDeidentified, sink, format!("{name} is not empty"));
        }
        self.identifier.tell(Class::NotDeidentified, sink, "PID-3: not of the agreement's pseudonym form");
    }
}

fn take(tally: &mut Tally, segment: &[u8], field: u32, start: u64, token: &Token) {
    let named = NUMBERS.contains(&(segment, field));
    let segment = printable(segment).unwrap_or_else(|| "a line that is no segment".into());
    let place = if field == 0 { segment } else { format!("{segment}-{field}") };
    let place = tally.place(&place, named);
    tally.take(place, &token.digits, start + token.offset);
}
