use super::*;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

const IMPLICIT_UID: &str = "1.2.840.10008.1.2";
const EXPLICIT_UID: &str = "1.2.840.10008.1.2.1";
const DEFLATED_UID: &str = "1.2.840.10008.1.2.1.99";
const BIG_UID: &str = "1.2.840.10008.1.2.2";

/// Builds elements in one encoding.
#[derive(Clone, Copy)]
struct Build(Encoding);

impl Build {
    fn short(self, number: u16) -> [u8; 2] {
        if self.0.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn long(self, number: u32) -> [u8; 4] {
        if self.0.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn head(self, tag: u32, vr: &str, length: u32) -> Vec<u8> {
        let mut bytes = [self.short((tag >> 16) as u16), self.short(tag as u16)].concat();
        let vr: [u8; 2] = vr.as_bytes().try_into().unwrap();
        if tag >> 16 == 0xfffe || self.0.implicit {
            bytes.extend(self.long(length));
        } else if tags::has_long_length(vr) {
            bytes.extend(vr);
            bytes.extend([0, 0]);
            bytes.extend(self.long(length));
        } else {
            bytes.extend(vr);
            bytes.extend(self.short(length as u16));
        }
        bytes
    }

    fn element(self, tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == "UI" { 0 } else { b' ' });
        }
        [self.head(tag, vr, value.len() as u32), value].concat()
    }

    /// A sequence of one item, with stated or undefined lengths.
    fn sequence(self, tag: u32, vr: &str, item: &[u8], stated: bool) -> Vec<u8> {
        let length = |bytes: &[u8]| if stated { bytes.len() as u32 } else { u32::MAX };
        let mut inner = [self.head(tags::ITEM, "  ", length(item)), item.to_vec()].concat();
        if !stated {
            inner.extend(self.head(tags::ITEM_END, "  ", 0));
        }
        let mut bytes = [self.head(tag, vr, length(&inner)), inner].concat();
        if !stated {
            bytes.extend(self.head(tags::SEQUENCE_END, "  ", 0));
        }
        bytes
    }
}

fn build(uid: &str) -> Build {
    match syntax(uid.as_bytes()) {
        Syntax::Plain(encoding) => Build(encoding),
        _ => Build(EXPLICIT),
    }
}

/// A file with these elements between those that every file has.
fn file(uid: &str, elements: impl Fn(Build) -> Vec<(u32, Vec<u8>)>) -> Vec<u8> {
    let header = Build(EXPLICIT).element(tags::TRANSFER_SYNTAX, "UI", uid.as_bytes());
    let b = build(uid);
    let mut list = elements(b);
    list.push((tags::SOP_CLASS, b.element(tags::SOP_CLASS, "UI", b"1.2.840.10008.5.1.4.1.1.2")));
    list.push((tags::SOP_INSTANCE, b.element(tags::SOP_INSTANCE, "UI", b"1.2.3.4")));
    list.push((tags::STUDY_UID, b.element(tags::STUDY_UID, "UI", b"1.2.3")));
    if !list.iter().any(|(tag, _)| *tag == tags::IDENTITY_REMOVED) {
        list.push((tags::IDENTITY_REMOVED, b.element(tags::IDENTITY_REMOVED, "CS", b"YES")));
    }
    list.sort_by_key(|(tag, _)| *tag);
    let mut data: Vec<u8> = list.into_iter().flat_map(|(_, bytes)| bytes).collect();
    if uid == DEFLATED_UID {
        data = deflated(&data);
    }
    let length = Build(EXPLICIT).element(tags::GROUP_LENGTH, "UL", &(header.len() as u32).to_le_bytes());
    [vec![0; PREAMBLE], MARK.to_vec(), length, header, data].concat()
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1000);
    Compress::new(Compression::default(), false).compress_vec(data, &mut out, FlushCompress::Finish).unwrap();
    out
}

fn with(tag: u32, vr: &str, value: &[u8], uid: &str) -> Vec<u8> {
    file(uid, |b| vec![(tag, b.element(tag, vr, value))])
}

