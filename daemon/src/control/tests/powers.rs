//! Who may ask what where powers are separated, as the system's groups are at that moment.

use crate::control::testing::*;
use sluse_protocol::ids::{AgreementId, SourceName, TransferId};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::path::NameRule;
use sluse_protocol::powers;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::register::Filter;
use sluse_protocol::transfer::State;
use sluse_protocol::update::Step;

/// A request of each kind, about things that are there.
fn requests(transfer: &TransferId) -> Vec<OperatorRequest> {
    use OperatorRequest as R;
    let (agreement, source): (AgreementId, SourceName) = ("lab".parse().unwrap(), "pacs".parse().unwrap());
    let reason = || "why".to_owned();
    vec![
        R::SourceInvite { name: source.clone(), hours: 1, room: None },
        R::SourceList { after: None },
        R::SourceRevoke { name: source, reason: reason() },
        R::RoomAdd { name: "other".parse().unwrap(), folder: "other".into(), names: NameRule::Posix, elsewhere: None },
        R::RoomChange { name: "room".parse().unwrap(), key: None, recipient: None, until: None, reason: reason() },
        R::RoomList { after: None },
        R::AgreementAdd,
        R::AgreementChange { reason: reason() },
        R::AgreementActivate { id: agreement.clone(), version: 1, reason: reason() },
        R::AgreementList { after: None },
        R::AgreementShow { id: agreement.clone(), version: None },
        R::AgreementSuspend { id: agreement.clone(), reason: reason() },
        R::AgreementResume { id: agreement.clone(), reason: reason() },
        R::Transfers { state: None, before: None },
        R::Show { transfer: transfer.clone() },
        R::Manifest { transfer: transfer.clone(), part: false, offset: 0 },
        R::Receipt { transfer: transfer.clone(), kind: ReceiptKind::Received },
        R::ArchiveList { after: None },
        R::ArchiveEnd { transfer: transfer.clone(), reason: reason() },
        R::Retain { transfer: transfer.clone(), reason: reason() },
        R::LiftRetention { transfer: transfer.clone(), reason: reason() },
        R::InspectAgain { transfer: transfer.clone(), reason: reason() },
        R::Release { transfer: transfer.clone(), reason: reason() },
        R::Reject { transfer: transfer.clone(), reason: reason() },
        R::Cancel { transfer: transfer.clone(), reason: reason() },
        R::AuditLines { from: 0 },
        R::Checkpoint,
        R::Register { after: 0, filter: Filter::default() },
        R::RegisterCorrect { number: 1, reason: reason(), changes: vec![] },
        R::Snapshot,
        R::SnapshotBytes { offset: 0 },
        R::Rest,
        R::Update { step: Step::Refused { code: Code::UpdateUnsigned, bundle: None } },
        R::Updates,
        R::Health,
        R::AgreementEnd { id: agreement, reason: reason() },
    ]
}

fn forbidden(reply: &OperatorReply) -> bool {
    matches!(reply, OperatorReply::Refused(refusal) if refusal.code == Code::Forbidden)
}

#[test]
fn at_the_socket_each_request_is_answered_for_those_in_the_table_and_refused_to_all_others() {
    for (name, group) in [("adam", 1), ("olga", 2), ("rita", 3), ("aud", 4), ("nils", 9)] {
        let bench = Bench::separated();
        let transfer = bench.held(&Dataset::default());
        for request in requests(&transfer) {
            let allowed = powers::allowed(&request);
            let may = GROUPS.iter().any(|(power, gid)| *gid == group && allowed.contains(power))
                && powers::of_the_host(&request, true).is_none();
            let reply = bench.ask_as(name, request.clone(), agreement("new").as_bytes()).0;
            assert_eq!(forbidden(&reply), !may, "{name} {request:?}: {reply:?}");
        }
    }
}

#[test]
fn an_auditor_changes_nothing_and_only_the_reading_is_logged() {
    let bench = Bench::separated();
    let transfer = bench.held(&Dataset::default());
    let before = bench.acts().len();
    for request in requests(&transfer) {
        bench.ask_as("aud", request, &[]);
    }
    assert!(bench.acts()[before..].iter().all(|act| act.ends_with("-read")));
    assert_eq!(bench.state(&transfer), State::Held);
}

#[test]
fn a_power_is_gained_and_lost_at_once() {
    let bench = Bench::separated();
    let transfer = bench.held(&Dataset::default());
    let release = OperatorRequest::Release { transfer: transfer.clone(), reason: "seen".into() };
    bench.move_to("rita", Some(&[9]));
    assert!(forbidden(&bench.ask_as("rita", release.clone(), &[]).0));
    bench.move_to("rita", Some(&[3, 2]));
    assert!(forbidden(&bench.ask_as("rita", release.clone(), &[]).0), "both would be too much");
    bench.move_to("rita", None);
    assert!(forbidden(&bench.ask_as("rita", release.clone(), &[]).0));
    bench.move_to("nils", Some(&[3]));
    assert_eq!(bench.ask_as("nils", release, &[]).0, OperatorReply::Done);
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-released").unwrap();
    assert_eq!(entry.actor, "operator nils");
}

#[test]
fn root_is_an_administrator_and_no_second_person() {
    let bench = Bench::separated();
    let transfer = bench.held(&Dataset::default());
    let ask = |request| crate::control::operators::ask(&bench.control, 0, request, &[]).0;
    assert!(forbidden(&ask(OperatorRequest::Release { transfer, reason: "I may all".into() })));
    assert!(matches!(
        ask(OperatorRequest::SourceInvite { name: "pacs".parse().unwrap(), hours: 1, room: None }),
        OperatorReply::Invite { .. }
    ));
}
