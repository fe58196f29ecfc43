//! Deliveries that were begun to a room elsewhere and are taken back, also where that room is gone for good.

use crate::control::deadlines;
use crate::control::testing::*;
use serde_json::json;
use sluse_protocol::courier::{Elsewhere, Remains};
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Code;
use sluse_protocol::register::{Disclosed, Filter, Outcome, Registered};
use sluse_protocol::roles::{DeliverOutcome, DeliverReply, DeliverRequest, InspectReply, WithdrawOutcome};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// A zone whose room is elsewhere, and reached until then.
fn bench(until: Option<Timestamp>) -> Bench {
    let bench = Bench::empty();
    bench.enrol("lab");
    let (name, names) = ("room".parse().unwrap(), NameRule::Posix);
    done(&bench, OperatorRequest::RoomAdd { name, folder: "room".into(), names, elsewhere: Some(Elsewhere { until }) });
    bench.agree(&agreement("lab"));
    bench.mint(0..40);
    bench
}

#[track_caller]
fn done(bench: &Bench, request: OperatorRequest) {
    assert_eq!(bench.operate(request), OperatorReply::Done);
}

fn fail(bench: &Bench, transfer: &TransferId) {
    let outcome = DeliverOutcome::Fault { reason: "the server cannot be reached".into() };
    bench.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome });
}

/// A delivery that was begun and failed.
fn hanging(bench: &Bench) -> TransferId {
    let transfer = bench.delivering(&Dataset::default());
    fail(bench, &transfer);
    transfer
}

fn cancelling(transfer: &TransferId) -> OperatorRequest {
    OperatorRequest::Cancel { transfer: transfer.clone(), reason: "they are gone".into() }
}

/// `deliver` is told to take the delivery back; whether for the last time.
#[track_caller]
fn told(bench: &Bench, transfer: &TransferId) -> bool {
    match bench.deliver(DeliverRequest::Next).0 {
        DeliverReply::Withdraw { transfer: told, elsewhere: Some(_), last, .. } if told == *transfer => last,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn ends(bench: &Bench, transfer: &TransferId, outcome: WithdrawOutcome) {
    let request = DeliverRequest::Withdrawn { transfer: transfer.clone(), outcome };
    assert_eq!(bench.deliver(request).0, DeliverReply::Done);
}

fn away() -> WithdrawOutcome {
    WithdrawOutcome::Fault { reason: "the server cannot be reached".into() }
}

fn left(remains: Remains) -> WithdrawOutcome {
    WithdrawOutcome::Left { remains, reason: "the server cannot be reached".into() }
}

/// Whether there is nothing to do for `deliver`; afterwards it is to be started anew.
fn idle(bench: &Bench) -> bool {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| bench.deliver(DeliverRequest::Next).0 == DeliverReply::Idle);
        std::thread::sleep(std::time::Duration::from_millis(100));
        // A poll that found nothing waits; it ends with its connection.
        bench.control.work.close(bench.deliver, bench.control.store.now());
        bench.control.store.wake.bump();
        asked.join().unwrap()
    })
}

fn registered(bench: &Bench) -> Outcome {
    let (_, body) = bench.ask_operator(OperatorRequest::Register { after: 0, filter: Filter::default() }, &[]);
    serde_json::from_slice::<Registered>(&body).unwrap().outcome
}

fn purge(bench: &Bench, transfer: &TransferId) {
    bench.wait(31 * DAY);
    assert!(matches!(bench.next_task(), InspectReply::Purge { transfer: next, .. } if next == *transfer));
    let purged = sluse_protocol::roles::InspectRequest::Purged { transfer: transfer.clone() };
    assert_eq!(bench.inspect(purged, &[]), InspectReply::Done);
    assert_eq!(bench.state(transfer), State::Purged);
}

