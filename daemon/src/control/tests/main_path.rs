//! From the offer to the delivered receipt, and its proofs.

use crate::control::testing::*;
use sluse_protocol::audit::{Position, Verifier};
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::ReleaseGrant;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::roles::{DeliverReply, DeliverRequest, InspectReply, ReceiveReply, ReceiveRequest};
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT};
use sluse_protocol::transfer::State;

#[test]
fn an_offer_becomes_a_delivered_dataset_with_a_chain_of_receipts() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.delivered(&dataset);
    let details = bench.show(&transfer);
    assert_eq!(details.info.status.state, State::Delivered);
    assert_eq!(
        details.history.iter().map(|(state, _)| *state).collect::<Vec<_>>(),
        [
            State::Offered,
            State::Receiving,
            State::Received,
            State::Inspecting,
            State::Released,
            State::Delivering,
            State::Delivered
        ]
    );
    let kinds = [ReceiptKind::Received, ReceiptKind::Released, ReceiptKind::Delivered];
    assert_eq!(details.info.status.receipts, kinds);
    let signer = bench.control.store.signer.key.public();
    let mut previous = None;
    let mut witnesses = Vec::new();
    for kind in kinds {
        let ask = ReceiveRequest::Receipt { source: lab(), transfer: transfer.clone(), kind };
        let (ReceiveReply::Receipt { signature }, statement) = bench.ask(ask) else { panic!() };
        sshsig::verify(&signer, NAMESPACE_RECEIPT, &statement, &signature).unwrap();
        let receipt: Receipt = serde_json::from_slice(&statement).unwrap();
        assert_eq!((receipt.kind, receipt.previous), (kind, previous));
        assert_eq!(receipt.engines.len(), if kind == ReceiptKind::Received { 0 } else { 2 });
        previous = Some(Sha256::of(&statement));
        witnesses.push((kind.to_string(), receipt.audit));
    }
    assert_eq!(verify_audit(&bench, witnesses).size, bench.control.store.audit_position().size);
}

fn verify_audit(bench: &Bench, witnesses: Vec<(String, Position)>) -> Position {
    let mut verifier = Verifier::new(witnesses);
    let (_, lines) = bench.ask_operator(OperatorRequest::AuditLines { from: 0 }, &[]);
    for line in String::from_utf8(lines).unwrap().lines() {
        verifier.entry(line).unwrap();
    }
    verifier.finish().unwrap()
}

#[test]
fn grants_for_wrapping_and_delivering_are_controls_word_on_this_manifest() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.released(&dataset);
    let signer = bench.control.store.signer.key.public();
    let InspectReply::Wrap { grant, signature, .. } = bench.next_task() else { panic!() };
    let grant = ReleaseGrant::verify(&grant, &signature, &signer).unwrap();
    assert_eq!(grant.statement().transfer, transfer);
    assert_eq!(Some(grant.statement().manifest_sha256), bench.show(&transfer).manifest_sha256);
    assert_eq!(grant.statement().deliver, recipient(999));
}

#[test]
fn what_goes_into_the_bag_can_be_fetched_in_steps_while_delivering() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.delivering(&dataset);
    let fetch = |name: &str, offset| {
        let (reply, bytes) =
            bench.deliver(DeliverRequest::Document { transfer: transfer.clone(), name: name.into(), offset });
        assert_eq!(reply, DeliverReply::Document, "{name}");
        bytes
    };
    for name in crate::control::tasks::BAG_DOCUMENTS {
        let whole = fetch(name, 0);
        assert!(!whole.is_empty(), "{name}");
        assert_eq!(fetch(name, whole.len() as u64), b"", "{name}");
        assert_eq!(fetch(name, 1), whole[1..], "{name}");
    }
    let manifest = fetch("source-manifest.jsonl", 0);
    let signature = String::from_utf8(fetch("source-manifest.jsonl.sig", 0)).unwrap();
    let key = identity_key().public();
    sshsig::verify(&key, sshsig::NAMESPACE_MANIFEST, &manifest, &signature).unwrap();
}
