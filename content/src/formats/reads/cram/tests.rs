//! On files made here, and on one that samtools wrote.

use super::*;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use sluse_protocol::agreement::Content;
use std::io::Write as _;

/// The container that ends every file of version 3.
const LAST: &[u8] =
    b"\x0f\0\0\0\xff\xff\xff\xff\x0f\xe0EOF\0\0\0\0\x01\0\x05\xbd\xd9O\0\x01\0\x06\x06\x01\0\x01\0\x01\0\xee\x63\x01K";

const DEFINED: &[u8] = b"CRAM\x03\0name of the file....";

/// A number as CRAM has it.
fn number(number: usize) -> Vec<u8> {
    match number {
        0..0x80 => vec![number as u8],
        0x80..0x4000 => vec![0x80 | (number >> 8) as u8, number as u8],
        _ => vec![
            0xf0 | (number >> 28) as u8,
            (number >> 20) as u8,
            (number >> 12) as u8,
            (number >> 4) as u8,
            number as u8,
        ],
    }
}

fn summed(bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&bytes).to_le_bytes();
    [bytes, sum.to_vec()].concat()
}

fn block(method: u8, content: u8, id: usize, data: &[u8], length: usize) -> Vec<u8> {
    summed([vec![method, content], number(id), number(data.len()), number(length), data.to_vec()].concat())
}

fn plain(content: u8, id: usize, data: &[u8]) -> Vec<u8> {
    block(0, content, id, data, data.len())
}

fn container(blocks: &[Vec<u8>]) -> Vec<u8> {
    let data = blocks.concat();
    let head =
        [(data.len() as u32).to_le_bytes().to_vec(), vec![0; 4], vec![0; 2], number(blocks.len()), number(1), vec![0]];
    [summed(head.concat()), data].concat()
}

/// A list of encodings: names of reads in block 7, a tag of text in 8, one of numbers in 9, another of text in 300.
fn encodings() -> Vec<u8> {
    let part = |bytes: Vec<u8>| [number(bytes.len()), bytes].concat();
    let coded = |codec: usize, parameters: Vec<u8>| [number(codec), part(parameters)].concat();
    let up_to_stop = |id: usize| coded(5, [vec![b'\t'], number(id)].concat());
    let external = |id: usize| coded(1, number(id));
    let lengths = coded(3, vec![1, 4, 1, 0]);
    let tag = |tag: &[u8; 3]| number(usize::from(tag[0]) << 16 | usize::from(tag[1]) << 8 | usize::from(tag[2]));
    let series = [number(2), b"QS".to_vec(), external(6), b"RN".to_vec(), up_to_stop(7)].concat();
    let tags = [
        number(3),
        [tag(b"XYZ"), coded(4, [lengths, external(8)].concat())].concat(),
        [tag(b"NMi"), external(9)].concat(),
        [tag(b"XXZ"), up_to_stop(300)].concat(),
    ];
    [part(vec![0]), part(series), part(tags.concat())].concat()
}

/// A file with this header, and these blocks in its one container of reads.
fn file(header: &str, blocks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&(header.len() as u32).to_le_bytes()[..], header.as_bytes(), &[0; 9]].concat();
    let mut reads = vec![plain(1, 0, &encodings())];
    reads.extend_from_slice(blocks);
    [DEFINED, &container(&[plain(0, 0, &header)]), &container(&reads), LAST].concat()
}

