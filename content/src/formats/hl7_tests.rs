use super::*;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use crate::text::Text;
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

const MESSAGE: &str = "MSH|^~\\&|LAB|SO|ROOM|SO|20261122||ORU^R01|1|P|2.5\rPID|1||P017\rOBX|1|NM|Hb||13.1|g/dL\r";

fn read(text: &str) -> Vec<Notice> {
    let policy = policy_with(Content { pseudonym: Some("P[0-9]{3}".parse().unwrap()), ..Content::default() });
    every_cut(|| Text::new(Hl7::new(&policy), false), text.as_bytes())
}

fn batch(messages: usize, trailers: &str) -> String {
    format!("FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r{}{trailers}", MESSAGE.repeat(messages))
}

#[track_caller]
fn only(notices: &[Notice], class: Class, part: &str) {
    assert_eq!(classes(notices), [class], "{notices:?}");
    assert!(notices[0].message.contains(part), "{notices:?}");
}

#[test]
fn messages_and_batches_are_read_whole() {
    assert_eq!(read(MESSAGE), []);
    assert_eq!(read(&MESSAGE.replace('\r', "\r\n")), []);
    assert_eq!(read(&format!("\u{b}{MESSAGE}\u{1c}\r")), []);
    assert_eq!(read(&batch(3, "BTS|3\rFTS|1\r")), []);
    assert_eq!(read(&batch(3, "BTS|\rFTS\r")), [], "counts may be left out");
}

#[test]
fn counts_of_trailers_must_agree() {
    only(&read(&batch(2, "BTS|3\rFTS|1\r")), Class::Malformed, "BTS-1");
    only(&read(&batch(3, "BTS|3\rFTS|2\r")), Class::Malformed, "FTS-1");
    only(&read(&batch(3, "BTS|3\r")), Class::Irregular, "without its trailer");
    only(&read(&format!("{MESSAGE}BTS|1\r")), Class::Irregular, "without a header");
}

#[test]
fn lines_that_are_no_segments_are_malformed() {
    only(&read("PID|1\r"), Class::Malformed, "first segment");
    only(&read(&format!("{MESSAGE}oops\r")), Class::Malformed, "no segment");
    only(&read(&format!("{MESSAGE}ZZ\r")), Class::Malformed, "no segment");
    only(&read(""), Class::Malformed, "no segment at all");
    only(&read(MESSAGE.trim_end()), Class::Irregular, "does not end");
}

#[test]
fn a_number_blocks_in_the_fields_for_numbers_and_is_reviewed_in_others() {
    let n = resident(0);
    let with = |line: &str| read(&format!("{MESSAGE}{line}\r"));
    let notices = with(&format!("PID|2||{n}^^^FNR"));
    assert_eq!(classes(&notices), [Class::Identifier, Class::NotDeidentified]);
    assert!(notices[0].message.starts_with("PID-3: 1 × "), "{notices:?}");
    only(&with(&format!("OBX|2|FT|||Se {n}.")), Class::IdentifierReview, "OBX-5");
    only(&with(&format!("MRG|P017~{n}")), Class::Identifier, "MRG-1");
    let lost = with(&format!("{n} oops"));
    assert_eq!(classes(&lost), [Class::Malformed, Class::IdentifierReview]);
    assert!(!format!("{lost:?}").contains(&n[..6]));
}

#[test]
fn names_and_addresses_are_told_and_pseudonyms_are_not() {
    let with = |fields: &str| read(&format!("{MESSAGE}PID|2||P018||{fields}\r"));
    assert_eq!(with("P018||1948"), []);
    only(&with("Nordmann^Ola"), Class::NotDeidentified, "PID-5");
    only(&with("||19480913"), Class::NotDeidentified, "PID-7");
    assert_eq!(with("^^||"), [], "separators alone are nothing");
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        text in "(MSH\\|\\^|PID\\||BTS\\||BHS\\||[0-9]{1,2}|[0-9]{11}|\\||\r|\n|\\^|ø|FTS|x){0,40}",
        cuts in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let policy = policy_with(Content::default());
        let text = format!("{MESSAGE}PID|||{}|{text}", resident(1));
        let hl7 = || Text::new(Hl7::new(&policy), false);
        prop_assert_eq!(cut(hl7, text.as_bytes(), &cuts), cut(hl7, text.as_bytes(), &[]));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let policy = policy_with(Content::default());
        every_cut(|| Text::new(Hl7::new(&policy), false), &bytes);
    }
}
