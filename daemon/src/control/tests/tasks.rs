//! What the other roles are given to do, and when.

use crate::control::testing::*;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::roles::{
    DeliverOutcome, DeliverReply, DeliverRequest, FaultCause, InspectOutcome, InspectReply, InspectRequest, QuickTask,
};
use sluse_protocol::transfer::State;

#[test]
fn identities_are_made_when_few_are_left_and_before_anything_else() {
    let bench = Bench::new();
    for key in 0..8 {
        bench.received(&Dataset { key, ..Dataset::default() });
    }
    // 32 of 40 are left.
    assert!(matches!(bench.next_task(), InspectReply::Inspect { .. }));
    bench.accepted(&Dataset { key: 20, ..Dataset::default() });
    assert_eq!(bench.next_task(), InspectReply::Mint { count: 17 });
    assert!(matches!(bench.next_task(), InspectReply::Inspect { .. }), "minting is in work");
}

#[test]
fn small_transfers_are_inspected_before_large_ones_unless_those_wait_for_an_hour() {
    let bench = Bench::new();
    let large = Dataset { key: 1, files: vec![("a.bin", 900_000_000)], ..Dataset::default() };
    let large = bench.received(&large);
    let small = bench.received(&Dataset { key: 2, ..Dataset::default() });
    let next = |bench: &Bench| match bench.next_task() {
        InspectReply::Inspect { transfer, .. } => transfer,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&bench), small);
    bench.wait(3601);
    let late = bench.received(&Dataset { key: 3, ..Dataset::default() });
    assert_eq!([next(&bench), next(&bench)], [large, late]);
}

#[test]
fn a_source_with_many_transfers_waiting_does_not_keep_another_ones_waiting() {
    let bench = Bench::new();
    bench.enrol("edc");
    bench.agree(&agreement("edc").replacen("from = \"lab\"", "from = \"edc\"", 1));
    let received = |dataset: &Dataset| {
        bench.wait(1);
        bench.received(dataset)
    };
    let many: Vec<_> = (1..=5).map(|key| received(&Dataset { key, ..Dataset::default() })).collect();
    let tick = Dataset { source: "edc", agreement: "edc", files: vec![("a.csv", 3_000_000)], ..Dataset::default() };
    let tick = received(&tick);
    // Those that wait long come before the source's own only.
    bench.wait(3601);
    let next = || match bench.next_task() {
        InspectReply::Inspect { transfer, .. } => transfer,
        other => panic!("{other:?}"),
    };
    assert_eq!([next(), next(), next()], [many[0].clone(), tick, many[1].clone()]);
}

#[test]
fn a_transfer_that_was_in_work_when_inspect_died_is_inspected_by_the_next() {
    let bench = Bench::new();
    let transfer = bench.inspecting(&Dataset::default());
    let bench = bench.restart();
    assert_eq!(bench.state(&transfer), State::Inspecting);
    assert!(matches!(bench.next_task(), InspectReply::Inspect { transfer: next, .. } if next == transfer));
}

#[test]
fn our_own_fault_changes_no_state_and_is_tried_again_later() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    let outcome = InspectOutcome::Fault { reason: "out of memory".into() };
    bench.inspect(InspectRequest::Inspected { transfer: transfer.clone(), outcome }, &[]);
    assert_eq!(bench.state(&transfer), State::Inspecting);
    let sluse_protocol::operator::OperatorReply::Health(health) = bench.operate(OperatorRequest::Health) else {
        panic!()
    };
    assert!(health.problems.iter().any(|problem| problem.code == "retrying"), "{health:?}");
    bench.wait(5);
    assert!(matches!(bench.next_task(), InspectReply::Inspect { .. }));
    bench.inspected(&dataset, &transfer, &[]);
    bench.wrap(&transfer);
    let (_, _) = bench.deliver(DeliverRequest::Next);
    let outcome = DeliverOutcome::Fault { reason: "the room is full".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    assert_eq!(bench.state(&transfer), State::Delivering);
    bench.wait(5);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
    assert!(matches!(bench.visible(&transfer).0, DeliverReply::Receipt { .. }));
}

