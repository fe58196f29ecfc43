//! While an agreement is suspended nothing comes in or leaves under it, and what waited for it goes on when it is resumed.

use crate::control::testing::*;
use sluse_protocol::finding::Class;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{AgreementInfo, HealthProblem, OperatorReply, OperatorRequest};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{
    DeliverOutcome, DeliverReply, DeliverRequest, InspectReply, ReceiveReply, WithdrawOutcome,
};
use sluse_protocol::transfer::State;

fn id() -> sluse_protocol::ids::AgreementId {
    "lab".parse().unwrap()
}

fn suspending() -> OperatorRequest {
    OperatorRequest::AgreementSuspend { id: id(), reason: "REK asks".into() }
}

fn resuming() -> OperatorRequest {
    OperatorRequest::AgreementResume { id: id(), reason: "REK is content".into() }
}

fn ending() -> OperatorRequest {
    OperatorRequest::AgreementEnd { id: id(), reason: "over".into() }
}

fn releasing(transfer: &TransferId) -> OperatorRequest {
    OperatorRequest::Release { transfer: transfer.clone(), reason: "seen and good".into() }
}

#[track_caller]
fn done(bench: &Bench, request: OperatorRequest) {
    assert_eq!(bench.operate(request), OperatorReply::Done);
}

fn info(bench: &Bench) -> AgreementInfo {
    match bench.operate(OperatorRequest::AgreementShow { id: id(), version: None }) {
        OperatorReply::Agreement(info) => info,
        other => panic!("{other:?}"),
    }
}

fn reason(bench: &Bench, transfer: &TransferId) -> Refusal {
    bench.show(transfer).info.status.reason.unwrap()
}

#[track_caller]
fn assert_waits(bench: &Bench, transfer: &TransferId) {
    assert_eq!((bench.state(transfer), reason(bench, transfer).code), (State::Held, Code::AgreementSuspended));
}

/// Whether there is anything to do for the roles; asked without waiting for it.
fn idle(bench: &Bench) -> bool {
    std::thread::scope(|scope| {
        let asked = [scope.spawn(|| bench.next_task() == InspectReply::Idle), {
            scope.spawn(|| bench.deliver(DeliverRequest::Next).0 == DeliverReply::Idle)
        }];
        std::thread::sleep(std::time::Duration::from_millis(100));
        // A poll that found nothing waits; it ends with its connection.
        [bench.inspect, bench.deliver]
            .iter()
            .for_each(|link| bench.control.work.close(*link, bench.control.store.now()));
        bench.control.store.wake.bump();
        asked.into_iter().all(|asked| asked.join().unwrap())
    })
}

#[test]
fn who_suspends_and_who_resumes_stands_in_the_log_and_once_is_enough() {
    let bench = Bench::new();
    assert_operator_refused(&bench.operate(resuming()), Code::WrongState);
    done(&bench, suspending());
    done(&bench, OperatorRequest::AgreementSuspend { id: id(), reason: "another".into() });
    let suspended = info(&bench).suspended.unwrap();
    assert_eq!((suspended.by.as_str(), suspended.reason.as_str()), ("kari", "REK asks"));
    let bench = bench.restart();
    assert_eq!(info(&bench).status, "suspended");
    done(&bench, resuming());
    assert_eq!((info(&bench).status.as_str(), info(&bench).suspended), ("active", None));
    let log = bench.audit();
    let acts: Vec<_> = log.iter().filter(|entry| entry.act.starts_with("agreement-")).collect();
    let named: Vec<_> = acts.iter().map(|entry| (entry.act.as_str(), entry.actor.as_str())).collect();
    let by = "operator kari";
    assert_eq!(named, [("agreement-added", by), ("agreement-suspended", by), ("agreement-resumed", by)]);
    assert!(
        acts[1..].iter().all(|entry| entry.details["agreement"] == "lab" && entry.details["reason_sha256"].is_string())
    );
    let nobody = OperatorRequest::AgreementSuspend { id: "nothing".parse().unwrap(), reason: "x".into() };
    assert_operator_refused(&bench.operate(nobody), Code::UnknownName);
    assert_operator_refused(
        &bench.operate(OperatorRequest::AgreementSuspend { id: id(), reason: " ".into() }),
        Code::Invalid,
    );
}

