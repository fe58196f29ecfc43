//! On pictures that Pillow 12 wrote, and what is made of them.

use super::*;
use crate::reader::Notice;
use crate::testing::{classes, cut, every_cut, policy_with};
use sluse_protocol::agreement::Content;
use sluse_protocol::finding::Class;

/// A seed's file: its first byte is the fuzzer's.
macro_rules! seed {
    ($path:literal) => {
        include_bytes!(concat!("../../../../fuzz/seeds/", $path)).split_first().unwrap().1
    };
}

fn read(bytes: &[u8], content: Content) -> Vec<Notice> {
    let policy = policy_with(content);
    if bytes.starts_with(b"\x89") {
        every_cut(|| Png::new(&policy), bytes)
    } else {
        every_cut(|| Jpeg::new(&policy), bytes)
    }
}

#[test]
fn pictures_without_persons_are_read_whole() {
    for bytes in [seed!("png/good"), seed!("jpeg/good"), seed!("jpeg/progressive")] {
        assert_eq!(read(bytes, Content::default()), []);
    }
}

#[test]
fn who_made_a_picture_and_where_is_told_and_numbers_in_its_texts() {
    for (bytes, texts) in [(seed!("png/persons"), true), (seed!("jpeg/persons"), false)] {
        let told = read(bytes, Content::default());
        let says = |part: &str| told.iter().any(|notice| notice.message.contains(part));
        assert!(says("a place on earth (GPS)") && says("EXIF: Artist is not empty"), "{told:?}");
        assert_eq!(says("a text beside the picture names its author"), texts, "{told:?}");
        let number = told.iter().find(|notice| notice.class == Class::IdentifierReview).unwrap();
        assert!(number.message.contains("2 × fødselsnummer among 2"), "{told:?}");
        assert!(!told.iter().any(|notice| notice.message.contains("Ola")));
        let identifiable = Content { forbid_identifiers: false, ..Content::default() };
        assert_eq!(read(bytes, identifiable), []);
    }
}

#[test]
fn a_picture_that_was_cut_off_anywhere_or_goes_on_is_told() {
    let policy = policy_with(Content::default());
    for bytes in [seed!("png/good"), seed!("jpeg/good"), seed!("jpeg/progressive")] {
        for length in 0..bytes.len() {
            let told = match bytes[0] {
                0x89 => cut(|| Png::new(&policy), &bytes[..length], &[]),
                _ => cut(|| Jpeg::new(&policy), &bytes[..length], &[]),
            };
            assert_eq!(classes(&told), [Class::Malformed], "{length} of {}", bytes.len());
        }
        let longer = [bytes, b"more"].concat();
        let told = read(&longer, Content::default());
        assert_eq!((classes(&told), told[0].offset), (vec![Class::Irregular], Some(bytes.len() as u64)));
    }
}

#[test]
fn what_is_damaged_is_told_and_looked_through_all_the_same() {
    let mut png = seed!("png/good").to_vec();
    png[20] ^= 1;
    let told = read(&[&png[..], b" 02013299997 "].concat(), Content::default());
    assert_eq!(classes(&told), [Class::Malformed, Class::IdentifierReview]);
    // A text whose checksum is wrong ends there.
    let mut png = seed!("png/good").to_vec();
    let sum = [b"\0\0\0\x06tEXtnr\0\n30", &[0; 4][..]].concat();
    png.splice(33.., [&sum[..], b" 30108299920 "].concat());
    let told = read(&png, Content::default());
    assert_eq!((classes(&told), told[1].offset), (vec![Class::Malformed, Class::IdentifierReview], Some(33 + 18 + 1)));
    let jpeg = [b"\xff\xd8\xff\xe0\x00\x01", &seed!("jpeg/good")[2..], b" 02013299997 "].concat();
    assert_eq!(classes(&read(&jpeg, Content::default())), [Class::Malformed, Class::IdentifierReview]);
    let exif = b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\xff\xff\xd9";
    assert_eq!(classes(&read(exif, Content::default())), [Class::Irregular]);
    // Lists that lead to themselves.
    let mut lists =
        b"\xff\xd8\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0".to_vec();
    lists.extend(b"\xff\xd9");
    assert_eq!(read(&lists, Content::default()), []);
}
