use super::*;
use crate::testing::{classes, every_cut, policy_with, resident};
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

/// Thrift's compact protocol, written.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn integer(number: i64) -> Vec<u8> {
    varint(((number << 1) ^ (number >> 63)) as u64)
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [vec![0xf0 | thrift::STRUCT], varint(items.len() as u64), items.concat()].concat()
}

/// A structure of fields: number, type, value.
fn structure(fields: &[(i64, u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, kind, value) in fields {
        bytes.push(*kind);
        bytes.extend(integer(*number));
        bytes.extend(value);
    }
    bytes.push(0);
    bytes
}

/// A file of one row group with these columns: name, type, least value.
fn file(columns: &[(&str, i64, &[u8])], rows: i64, end: i64) -> Vec<u8> {
    let count = columns.len() as i64;
    let mut schema = vec![structure(&[(4, 8, binary(b"schema")), (5, 5, integer(count))])];
    schema.extend(
        columns.iter().map(|(name, kind, _)| structure(&[(1, 5, integer(*kind)), (4, 8, binary(name.as_bytes()))])),
    );
    let chunk = |value: &[u8]| {
        let statistics = structure(&[(3, 6, integer(0)), (6, 8, binary(value))]);
        let meta = structure(&[(7, 6, integer(end - 4)), (9, 6, integer(4)), (12, 12, statistics)]);
        structure(&[(2, 6, integer(4)), (3, 12, meta)])
    };
    let chunks: Vec<_> = columns.iter().map(|(_, _, value)| chunk(value)).collect();
    let group = structure(&[(1, 9, list(&chunks)), (3, 6, integer(7))]);
    let footer = structure(&[(1, 5, integer(2)), (2, 9, list(&schema)), (3, 6, integer(rows)), (4, 9, list(&[group]))]);
    [b"PAR1", &[0x55; 100][..], &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

fn read_by(bytes: &[u8], content: Content) -> Vec<Notice> {
    let policy = policy_with(content);
    every_cut(|| Parquet::new(&policy), bytes)
}

fn read(bytes: &[u8]) -> Vec<Notice> {
    read_by(bytes, Content::default())
}

#[test]
fn a_whole_file_of_numbers_is_clean_and_text_is_said_not_to_be_read() {
    assert_eq!(read(&file(&[("age", 2, &40i64.to_le_bytes())], 7, 104)), []);
    let notices = read(&file(&[("note", 6, b"abc")], 7, 104));
    assert_eq!(classes(&notices), [Class::IdentifierReview]);
    assert!(notices[0].message.contains("only the least and the"), "{notices:?}");
}

#[test]
fn a_column_of_numbers_shows_by_its_least_value() {
    let number = resident(0);
    let named = read(&file(&[("id", 2, &[0; 8]), ("fnr", 6, number.as_bytes())], 7, 104));
    assert_eq!(classes(&named), [Class::IdentifierReview, Class::Identifier], "{named:?}");
    assert!(named[1].message.starts_with("column 2 (fnr): 1 × "), "{named:?}");
    let whole: i64 = number.parse().unwrap();
    let integer = read(&file(&[("x", 2, &whole.to_le_bytes())], 7, 104));
    assert_eq!(classes(&integer), [Class::IdentifierReview]);
    assert!(!format!("{integer:?}").contains(&number[..6]));
}

#[test]
fn columns_outside_of_the_agreement_are_told() {
    let content = Content { columns: vec!["age".into()], forbid_identifiers: false, ..Content::default() };
    let notices = read_by(&file(&[("age", 1, b""), ("name", 6, b"")], 7, 104), content);
    assert_eq!(classes(&notices), [Class::ColumnNotAgreed]);
    assert!(notices[0].message.contains("column 2 (name)"), "{notices:?}");
}

#[test]
fn what_is_cut_off_or_does_not_agree_is_malformed() {
    let whole = file(&[("age", 1, b"")], 7, 104);
    for length in 0..whole.len() {
        assert_eq!(classes(&read(&whole[..length])), [Class::Malformed], "{length}");
    }
    assert_eq!(classes(&read(&file(&[("age", 1, b"")], 8, 104))), [Class::Malformed], "rows");
    assert_eq!(classes(&read(&file(&[("age", 1, b"")], 7, 105))), [Class::Malformed], "beyond the data");
    let mut sealed = whole;
    let end = sealed.len();
    sealed[end - 1] = b'E';
    assert_eq!(classes(&read(&sealed)), [Class::Encrypted]);
}

proptest! {
    #[test]
    fn damage_never_panics(at in any::<usize>(), byte in any::<u8>(), more in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6)) {
        let mut bytes = file(&[("a", 6, b"xyz"), ("b", 2, &[1; 8])], 7, 104);
        let length = bytes.len();
        for (at, byte) in more.into_iter().chain([(at, byte)]) {
            bytes[at % length] = byte;
        }
        let policy = policy_with(Content::default());
        crate::testing::cut(|| Parquet::new(&policy), &bytes, &[]);
    }

    #[test]
    fn any_footer_is_taken(footer in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
        let policy = policy_with(Content::default());
        crate::testing::cut(|| Parquet::new(&policy), &bytes, &[]);
    }
}

/// What Arrow wrote: columns `note` (a number in a text), `fnr`, `n` (a number as a whole number), `age`; 15 rows.
fn arrow(compression: &str) -> Vec<u8> {
    let path = format!("{}/../fuzz/seeds/parquet/{compression}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()[1..].to_vec()
}

#[test]
fn numbers_within_pages_are_found_in_their_columns_whatever_packs_them() {
    for compression in ["none", "snappy", "gzip", "zstd"] {
        let notices = read(&arrow(compression));
        let told = |column: &str| notices.iter().find(|notice| notice.message.starts_with(column)).map(|one| one.class);
        assert_eq!(told("column 1 (note)"), Some(Class::IdentifierReview), "{compression}: {notices:?}");
        assert_eq!(told("column 2 (fnr)"), Some(Class::Identifier), "{compression}: {notices:?}");
        assert_eq!(told("column 3 (n)"), Some(Class::IdentifierReview), "{compression}: {notices:?}");
        assert_eq!(notices.len(), 3, "{compression}: {notices:?}");
    }
}

#[test]
fn pages_that_cannot_be_read_are_said_not_to_be() {
    for compression in ["brotli", "lz4"] {
        let notices = read(&arrow(compression));
        assert!(notices[0].message.starts_with("2 columns have pages"), "{compression}: {notices:?}");
        assert_eq!(notices[0].class, Class::IdentifierReview);
    }
}
