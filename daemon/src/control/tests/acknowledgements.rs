//! A room says that it has what was delivered, by its key and no other's; and what it does not say in time is reported.

use crate::control::acknowledgements::{self, MISSING};
use crate::control::deadlines;
use crate::control::testing::*;
use sluse_protocol::acknowledgement::{Format, Statement};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{DeliverReply, DeliverRequest};
use sluse_protocol::sharing::Size;
use sluse_protocol::sshsig::{NAMESPACE_ACKNOWLEDGEMENT, SigningKey};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

fn room_key() -> SigningKey {
    SigningKey::from_seed(&[21; 32]).unwrap()
}

fn set_key(bench: &Bench, key: Option<&SigningKey>) -> OperatorReply {
    let key = key.map(|key| key.public().to_openssh() + " the room of Kari");
    bench.operate(OperatorRequest::RoomChange {
        name: "room".parse().unwrap(),
        key,
        recipient: None,
        until: None,
        reason: "its own".into(),
    })
}

/// A zone whose room has a key, and an agreement that waits seven days for it.
fn waiting() -> (Bench, Dataset) {
    let bench = Bench::new();
    assert_eq!(set_key(&bench, Some(&room_key())), OperatorReply::Done);
    bench.agree(&(agreement("waits") + "\n[acknowledgement]\nwithin_days = 7\n"));
    (bench, Dataset { agreement: "waits", ..Dataset::default() })
}

fn receipt(bench: &Bench, transfer: &TransferId, kind: ReceiptKind) -> Vec<u8> {
    let (reply, statement) = bench.ask_operator(OperatorRequest::Receipt { transfer: transfer.clone(), kind }, &[]);
    assert!(matches!(reply, OperatorReply::Receipt { .. }), "{reply:?}");
    statement
}

/// What the room says of a transfer.
fn statement(bench: &Bench, transfer: &TransferId) -> Statement {
    Statement {
        sluse: Format::V1,
        zone: "zone".parse().unwrap(),
        room: "room".parse().unwrap(),
        transfer: transfer.clone(),
        time: Timestamp::from_unix(START),
        manifest_sha256: bench.show(transfer).manifest_sha256.unwrap(),
        delivered: Sha256::of(&receipt(bench, transfer, ReceiptKind::Delivered)),
    }
}

fn tell(bench: &Bench, statement: &Statement, key: &SigningKey) -> (DeliverReply, Vec<u8>) {
    let text = statement.to_text();
    let signature = key.sign(NAMESPACE_ACKNOWLEDGEMENT, text.as_bytes());
    let request = DeliverRequest::Acknowledged { transfer: statement.transfer.clone(), signature };
    bench.deliver_with(request, text.as_bytes())
}

/// The transfers that `deliver` is told to look for now.
fn looked_for(bench: &Bench) -> Vec<TransferId> {
    let mut choice = bench.control.work.choose(bench.deliver, bench.control.store.now()).unwrap();
    let Some((task, reply)) = acknowledgements::find_due(&bench.control, &choice).unwrap() else { return Vec::new() };
    let DeliverReply::Look { bags } = reply else { panic!("{reply:?}") };
    choice.give(task, Size::Small);
    bags.into_iter().map(|bag| bag.transfer).collect()
}

fn warnings(bench: &Bench) -> Vec<String> {
    let OperatorReply::Health(health) = bench.operate(OperatorRequest::Health) else { panic!() };
    health.warnings.into_iter().map(|warning| warning.code).filter(|code| code == MISSING).collect()
}

#[test]
fn what_a_room_acknowledges_has_a_receipt_that_holds_its_word_and_names_the_one_before() {
    let (bench, dataset) = waiting();
    let transfer = bench.delivered(&dataset);
    let due = bench.show(&transfer).purge_after;
    bench.wait(DAY);
    let stated = statement(&bench, &transfer);
    let (reply, first) = tell(&bench, &stated, &room_key());
    assert!(matches!(reply, DeliverReply::Receipt { .. }), "{reply:?}");
    assert_eq!(bench.state(&transfer), State::Acknowledged);
    assert_eq!(bench.show(&transfer).purge_after, due, "the time counts from the delivery");
    let read: Receipt = serde_json::from_slice(&first).unwrap();
    assert_eq!((read.kind, read.check_inclusion()), (ReceiptKind::Acknowledged, Ok(true)));
    assert_eq!(read.previous, Some(Sha256::of(&receipt(&bench, &transfer, ReceiptKind::Delivered))));
    let kept = read.acknowledgement.unwrap();
    assert_eq!((kept.statement, kept.key), (stated.to_text(), room_key().public().to_openssh()));
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-acknowledged").unwrap();
    assert_eq!(entry.actor, "room room");
    assert_eq!(entry.details["key"], room_key().public().fingerprint());
    // Told again, with whatever: the same bytes, and nothing more in the log.
    let (acts, other) = (bench.acts(), SigningKey::from_seed(&[3; 32]).unwrap());
    assert_eq!(tell(&bench, &stated, &other).1, first);
    assert_eq!(bench.acts(), acts);
}

