//! What must agree before a receipt is signed.

use crate::control::testing::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Header;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{InspectReply, InspectRequest, ReceiveReply, ReceiveRequest};
use sluse_protocol::sshsig::{NAMESPACE_MANIFEST, NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::transfer::State;

#[test]
fn a_seal_told_again_gives_the_same_receipt() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let first = bench.seal(&dataset, &transfer);
    assert!(matches!(first.0, ReceiveReply::Sealed { .. }));
    assert_eq!(bench.ask(bench.sealing(&dataset, &transfer)), first);
    let transfer = bench.show(&transfer).info.status;
    assert_eq!(transfer.state, State::Received);
}

#[test]
fn every_disagreement_is_refused_and_the_transfer_goes_on_receiving() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let refused = |request: ReceiveRequest, code| {
        assert_refused(&bench.ask(request).0, code);
        assert_eq!(bench.state(&transfer), State::Receiving);
    };
    let good = || bench.sealing(&dataset, &transfer);
    let changed = |change: &dyn Fn(&mut ReceiveRequest)| {
        let mut request = good();
        change(&mut request);
        request
    };
    type Field = ReceiveRequest;
    refused(
        changed(&|request| {
            if let Field::Seal { chunks, .. } = request {
                *chunks = 0
            }
        }),
        Code::MissingChunks,
    );
    refused(
        changed(&|r| {
            if let Field::Seal { chunk_list, .. } = r {
                *chunk_list = Sha256::of(b"x")
            }
        }),
        Code::DigestMismatch,
    );
    refused(
        changed(&|r| {
            if let Field::Seal { manifest_sha256, .. } = r {
                *manifest_sha256 = Sha256::of(b"x")
            }
        }),
        Code::DigestMismatch,
    );
    let stranger = SigningKey::from_seed(&[9; 32]).unwrap();
    let text = dataset.manifest(&dataset.manifest_header(&transfer));
    let signed = |key: &SigningKey, namespace| key.sign(namespace, text.as_bytes());
    for forged in [
        signed(&stranger, NAMESPACE_MANIFEST),
        signed(&identity_key(), NAMESPACE_RECEIPT),
        identity_key().sign(NAMESPACE_MANIFEST, b"other"),
        String::new(),
    ] {
        refused(
            changed(&|r| {
                if let Field::Seal { signature, .. } = r {
                    signature.clone_from(&forged)
                }
            }),
            Code::BadProof,
        );
    }
    assert!(matches!(bench.seal(&dataset, &transfer).0, ReceiveReply::Sealed { .. }));
}

#[test]
fn a_manifest_that_is_not_the_plans_is_refused() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let refused = |manifest: &str| {
        let request = bench.sealing_manifest(&dataset, &transfer, manifest);
        assert_refused(&bench.ask(request).0, Code::BadDocument);
    };
    let header = dataset.manifest_header(&transfer);
    let good = dataset.manifest(&header);
    refused(&good.replace("\"mtime\":1", "\"mtime\":2"));
    refused(&good.replace("a.csv", "A.csv"));
    refused(good.strip_suffix(good.lines().last().map(|line| format!("{line}\n")).unwrap().as_str()).unwrap());
    refused(&(good.clone() + "{\"path\":\"z\",\"mtime\":1}\n"));
    refused(&dataset.plan());
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        dataset.manifest(&header)
    };
    refused(&with(&|h| {
        if let Header::Manifest { transfer, .. } = h {
            *transfer = "20270115-080000-00000000".parse().unwrap();
        }
    }));
    refused(&with(&|h| {
        if let Header::Manifest { source, .. } = h {
            *source = "other".parse().unwrap()
        }
    }));
    refused(&with(&|h| {
        if let Header::Manifest { plan, .. } = h {
            *plan = Sha256::of(b"x")
        }
    }));
    refused(&with(&|h| {
        if let Header::Manifest { chunk_bytes, .. } = h {
            *chunk_bytes = 1
        }
    }));
    refused(&with(&|h| {
        if let Header::Manifest { chunks, .. } = h {
            *chunks = 2
        }
    }));
    assert_eq!(bench.state(&transfer), State::Receiving);
}

