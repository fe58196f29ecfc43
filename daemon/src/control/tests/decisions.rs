//! What the findings lead to, and what a person may decide.

use crate::control::testing::*;
use sluse_protocol::finding::Class;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::MAX_REASON_BYTES;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{DeliverOutcome, DeliverRequest, InspectOutcome, InspectReply, InspectRequest};
use sluse_protocol::transfer::State;

fn release(transfer: &TransferId) -> OperatorRequest {
    OperatorRequest::Release { transfer: transfer.clone(), reason: "seen and good".into() }
}

#[test]
fn malware_is_rejected_with_a_receipt_and_nobody_can_release_it() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    bench.inspected(&dataset, &transfer, &[Class::Malware]);
    let details = bench.show(&transfer);
    assert_eq!(details.info.status.state, State::Rejected);
    assert_eq!(details.info.status.receipts, [ReceiptKind::Received, ReceiptKind::Rejected]);
    assert_eq!(details.info.status.reason.unwrap().code, Code::Rejected);
    assert_eq!(details.decision.unwrap().rule, "automatic");
    assert_operator_refused(&bench.operate(release(&transfer)), Code::WrongState);
}

#[test]
fn a_held_transfer_is_released_by_a_person_who_stands_in_the_receipt() {
    let bench = Bench::new();
    let transfer = bench.held(&Dataset::default());
    assert_eq!(bench.operate(release(&transfer)), OperatorReply::Done);
    let details = bench.show(&transfer);
    assert_eq!(details.info.status.state, State::Released);
    let decision = details.decision.unwrap();
    assert_eq!((decision.rule.as_str(), decision.by.as_deref()), ("operator", Some("kari")));
    let entries = bench.audit();
    let stated = entries.iter().rfind(|entry| entry.act == "transfer-released").unwrap();
    assert_eq!(stated.actor, "operator kari");
    assert_operator_refused(&bench.operate(release(&transfer)), Code::WrongState);
    bench.wrap(&transfer);
    bench.deliver(DeliverRequest::Next);
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn a_held_transfer_can_be_rejected_or_inspected_again() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.held(&dataset);
    let again = OperatorRequest::InspectAgain { transfer: transfer.clone(), reason: "new signatures".into() };
    assert_eq!(bench.operate(again), OperatorReply::Done);
    assert!(matches!(bench.next_task(), InspectReply::Inspect { .. }));
    bench.inspected(&dataset, &transfer, &[Class::Encrypted]);
    assert_eq!(bench.state(&transfer), State::Held);
    let reject = OperatorRequest::Reject { transfer: transfer.clone(), reason: "no key came".into() };
    assert_eq!(bench.operate(reject), OperatorReply::Done);
    let details = bench.show(&transfer);
    assert_eq!(details.info.status.state, State::Rejected);
    assert_eq!(details.info.status.reason.unwrap().message, "no key came");
}

#[test]
fn a_transfer_held_after_its_release_can_be_released_again_and_its_receipts_stay_a_chain() {
    let bench = Bench::new();
    let transfer = bench.held(&Dataset::default());
    bench.operate(release(&transfer));
    bench.operate(OperatorRequest::SourceRevoke { name: lab(), reason: "lost laptop".into() });
    assert_eq!(bench.state(&transfer), State::Held);
    assert_eq!(bench.operate(release(&transfer)), OperatorReply::Done);
    bench.wrap(&transfer);
    bench.deliver(DeliverRequest::Next);
    bench.visible(&transfer);
    let read = |kind| {
        let ask = OperatorRequest::Receipt { transfer: transfer.clone(), kind };
        let (_, statement) = bench.ask_operator(ask, &[]);
        let receipt: sluse_protocol::receipt::Receipt = serde_json::from_slice(&statement).unwrap();
        (receipt, sluse_protocol::digest::Sha256::of(&statement))
    };
    let (released, digest) = read(ReceiptKind::Released);
    assert_eq!(read(ReceiptKind::Delivered).0.previous, Some(digest));
    assert_ne!(released.previous, Some(read(ReceiptKind::Received).1), "the first release lies in between");
}

