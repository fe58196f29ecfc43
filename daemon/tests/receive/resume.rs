//! Coming back: what is durable is told, what is not is sent again, and a newer connection takes over from an older one.

use crate::source::{Source, chunk, header};
use crate::zone::{TestZone, eventually};
use sluse_host::layout::{CHUNK_INDEX, chunk_file};
use sluse_protocol::chunk_index::Record;
use sluse_protocol::digest::ChunkDigest;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::refusal::Code;
use sluse_protocol::wire::{DurableRecord, Reply, Request};
use std::io::Write as _;

const SMALL: usize = 50_000;
const THREE: u64 = CHUNK_BYTES as u64 * 2 + SMALL as u64;

fn chunks() -> [Vec<u8>; 3] {
    [chunk(1, 0, CHUNK_BYTES as usize), chunk(1, 1, CHUNK_BYTES as usize), chunk(1, 2, SMALL)]
}

#[tokio::test]
async fn what_is_durable_is_told_after_a_lost_connection_and_a_new_process() {
    let mut zone = TestZone::start();
    let (credentials, chunks) = (zone.source("lab"), chunks());
    let mut source = Source::welcome(&zone, &credentials).await;
    let (transfer, _) = source.offer(1, THREE).await;
    source.send_chunk(&transfer, 2, &chunks[2]).await;
    source.send_chunk(&transfer, 0, &chunks[0]).await;
    source.wait_durable(&[0, 2]).await;
    drop(source);
    let told = [0, 2].map(|index| DurableRecord { index, digest: ChunkDigest::of(&chunks[index as usize]) });

    let mut source = Source::welcome(&zone, &credentials).await;
    assert_eq!(source.offer(1, THREE).await, (transfer.clone(), told.to_vec()));
    zone.lose_control().unwrap_err();
    zone.start_role();
    let mut source = Source::welcome(&zone, &credentials).await;
    assert_eq!(source.offer(1, THREE).await, (transfer.clone(), told.to_vec()));
    source.send_chunk(&transfer, 1, &chunks[1]).await;
    source.wait_durable(&[1]).await;
    source.seal(&transfer, b"manifest").await;
    assert!(matches!(source.reply().await.0, Reply::Sealed { .. }));
    for (index, bytes) in (0..).zip(&chunks) {
        assert!(zone.decrypt(&zone.sealed(&transfer).join(chunk_file(index))) == *bytes);
    }
}

#[tokio::test]
async fn a_torn_index_is_cut_and_its_last_chunk_sent_again() {
    let zone = TestZone::start();
    let (credentials, chunks) = (zone.source("lab"), chunks());
    let mut source = Source::welcome(&zone, &credentials).await;
    let (transfer, _) = source.offer(1, THREE).await;
    for index in [0, 1] {
        source.send_chunk(&transfer, index, &chunks[index as usize]).await;
        source.wait_durable(&[index]).await;
    }
    drop(source);
    let index = zone.incoming(&transfer).join(CHUNK_INDEX);
    let torn = Record::BYTES as u64 * 2 - 1;
    std::fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(torn).unwrap();

    let mut source = Source::welcome(&zone, &credentials).await;
    let (_, durable) = source.offer(1, THREE).await;
    assert_eq!(durable.iter().map(|record| record.index).collect::<Vec<_>>(), [0]);
    assert_eq!(std::fs::metadata(&index).unwrap().len(), Record::BYTES as u64);
    source.send_chunk(&transfer, 1, &chunks[1]).await;
    source.send_chunk(&transfer, 2, &chunks[2]).await;
    source.wait_durable(&[1, 2]).await;
    drop(source);
    // Garbage after the last record, as a torn append of several may leave it.
    std::fs::OpenOptions::new().append(true).open(&index).unwrap().write_all(&[0x55; 300]).unwrap();
    let mut source = Source::welcome(&zone, &credentials).await;
    assert_eq!(source.offer(1, THREE).await.1.len(), 3);
    assert_eq!(std::fs::metadata(&index).unwrap().len(), Record::BYTES as u64 * 3);
}

