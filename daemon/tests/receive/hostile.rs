//! Sources that break the rules: a stable code, and no effect on anybody else.

use crate::source::{Source, chunk, header};
use crate::zone::{TestZone, eventually};
use sluse_host::layout::{MANIFEST, chunk_file};
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::{CHUNK_BYTES, MAX_CHUNKS, MAX_DOCUMENT_BYTES, MAX_ENTRIES, PART_BYTES};
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request};

const LENGTH: usize = 300_000;

/// A connection that has offered one chunk of [`LENGTH`] bytes, and the transfer.
async fn one_chunk(zone: &TestZone) -> (Source, TransferId, Vec<u8>) {
    let mut source = Source::welcome(zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, LENGTH as u64).await;
    (source, transfer, chunk(1, 0, LENGTH))
}

/// Nothing half written lies in the transfer's folder, and the chunk can still be sent.
async fn unharmed(zone: &TestZone, transfer: &TransferId, bytes: &[u8]) {
    let mut source = Source::welcome(zone, &zone.source("lab")).await;
    let (again, durable) = source.offer(1, LENGTH as u64).await;
    assert_eq!((&again, durable.len()), (transfer, 0));
    assert_eq!(zone.files(transfer), ["chunks.index"]);
    source.send_chunk(transfer, 0, bytes).await;
    source.wait_durable(&[0]).await;
    assert!(zone.decrypt(&zone.incoming(transfer).join(chunk_file(0))) == bytes);
}

#[tokio::test]
async fn a_chunk_with_a_false_header_is_refused_and_nothing_of_it_stays() {
    let zone = TestZone::start();
    let (_, transfer, bytes) = one_chunk(&zone).await;
    let good = header(&transfer, 0, &bytes);
    let mut cases = vec![good.clone(), good.clone(), good.clone(), good.clone(), good];
    cases[0].transfer = TransferId::new(Timestamp::from_unix(7), [7; 5]);
    cases[1].index = 1;
    cases[2].length -= 1;
    cases[3].length = u32::MAX;
    cases[4].digest = ChunkDigest::of(b"other bytes");
    for header in cases {
        let (mut source, ..) = one_chunk(&zone).await;
        source.send_stream(&header, &bytes).await;
        assert_eq!(source.refused_and_closed().await, Code::BadChunk, "{header:?}");
    }
    unharmed(&zone, &transfer, &bytes).await;
}

#[tokio::test]
async fn more_bytes_or_fewer_than_announced_are_refused_and_nothing_of_them_stays() {
    let zone = TestZone::start();
    let (_, transfer, bytes) = one_chunk(&zone).await;
    let longer = [&bytes[..], b"x"].concat();
    for sent in [&bytes[..LENGTH - 1], &bytes[..0], &longer] {
        let (mut source, ..) = one_chunk(&zone).await;
        source.send_stream(&header(&transfer, 0, &bytes), sent).await;
        assert_eq!(source.refused_and_closed().await, Code::BadChunk);
    }
    unharmed(&zone, &transfer, &bytes).await;
}

#[tokio::test]
async fn a_header_that_is_short_or_no_header_is_a_violation() {
    let zone = TestZone::start();
    for bytes in [&[0xff; 64][..], &[b'x'; 10]] {
        let (mut source, ..) = one_chunk(&zone).await;
        let mut stream = source.connection.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.finish().unwrap();
        assert_eq!(source.refused_and_closed().await, Code::ProtocolViolation);
    }
}

#[tokio::test]
async fn a_stream_that_its_source_resets_is_no_fault_and_leaves_nothing() {
    let zone = TestZone::start();
    let (mut source, transfer, bytes) = one_chunk(&zone).await;
    let mut stream = source.begin_stream(&header(&transfer, 0, &bytes), &bytes[..LENGTH - 1]).await;
    eventually("the chunk began", async || zone.files(&transfer).len() == 2).await;
    stream.reset(0u32.into()).unwrap();
    eventually("the partial file is gone", async || zone.files(&transfer).len() == 1).await;
    source.send_chunk(&transfer, 0, &bytes).await;
    source.wait_durable(&[0]).await;
}

#[tokio::test]
async fn a_durable_chunk_is_acknowledged_again_and_other_bytes_for_it_are_a_conflict() {
    let zone = TestZone::start();
    let (mut source, transfer, bytes) = one_chunk(&zone).await;
    source.send_chunk(&transfer, 0, &bytes).await;
    source.wait_durable(&[0]).await;
    let stored = std::fs::read(zone.incoming(&transfer).join(chunk_file(0))).unwrap();
    source.durable.clear();
    source.send_chunk(&transfer, 0, &bytes).await;
    source.wait_durable(&[0]).await;
    source.send_chunk(&transfer, 0, &chunk(2, 0, LENGTH)).await;
    assert_eq!(source.refused_and_closed().await, Code::ChunkConflict);
    assert!(std::fs::read(zone.incoming(&transfer).join(chunk_file(0))).unwrap() == stored, "never written twice");
}

#[tokio::test]
async fn a_chunk_on_two_streams_at_once_is_refused() {
    let zone = TestZone::start();
    let (mut source, transfer, bytes) = one_chunk(&zone).await;
    let _first = source.begin_stream(&header(&transfer, 0, &bytes), &bytes[..100]).await;
    let _second = source.begin_stream(&header(&transfer, 0, &bytes), &bytes[..100]).await;
    assert_eq!(source.refused_and_closed().await, Code::BadChunk);
    unharmed(&zone, &transfer, &bytes).await;
}