fn read(bytes: &[u8]) -> Vec<Notice> {
    let policy = policy_with(Content { pseudonym: Some("P[0-9]+".parse().unwrap()), ..Content::default() });
    every_cut(|| Cram::new(&policy), bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_told() {
    let whole = file("@HD\tVN:1.6\n@RG\tSM:P1\n", &[plain(4, 6, b"II02013299997II"), plain(4, 7, b"read1\t")]);
    assert_eq!(read(&whole), []);
    for length in 0..whole.len() {
        let told = read(&whole[..length]);
        assert_eq!(classes(&told), [Class::Malformed], "{length} {told:?}");
    }
    assert_eq!(read(&[&whole[..], LAST].concat()), []);
    assert_eq!(classes(&read(&[&whole[..], b"x"].concat())), [Class::Malformed]);
    assert_eq!(read(&[&whole[..], &[b'x'; 300]].concat())[0].message, BEHIND);
    assert_eq!(read(&[&whole[..], &whole[DEFINED.len()..]].concat())[0].message, BEHIND);
}

#[test]
fn samples_are_found_in_the_header_and_numbers_wherever_text_stands() {
    assert_eq!(classes(&read(&file("@RG\tSM:Ola\n", &[]))), [Class::NotDeidentified]);
    let number = resident(0);
    assert_eq!(classes(&read(&file(&format!("@CO\t{number}\n"), &[]))), [Class::IdentifierReview]);
    let values = format!("a\t{number}\tb\t");
    let packed = gzip(values.as_bytes());
    for id in [7, 8, 300] {
        for block in [plain(4, id, values.as_bytes()), block(1, 4, id, &packed, values.len())] {
            let told = read(&file("", &[block]));
            assert_eq!(classes(&told), [Class::IdentifierReview], "{id}");
            assert!(told[0].message.starts_with("names of reads and tags: 1 ×"), "{told:?}");
        }
    }
    // Qualities and numbers are no text, whatever they look like.
    assert_eq!(read(&file("", &[plain(4, 6, values.as_bytes()), plain(4, 9, values.as_bytes())])), []);
}

#[test]
fn text_that_is_packed_in_a_way_that_is_not_read_is_for_review() {
    let told = read(&file("", &[block(8, 4, 7, b"xxxx", 100)]));
    assert_eq!(classes(&told), [Class::IdentifierReview]);
    assert_eq!(read(&file("", &[block(8, 4, 6, b"xxxx", 100)])), []);
    let mut other = file("", &[]);
    other[4] = 4;
    assert_eq!(classes(&read(&other)), [Class::NotInspected]);
}

#[test]
fn what_lies_about_itself_is_told_and_never_ends_the_parser() {
    let values = b"a\tb\t";
    let whole = file("@HD\tVN:1.6\n", &[block(1, 4, 7, &gzip(values), values.len()), plain(4, 8, values)]);
    let policy = policy_with(Content::default());
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut lying = whole.clone();
            lying[at] ^= flip;
            let told = cut(|| Cram::new(&policy), &lying, &[]);
            // All but the file's own name has a checksum.
            assert_eq!(told.is_empty(), (5..DEFINED.len()).contains(&at), "{at} {told:?}");
        }
    }
    let wrong = [
        block(1, 4, 7, &gzip(values), values.len() + 1),
        block(1, 4, 7, b"no gzip", 7),
        block(4, 4, 7, &[0; 9], 50 << 20),
        block(4, 4, 7, &[1; 40], 10),
    ];
    for block in wrong {
        assert_eq!(classes(&read(&file("", &[block]))), [Class::Malformed]);
    }
}

/// A seed's file: its first byte is the fuzzer's.
macro_rules! seed {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../fuzz/seeds/cram/", $name)).split_first().unwrap().1
    };
}

#[test]
fn files_that_htslib_wrote_are_read_with_both_orders_of_rans() {
    // By htslib 1.24: names of reads and a tag in gzip, another tag in rANS of order 1, with a number in each; bases in rANS of order 0.
    let file = seed!("htslib-3.0");
    let bases = rans::decode(&file[3833..4319], 1800).unwrap();
    assert_eq!(crc32fast::hash(&bases), 0x57a4_69e2, "as htslib reads them");
    let told = read(file);
    assert_eq!(classes(&told), [Class::NotDeidentified, Class::Identifier], "{told:?}");
    assert!(told[1].message.starts_with("names of reads and tags: 3 × fødselsnummer among 3"), "{told:?}");
    // As version 3.1 packs tags they are not read.
    let told = read(seed!("htslib-3.1"));
    assert!(told.iter().any(|notice| notice.message.contains("packed in a way that is not read")), "{told:?}");
    assert!(told.iter().all(|notice| notice.class != Class::Malformed), "{told:?}");
    let told = read(seed!("samtools-test"));
    assert!(told.iter().all(|notice| notice.class != Class::Malformed), "{told:?}");
}
