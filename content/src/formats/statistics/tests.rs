//! On files that ReadStat 1.1 (pyreadstat 1.3) wrote, with the two numbers that the population register gives as examples.

use super::*;
use crate::testing::{classes, every_cut, policy_with};
use sluse_protocol::agreement::Content;

/// A seed's file: its first byte is the fuzzer's.
macro_rules! seed {
    ($path:literal) => {
        include_bytes!(concat!("../../../../fuzz/seeds/", $path)).split_first().unwrap().1
    };
}

type Make = fn(&Arc<Policy>) -> Statistics;
type Bytes = fn() -> &'static [u8];

/// Files of each kind: without persons, and with some.
const FILES: [(Make, &str, Bytes, Bytes); 10] = [
    (Statistics::sav, "sav", || seed!("sav/good-plain"), || seed!("sav/persons-plain")),
    (Statistics::sav, "sav by codes", || seed!("sav/good-codes"), || seed!("sav/persons-codes")),
    (Statistics::sav, "zsav", || seed!("sav/good-blocks"), || seed!("sav/persons-blocks")),
    (Statistics::dta, "114", || seed!("dta/good-114"), || seed!("dta/persons-114")),
    (Statistics::dta, "115", || seed!("dta/good-115"), || seed!("dta/persons-115")),
    (Statistics::dta, "117", || seed!("dta/good-117"), || seed!("dta/persons-117")),
    (Statistics::dta, "118", || seed!("dta/good-118"), || seed!("dta/persons-118")),
    (Statistics::dta, "119", || seed!("dta/good-119"), || seed!("dta/persons-119")),
    (Statistics::xpt, "xpt 5", || seed!("xpt/good-5"), || seed!("xpt/persons-5")),
    (Statistics::xpt, "xpt 8", || seed!("xpt/good-8"), || seed!("xpt/persons-8")),
];

fn read(make: Make, bytes: &[u8], columns: &[&str]) -> Vec<Notice> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let policy = policy_with(Content { columns, ..Content::default() });
    every_cut(|| make(&policy), bytes)
}

#[test]
fn files_without_persons_are_read_whole() {
    for (make, name, good, _) in FILES {
        assert_eq!(read(make, good(), &["subject", "age", "visit"]), [], "{name}");
    }
}

#[test]
fn numbers_are_found_by_name_by_label_and_in_notes_as_text_and_as_number() {
    for (make, name, _, persons) in FILES {
        let told = read(make, persons(), &[]);
        let expected = [Class::Identifier, Class::Identifier, Class::IdentifierReview];
        assert_eq!(classes(&told), expected, "{name}: {told:?}");
        for (notice, column) in told.iter().zip(["2 (code)", "3 (fnr)", "4 (note)"]) {
            assert!(notice.message.starts_with(&format!("column {column}: ")), "{name}: {told:?}");
        }
        assert!(told[0].message.contains("2 × fødselsnummer among 2"), "{name}: {told:?}");
    }
}

#[test]
fn variables_are_held_against_the_agreements_columns() {
    for (make, name, good, _) in FILES {
        let told = read(make, good(), &["subject", "visit"]);
        assert_eq!(classes(&told), [Class::ColumnNotAgreed], "{name}");
        assert!(told[0].message.contains("column 2 (age)"), "{name}: {told:?}");
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_told() {
    let policy = policy_with(Content::default());
    for (make, name, _, persons) in FILES {
        let whole = persons();
        // Behind the rows: labels of values, the list of blocks, spaces. Of a transport file's records any may be the last.
        let malformed = |length: &usize| classes(&once(make, &policy, &whole[..*length])).contains(&Class::Malformed);
        let silent: Vec<usize> = (0..whole.len()).filter(|length| !malformed(length)).collect();
        let first = silent.first().copied().unwrap_or(whole.len());
        let head = whole.len() * 2 / 5;
        assert!(first > head, "{name}: {first} of {}", whole.len());
        if !name.starts_with("xpt") {
            let after: Vec<usize> = (first..whole.len()).filter(malformed).collect();
            assert_eq!(after, Vec::<usize>::new(), "{name}: what is whole stays whole");
        }
    }
}

fn once(make: Make, policy: &Arc<Policy>, bytes: &[u8]) -> Vec<Notice> {
    crate::testing::cut(|| make(policy), bytes, &[])
}

#[test]
fn what_is_not_as_the_format_asks_is_told() {
    let damaged = |file: &[u8], from: &[u8], to: &[u8]| {
        let at = memchr::memmem::find(file, from).unwrap();
        [&file[..at], to, &file[at + from.len()..]].concat()
    };
    let dta = seed!("dta/good-118");
    assert_eq!(classes(&read(Statistics::dta, &damaged(dta, b"<varnames>", b"<varnamez>"), &[])), [Class::Malformed]);
    assert_eq!(classes(&read(Statistics::dta, &damaged(dta, b">LSF<", b">XXX<"), &[])), [Class::Malformed]);
    assert_eq!(classes(&read(Statistics::dta, &damaged(dta, b">118<", b">999<"), &[])), [Class::NotInspected]);
    assert_eq!(classes(&read(Statistics::dta, b"\x69\x02\x01\0", &[])), [Class::NotInspected]);
    let mut zsav = seed!("sav/good-blocks").to_vec();
    let end = zsav.len();
    zsav[end - 60] ^= 0xff;
    assert!(classes(&read(Statistics::sav, &zsav, &[])).contains(&Class::Malformed));
    let xpt = seed!("xpt/good-5");
    assert_eq!(classes(&read(Statistics::xpt, &[xpt, xpt].concat(), &[])), [Class::NotInspected]);
    // What has no layout is looked through all the same.
    let text = [&damaged(dta, b"<varnames>", b"<varnamez>")[..], b" 02013299997 "].concat();
    assert!(classes(&read(Statistics::dta, &text, &[])).contains(&Class::IdentifierReview));
}

#[test]
fn lengths_that_lie_take_no_memory_and_no_time() {
    let dta = seed!("dta/good-119");
    let at = memchr::memmem::find(dta, b"<K>").unwrap() + 3;
    for count in [0u32, 100_000, 100_001, u32::MAX] {
        let mut lying = dta.to_vec();
        lying[at..at + 4].copy_from_slice(&count.to_le_bytes());
        assert!(classes(&read(Statistics::dta, &lying, &[])).contains(&Class::Malformed), "{count}");
    }
    let mut sav = seed!("sav/good-plain").to_vec();
    let at = memchr::memmem::find(&sav, b"SUBJECT").unwrap() - 28;
    sav[at..at + 4].copy_from_slice(&3u32.to_le_bytes());
    sav[at + 4..at + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(classes(&read(Statistics::sav, &sav, &[])).contains(&Class::Malformed));
}