#[test]
fn nothing_new_is_offered_and_what_is_receiving_can_be_sealed_only_after_it_is_resumed() {
    let bench = Bench::new();
    let (before, new) = (Dataset::default(), Dataset { key: 1, ..Dataset::default() });
    let transfer = bench.accepted(&before);
    done(&bench, suspending());
    let bench = bench.restart();
    assert_refused(&bench.offer(&new), Code::AgreementSuspended);
    assert_refused(&bench.offer(&before), Code::AgreementSuspended);
    assert_refused(&bench.ask(bench.sealing(&before, &transfer)).0, Code::AgreementSuspended);
    assert_eq!(bench.state(&transfer), State::Receiving);
    done(&bench, resuming());
    assert!(matches!(bench.offer(&before), ReceiveReply::Accepted { transfer: same, .. } if same == transfer));
    assert!(matches!(bench.seal(&before, &transfer).0, ReceiveReply::Sealed { .. }));
}

#[test]
fn a_seal_that_was_made_before_is_told_again_while_suspended() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let sealed = bench.seal(&dataset, &transfer);
    done(&bench, suspending());
    assert_eq!(bench.ask(bench.sealing(&dataset, &transfer)), sealed);
    assert!(matches!(bench.offer(&dataset), ReceiveReply::Accepted { state: State::Received, .. }));
}

#[test]
fn what_cannot_be_sealed_under_an_ended_or_expired_agreement_is_not_taken_over_either() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    done(&bench, ending());
    assert_refused(&bench.ask(bench.sealing(&dataset, &transfer)).0, Code::AgreementInactive);
    assert_eq!(bench.state(&transfer), State::Receiving);
}

#[test]
fn what_a_rule_would_release_is_held_and_released_by_that_rule_when_it_is_resumed() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    done(&bench, suspending());
    assert_eq!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Done);
    assert_waits(&bench, &transfer);
    let bench = bench.restart();
    assert!(idle(&bench));
    let bench = bench.restart();
    assert_operator_refused(&bench.operate(releasing(&transfer)), Code::AgreementSuspended);
    assert_waits(&bench, &transfer);
    done(&bench, resuming());
    let details = bench.show(&transfer);
    assert_eq!((details.info.status.state, details.info.status.reason), (State::Released, None));
    assert_eq!(details.decision.unwrap().rule, "automatic");
    bench.wrap(&transfer);
    bench.deliver(DeliverRequest::Next);
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn what_a_person_must_decide_waits_for_that_person_also_after_it_is_resumed() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    done(&bench, suspending());
    bench.inspected(&dataset, &transfer, &[Class::TypeUnknown]);
    assert_operator_refused(&bench.operate(releasing(&transfer)), Code::AgreementSuspended);
    done(&bench, resuming());
    assert_eq!((bench.state(&transfer), reason(&bench, &transfer).code), (State::Held, Code::Held));
    done(&bench, releasing(&transfer));
    assert_eq!(bench.state(&transfer), State::Released);
}

#[test]
fn what_a_person_released_is_held_and_that_persons_decision_stands_when_it_is_resumed() {
    let bench = Bench::new();
    let transfer = bench.held(&Dataset::default());
    done(&bench, releasing(&transfer));
    bench.wrap(&transfer);
    done(&bench, suspending());
    assert_waits(&bench, &transfer);
    let bench = bench.restart();
    assert!(idle(&bench));
    let bench = bench.restart();
    done(&bench, resuming());
    let details = bench.show(&transfer);
    let decision = details.decision.unwrap();
    assert_eq!((decision.by.as_deref(), decision.reason.as_str()), (Some("kari"), "seen and good"));
    assert_eq!(details.info.status.receipts.iter().filter(|kind| **kind == ReceiptKind::Released).count(), 1);
    bench.wrap(&transfer);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
}

/// `deliver` is told to end the delivery that it is making.
fn stopped(bench: &Bench, transfer: &TransferId) -> bool {
    matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Stop { transfer: told } if told == *transfer)
}

fn ends(bench: &Bench, transfer: &TransferId, outcome: DeliverOutcome) {
    let request = DeliverRequest::Delivered { transfer: transfer.clone(), outcome };
    assert_eq!(bench.deliver(request).0, DeliverReply::Done);
}

