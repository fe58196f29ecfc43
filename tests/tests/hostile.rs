//! A source that breaks the rules gets a refusal with a code, and harms nobody else.

use sluse_protocol::digest::ChunkDigest;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{ChunkHeader, Reply, Request};
use sluse_tests::data;
use sluse_tests::raw::Raw;
use sluse_tests::source::Source;
use sluse_tests::zone::Zone;
use std::fs;

/// Runs `attack` against a zone; afterwards another source's transfer must go through, all roles must still be those that
/// were there before, and the log must be whole.
fn attack(attack: impl AsyncFnOnce(&Zone, &Source)) {
    let zone = Zone::start();
    let (attacker, honest) = (zone.source("attacker"), zone.source("honest"));
    let roles = ["control", "inspect", "deliver", "receive"];
    let before = roles.map(|role| zone.process(role));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(attack(&zone, &attacker));
    let file = zone.folder.path().join("honest.csv");
    fs::write(&file, data::csv(1, 5000)).unwrap();
    honest.deliver(&file, "honest");
    assert_eq!(roles.map(|role| zone.process(role)), before, "no role died\n{}", zone.log());
    zone.operate(&["audit", "verify"]).expect(0);
    assert!(!zone.log().contains("panicked"), "{}", zone.log());
}

fn plan(entries: &str, totals: Totals) -> Vec<u8> {
    let totals = serde_json::to_string(&totals).unwrap();
    format!("{{\"sluse\":\"plan/1\",\"totals\":{totals}}}\n{entries}").into_bytes()
}

const ONE: Totals = Totals { files: 1, folders: 0, bytes: 10 };