#[test]
fn only_the_rooms_key_acknowledges_and_only_what_was_delivered_there() {
    let (bench, dataset) = waiting();
    let transfer = bench.delivered(&dataset);
    let other = bench.delivered(&Dataset { key: 9, files: vec![("x.csv", 3)], ..dataset.clone() });
    let stated = statement(&bench, &transfer);
    let refused = |reply: &DeliverReply, code| {
        assert!(matches!(reply, DeliverReply::Refused(refusal) if refusal.code == code), "{reply:?}");
        assert_eq!(bench.state(&transfer), State::Delivered);
    };
    refused(&tell(&bench, &stated, &SigningKey::from_seed(&[3; 32]).unwrap()).0, Code::BadProof);
    let of_other = Statement { transfer: transfer.clone(), ..statement(&bench, &other) };
    refused(&tell(&bench, &of_other, &room_key()).0, Code::BadProof);
    let held = bench.held(&Dataset { key: 8, files: vec![("y.csv", 3)], ..dataset });
    refused(&tell(&bench, &Statement { transfer: held, ..stated.clone() }, &room_key()).0, Code::WrongState);
    tell(&bench, &stated, &room_key());
    assert_eq!(bench.state(&transfer), State::Acknowledged);
}

#[test]
fn rooms_are_looked_at_for_what_is_not_acknowledged_or_has_no_receipt_beside_it() {
    let (bench, dataset) = waiting();
    let transfer = bench.delivered(&dataset);
    assert_eq!(looked_for(&bench), std::slice::from_ref(&transfer));
    bench.wait(60);
    assert!(looked_for(&bench).is_empty(), "one look at a time");
    let done = |request| assert_eq!(bench.deliver(request).0, DeliverReply::Done);
    done(DeliverRequest::Looked);
    assert_eq!(looked_for(&bench), std::slice::from_ref(&transfer));
    done(DeliverRequest::Looked);
    assert!(looked_for(&bench).is_empty(), "not that soon");
    tell(&bench, &statement(&bench, &transfer), &room_key());
    bench.wait(60);
    assert_eq!(looked_for(&bench), std::slice::from_ref(&transfer), "its receipt is not beside the bag");
    done(DeliverRequest::Laid { transfer: transfer.clone() });
    done(DeliverRequest::Looked);
    bench.wait(60);
    assert!(looked_for(&bench).is_empty());
    for request in [DeliverRequest::Looked, DeliverRequest::Laid { transfer }] {
        assert!(matches!(bench.deliver(request).0, DeliverReply::Refused(it) if it.code == Code::WrongState));
    }
}

#[test]
fn what_is_not_acknowledged_in_time_is_reported_once_to_the_source_in_the_log_and_in_health() {
    let (bench, dataset) = waiting();
    let transfer = bench.delivered(&dataset);
    let reason = || bench.show(&transfer).info.status.reason.map(|reason| reason.code);
    let reports = || bench.acts().into_iter().filter(|act| act == MISSING).count();
    bench.wait(7 * DAY);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!((reason(), reports(), warnings(&bench).len()), (None, 0, 0), "the last second counts");
    bench.wait(1);
    for _ in 0..2 {
        deadlines::tick(&bench.control).unwrap();
    }
    assert_eq!((reason(), reports(), warnings(&bench).len()), (Some(Code::NotAcknowledged), 1, 1));
    // Late is better than never.
    tell(&bench, &statement(&bench, &transfer), &room_key());
    assert_eq!((bench.state(&transfer), reason(), warnings(&bench).len()), (State::Acknowledged, None, 0));
}

#[test]
fn an_agreement_that_waits_needs_a_room_with_a_key_and_such_a_room_keeps_one() {
    let bench = Bench::new();
    let text = agreement("waits") + "\n[acknowledgement]\nwithin_days = 7\n";
    let (reply, _) = bench.ask_operator(OperatorRequest::AgreementAdd, text.as_bytes());
    assert!(matches!(reply, OperatorReply::Refused(refusal) if refusal.code == Code::ForbiddenRoom));
    assert_eq!(set_key(&bench, Some(&room_key())), OperatorReply::Done);
    bench.agree(&text);
    assert!(matches!(set_key(&bench, None), OperatorReply::Refused(it) if it.code == Code::ForbiddenRoom));
    // Another key is fine; what was said of a key stands in the log by its fingerprint, without its comment.
    let other = SigningKey::from_seed(&[22; 32]).unwrap();
    assert_eq!(set_key(&bench, Some(&other)), OperatorReply::Done);
    let changed: Vec<_> = bench.audit().into_iter().filter(|entry| entry.act == "room-changed").collect();
    assert_eq!(changed.len(), 2);
    assert_eq!(changed[1].details["key"], other.public().fingerprint());
    assert!(!changed[1].to_line().contains("Kari"));
    let bad = OperatorRequest::RoomChange {
        name: "room".parse().unwrap(),
        key: Some("x".into()),
        recipient: None,
        until: None,
        reason: "y".into(),
    };
    assert!(matches!(bench.operate(bad), OperatorReply::Refused(refusal) if refusal.code == Code::Invalid));
}