#[test]
fn what_inspect_cannot_take_over_is_refused_and_can_be_sealed_again() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let missing = Refusal::new(Code::MissingChunks, "one chunk is not there");
    let (reply, _) = bench.seal_with(&dataset, &transfer, Some(missing));
    assert_refused(&reply, Code::MissingChunks);
    assert_eq!(bench.show(&transfer).manifest_sha256, None);
    assert!(matches!(bench.seal(&dataset, &transfer).0, ReceiveReply::Sealed { .. }));
}

#[test]
fn a_seal_survives_the_death_of_control_and_is_finished_by_inspect() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let request = bench.sealing(&dataset, &transfer);
    std::thread::scope(|scope| {
        // `inspect` takes the task and dies with it; the seal waits on.
        let answer = scope.spawn(|| bench.ask(request));
        assert!(matches!(bench.next_task(), InspectReply::TakeOver { .. }));
        assert_refused(&bench.offer(&dataset), Code::Unavailable);
        bench.operate(sluse_protocol::operator::OperatorRequest::Health);
        let other = Dataset { key: 1, ..Dataset::default() };
        assert_ne!(bench.accepted(&other), transfer, "others go on");
        bench.control.work.close(bench.inspect, bench.control.store.now());
        bench.control.work.open(bench.inspect);
        let InspectReply::TakeOver { transfer: again, .. } = bench.next_task() else { panic!() };
        assert_eq!(again, transfer);
        // Its answer comes only after a fault that heals.
        let busy = Refusal::new(Code::Unavailable, "the disk is slow");
        bench.inspect(InspectRequest::Taken { transfer: transfer.clone(), refused: Some(busy) }, &[]);
        bench.wait(5);
        assert!(matches!(bench.next_task(), InspectReply::TakeOver { .. }));
        bench.inspect(InspectRequest::Taken { transfer: transfer.clone(), refused: None }, &[]);
        assert!(matches!(answer.join().unwrap().0, ReceiveReply::Sealed { .. }));
    });
}

#[test]
fn a_seal_that_was_noted_is_taken_over_after_a_restart() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    // Noted, and nobody waits any more.
    let seal = crate::control::store::transfers::Seal {
        manifest_sha256: Sha256::of(b"m"),
        signature: "s".into(),
        chunk_list: dataset.chunk_list(),
    };
    bench.control.store.write(|write| crate::control::store::transfers::set_seal(write, &transfer, &seal)).unwrap();
    let bench = bench.restart();
    let InspectReply::TakeOver { transfer: next, chunks, .. } = bench.next_task() else { panic!() };
    assert_eq!((&next, chunks), (&transfer, 1));
    bench.inspect(InspectRequest::Taken { transfer: next, refused: None }, &[]);
    assert_eq!(bench.state(&transfer), State::Received);
}

#[test]
fn a_source_can_do_nothing_with_anothers_transfer() {
    let bench = Bench::new();
    bench.enrol("pacs");
    let dataset = Dataset::default();
    let transfer = bench.received(&dataset);
    let pacs: sluse_protocol::ids::SourceName = "pacs".parse().unwrap();
    let kind = sluse_protocol::receipt::ReceiptKind::Received;
    let asked = [
        ReceiveRequest::Receipt { source: pacs.clone(), transfer: transfer.clone(), kind },
        ReceiveRequest::Status { source: pacs.clone(), transfer: transfer.clone(), unless: None, wait_seconds: 0 },
        match bench.sealing(&dataset, &transfer) {
            ReceiveRequest::Seal { transfer, upload, manifest_sha256, signature, chunks, chunk_list, .. } => {
                let source = pacs.clone();
                ReceiveRequest::Seal { source, transfer, upload, manifest_sha256, signature, chunks, chunk_list }
            }
            other => other,
        },
    ];
    for request in asked {
        assert_refused(&bench.ask(request).0, Code::UnknownTransfer);
    }
    let (listed, _) = bench.ask(ReceiveRequest::List { source: pacs, limit: 10 });
    assert_eq!(listed, ReceiveReply::Transfers { transfers: vec![] });
}
