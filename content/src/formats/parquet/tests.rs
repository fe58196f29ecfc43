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

/// A page: its header, of a kind whose numbers of values and encoding stand in `inner`, and its data as they are.
fn page(kind: i64, inner: i64, values: i64, encoding: i64, data: &[u8]) -> Vec<u8> {
    let length = integer(data.len() as i64);
    let head = structure(&[(1, 5, integer(values)), (2, 5, integer(encoding))]);
    let header =
        structure(&[(1, 5, integer(kind)), (2, 5, length.clone()), (3, 5, length), (inner, thrift::STRUCT, head)]);
    [header, data.to_vec()].concat()
}

fn data_page(values: i64, data: &[u8]) -> Vec<u8> {
    page(0, 5, values, 0, data)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A file of one row group with these columns (name, type, least and greatest value), which begin behind the mark.
fn file_of(pages: &[u8], columns: &[(&str, i64, &[u8])], rows: i64, end: i64) -> Vec<u8> {
    let chunk = |(_, _, value): &(&str, i64, &[u8])| {
        let statistics = structure(&[(3, 6, integer(0)), (5, 8, binary(value)), (6, 8, binary(value))]);
        let meta = structure(&[(7, 6, integer(end - 4)), (9, 6, integer(4)), (12, 12, statistics)]);
        structure(&[(2, 6, integer(4)), (3, 12, meta)])
    };
    file_with(pages, columns, &columns.iter().map(chunk).collect::<Vec<_>>(), rows)
}

fn file_with(pages: &[u8], columns: &[(&str, i64, &[u8])], chunks: &[Vec<u8>], rows: i64) -> Vec<u8> {
    let count = columns.len() as i64;
    let mut schema = vec![structure(&[(4, 8, binary(b"schema")), (5, 5, integer(count))])];
    schema.extend(
        columns.iter().map(|(name, kind, _)| structure(&[(1, 5, integer(*kind)), (4, 8, binary(name.as_bytes()))])),
    );
    let group = structure(&[(1, 9, list(chunks)), (3, 6, integer(7))]);
    let footer = structure(&[(1, 5, integer(2)), (2, 9, list(&schema)), (3, 6, integer(rows)), (4, 9, list(&[group]))]);
    [b"PAR1", pages, &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// The same with what is no page.
fn file(columns: &[(&str, i64, &[u8])], rows: i64, end: i64) -> Vec<u8> {
    file_of(&[0x55; 100], columns, rows, end)
}

/// What is noticed of a file with one column, which has these pages.
fn column(name: &str, kind: i64, value: &[u8], pages: &[Vec<u8>]) -> Vec<Class> {
    let pages = pages.concat();
    classes(&read(&file_of(&pages, &[(name, kind, value)], 7, 4 + pages.len() as i64)))
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
    assert!(named[1].message.starts_with("column 2 (fnr): 2 × "), "{named:?}");
    let whole: i64 = number.parse().unwrap();
    let integer = read(&file(&[("x", 2, &whole.to_le_bytes())], 7, 104));
    // That the pages were not read, and what the footer shows.
    assert_eq!(classes(&integer), [Class::IdentifierReview, Class::IdentifierReview]);
    assert!(!format!("{integer:?}").contains(&number[..6]));
}

#[test]
fn pages_that_their_values_do_not_fill_are_not_read() {
    let review = [Class::IdentifierReview];
    let good = [text("one"), text("two")].concat();
    assert_eq!(column("note", 6, b"one", &[data_page(2, &good)]), []);
    for bad in [
        [&good[..], b"x"].concat(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &good, &good].concat(),
        [&good[..], &99u32.to_le_bytes()].concat(),
    ] {
        assert_eq!(column("note", 6, b"one", &[data_page(2, &bad)]), review, "{bad:?}");
        assert_eq!(column("note", 6, b"one", &[data_page(2, &good), data_page(2, &bad)]), review, "{bad:?}");
    }
    assert_eq!(column("fnr", 2, &[0; 8], &[data_page(2, &[0; 16])]), []);
    for length in [12, 17, 24] {
        assert_eq!(column("fnr", 2, &[0; 8], &[data_page(2, &[9; 24][..length])]), review, "{length}");
    }
}

#[test]
fn values_of_one_length_are_for_review() {
    let number = resident(0);
    assert_eq!(column("x", 7, b"a", &[data_page(1, number.as_bytes())]), [Class::IdentifierReview]);
    assert_eq!(column("x", 7, b"a", &[data_page(2, b"abcdefgh")]), [Class::IdentifierReview]);
}

#[test]
fn a_dictionary_of_any_encoding_holds_values() {
    let indices = data_page(3, &[1, 2, 3]);
    for (encoding, expected) in [(0, None), (2, None), (8, Some(Class::IdentifierReview))] {
        let dictionary = page(2, 7, 1, encoding, &text("one"));
        let found = column("note", 6, b"one", &[dictionary, page(0, 5, 3, 8, &[1, 2, 3])]);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{encoding}");
    }
    assert_eq!(column("note", 6, b"one", &[indices]), [Class::IdentifierReview]);
}

#[test]
fn unread_numbers_are_for_review_unless_the_footer_leaves_no_room_for_them() {
    let unread = || [page(0, 5, 2, 5, &[0; 16])];
    let whole = |number: i64| number.to_le_bytes();
    assert_eq!(column("x", 2, &whole(40), &unread()), []);
    assert_eq!(column("x", 2, &whole(1_700_000_000_000_000), &unread()), []);
    assert_eq!(column("x", 2, &whole(12_345_678_901), &unread()), [Class::IdentifierReview]);
    assert_eq!(column("x", 5, &40f64.to_le_bytes(), &unread()), []);
    assert_eq!(column("x", 5, &12_345_678_901f64.to_le_bytes(), &unread()), [Class::IdentifierReview]);
    // Without the greatest, without any, and without a place.
    let least = structure(&[(6, 8, binary(&whole(40)))]);
    let place = [(7, 6, integer(20)), (9, 6, integer(4))];
    let [(_, _, size), (_, _, start)] = place.clone();
    for meta in [
        structure(&[(7, 6, size.clone()), (9, 6, start.clone()), (12, 12, least)]),
        structure(&place),
        structure(&[(7, 6, size)]),
    ] {
        let chunk = structure(&[(2, 6, integer(4)), (3, 12, meta)]);
        let bytes = file_with(&[0x55; 100], &[("x", 2, b"")], &[chunk], 7);
        assert_eq!(classes(&read(&bytes)), [Class::IdentifierReview]);
    }
    let encrypted = structure(&[(2, 6, integer(4)), (9, 8, binary(b"sealed"))]);
    for kind in [2, 6] {
        let bytes = file_with(&[0x55; 100], &[("x", kind, b"")], std::slice::from_ref(&encrypted), 7);
        assert_eq!(classes(&read(&bytes)), [Class::IdentifierReview]);
    }
    let bytes = file_with(&[0x55; 100], &[("x", 6, b""), ("y", 6, b"")], &[encrypted], 7);
    assert_eq!(classes(&read(&bytes)), [Class::Malformed]);
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
    // What LZ4 does not make shorter Arrow leaves as it is: whole numbers, here.
    for (compression, unread) in [("brotli", 3), ("lz4", 2)] {
        let notices = read(&arrow(compression));
        let message = format!("{unread} columns have pages");
        assert!(notices[0].message.starts_with(&message), "{compression}: {notices:?}");
        assert_eq!(notices[0].class, Class::IdentifierReview);
    }
}
