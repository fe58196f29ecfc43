//! Clocks that jump and people who act at once: never a release without its reviews, never an act that the log does not have.

use super::reviews::{ONE_MORE, bench, choose};
use crate::control::deadlines;
use crate::control::testing::*;
use sluse_protocol::audit::Verifier;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::review::Choice;
use sluse_protocol::roles::InspectReply;
use sluse_protocol::transfer::State;

fn waiting(bench: &Bench, key: u8) -> TransferId {
    let dataset = Dataset { key, ..Dataset::default() };
    let transfer = bench.inspecting(&dataset);
    assert_eq!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Done);
    transfer
}

/// Whose choices about a transfer stand in the log, which is whole.
fn chose(bench: &Bench, transfer: &TransferId) -> Vec<String> {
    let mut verifier = Verifier::new(Vec::new());
    let (_, lines) = bench.ask_operator(OperatorRequest::AuditLines { from: 0 }, &[]);
    for line in String::from_utf8(lines).unwrap().lines() {
        verifier.entry(line).unwrap();
    }
    verifier.finish().unwrap();
    let entries = bench.audit().into_iter().filter(|entry| entry.transfer.as_ref() == Some(transfer));
    entries.filter(|entry| entry.act == "review-made").map(|entry| entry.actor).collect()
}

#[test]
fn two_reviewers_who_decide_at_once_are_two_and_one_who_asks_twice_at_once_is_one() {
    let bench = bench();
    for key in 0..7 {
        let transfer = waiting(&bench, key);
        let persons = if key % 2 == 0 { ["rita", "roar"] } else { ["rita", "rita"] };
        let (start, bench) = (std::sync::Barrier::new(2), &bench);
        let mut replies = std::thread::scope(|scope| {
            let asked = persons.map(|name| {
                let (start, transfer) = (&start, &transfer);
                scope.spawn(move || {
                    start.wait();
                    choose(bench, name, transfer, Choice::Release)
                })
            });
            asked.map(|asked| asked.join().unwrap())
        });
        replies.sort_by_key(|reply| *reply != ONE_MORE);
        assert_eq!(replies[0], ONE_MORE, "one of the two comes first");
        if key % 2 == 0 {
            assert_eq!((&replies[1], bench.state(&transfer)), (&OperatorReply::Done, State::Released));
            assert_eq!(chose(bench, &transfer).len(), 2);
            bench.wrap(&transfer);
        } else {
            assert_operator_refused(&replies[1], Code::Forbidden);
            assert_eq!(
                (bench.state(&transfer), chose(bench, &transfer)),
                (State::Held, vec!["operator rita".to_owned()])
            );
        }
    }
}

#[test]
fn a_clock_that_goes_back_a_day_loses_no_choice_and_makes_none() {
    let bench = bench();
    let transfer = waiting(&bench, 0);
    choose(&bench, "rita", &transfer, Choice::Release);
    bench.wait(-DAY);
    deadlines::tick(&bench.control).unwrap();
    let bench = bench.restart();
    assert_eq!(bench.state(&transfer), State::Held);
    assert_operator_refused(&choose(&bench, "rita", &transfer, Choice::Release), Code::Forbidden);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), OperatorReply::Done);
    assert_eq!((bench.state(&transfer), chose(&bench, &transfer).len()), (State::Released, 2));
}

#[test]
fn a_clock_that_goes_forward_a_year_and_back_again_releases_nothing_and_says_what_it_ended() {
    let bench = bench();
    let transfer = waiting(&bench, 0);
    choose(&bench, "rita", &transfer, Choice::Release);
    bench.wait(365 * DAY);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.state(&transfer), State::Expired);
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-expired").unwrap();
    assert_eq!(entry.transfer.as_ref(), Some(&transfer));
    bench.wait(-365 * DAY);
    deadlines::tick(&bench.control).unwrap();
    let bench = bench.restart();
    assert_operator_refused(&choose(&bench, "roar", &transfer, Choice::Release), Code::WrongState);
    assert_eq!((bench.state(&transfer), chose(&bench, &transfer).len()), (State::Expired, 1));
}

#[test]
fn what_was_released_is_not_handed_out_by_a_clock_at_which_its_agreement_is_over_and_needs_new_reviews_after_that() {
    let bench = bench();
    let text = agreement("lab").replace("automatic", "two-reviewers")
        + "\n[rek]\nreference = \"4\"\nexpires = \"2027-06-01T00:00:00Z\"\n";
    bench.ask_as("olga", OperatorRequest::AgreementChange { reason: "REK".into() }, text.as_bytes());
    let activate = OperatorRequest::AgreementActivate { id: "lab".parse().unwrap(), version: 3, reason: "read".into() };
    assert_eq!(bench.ask_as("ole", activate, &[]).0, OperatorReply::Done);
    let transfer = waiting(&bench, 0);
    choose(&bench, "rita", &transfer, Choice::Release);
    choose(&bench, "roar", &transfer, Choice::Release);
    assert_eq!(bench.state(&transfer), State::Released);
    bench.wait(365 * DAY);
    assert_eq!(bench.next_task(), InspectReply::Idle);
    assert_eq!(bench.state(&transfer), State::Held);
    assert_operator_refused(&choose(&bench, "rune", &transfer, Choice::Release), Code::AgreementExpired);
    bench.wait(-365 * DAY);
    assert_eq!(bench.state(&transfer), State::Held, "what was decided before is void");
    assert_eq!(choose(&bench, "rita", &transfer, Choice::Release), ONE_MORE);
    assert_eq!(choose(&bench, "rune", &transfer, Choice::Release), OperatorReply::Done);
    assert!(matches!(bench.next_task(), InspectReply::Wrap { .. }));
}