#[test]
fn a_room_that_cannot_be_reached_is_tried_for_a_day_and_then_the_transfer_ends_and_says_what_may_be_left() {
    let bench = bench(None);
    let transfer = hanging(&bench);
    done(&bench, cancelling(&transfer));
    for _ in 0..23 {
        assert!(!told(&bench, &transfer));
        ends(&bench, &transfer, away());
        bench.wait(3600);
        // Asked again, the day is not begun anew.
        done(&bench, cancelling(&transfer));
    }
    let bench = bench.restart();
    bench.wait(3600);
    assert!(told(&bench, &transfer));
    ends(&bench, &transfer, left(Remains::Files));
    let shown = bench.show(&transfer);
    assert_eq!((shown.info.status.state, shown.remains), (State::Cancelled, Some(Remains::Files)));
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-cancelled").unwrap();
    assert_eq!((entry.actor.as_str(), &entry.details["remains"]), ("operator kari", &json!("files")));
    assert_eq!(bench.acts().iter().filter(|act| *act == "withdrawal-asked").count(), 1);
    let told = registered(&bench);
    assert_eq!((told.disclosed, told.remains), (Disclosed::Withdrawn, Some(Remains::Files)));
    purge(&bench, &transfer);
    assert_eq!(bench.show(&transfer).remains, Some(Remains::Files));
}

#[test]
fn where_what_the_room_is_reached_by_has_ended_it_is_tried_once() {
    let bench = bench(None);
    let transfer = hanging(&bench);
    done(&bench, cancelling(&transfer));
    assert!(!told(&bench, &transfer));
    ends(&bench, &transfer, away());
    let change = |until| OperatorRequest::RoomChange {
        name: "room".parse().unwrap(),
        key: None,
        recipient: None,
        until: Some(Timestamp::from_unix(until)),
        reason: "they closed".into(),
    };
    done(&bench, change(START - 1));
    bench.wait(3600);
    assert!(told(&bench, &transfer));
    ends(&bench, &transfer, left(Remains::Bag));
    assert_eq!(bench.state(&transfer), State::Cancelled);
    // It may have been disclosed: the register does not say that it was not, and keeps what it names.
    let told = registered(&bench);
    assert_eq!((told.disclosed, told.remains), (Disclosed::Uncertain, Some(Remains::Bag)));
    purge(&bench, &transfer);
    let manifest = OperatorRequest::Manifest { transfer, part: false, offset: 0 };
    let (reply, body) = bench.ask_operator(manifest, &[]);
    assert!(reply == OperatorReply::Document && !body.is_empty(), "{reply:?}");
    assert_eq!(registered(&bench).disclosed, Disclosed::Uncertain);
}

#[test]
fn a_delivery_whose_room_ended_waits_as_long_as_what_is_held_may_and_is_taken_back_then() {
    let until = Timestamp::from_unix(START + DAY);
    let bench = bench(Some(until));
    let transfer = hanging(&bench);
    bench.wait(DAY + 1);
    assert!(idle(&bench), "no attempt begins after the end");
    let bench = bench.restart();
    bench.wait(60 * DAY - 1);
    deadlines::tick(&bench.control).unwrap();
    let bench = bench.restart();
    bench.wait(2);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.state(&transfer), State::Delivering);
    assert!(told(&bench, &transfer));
    ends(&bench, &transfer, left(Remains::Files));
    let status = bench.show(&transfer).info.status;
    assert_eq!((status.state, status.reason.unwrap().code), (State::Expired, Code::Expired));
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-expired").unwrap();
    assert_eq!((entry.actor.as_str(), &entry.details["remains"]), ("control", &json!("files")));
}

#[test]
fn a_delivery_whose_room_is_given_another_end_goes_on() {
    let bench = bench(Some(Timestamp::from_unix(START + DAY)));
    let transfer = hanging(&bench);
    bench.wait(30 * DAY);
    deadlines::tick(&bench.control).unwrap();
    let until = Some(Timestamp::from_unix(START + 400 * DAY));
    let (key, recipient, reason) = (None, None, "a new key".into());
    done(&bench, OperatorRequest::RoomChange { name: "room".parse().unwrap(), key, recipient, until, reason });
    bench.wait(60 * DAY);
    deadlines::tick(&bench.control).unwrap();
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn a_bag_that_is_visible_before_it_was_taken_back_is_delivered() {
    let bench = bench(None);
    let transfer = hanging(&bench);
    done(&bench, cancelling(&transfer));
    // What `deliver` still remembers of an attempt before.
    bench.visible(&transfer);
    assert_eq!(bench.state(&transfer), State::Delivered);
    assert!(bench.acts().contains(&"withdrawal-too-late".to_owned()));
    assert!(idle(&bench));
}
