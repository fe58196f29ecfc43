//! What was found at each place of a file, and the tier that follows.
//!
//! - **block** (`identifier`): one number in a place that is made for numbers; or, anywhere in a file, a place with at
//!   least three different ones that are at least a fifth of its eleven-digit tokens.
//! - **review** (`identifier-review`): any other number. By chance one token of some 3,300 is a fødselsnummer.
//! - synthetic test numbers are named (`identifier-test`), never more.

use super::key::{HashKey, KeyedHash};
use super::number::{Kind, national};
use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use std::collections::HashMap;

/// Places of one file that are weighed one by one; what is found elsewhere is weighed together.
pub const MAX_PLACES: usize = 4096;

/// Different numbers that a place must hold to be a place of numbers, and their least share of its tokens.
const DISTINCT: usize = 3;
const SHARE: u64 = 5;

/// A place of a file, as [`Tally::place`] knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// What was found at one place. It never holds a number.
#[derive(Debug, Default)]
struct Record {
    name: String,
    named: bool,
    tokens: u64,
    real: Found,
    test: Found,
    kinds: [u64; 4],
    only_2032: u64,
    distinct: Vec<KeyedHash>,
}

#[derive(Debug, Default)]
struct Found {
    count: u64,
    first: Option<(u64, KeyedHash)>,
}

/// Everything that was found in one file.
#[derive(Debug)]
pub struct Tally {
    key: HashKey,
    records: Vec<Record>,
    by_name: HashMap<(String, bool), usize>,
}

impl Tally {
    /// Nothing found yet.
    pub fn new(key: HashKey) -> Self {
        let record = |name: &str, named| Record { name: name.into(), named, ..Record::default() };
        // Where what does not fit is weighed: places made for numbers, and all others.
        Self { key, records: vec![record("elsewhere", false), record("elsewhere", true)], by_name: HashMap::new() }
    }

    /// The place of this name, which may be shown. `named`: it is made for national numbers.
    pub fn place(&mut self, name: &str, named: bool) -> Place {
        // A borrowed pair cannot be looked up in a map of owned ones; there are few lookups that find nothing.
        let key = (name.to_owned(), named);
        if let Some(place) = self.by_name.get(&key) {
            return Place(*place);
        }
        if self.records.len() >= MAX_PLACES {
            return Place(usize::from(named));
        }
        self.records.push(Record { name: name.into(), named, ..Record::default() });
        self.by_name.insert(key, self.records.len() - 1);
        Place(self.records.len() - 1)
    }

    /// Takes eleven digits that stood at a place, `offset` bytes from the start of the file.
    pub fn take(&mut self, place: Place, digits: &[u8; 11], offset: u64) {
        let Some(record) = self.records.get_mut(place.0) else { return };
        record.tokens += 1;
        let Some(number) = national(digits) else { return };
        let found = if number.kind == Kind::Test { &mut record.test } else { &mut record.real };
        found.count += 1;
        if found.first.is_none() {
            found.first = Some((offset, self.key.hash(digits)));
        }
        let kind = match number.kind {
            Kind::Test => return,
            Kind::Birth => 0,
            Kind::Temporary => 1,
            Kind::Hospital => 2,
            Kind::Shared => 3,
        };
        if let Some(count) = record.kinds.get_mut(kind) {
            *count += 1;
        }
        record.only_2032 += u64::from(number.only_2032);
        if record.distinct.len() < DISTINCT {
            let hash = self.key.hash(digits);
            if !record.distinct.contains(&hash) {
                record.distinct.push(hash);
            }
        }
    }

    /// Counts eleven digits that stood at a place and are known to be no number.
    pub fn miss(&mut self, place: Place, count: u64) {
        if let Some(record) = self.records.get_mut(place.0) {
            record.tokens = record.tokens.saturating_add(count);
        }
    }

    /// Tells what was found, place by place.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        for record in &self.records {
            record.tell(sink);
        }
        self.records.truncate(2);
        self.by_name.clear();
    }
}

impl Record {
    fn class(&self) -> Class {
        let many = self.distinct.len() >= DISTINCT && self.real.count.saturating_mul(SHARE) >= self.tokens;
        if self.named || many { Class::Identifier } else { Class::IdentifierReview }
    }

    fn tell(&self, sink: &mut dyn Sink) {
        let place = &self.name;
        if let Some((offset, hash)) = self.real.first {
            let names = [Kind::Birth, Kind::Temporary, Kind::Hospital, Kind::Shared];
            let kinds: Vec<String> = self.kinds.iter().zip(names).filter(|(count, _)| **count > 0).map(told).collect();
            let by_2032 = match self.only_2032 {
                0 => String::new(),
                count => format!(", {count} of them by the rule from 2032 alone"),
            };
            let message = format!(
                "{place}: {} among {} of eleven digits{by_2032}; keyed hash of the first {hash}",
                kinds.join(", "),
                self.tokens
            );
            sink.notice(Notice { class: self.class(), offset: Some(offset), message });
        }
        if let Some((offset, hash)) = self.test.first {
            let message =
                format!("{place}: {} × {}; keyed hash of the first {hash}", self.test.count, Kind::Test.as_str());
            sink.notice(Notice { class: Class::IdentifierTest, offset: Some(offset), message });
        }
    }
}