#[test]
fn a_delivery_that_is_being_made_is_ended_when_its_agreement_is_suspended_and_made_when_it_is_resumed() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    done(&bench, suspending());
    assert!(stopped(&bench, &transfer));
    ends(&bench, &transfer, DeliverOutcome::Stopped);
    assert!(idle(&bench), "told once, and not begun again");
    let bench = bench.restart();
    assert_eq!(bench.state(&transfer), State::Delivering);
    done(&bench, resuming());
    // It did not fail: it waits for nothing.
    let next = bench.deliver(DeliverRequest::Next).0;
    assert!(matches!(next, DeliverReply::Deliver { transfer: next, .. } if next == transfer));
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn a_delivery_that_is_being_made_is_ended_when_it_is_cancelled_and_taken_back_when_it_has_ended() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    done(&bench, OperatorRequest::Cancel { transfer: transfer.clone(), reason: "not needed".into() });
    assert!(stopped(&bench, &transfer));
    std::thread::scope(|scope| {
        // Whatever asks meanwhile is not told to take it back.
        let next = scope.spawn(|| bench.deliver(DeliverRequest::Next).0);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!next.is_finished());
        ends(&bench, &transfer, DeliverOutcome::Stopped);
        assert!(matches!(next.join().unwrap(), DeliverReply::Withdraw { last: false, .. }));
    });
    let outcome = WithdrawOutcome::Gone;
    assert_eq!(bench.deliver(DeliverRequest::Withdrawn { transfer: transfer.clone(), outcome }).0, DeliverReply::Done);
    assert_eq!(bench.state(&transfer), State::Cancelled);
}

#[test]
fn a_delivery_that_is_visible_by_the_time_it_is_ended_is_delivered_and_its_receipt_is_written() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    done(&bench, suspending());
    assert!(stopped(&bench, &transfer));
    assert_eq!(bench.state(&transfer), State::Delivering);
    assert!(matches!(bench.visible(&transfer).0, DeliverReply::Receipt { .. }));
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn a_delivery_that_was_interrupted_is_not_begun_again_until_it_is_resumed() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    done(&bench, suspending());
    let outcome = DeliverOutcome::Fault { reason: "the room is away".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    bench.wait(3600);
    assert!(idle(&bench));
    let bench = bench.restart();
    assert!(idle(&bench));
    let bench = bench.restart();
    assert_operator_refused(&bench.operate(ending()), Code::WrongState);
    assert_eq!(bench.state(&transfer), State::Delivering);
    done(&bench, resuming());
    assert!(
        matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { transfer: next, .. } if next == transfer)
    );
    done(&bench, ending());
}

#[test]
fn a_delivery_that_hangs_under_a_suspended_agreement_is_cancelled_when_it_was_taken_back() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    let cancel = || OperatorRequest::Cancel { transfer: transfer.clone(), reason: "the room is full".into() };
    let outcome = DeliverOutcome::Fault { reason: "the room is full".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    done(&bench, suspending());
    done(&bench, cancel());
    assert_eq!(bench.state(&transfer), State::Delivering, "deliver has yet to take it back");
    let withdrawn = |outcome| bench.deliver(DeliverRequest::Withdrawn { transfer: transfer.clone(), outcome }).0;
    assert!(matches!(withdrawn(WithdrawOutcome::Gone), DeliverReply::Refused(it) if it.code == Code::WrongState));
    let bench = bench.restart();
    let withdrawn = |outcome| bench.deliver(DeliverRequest::Withdrawn { transfer: transfer.clone(), outcome }).0;
    let asked = || matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Withdraw { transfer: id, .. } if id == transfer);
    assert!(asked());
    assert_eq!(withdrawn(WithdrawOutcome::Fault { reason: "the room is away".into() }), DeliverReply::Done);
    bench.wait(3600);
    assert!(asked());
    assert_eq!(withdrawn(WithdrawOutcome::Gone), DeliverReply::Done);
    assert_eq!((bench.state(&transfer), reason(&bench, &transfer).code), (State::Cancelled, Code::Cancelled));
    let cancelled = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-cancelled").unwrap();
    assert_eq!(cancelled.actor, "operator kari");
    done(&bench, ending());
}