fn read(bytes: &[u8]) -> Vec<Notice> {
    read_by(bytes, Content { pseudonym: Some("P[0-9]{3}".parse().unwrap()), ..Content::default() })
}

fn read_by(bytes: &[u8], content: Content) -> Vec<Notice> {
    let policy = policy_with(content);
    every_cut(|| Dicom::new(&policy), bytes)
}

#[track_caller]
fn only(notices: &[Notice], class: Class, part: &str) {
    assert_eq!(classes(notices), [class], "{notices:?}");
    assert!(notices[0].message.contains(part), "{notices:?}");
}

const ALL: [&str; 5] = [IMPLICIT_UID, EXPLICIT_UID, DEFLATED_UID, BIG_UID, "1.2.840.10008.1.2.4.70"];

#[test]
fn files_in_every_transfer_syntax_are_read_whole() {
    for uid in ALL {
        assert_eq!(read(&with(tags::PATIENT_ID, "LO", b"P017", uid)), [], "{uid}");
        for stated in [false, true] {
            let bytes = file(uid, |b| {
                let inner = b.sequence(0x0040_a043, "SQ", &b.element(tags::CODE_VALUE, "SH", b"T-1"), stated);
                vec![(0x0040_a730, b.sequence(0x0040_a730, "SQ", &inner, stated))]
            });
            assert_eq!(read(&bytes), [], "{uid} {stated}");
        }
    }
}

#[test]
fn fragments_of_pixels_are_passed_over() {
    let bytes = file("1.2.840.10008.1.2.4.70", |b| {
        let number = resident(0) + " ";
        let fragment = [b.head(tags::ITEM, "  ", 12), number.into_bytes()].concat();
        let all = [b.head(tags::PIXEL_DATA, "OB", u32::MAX), b.head(tags::ITEM, "  ", 0), fragment];
        vec![(tags::PIXEL_DATA, [all.concat(), b.head(tags::SEQUENCE_END, "  ", 0)].concat())]
    });
    assert_eq!(read(&bytes), []);
}

#[test]
fn a_file_that_was_cut_anywhere_is_malformed() {
    for uid in ALL {
        let whole = file(uid, |b| {
            let item = b.element(0x0008_0104, "LO", b"meaning");
            vec![
                (0x0040_a043, b.sequence(0x0040_a043, "SQ", &item, false)),
                (tags::PIXEL_DATA, b.element(tags::PIXEL_DATA, "OW", &[7; 40])),
            ]
        });
        let policy = policy_with(Content { forbid_identifiers: false, ..Content::default() });
        let mut unnoticed = 0;
        for length in 0..whole.len() {
            let notices = cut(|| Dicom::new(&policy), &whole[..length], &[]);
            unnoticed += u32::from(!notices.iter().any(|notice| notice.class == Class::Malformed));
        }
        // Between two elements nothing tells that more would come, save in what is deflated.
        let borders = if uid == DEFLATED_UID { 0 } else { 6 };
        assert!(unnoticed <= borders, "{uid}: {unnoticed}");
    }
}

#[test]
fn numbers_are_found_in_every_value_nested_and_private_ones_too() {
    let number = resident(0);
    for uid in ALL {
        only(&read(&with(0x0010_4000, "LT", number.as_bytes(), uid)), Class::IdentifierReview, "(0010,4000)");
        let named = read(&with(tags::PATIENT_ID, "LO", number.as_bytes(), uid));
        assert_eq!(classes(&named), [Class::Identifier, Class::NotDeidentified], "{uid}");
        assert!(named[0].message.starts_with("PatientID (0010,0020): 1 × "), "{named:?}");
        for stated in [false, true] {
            let nested = file(uid, |b| {
                let item = b.element(0x0040_a160, "UT", format!("se {number}").as_bytes());
                vec![(0x0040_a730, b.sequence(0x0040_a730, "SQ", &item, stated))]
            });
            only(&read(&nested), Class::IdentifierReview, "(0040,a160)");
        }
        let content = Content { private_elements: true, ..Content::default() };
        let private = with(0x0029_1010, "UN", number.as_bytes(), uid);
        only(&read_by(&private, content), Class::IdentifierReview, "(0029,1010)");
    }
}