#[tokio::test]
async fn a_newer_connection_takes_over_and_the_older_ones_chunks_have_ended_before() {
    let zone = TestZone::start();
    let (credentials, chunks) = (zone.source("lab"), chunks());
    let mut older = Source::welcome(&zone, &credentials).await;
    let (transfer, _) = older.offer(1, THREE).await;
    older.send_chunk(&transfer, 0, &chunks[0]).await;
    older.wait_durable(&[0]).await;
    let mut half = older.begin_stream(&header(&transfer, 1, &chunks[1]), &chunks[1][..1_000_000]).await;
    eventually("the second chunk began", async || zone.files(&transfer).contains(&"0000001.age.new".into())).await;

    let mut newer = Source::welcome(&zone, &credentials).await;
    let (same, durable) = newer.offer(1, THREE).await;
    assert_eq!((same, durable.len()), (transfer.clone(), 1));
    assert_eq!(zone.files(&transfer), ["0000000.age", "chunks.index"]);
    assert_eq!(older.refused_and_closed().await, Code::TakenOver);
    let _ = half.write_all(&chunks[1][1_000_000..]).await;
    for index in [1, 2] {
        newer.send_chunk(&transfer, index, &chunks[index as usize]).await;
    }
    newer.wait_durable(&[1, 2]).await;
    newer.seal(&transfer, b"manifest").await;
    assert!(matches!(newer.reply().await.0, Reply::Sealed { .. }));
    assert!(zone.decrypt(&zone.sealed(&transfer).join(chunk_file(1))) == chunks[1]);
}

#[tokio::test]
async fn the_same_connection_may_offer_again_and_then_another() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, SMALL as u64).await;
    source.send_chunk(&transfer, 0, &chunk(1, 0, SMALL)).await;
    source.wait_durable(&[0]).await;
    assert_eq!(source.offer(1, SMALL as u64).await.1.len(), 1);
    let (other, _) = source.offer(2, SMALL as u64).await;
    assert_ne!(other, transfer);
    source.seal(&transfer, b"manifest").await;
    assert_eq!(source.refused().await, Code::UnknownTransfer);
    assert_eq!(source.offer(1, SMALL as u64).await.0, transfer);
    source.seal(&transfer, b"manifest").await;
    assert!(matches!(source.reply().await.0, Reply::Sealed { .. }));
}

#[tokio::test]
async fn control_hears_how_far_a_transfer_is() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, THREE).await;
    for (index, bytes) in (0..).zip(chunks()) {
        source.send_chunk(&transfer, index, &bytes).await;
    }
    source.wait_durable(&[0, 1, 2]).await;
    eventually("three chunks are reported", async || zone.control.progress().contains(&(transfer.clone(), 3))).await;
    assert!(zone.control.progress().len() <= 4, "once a second at most");
}

#[tokio::test]
async fn two_connections_of_a_source_send_two_transfers_at_once() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    let send = async |seed: u8| {
        let mut source = Source::welcome(&zone, &credentials).await;
        let (transfer, _) = source.offer(seed, CHUNK_BYTES as u64 * 6).await;
        for index in 0..6 {
            source.send_chunk(&transfer, index, &chunk(seed, index, CHUNK_BYTES as usize)).await;
        }
        source.wait_durable(&[0, 1, 2, 3, 4, 5]).await;
        source.seal(&transfer, b"manifest").await;
        assert!(matches!(source.reply().await.0, Reply::Sealed { .. }));
        transfer
    };
    let (first, second) = tokio::join!(send(1), send(2));
    for (transfer, seed) in [(first, 1), (second, 2)] {
        for index in 0..6 {
            let stored = zone.decrypt(&zone.sealed(&transfer).join(chunk_file(index)));
            assert!(stored == chunk(seed, index, CHUNK_BYTES as usize), "chunk {index} of {seed}");
        }
    }
}

#[tokio::test]
async fn while_a_transfer_is_sealed_nobody_opens_it_also_when_the_sealing_connection_is_lost() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    let mut source = Source::welcome(&zone, &credentials).await;
    let (transfer, _) = source.offer(1, SMALL as u64).await;
    source.send_chunk(&transfer, 0, &chunk(1, 0, SMALL)).await;
    source.wait_durable(&[0]).await;
    zone.control.hold_seals(true);
    source.seal(&transfer, b"manifest").await;
    eventually("control is asked", async || zone.control.sealing() == 1).await;
    drop(source);
    let mut again = Source::welcome(&zone, &credentials).await;
    let (offer, plan) = Source::offer_of(1, SMALL as u64);
    for _ in 0..2 {
        again.ask(&offer, &[]).await;
        again.ask(&Request::Part, &plan).await;
        assert_eq!(again.refused().await, Code::Busy);
    }
    zone.control.hold_seals(false);
    eventually("sealed", async || zone.sealed(&transfer).exists()).await;
    again.ask(&offer, &[]).await;
    again.ask(&Request::Part, &plan).await;
    let (Reply::Accepted { state, .. }, _) = again.reply().await else { panic!("not accepted") };
    assert_eq!(state.as_str(), "received");
}