#[test]
fn what_came_from_a_source_that_was_shut_out_waits_for_a_person() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    bench.operate(OperatorRequest::SourceRevoke { name: lab(), reason: "lost laptop".into() });
    bench.inspected(&dataset, &transfer, &[]);
    assert_eq!(bench.state(&transfer), State::Held);
}

#[test]
fn a_required_engine_that_was_not_there_holds_and_one_for_which_files_were_too_large_holds_too() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    for (key, cut) in [(1, 2), (2, 1)] {
        let dataset = Dataset { key, ..dataset.clone() };
        let transfer = bench.inspecting(&dataset);
        let mut report = bench.report(&dataset, &transfer);
        if cut == 2 {
            report.engines.pop();
        } else {
            report.engines[1].files -= 1;
        }
        let outcome = InspectOutcome::Report { report };
        bench.inspect(InspectRequest::Inspected { transfer: transfer.clone(), outcome }, b"[]");
        assert_eq!(bench.state(&transfer), State::Held);
    }
}

#[test]
fn digests_that_do_not_agree_fail_the_transfer_and_only_operators_see_the_file() {
    let bench = Bench::new();
    let transfer = bench.inspecting(&Dataset::default());
    let outcome = InspectOutcome::Integrity {
        reason: "a file's digest is not the declared one".into(),
        file: Some("b/c.csv".parse().unwrap()),
    };
    bench.inspect(InspectRequest::Inspected { transfer: transfer.clone(), outcome }, &[]);
    let (_, findings) = bench.ask_operator(OperatorRequest::Show { transfer: transfer.clone() }, &[]);
    assert!(String::from_utf8(findings).unwrap().contains("b/c.csv"));
    let status = bench.show(&transfer).info.status;
    assert_eq!(status.state, State::Failed);
    let reason = status.reason.unwrap();
    assert_eq!(reason.code, Code::DigestMismatch);
    assert!(!format!("{reason:?}").contains("b/c.csv"));
}

#[test]
fn digests_that_do_not_agree_at_delivery_fail_the_transfer() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    let outcome = DeliverOutcome::Integrity { reason: "read back other bytes".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    assert_eq!(bench.state(&transfer), State::Failed);
}

#[test]
fn a_report_about_another_transfer_or_with_unreadable_findings_decides_nothing() {
    let bench = Bench::new();
    let (one, two) = (Dataset { key: 1, ..Dataset::default() }, Dataset { key: 2, ..Dataset::default() });
    let first = bench.inspecting(&one);
    let second = bench.inspecting(&two);
    let outcome = InspectOutcome::Report { report: bench.report(&two, &second) };
    let wrong = bench.inspect(InspectRequest::Inspected { transfer: first.clone(), outcome }, b"[]");
    assert!(matches!(wrong, InspectReply::Refused(_)));
    let outcome = InspectOutcome::Report { report: bench.report(&two, &second) };
    let wrong = bench.inspect(InspectRequest::Inspected { transfer: second.clone(), outcome }, b"{}");
    assert!(matches!(wrong, InspectReply::Refused(_)));
    assert_eq!([bench.state(&first), bench.state(&second)], [State::Inspecting; 2]);
}

#[test]
fn a_report_that_comes_after_the_end_changes_nothing() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    bench.operate(OperatorRequest::Cancel { transfer: transfer.clone(), reason: "not meant".into() });
    assert_eq!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Done);
    assert_eq!(bench.state(&transfer), State::Cancelled);
    assert_eq!(bench.show(&transfer).report, None);
}

#[test]
fn a_reason_is_one_line_of_bounded_length() {
    let bench = Bench::new();
    let transfer = bench.held(&Dataset::default());
    for reason in ["", "  ", "two\nlines", &"x".repeat(MAX_REASON_BYTES + 1)] {
        let request = OperatorRequest::Release { transfer: transfer.clone(), reason: reason.into() };
        assert_operator_refused(&bench.operate(request), Code::Invalid);
    }
    assert_eq!(bench.state(&transfer), State::Held);
}