#[test]
fn a_private_sequence_of_unknown_representation_is_looked_into() {
    let inner = Build(Encoding { implicit: true, big: false });
    let item = inner.element(tags::PATIENT_NAME, "PN", b"Nordmann^Kari");
    let content = || Content { private_elements: true, ..Content::default() };
    for stated in [false, true] {
        let bytes = file(EXPLICIT_UID, |b| {
            let whole = inner.sequence(0x0029_1010, "UN", &item, stated);
            let length = if stated { whole.len() as u32 - 8 } else { u32::MAX };
            vec![(0x0029_1010, [b.head(0x0029_1010, "UN", length), whole[8..].to_vec()].concat())]
        });
        only(&read_by(&bytes, content()), Class::NotDeidentified, "PatientName");
    }
}

#[test]
fn what_a_de_identified_file_leaves_out_is_told() {
    let held = |bytes: &[u8], part: &str| only(&read(bytes), Class::NotDeidentified, part);
    held(&with(tags::PATIENT_NAME, "PN", b"Nordmann^Ola", EXPLICIT_UID), "PatientName: not of the agreement's");
    held(&with(tags::PATIENT_ID, "LO", b"17", IMPLICIT_UID), "PatientID: not of the agreement's");
    held(&with(0x0010_0030, "DA", b"19480913", EXPLICIT_UID), "not empty: PatientBirthDate");
    held(&with(0x0008_0080, "LO", b"St. Olavs", EXPLICIT_UID), "not empty: InstitutionName");
    held(&with(0x0029_0010, "LO", b"VENDOR", EXPLICIT_UID), "private elements, the first is (0029,0010)");
    held(&with(tags::IDENTITY_REMOVED, "CS", b"NO", EXPLICIT_UID), "does not say");
    held(&with(tags::MODALITY, "CS", b"US", EXPLICIT_UID), "devices write text");
    held(&with(tags::BURNED_IN, "CS", b"YES", EXPLICIT_UID), "burnt into");
    let cleaned = file(EXPLICIT_UID, |b| {
        let code = b.element(tags::CODE_VALUE, "SH", b"113101");
        vec![
            (tags::MODALITY, b.element(tags::MODALITY, "CS", b"US")),
            (0x0012_0064, b.sequence(0x0012_0064, "SQ", &code, true)),
        ]
    });
    assert_eq!(read(&cleaned), []);
    let head = file(EXPLICIT_UID, |b| {
        vec![
            (tags::MODALITY, b.element(tags::MODALITY, "CS", b"MR")),
            (tags::BODY_PART, b.element(tags::BODY_PART, "CS", b"BRAIN")),
        ]
    });
    only(&read(&head), Class::Irregular, "113102");
}

#[test]
fn without_a_pattern_of_pseudonyms_a_name_in_parts_is_told() {
    let read = |name: &[u8]| read_by(&with(tags::PATIENT_NAME, "PN", name, EXPLICIT_UID), Content::default());
    only(&read(b"Nordmann^Ola"), Class::NotDeidentified, "PatientName: a person's name");
    assert_eq!(read(b"P017"), []);
}

#[test]
fn nothing_is_said_of_persons_where_identifiers_are_allowed() {
    let bytes = with(tags::PATIENT_NAME, "PN", b"Nordmann^Ola", EXPLICIT_UID);
    assert_eq!(read_by(&bytes, Content { forbid_identifiers: false, ..Content::default() }), []);
}

