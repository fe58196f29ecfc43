//! Which updates are admitted, and what the log says of them.

use crate::control::testing::*;
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::update::{Kind, Step, Update};

fn take(bench: &Bench, step: Step) -> Option<Code> {
    match bench.operate(OperatorRequest::Update { step }) {
        OperatorReply::Done => None,
        OperatorReply::Refused(refusal) => Some(refusal.code),
        other => panic!("{other:?}"),
    }
}

fn admit(bench: &Bench, kind: Kind, number: u64, bundle: &[u8]) -> Option<Code> {
    let key = identity_key().public().to_openssh();
    take(bench, Step::Admit { kind, number, bundle: Sha256::of(bundle), key })
}

fn newest(bench: &Bench) -> Vec<Update> {
    match bench.operate(OperatorRequest::Updates) {
        OperatorReply::Updates { updates } => updates,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kinds_number_never_goes_back_and_the_log_says_who_tried() {
    let bench = Bench::new();
    assert_eq!(admit(&bench, Kind::Yara, 7, b"seven"), None);
    assert_eq!(newest(&bench)[0].applied, None);
    assert_eq!(take(&bench, Step::Applied { kind: Kind::Yara, bundle: Sha256::of(b"seven") }), None);
    let before = newest(&bench);
    assert_eq!(admit(&bench, Kind::Yara, 6, b"six"), Some(Code::UpdateOlder));
    assert_eq!(admit(&bench, Kind::Yara, 7, b"another seven"), Some(Code::UpdateOlder));
    assert_eq!(newest(&bench), before);
    let refused: Vec<_> = bench.audit().into_iter().filter(|entry| entry.act == "update-refused").collect();
    let said: Vec<_> = refused.iter().map(|entry| (&entry.details["code"], &entry.details["number"])).collect();
    assert_eq!(said, [(&json!("update-older"), &json!(6)), (&json!("update-older"), &json!(7))]);
    // Other kinds have numbers of their own, and what was interrupted is put in place by doing it again.
    assert_eq!(admit(&bench, Kind::Signatures, 1, b"one"), None);
    assert_eq!(admit(&bench, Kind::Yara, 7, b"seven"), None);
    assert_eq!(admit(&bench, Kind::Yara, 8, b"eight"), None);
    let numbers: Vec<_> = newest(&bench).iter().map(|update| (update.kind, update.number)).collect();
    assert_eq!(numbers, [(Kind::Signatures, 1), (Kind::Yara, 8)]);
}

#[test]
fn only_what_was_admitted_last_is_in_place() {
    let bench = Bench::new();
    let applied = |bundle: &[u8]| take(&bench, Step::Applied { kind: Kind::Clamd, bundle: Sha256::of(bundle) });
    assert_eq!(applied(b"one"), Some(Code::WrongState));
    admit(&bench, Kind::Clamd, 1, b"one");
    admit(&bench, Kind::Clamd, 2, b"two");
    assert_eq!((applied(b"one"), applied(b"two")), (Some(Code::WrongState), None));
    assert!(newest(&bench)[0].applied.is_some());
}
