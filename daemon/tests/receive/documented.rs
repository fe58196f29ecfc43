//! The examples of `docs/protocol.md` are what the code reads and writes.

use sluse_protocol::document::{Header, Invalid, Reader};
use sluse_protocol::frame;
use sluse_protocol::limits;
use sluse_protocol::wire::{ChunkHeader, Reply, Request};

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// The contents of the fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let after = PAGE.split(&opening).skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

#[test]
fn every_example_of_a_frame_reads_and_writes_as_it_stands() {
    let lines: Vec<String> =
        blocks("sluse").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(lines.len() > 15);
    for line in lines {
        let written = match line.split_at(2) {
            ("> ", json) => serde_json::to_string(&serde_json::from_str::<Request>(json).expect(json)),
            ("< ", json) => serde_json::to_string(&serde_json::from_str::<Reply>(json).expect(json)),
            _ => panic!("{line}"),
        };
        assert_eq!(written.unwrap(), line[2..]);
    }
}

#[test]
fn the_hello_and_the_chunk_are_the_bytes_that_are_shown() {
    let shown = blocks("hex");
    let hello: Request =
        serde_json::from_str(blocks("sluse")[0].lines().next().unwrap().trim_start_matches("> ")).unwrap();
    let hello = frame::encode(&hello, b"").unwrap();
    let beginning = bytes(shown[0].trim_end().trim_end_matches('…'));
    assert_eq!(hello[..beginning.len()], beginning);
    let chunk = bytes(&shown[1]);
    let (header, body) = chunk.split_first_chunk().unwrap();
    let header = ChunkHeader::decode(header).unwrap();
    assert_eq!((header.index, header.length, body), (0, 10, &b"0123456789"[..]));
    assert_eq!(header.digest, sluse_protocol::digest::ChunkDigest::of(body));
}

#[test]
fn the_documents_are_well_formed() {
    for (language, manifest) in [("plan", false), ("manifest", true)] {
        let mut reader = Reader::new();
        reader.push::<Invalid>(blocks(language)[0].as_bytes(), |_, _| Ok(())).unwrap();
        assert_eq!(matches!(reader.finish().unwrap(), Header::Manifest { .. }), manifest);
    }
}

#[test]
fn the_bounds_are_those_of_the_code() {
    let bounds = [
        u64::from(limits::MAX_HEAD_BYTES),
        u64::from(limits::MAX_BODY_BYTES),
        limits::PART_BYTES as u64,
        limits::MAX_DOCUMENT_BYTES,
        limits::MAX_ENTRIES,
        u64::from(limits::STREAM_WINDOW_BYTES),
        limits::MAX_LINE_BYTES as u64,
    ];
    for bound in bounds {
        let digits = bound.to_string();
        let grouped: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|three| std::str::from_utf8(three).unwrap()).collect();
        assert!(PAGE.contains(&grouped.join(",")), "{}", grouped.join(","));
    }
    assert_eq!((limits::MAX_CHUNKS, limits::MAX_CHUNK_STREAMS, limits::CHUNK_BYTES), (1 << 20, 8, 4_194_304));
}