#[test]
fn a_task_that_was_not_done_is_in_health_with_its_reason_and_is_handed_out_again() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    let problem = |bench: &Bench| {
        let OperatorReply::Health(health) = bench.operate(OperatorRequest::Health) else { panic!() };
        let told = |code: &str| ["retrying", "bad-grant"].contains(&code);
        health.problems.into_iter().find(|problem| told(&problem.code)).map(|problem| (problem.code, problem.message))
    };
    let not_done = |cause, reason: &str| {
        let task = QuickTask::Wrap { transfer: transfer.clone() };
        assert_eq!(
            bench.inspect(InspectRequest::NotDone { task, cause, reason: reason.into() }, &[]),
            InspectReply::Done
        );
    };
    not_done(FaultCause::BadGrant, "nobody asked");
    assert_eq!(problem(&bench), None, "what it was not given cannot fail");
    assert!(matches!(bench.next_task(), InspectReply::Wrap { .. }));
    not_done(FaultCause::Retrying, "the disk is full");
    let (code, message) = problem(&bench).unwrap();
    assert!(code == "retrying" && message.contains("the disk is full"), "{code}: {message}");
    bench.wait(5);
    assert!(matches!(bench.next_task(), InspectReply::Wrap { .. }), "handed out again");
    not_done(FaultCause::BadGrant, "the grant's signature: wrong");
    assert_eq!(problem(&bench).unwrap().0, "bad-grant");
    bench.wait(10);
    bench.wrap(&transfer);
    assert_eq!(problem(&bench), None);
    let (_, _) = bench.deliver(DeliverRequest::Next);
    let outcome = DeliverOutcome::BadGrant { reason: "the grant's signature: wrong".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    assert_eq!(problem(&bench).unwrap().0, "bad-grant");
    assert_eq!(bench.state(&transfer), State::Delivering, "our own fault changes no state");
}

#[test]
fn what_an_agreement_no_longer_allows_is_held_before_it_is_wrapped_and_before_it_is_delivered() {
    let bench = Bench::new();
    let ends = "valid_to = \"2027-02-01T00:00:00Z\"";
    bench.agree(&agreement("short").replacen("valid_to = \"2099-01-01T00:00:00Z\"", ends, 1));
    let dataset = |key| Dataset { key, agreement: "short", ..Dataset::default() };
    let wrapped = bench.released(&dataset(1));
    bench.wrap(&wrapped);
    let unwrapped = bench.released(&dataset(2));
    bench.wait(60 * DAY);
    let task = std::thread::scope(|scope| {
        let task = scope.spawn(|| bench.next_task());
        let delivery = scope.spawn(|| bench.deliver(DeliverRequest::Next));
        while [&wrapped, &unwrapped].iter().any(|transfer| bench.state(transfer) != State::Held) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Both polls end with the connections.
        for link in [bench.inspect, bench.deliver] {
            bench.control.work.close(link, bench.control.store.now());
        }
        bench.control.store.wake.bump();
        assert_eq!(delivery.join().unwrap().0, DeliverReply::Idle);
        task.join().unwrap()
    });
    assert_eq!(task, InspectReply::Idle);
}

#[test]
fn an_ended_agreement_holds_what_was_released_at_once() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    bench.wrap(&transfer);
    bench.operate(OperatorRequest::AgreementEnd { id: "lab".parse().unwrap(), reason: "withdrawn".into() });
    assert_eq!(bench.state(&transfer), State::Held);
    let reason = bench.show(&transfer).info.status.reason.unwrap();
    assert!(reason.message.contains("was ended"), "{reason:?}");
}

#[test]
fn an_identity_wrapped_to_a_key_that_deliver_no_longer_has_is_wrapped_again() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    bench.wrap(&transfer);
    std::fs::write(bench.layout().deliver_recipient(), recipient(998)).unwrap();
    let bench = bench.restart();
    bench.wrap(&transfer);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
}

#[test]
fn deliver_must_have_the_key_that_identities_are_wrapped_to() {
    let bench = Bench::new();
    let reply = |number| bench.deliver(DeliverRequest::Recipient { recipient: recipient(number) }).0;
    assert_eq!(reply(999), DeliverReply::Done);
    assert!(matches!(reply(1), DeliverReply::Refused(_)));
}

#[test]
fn a_delivery_told_twice_is_one_with_one_receipt() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    let first = bench.visible(&transfer);
    assert_eq!(bench.visible(&transfer), first);
    assert_eq!(bench.acts().iter().filter(|act| *act == "transfer-delivered").count(), 1);
    let bench = bench.restart();
    assert_eq!(bench.visible(&transfer), first);
}