fn told((count, kind): (&u64, Kind)) -> String {
    format!("{count} × {}", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::number::complete;
    use super::*;

    const OLD: [&str; 4] = ["130972480", "130972481", "010199123", "311299123"];

    fn numbers(remainder: u32) -> impl Iterator<Item = [u8; 11]> {
        (100..999).filter_map(move |rest| complete(&format!("130972{rest}"), remainder)).map(|text| bytes(&text))
    }

    fn bytes(text: &str) -> [u8; 11] {
        text.as_bytes().try_into().unwrap()
    }

    fn told(named: bool, digits: impl IntoIterator<Item = [u8; 11]>) -> Vec<Notice> {
        let mut tally = Tally::new(HashKey::new([7; 32]));
        let place = tally.place("column 1", named);
        digits.into_iter().enumerate().for_each(|(at, digits)| tally.take(place, &digits, at as u64));
        let mut notices = Vec::new();
        tally.finish(&mut notices);
        notices
    }

    fn classes(notices: &[Notice]) -> Vec<Class> {
        notices.iter().map(|notice| notice.class).collect()
    }

    fn invalid(count: usize) -> impl Iterator<Item = [u8; 11]> {
        std::iter::repeat_n(*b"99999999999", count)
    }

    #[test]
    fn one_number_blocks_in_a_named_place_and_is_reviewed_elsewhere() {
        assert_eq!(classes(&told(true, numbers(0).take(1))), [Class::Identifier]);
        assert_eq!(classes(&told(false, numbers(0).take(1))), [Class::IdentifierReview]);
        assert_eq!(told(true, invalid(9)), []);
    }

    #[test]
    fn a_column_blocks_from_three_different_numbers_that_are_a_fifth_of_its_tokens() {
        assert_eq!(classes(&told(false, numbers(0).take(3).chain(invalid(12)))), [Class::Identifier]);
        assert_eq!(classes(&told(false, numbers(0).take(3).chain(invalid(13)))), [Class::IdentifierReview]);
        assert_eq!(classes(&told(false, numbers(0).take(2).chain(invalid(1)))), [Class::IdentifierReview]);
        let one = numbers(0).next().unwrap();
        assert_eq!(classes(&told(false, [one; 9])), [Class::IdentifierReview], "nine times the same");
    }

    #[test]
    fn numbers_by_the_rule_from_2032_and_shared_ones_need_context() {
        for digits in [bytes("02013299903"), bytes(&complete("812345678", 0).unwrap())] {
            assert_eq!(classes(&told(false, [digits])), [Class::IdentifierReview]);
            assert_eq!(classes(&told(true, [digits])), [Class::Identifier]);
        }
        let notices = told(true, [bytes("02013299903")]);
        assert!(notices[0].message.contains("1 of them by the rule from 2032"), "{notices:?}");
    }

    #[test]
    fn test_numbers_are_named_and_never_block() {
        let test: Vec<_> = (100..999).filter_map(|rest| complete(&format!("138972{rest}"), 0)).take(5).collect();
        let notices = told(true, test.iter().map(|text| bytes(text)));
        assert_eq!(classes(&notices), [Class::IdentifierTest]);
        assert!(notices[0].message.contains("5 × synthetic test number"), "{notices:?}");
    }

    #[test]
    fn no_number_is_shown_anywhere() {
        let mut tally = Tally::new(HashKey::new([7; 32]));
        let place = tally.place("fnr", true);
        let canaries: Vec<String> = OLD.iter().filter_map(|nine| complete(nine, 0)).collect();
        canaries.iter().for_each(|text| tally.take(place, &bytes(text), 5));
        let mut shown = format!("{tally:?} {place:?}");
        let mut notices = Vec::new();
        tally.finish(&mut notices);
        shown += &format!("{notices:?}");
        assert_eq!(notices.len(), 1);
        for canary in canaries {
            assert!(!shown.contains(&canary[..6]) && !shown.contains(&canary[6..]), "{shown}");
            let listed = format!("{:?}", canary.as_bytes());
            assert!(!shown.contains(listed.trim_matches(['[', ']'])), "{shown}");
        }
    }

    #[test]
    fn what_lies_beyond_the_bound_of_places_still_blocks() {
        let mut tally = Tally::new(HashKey::new([7; 32]));
        for place in 0..2 * MAX_PLACES {
            tally.place(&format!("column {place}"), false);
        }
        let (named, other) = (tally.place("fnr", true), tally.place("x", false));
        let digits = numbers(0).next().unwrap();
        tally.take(named, &digits, 1);
        tally.take(other, &digits, 2);
        let mut notices = Vec::new();
        tally.finish(&mut notices);
        assert_eq!(classes(&notices), [Class::IdentifierReview, Class::Identifier]);
        assert!(tally.records.capacity() <= 2 * MAX_PLACES);
    }
}