#[test]
fn a_delivery_that_is_visible_already_is_not_taken_back() {
    let bench = Bench::new();
    let transfer = bench.delivering(&Dataset::default());
    let outcome = DeliverOutcome::Fault { reason: "syncing the room".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
    done(&bench, OperatorRequest::Cancel { transfer: transfer.clone(), reason: "no longer needed".into() });
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Withdraw { .. }));
    let request = DeliverRequest::Withdrawn { transfer: transfer.clone(), outcome: WithdrawOutcome::Visible };
    assert_eq!(bench.deliver(request).0, DeliverReply::Done);
    assert_eq!(bench.state(&transfer), State::Delivering);
    bench.wait(3600);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }), "it comes to its end");
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn what_speaks_against_a_release_by_the_time_it_is_resumed_keeps_it_held_for_that() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    done(&bench, suspending());
    done(&bench, OperatorRequest::SourceRevoke { name: lab(), reason: "lost laptop".into() });
    done(&bench, resuming());
    let why = reason(&bench, &transfer);
    assert_eq!((bench.state(&transfer), why.code), (State::Held, Code::Held));
    assert!(why.message.contains("shut out"), "{why:?}");
}

#[test]
fn what_ended_while_it_was_suspended_stays_ended() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    done(&bench, suspending());
    done(&bench, ending());
    assert_eq!(info(&bench).status, "ended");
    let why = reason(&bench, &transfer);
    assert_eq!((bench.state(&transfer), why.code), (State::Held, Code::Held));
    assert!(why.message.contains("ended"), "{why:?}");
    assert_operator_refused(&bench.operate(resuming()), Code::WrongState);
    assert_operator_refused(&bench.operate(suspending()), Code::WrongState);
    assert_operator_refused(&bench.operate(releasing(&transfer)), Code::AgreementInactive);
}

#[test]
fn an_agreement_that_expires_while_it_is_suspended_releases_nothing_when_it_is_resumed() {
    let bench = Bench::empty();
    bench.enrol("lab");
    let names = sluse_protocol::path::NameRule::Posix;
    done(
        &bench,
        OperatorRequest::RoomAdd { name: "room".parse().unwrap(), folder: "room".into(), names, elsewhere: None },
    );
    bench.agree(&agreement("lab").replace("2099-01-01", "2027-02-01"));
    bench.mint(0..40);
    let transfer = bench.released(&Dataset::default());
    done(&bench, suspending());
    bench.wait(30 * DAY);
    done(&bench, resuming());
    assert_eq!(info(&bench).status, "expired");
    let why = reason(&bench, &transfer);
    assert_eq!((bench.state(&transfer), why.code), (State::Held, Code::Held));
    assert!(why.message.contains("ended at"), "{why:?}");
}

#[test]
fn what_waits_longer_than_the_agreement_lets_anything_be_held_expires_and_says_why() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    done(&bench, suspending());
    bench.wait(60 * DAY + 1);
    crate::control::deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.state(&transfer), State::Expired);
    assert!(reason(&bench, &transfer).message.contains("suspended"));
}

#[test]
fn only_what_is_under_the_suspended_agreement_waits() {
    let bench = Bench::new();
    bench.agree(&agreement("other"));
    let other = bench.released(&Dataset { agreement: "other", ..Dataset::default() });
    bench.wrap(&other);
    let ours = bench.released(&Dataset { key: 1, ..Dataset::default() });
    done(&bench, suspending());
    assert_eq!(bench.state(&other), State::Released);
    assert_waits(&bench, &ours);
}

#[test]
fn health_names_a_suspended_agreement_and_how_much_waits_for_it() {
    let bench = Bench::new();
    bench.released(&Dataset::default());
    done(&bench, suspending());
    let OperatorReply::Health(health) = bench.operate(OperatorRequest::Health) else { panic!() };
    let found = |code: &str| -> Option<&HealthProblem> { health.warnings.iter().find(|warning| warning.code == code) };
    assert!(found("agreement-suspended").unwrap().message.contains("1 transfers wait"));
    assert_eq!(found("held"), None, "nobody has to decide on it");
}