#[test]
fn no_value_is_shown() {
    let number = resident(0);
    let bytes = file(EXPLICIT_UID, |b| {
        vec![
            (tags::PATIENT_NAME, b.element(tags::PATIENT_NAME, "PN", b"Canary^Name")),
            (tags::PATIENT_ID, b.element(tags::PATIENT_ID, "LO", number.as_bytes())),
            (0x0008_0080, b.element(0x0008_0080, "LO", b"CanaryHospital")),
        ]
    });
    let shown = format!("{:?}", read(&bytes));
    assert!(shown.contains("Identifier") && !shown.contains("Canary") && !shown.contains(&number[..6]), "{shown}");
}

#[test]
fn what_cannot_be_elements_is_malformed() {
    let malformed = |bytes: &[u8], part: &str| {
        let notices = read(bytes);
        let first = notices.iter().find(|notice| notice.class == Class::Malformed);
        assert!(first.is_some_and(|notice| notice.message.contains(part)), "{part}: {notices:?}");
    };
    let b = Build(EXPLICIT);
    let raw = |bytes: Vec<u8>| file(EXPLICIT_UID, |_| vec![(0x0040_0000, bytes.clone())]);
    malformed(&raw(b.head(0x0040_0002, "DA", u32::from(u16::MAX))), "cut off");
    malformed(&raw(b.head(0x0040_0002, "UT", u32::MAX)), "undefined length");
    malformed(&raw(b.head(tags::ITEM, "  ", 0)), "where none belongs");
    malformed(&raw(b"\x40\0\x02\0\x01\x02\0\0".to_vec()), "without a representation");
    let too_long = b.head(0x0008_0104, "LO", 400);
    malformed(&raw(b.sequence(0x0040_a043, "SQ", &too_long, true)), "reaches beyond");
    let mut deep = Vec::new();
    for _ in 0..100 {
        deep = b.sequence(0x0040_a730, "SQ", &deep, true);
    }
    malformed(&raw(deep), "too deep");
    malformed(b"", "cut off");
}

#[test]
fn a_preamble_that_is_not_empty_is_pointed_out_save_for_tiff() {
    let mut bytes = with(tags::PATIENT_ID, "LO", b"P017", EXPLICIT_UID);
    bytes[..4].copy_from_slice(b"II*\0");
    assert_eq!(read(&bytes), []);
    bytes[..4].copy_from_slice(b"MZ\x90\0");
    only(&read(&bytes), Class::Irregular, "preamble");
}

#[test]
fn elements_without_preamble_are_read_by_what_they_look_like() {
    for uid in [IMPLICIT_UID, EXPLICIT_UID, BIG_UID] {
        let whole = with(0x0010_4000, "LT", resident(0).as_bytes(), uid);
        let header = PREAMBLE + MARK.len() + 12;
        let length = u32::from_le_bytes(whole[header - 4..header].try_into().unwrap()) as usize;
        let notices = read(&whole[header + length..]);
        assert_eq!(classes(&notices), [Class::Irregular, Class::IdentifierReview], "{uid} {notices:?}");
    }
}

proptest! {
    #[test]
    fn cutting_changes_nothing_and_damage_never_panics(
        uid in proptest::sample::select(&ALL[..]), at in any::<usize>(), byte in any::<u8>(), stated in any::<bool>(),
        cuts in proptest::collection::vec(0usize..40, 0..10),
    ) {
        let mut bytes = file(uid, |b| {
            let item = b.element(0x0040_a160, "UT", resident(1).as_bytes());
            vec![(0x0040_a730, b.sequence(0x0040_a730, "SQ", &item, stated))]
        });
        let at = at % bytes.len();
        bytes[at] = byte;
        let policy = policy_with(Content::default());
        prop_assert_eq!(cut(|| Dicom::new(&policy), &bytes, &cuts), cut(|| Dicom::new(&policy), &bytes, &[]));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300), marked in any::<bool>()) {
        let mut bytes = bytes;
        if marked && bytes.len() > 132 {
            bytes[128..132].copy_from_slice(MARK);
        }
        let policy = policy_with(Content::default());
        every_cut(|| Dicom::new(&policy), &bytes);
    }
}
