//! The main path: hello, offer, chunks, seal, and what can be asked afterwards.

use crate::control::RECEIPT;
use crate::source::{Source, chunk};
use crate::zone::TestZone;
use sluse_host::layout::{CHUNK_INDEX, MANIFEST, chunk_file};
use sluse_protocol::chunk_index::ChunkIndex;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{Reply, Request};

#[tokio::test]
async fn what_was_sent_lies_encrypted_in_the_quarantine_and_is_receipted() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let bytes = u64::from(CHUNK_BYTES) * 2 + 10_000;
    let (transfer, durable) = source.offer(1, bytes).await;
    assert!(durable.is_empty());

    let chunks = [chunk(1, 0, CHUNK_BYTES as usize), chunk(1, 1, CHUNK_BYTES as usize), chunk(1, 2, 10_000)];
    for index in [2, 0, 1] {
        source.send_chunk(&transfer, index, &chunks[index as usize]).await;
    }
    source.wait_durable(&[0, 1, 2]).await;
    let manifest = vec![b'm'; 5000];
    source.seal(&transfer, &manifest).await;
    let (sealed, receipt) = source.reply().await;
    assert_eq!((sealed, &receipt[..]), (Reply::Sealed { signature: "a signature".into() }, RECEIPT));

    let folder = zone.sealed(&transfer);
    for (index, bytes) in (0..).zip(&chunks) {
        assert!(zone.decrypt(&folder.join(chunk_file(index))) == *bytes, "chunk {index}");
    }
    assert_eq!(zone.decrypt(&folder.join(MANIFEST)), manifest);
    assert_eq!(zone.control.manifest(&transfer), manifest);
    let index = std::fs::read(folder.join(CHUNK_INDEX)).unwrap();
    let (index, good) = ChunkIndex::read(3, &index);
    assert_eq!((index.is_complete(), good), (true, 132));
    for number in 0..3 {
        let stored = std::fs::metadata(folder.join(chunk_file(number))).unwrap().len();
        assert_eq!(index.stored(number).map(u64::from), Some(stored));
    }
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["0000000.age", "0000001.age", "0000002.age", CHUNK_INDEX, MANIFEST]);

    let status = Request::Status { transfer: transfer.clone(), unless: None, wait_seconds: 0 };
    source.ask(&status, &[]).await;
    let (Reply::Status(status), _) = source.reply().await else { panic!("no status") };
    assert_eq!((status.state, status.totals.bytes), (State::Received, bytes));
    source.ask(&Request::Receipt { transfer: transfer.clone(), kind: ReceiptKind::Received }, &[]).await;
    assert_eq!(source.reply().await, (Reply::Receipt { signature: "a signature".into() }, RECEIPT.to_vec()));
    source.ask(&Request::List { limit: 10 }, &[]).await;
    let (Reply::Transfers { transfers }, _) = source.reply().await else { panic!("no list") };
    assert_eq!(transfers.len(), 1);
}

#[tokio::test]
async fn packets_grow_to_what_the_path_carries() {
    let zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, u64::from(CHUNK_BYTES) * 8).await;
    // Each side probes while it has something to say; loopback carries more than either tries.
    for index in 0..8 {
        source.send_chunk(&transfer, index, &chunk(1, index, CHUNK_BYTES as usize)).await;
    }
    source.wait_durable(&[0, 1, 2, 3, 4, 5, 6, 7]).await;
    let found = source.connection.stats().path.current_mtu;
    assert!(found > 6000, "packets of {found} bytes on loopback");
}
