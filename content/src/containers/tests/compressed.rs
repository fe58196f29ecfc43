use super::build::gzip;
use super::*;

const TABLE: &[u8] = b"id;value\n1;2\n2;3\n";

#[test]
fn members_one_behind_the_other_are_one_file() {
    let bytes = [gzip(TABLE), gzip(b""), gzip(&eicar()), vec![0; 100]].concat();
    let seen = walk("table.csv.gz", &bytes);
    assert_eq!(seen.notices, []);
    assert_eq!(seen.member("table.csv.gz!table.csv").bytes, [TABLE, &eicar()].concat());
    assert_eq!(seen.members.len(), 2);
}

#[test]
fn what_follows_the_end_is_shown_as_a_member_of_its_own() {
    let bytes = [gzip(TABLE), eicar()].concat();
    let seen = walk("a.gz", &bytes);
    assert_eq!(seen.member("a.gz!a").bytes, TABLE);
    assert_eq!(seen.member("a.gz!a").end, Some(End::Whole));
    assert_eq!(seen.member("a.gz![behind the end]").bytes, eicar());
    assert_eq!(seen.classes(), [Class::BrokenArchive]);
}

#[test]
fn every_truncation_is_named() {
    let bytes = gzip(TABLE);
    for length in 3..bytes.len() {
        let (seen, _) = walk_in("a.gz", &bytes[..length], usize::MAX, Limits::default());
        assert_eq!(seen.classes(), [Class::BrokenArchive], "{length}");
    }
}

#[test]
fn a_wrong_checksum_or_length_is_named() {
    let honest = gzip(TABLE);
    for place in 1..=8 {
        let mut bytes = honest.clone();
        let last = bytes.len() - place;
        bytes[last] ^= 1;
        let seen = walk("a.gz", &bytes);
        assert!(seen.says(Class::BrokenArchive, "checksum"), "{place}");
        assert!(seen.shows(TABLE));
    }
}

#[test]
fn all_fields_of_a_header_are_read_and_a_name_that_leads_away_is_named() {
    let body = gzip(TABLE);
    let with = |name: &[u8]| {
        [&b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03"[..], b"\x04\0abcd", name, b"\0a comment\0", b"\0\0", &body[10..]].concat()
    };
    assert_eq!(walk("a.gz", &with(b"table.csv")).notices, []);
    assert!(walk("a.gz", &with(b"table.csv")).shows(TABLE));
    assert_eq!(walk("a.gz", &with(b"../../x")).classes(), [Class::Path]);
}

#[test]
fn a_hundred_gzips_within_each_other_end_at_a_depth() {
    let mut bytes = eicar();
    for _ in 0..100 {
        bytes = gzip(&bytes);
    }
    let seen = walk("a.gz", &bytes);
    assert_eq!(seen.classes(), [Class::Bomb]);
    assert_eq!(seen.members.len(), Limits::default().depth + 1);
}