/// Offers one file of ten bytes; the transfer.
async fn ten_bytes(raw: &mut Raw) -> TransferId {
    let plan = plan("{\"path\":\"a\",\"size\":10,\"mtime\":0}\n", ONE);
    match raw.offer("attacker", 1, ONE, &plan).await {
        Some(Reply::Accepted { transfer, .. }) => {
            // The (empty) list of durable chunks ends with an empty part.
            assert!(matches!(raw.reply().await, Some((Reply::Part, body)) if body.is_empty()));
            transfer
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_oversized_frames_and_unknown_messages_end_the_connection_with_a_code() {
    attack(async |zone, source| {
        for bytes in [&[0xff; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 2, 0, 0, 0, 0, b'{', b'}']] {
            let mut raw = Raw::connect(zone.address, source).await;
            raw.bytes(bytes).await;
            assert_eq!(raw.refusal().await, Code::ProtocolViolation.as_str());
        }
        let mut raw = Raw::greet(zone.address, source).await;
        raw.bytes(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await;
        assert_eq!(raw.refusal().await, Code::ProtocolViolation.as_str());
    });
}

#[test]
fn a_version_that_nobody_speaks_is_refused_as_such() {
    attack(async |zone, source| {
        let mut raw = Raw::connect(zone.address, source).await;
        let hello = Request::Hello { versions: vec![999], agent: "raw".into(), clock: Timestamp::from_unix(0) };
        raw.ask(&hello, b"").await;
        assert_eq!(raw.refusal().await, Code::ProtocolVersion.as_str());
    });
}

#[test]
fn a_source_whose_clock_is_far_off_is_served_and_named() {
    attack(async |zone, source| {
        let mut raw = Raw::connect(zone.address, source).await;
        raw.ask(&Request::Hello { versions: vec![1], agent: "raw".into(), clock: Timestamp::from_unix(0) }, b"").await;
        assert!(matches!(raw.reply().await, Some((Reply::Welcome { .. }, _))));
        zone.eventually("it is named", || zone.log().contains("clocks are apart").then_some(()));
    });
}

#[test]
fn plans_with_forbidden_paths_and_false_sums_are_refused() {
    attack(async |zone, source| {
        let cases = [
            ("{\"path\":\"../a\",\"size\":10,\"mtime\":0}\n", Code::ForbiddenPath),
            ("{\"path\":\"/etc/passwd\",\"size\":10,\"mtime\":0}\n", Code::ForbiddenPath),
            ("{\"path\":\"a\\u0000b\",\"size\":10,\"mtime\":0}\n", Code::ForbiddenPath),
            ("{\"path\":\"a\\u001bb\",\"size\":10,\"mtime\":0}\n", Code::ForbiddenPath),
            ("{\"path\":\"a\",\"size\":11,\"mtime\":0}\n", Code::TooLarge),
            ("{\"path\":\"a\",\"size\":9,\"mtime\":0}\n", Code::BadDocument),
            ("{\"path\":\"a\",\"size\":10,\"mtime\":0}\n{\"path\":\"a\",\"mtime\":0}\n", Code::BadDocument),
            ("not json\n", Code::BadDocument),
        ];
        for (key, (entries, code)) in (10..).zip(cases) {
            let mut raw = Raw::greet(zone.address, source).await;
            match raw.offer("attacker", key, ONE, &plan(entries, ONE)).await {
                Some(Reply::Refused(refusal)) => assert_eq!(refusal.code, code, "{entries}"),
                other => panic!("{entries}: {other:?}"),
            }
        }
    });
}

#[test]
fn ten_million_entries_are_refused_before_any_is_read() {
    attack(async |zone, source| {
        let mut raw = Raw::greet(zone.address, source).await;
        let totals = Totals { files: 10_000_000, folders: 0, bytes: 10 };
        raw.ask(
            &Request::Offer {
                agreement: "attacker".parse().unwrap(),
                dataset: "raw".parse().unwrap(),
                key: sluse_protocol::digest::Sha256([9; 32]),
                totals,
                plan_bytes: 400_000_000,
                plan_sha256: sluse_protocol::digest::Sha256([0; 32]),
                delta: None,
            },
            b"",
        )
        .await;
        assert_eq!(raw.refusal().await, Code::TooManyFiles.as_str());
    });
}

#[test]
fn chunks_that_lie_about_number_length_digest_or_transfer_are_refused() {
    attack(async |zone, source| {
        let good = |transfer: &TransferId| ChunkHeader {
            transfer: transfer.clone(),
            index: 0,
            length: 10,
            digest: ChunkDigest::of(b"0123456789"),
        };
        type Change = fn(&mut ChunkHeader);
        let changes: [(Change, &[u8]); 6] = [
            (|header| header.index = 1, b"0123456789"),
            (|header| header.length = 11, b"01234567890"),
            (|header| header.digest = ChunkDigest::of(b"other"), b"0123456789"),
            (|header| header.transfer = TransferId::new(Timestamp::from_unix(0), [7; 5]), b"0123456789"),
            (|_| {}, b"0123456789 and more than announced"),
            (|_| {}, b"012"),
        ];
        for (change, bytes) in changes {
            let mut raw = Raw::greet(zone.address, source).await;
            let transfer = ten_bytes(&mut raw).await;
            let mut header = good(&transfer);
            change(&mut header);
            let mut stream = raw.connection.open_uni().await.unwrap();
            stream.write_all(&header.encode()).await.unwrap();
            let _ = stream.write_all(bytes).await;
            let _ = stream.finish();
            assert_eq!(raw.refusal().await, Code::BadChunk.as_str(), "{header:?}");
        }
    });
}

#[test]
fn a_seal_without_its_chunks_or_of_another_transfer_is_refused() {
    attack(async |zone, source| {
        let seal = |transfer: &TransferId| Request::Seal {
            transfer: transfer.clone(),
            manifest_bytes: 3,
            manifest_sha256: sluse_protocol::digest::Sha256::of(b"abc"),
            signature: "none".into(),
        };
        let mut raw = Raw::greet(zone.address, source).await;
        let transfer = ten_bytes(&mut raw).await;
        raw.ask(&seal(&transfer), b"").await;
        raw.ask(&Request::Part, b"abc").await;
        assert_eq!(raw.refusal().await, Code::MissingChunks.as_str());
        let mut raw = Raw::greet(zone.address, source).await;
        raw.ask(&seal(&TransferId::new(Timestamp::from_unix(0), [7; 5])), b"").await;
        raw.ask(&Request::Part, b"abc").await;
        assert_eq!(raw.refusal().await, Code::UnknownTransfer.as_str());
    });
}

#[test]
fn a_manifest_that_does_not_agree_with_chunks_or_signature_is_refused() {
    attack(async |zone, source| {
        let mut raw = Raw::greet(zone.address, source).await;
        let transfer = ten_bytes(&mut raw).await;
        let mut stream = raw.connection.open_uni().await.unwrap();
        let header =
            ChunkHeader { transfer: transfer.clone(), index: 0, length: 10, digest: ChunkDigest::of(b"0123456789") };
        stream.write_all(&header.encode()).await.unwrap();
        stream.write_all(b"0123456789").await.unwrap();
        stream.finish().unwrap();
        stream.stopped().await.unwrap();
        let mut code = String::new();
        for _ in 0..200 {
            raw.ask(
                &Request::Seal {
                    transfer: transfer.clone(),
                    manifest_bytes: 3,
                    manifest_sha256: sluse_protocol::digest::Sha256::of(b"abc"),
                    signature: "none".into(),
                },
                b"",
            )
            .await;
            raw.ask(&Request::Part, b"abc").await;
            code = raw.refusal().await;
            // Until the chunk is durable the answer is missing-chunks.
            if code != Code::MissingChunks.as_str() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!([Code::BadDocument.as_str(), Code::BadProof.as_str()].contains(&code.as_str()), "{code}");
        let shown = zone.show(transfer.as_str());
        assert_eq!(shown["info"]["status"]["state"], "receiving", "a bad seal advances nothing");
    });
}

#[test]
fn an_offer_replayed_is_the_same_transfer_and_with_another_plan_is_refused() {
    attack(async |zone, source| {
        let mut raw = Raw::greet(zone.address, source).await;
        let first = ten_bytes(&mut raw).await;
        let mut raw = Raw::greet(zone.address, source).await;
        assert_eq!(ten_bytes(&mut raw).await, first);
        let mut raw = Raw::greet(zone.address, source).await;
        let other = plan("{\"path\":\"b\",\"size\":10,\"mtime\":0}\n", ONE);
        match raw.offer("attacker", 1, ONE, &other).await {
            Some(Reply::Refused(refusal)) => assert_eq!(refusal.code, Code::KeyReused),
            other => panic!("{other:?}"),
        }
    });
}
