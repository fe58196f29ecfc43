//! A legal hold keeps what would be purged, until it is lifted.

use crate::control::testing::*;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{InspectReply, InspectRequest};
use sluse_protocol::transfer::State;

fn retain(transfer: &TransferId) -> OperatorRequest {
    OperatorRequest::Retain { transfer: transfer.clone(), reason: "tilsyn 26/118".into() }
}

fn lift(transfer: &TransferId) -> OperatorRequest {
    OperatorRequest::LiftRetention { transfer: transfer.clone(), reason: "tilsynet er avsluttet".into() }
}

/// Whether `inspect` is asked to destroy the transfer next.
fn is_purged_next(bench: &Bench, transfer: &TransferId) -> bool {
    let purge = crate::control::tasks::next_for_inspect;
    matches!(purge(&bench.control, bench.inspect), Ok(InspectReply::Purge { transfer: next, .. }) if next == *transfer)
}

#[test]
fn what_is_retained_is_not_purged_until_that_is_lifted_and_the_log_and_show_say_who_and_why() {
    let bench = Bench::new();
    let (kept, other) = (Dataset::default(), Dataset { key: 1, ..Dataset::default() });
    let transfer = bench.delivered(&kept);
    assert_eq!(bench.operate(retain(&transfer)), OperatorReply::Done);
    let retained = bench.show(&transfer).retained.unwrap();
    assert_eq!((retained.by.as_str(), retained.reason.as_str()), ("kari", "tilsyn 26/118"));
    let second = bench.delivered(&other);
    bench.wait(100 * DAY);
    assert!(is_purged_next(&bench, &second), "the other one, although it is younger");
    bench.inspect(InspectRequest::Purged { transfer: second }, &[]);
    let bench = bench.restart();
    assert!(bench.show(&transfer).retained.is_some());
    assert_eq!(bench.operate(lift(&transfer)), OperatorReply::Done);
    assert!(is_purged_next(&bench, &transfer));
    let acts = bench.acts();
    let count = |act: &str| acts.iter().filter(|one| *one == act).count();
    assert_eq!((count("retention-extended"), count("retention-lifted")), (1, 1));
    assert_operator_refused(&bench.operate(lift(&transfer)), Code::WrongState);
}

#[test]
fn a_purge_that_has_begun_cannot_be_forbidden_any_more() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    bench.wait(31 * DAY);
    assert!(is_purged_next(&bench, &transfer));
    assert_operator_refused(&bench.operate(retain(&transfer)), Code::WrongState);
    bench.inspect(InspectRequest::Purged { transfer: transfer.clone() }, &[]);
    assert_eq!(bench.state(&transfer), State::Purged);
    assert_operator_refused(&bench.operate(retain(&transfer)), Code::WrongState);
}

#[test]
fn a_purge_that_control_cannot_take_down_is_tried_again_after_seconds() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    bench.wait(31 * DAY);
    assert!(is_purged_next(&bench, &transfer));
    // A disk that does not give a file up.
    let plan = bench.layout().documents().join(format!("{transfer}.plan"));
    let text = std::fs::read(&plan).unwrap();
    std::fs::remove_file(&plan).unwrap();
    std::fs::create_dir(&plan).unwrap();
    let purged = || bench.inspect(InspectRequest::Purged { transfer: transfer.clone() }, &[]);
    assert!(matches!(purged(), InspectReply::Refused(_)));
    assert_ne!(bench.state(&transfer), State::Purged);
    std::fs::remove_dir(&plan).unwrap();
    std::fs::write(&plan, text).unwrap();
    bench.wait(5);
    assert!(is_purged_next(&bench, &transfer));
    assert_eq!(purged(), InspectReply::Done);
    assert_eq!(bench.state(&transfer), State::Purged);
}