#[tokio::test]
async fn a_chunk_before_any_offer_is_refused() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let transfer = TransferId::new(Timestamp::from_unix(7), [7; 5]);
    source.send_chunk(&transfer, 0, b"bytes").await;
    assert_eq!(source.refused_and_closed().await, Code::BadChunk);
}

#[tokio::test]
async fn offers_beyond_the_protocols_bounds_are_refused_before_the_plan_and_the_connection_goes_on() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let cases = [
        (Totals::default(), Code::EmptyDataset),
        (Totals { files: MAX_ENTRIES + 1, ..Totals::default() }, Code::TooManyFiles),
        (Totals { files: u64::MAX, folders: u64::MAX, bytes: 0 }, Code::TooManyFiles),
        (
            Totals { files: 1, folders: 0, bytes: u64::from(MAX_CHUNKS) * u64::from(CHUNK_BYTES) + 1 },
            Code::DatasetTooLarge,
        ),
    ];
    for (false_totals, code) in cases {
        let (mut offer, plan) = Source::offer_of(9, 10);
        if let Request::Offer { totals, .. } = &mut offer {
            *totals = false_totals;
        }
        source.ask(&offer, &[]).await;
        assert_eq!(source.refused().await, code);
        // Who had sent the plan already may have done so.
        source.ask(&Request::Part, &plan).await;
    }
    source.offer(1, 10).await;
    let (mut offer, _) = Source::offer_of(9, 10);
    if let Request::Offer { plan_bytes, .. } = &mut offer {
        *plan_bytes = MAX_DOCUMENT_BYTES + 1;
    }
    source.ask(&offer, &[]).await;
    assert_eq!(source.refused_and_closed().await, Code::TooLarge);
}

#[tokio::test]
async fn parts_must_add_up_to_what_was_announced() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    let (offer, plan) = Source::offer_of(1, 10);
    let longer = [&plan[..], b"x"].concat();
    for parts in [&[&plan[..3], b""][..], &[&longer], &[&plan[..3], &longer]] {
        let mut source = Source::welcome(&zone, &credentials).await;
        source.ask(&offer, &[]).await;
        for part in parts {
            source.ask(&Request::Part, part).await;
        }
        assert_eq!(source.refused_and_closed().await, Code::ProtocolViolation);
    }
    let mut source = Source::welcome(&zone, &credentials).await;
    source.ask(&offer, &[]).await;
    source.ask(&Request::List { limit: 1 }, &[]).await;
    assert_eq!(source.refused_and_closed().await, Code::ProtocolViolation);
    let mut source = Source::welcome(&zone, &credentials).await;
    source.ask(&Request::Part, &vec![0; PART_BYTES + 1]).await;
    assert_eq!(source.refused_and_closed().await, Code::ProtocolViolation);
    eventually("what was begun is dropped", async || zone.control.dropped() == 4).await;
}

#[tokio::test]
async fn a_seal_with_chunks_missing_or_another_digest_is_refused_and_can_be_repeated() {
    let zone = TestZone::start();
    let (mut source, transfer, bytes) = one_chunk(&zone).await;
    let manifest = vec![b'm'; 300_000];
    source.seal(&transfer, &manifest).await;
    assert_eq!(source.refused().await, Code::MissingChunks);
    source.send_chunk(&transfer, 0, &bytes).await;
    source.wait_durable(&[0]).await;
    let lie = Request::Seal {
        transfer: transfer.clone(),
        manifest_bytes: 3,
        manifest_sha256: Sha256::of(b"xyz"),
        signature: "a signature".into(),
    };
    source.ask(&lie, &[]).await;
    source.ask(&Request::Part, b"abc").await;
    assert_eq!(source.refused().await, Code::DigestMismatch);
    assert_eq!(zone.files(&transfer), ["0000000.age", "chunks.index"]);
    source.seal(&transfer, &manifest).await;
    assert!(matches!(source.reply().await.0, Reply::Sealed { .. }));
    assert_eq!(zone.decrypt(&zone.sealed(&transfer).join(MANIFEST)), manifest);
    source.seal(&transfer, &manifest).await;
    assert_eq!(source.refused().await, Code::UnknownTransfer);
    // The same offer again says that it was sealed.
    let (offer, plan) = Source::offer_of(1, LENGTH as u64);
    source.ask(&offer, &[]).await;
    source.ask(&Request::Part, &plan).await;
    let (Reply::Accepted { transfer: same, state, .. }, _) = source.reply().await else { panic!("not accepted") };
    assert_eq!((same, state.as_str()), (transfer, "received"));
}

#[tokio::test]
async fn a_dataset_without_bytes_is_sealed_without_chunks() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, 0).await;
    source.seal(&transfer, b"manifest").await;
    assert!(matches!(source.reply().await.0, Reply::Sealed { .. }));
}

#[tokio::test]
async fn another_sources_transfer_is_unknown() {
    let zone = TestZone::start();
    let (_, transfer, _) = one_chunk(&zone).await;
    let mut other = Source::welcome(&zone, &zone.source("another")).await;
    other.ask(&Request::Status { transfer: transfer.clone(), unless: None, wait_seconds: 0 }, &[]).await;
    assert_eq!(other.refused().await, Code::UnknownTransfer);
    other.seal(&transfer, b"manifest").await;
    assert_eq!(other.refused().await, Code::UnknownTransfer);
}
