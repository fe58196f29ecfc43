//! Reviews: two different persons, each for himself or herself, and nothing released without them.

use crate::control::deadlines;
use crate::control::operators;
use crate::control::store::reviews;
use crate::control::testing::*;
use proptest::prelude::*;
use sluse_protocol::finding::Class;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, TransferDetails};
use sluse_protocol::refusal::Code;
use sluse_protocol::review::Choice;
use sluse_protocol::roles::{DeliverReply, DeliverRequest, InspectReply};
use sluse_protocol::transfer::State;
use std::collections::BTreeSet;

/// Separated powers, and an agreement that asks for two reviewers: written by olga, activated by ole.
pub(super) fn bench() -> Bench {
    let bench = Bench::separated();
    let change = OperatorRequest::AgreementChange { reason: "sensitive".into() };
    bench.ask_as("olga", change, agreement("lab").replace("automatic", "two-reviewers").as_bytes());
    let activate =
        OperatorRequest::AgreementActivate { id: "lab".parse().unwrap(), version: 2, reason: "read it".into() };
    assert_eq!(bench.ask_as("ole", activate, &[]).0, OperatorReply::Done);
    bench
}

/// A transfer that waits for its two reviewers alone.
fn waiting(bench: &Bench) -> TransferId {
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    assert_eq!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Done);
    assert_eq!(bench.state(&transfer), State::Held);
    transfer
}

pub(super) fn choose(bench: &Bench, name: &str, transfer: &TransferId, choice: Choice) -> OperatorReply {
    let (transfer, reason) = (transfer.clone(), format!("{name} looked"));
    let request = match choice {
        Choice::Release => OperatorRequest::Release { transfer, reason },
        Choice::Reject => OperatorRequest::Reject { transfer, reason },
    };
    bench.ask_as(name, request, &[]).0
}

fn seen(bench: &Bench, name: &str, transfer: &TransferId) -> TransferDetails {
    match bench.ask_as(name, OperatorRequest::Show { transfer: transfer.clone() }, &[]).0 {
        OperatorReply::Transfer(details) => *details,
        other => panic!("{other:?}"),
    }
}

pub(super) const ONE_MORE: OperatorReply = OperatorReply::Reviewed { missing: 1 };

#[test]
fn two_persons_release_and_both_stand_in_the_receipt_and_the_log() {
    let bench = bench();
    let transfer = waiting(&bench);
    assert_eq!(choose(&bench, "rita", &transfer, Choice::Release), ONE_MORE);
    assert_operator_refused(&choose(&bench, "rita", &transfer, Choice::Release), Code::Forbidden);
    assert_operator_refused(&choose(&bench, "rita", &transfer, Choice::Reject), Code::Forbidden);
    let bench = bench.restart();
    assert_eq!(bench.state(&transfer), State::Held);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), OperatorReply::Done);
    let decision = bench.show(&transfer).decision.unwrap();
    assert_eq!((decision.rule.as_str(), decision.by.as_deref()), ("reviewers", Some("rita, roar")));
    assert_eq!(decision.reason, "rita: rita looked; roar: roar looked");
    let log = bench.audit();
    let acts: Vec<_> = log.iter().filter(|entry| entry.act == "review-made").collect();
    assert_eq!(acts.iter().map(|entry| entry.actor.as_str()).collect::<Vec<_>>(), ["operator rita", "operator roar"]);
    assert!(acts.iter().all(|entry| entry.details["manifest"].is_string()));
    let released = log.iter().rfind(|entry| entry.act == "transfer-released").unwrap();
    assert_eq!(released.details["reviews"][1]["by"], "roar");
    bench.wrap(&transfer);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
}

#[test]
fn one_rejection_rejects_but_only_when_both_have_chosen() {
    for (first, second) in [(Choice::Reject, Choice::Release), (Choice::Release, Choice::Reject)] {
        let bench = bench();
        let transfer = waiting(&bench);
        assert_eq!(choose(&bench, "rita", &transfer, first), ONE_MORE);
        assert_eq!(bench.state(&transfer), State::Held);
        assert_eq!(choose(&bench, "roar", &transfer, second), OperatorReply::Done);
        assert_eq!(bench.state(&transfer), State::Rejected);
        let reason = bench.show(&transfer).info.status.reason.unwrap();
        let rejecter = if first == Choice::Reject { "rita looked" } else { "roar looked" };
        assert_eq!((reason.code, reason.message.as_str()), (Code::Rejected, rejecter));
    }
}

#[test]
fn what_the_first_chose_can_be_told_from_nothing_that_the_second_sees() {
    let views = [Choice::Release, Choice::Reject].map(|choice| {
        let bench = bench();
        let transfer = waiting(&bench);
        choose(&bench, "rita", &transfer, choice);
        let mine = seen(&bench, "rita", &transfer);
        assert_eq!(mine.reviews[0].choice, Some(choice));
        let acts = bench.audit().into_iter().rfind(|entry| entry.act == "review-made").unwrap();
        let others = ["roar", "olga", "aud"].map(|name| {
            let reviews = seen(&bench, name, &transfer).reviews;
            assert_eq!((reviews[0].by.as_str(), reviews[0].choice, &reviews[0].reason), ("rita", None, &None));
            let mut details = seen(&bench, name, &transfer);
            // What differs between any two zones.
            (details.identity, details.manifest_sha256, details.report) = (None, None, None);
            details.info.status.transfer = "20261122-101500-7f3k9a2m".parse().unwrap();
            details
        });
        let keys: Vec<String> = acts.details.keys().cloned().collect();
        (acts.act, keys, others)
    });
    assert_eq!(views[0], views[1]);
}

#[test]
fn who_wrote_or_activated_the_agreement_does_not_review_under_it_whatever_group_he_is_in_now() {
    let bench = bench();
    let transfer = waiting(&bench);
    for name in ["olga", "ole"] {
        bench.move_to(name, Some(&[3]));
        assert_operator_refused(&choose(&bench, name, &transfer, Choice::Release), Code::Forbidden);
    }
    assert!(bench.show(&transfer).reviews.is_empty());
}

#[test]
fn one_person_with_two_names_is_one() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Release);
    let renamed = crate::control::people::Person { uid: uid("rita"), name: "roar".into() };
    let request = OperatorRequest::Release { transfer: transfer.clone(), reason: "again".into() };
    let reply = operators::answer(&bench.control, &renamed, request, &[]).0;
    assert_operator_refused(&reply, Code::Forbidden);
}

#[test]
fn the_choice_of_a_reviewer_who_is_none_any_more_does_not_count() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Release);
    bench.move_to("rita", None);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), ONE_MORE);
    assert!(bench.acts().contains(&"review-voided".to_owned()));
    assert_eq!(bench.state(&transfer), State::Held);
    assert_eq!(choose(&bench, "rune", &transfer, Choice::Release), OperatorReply::Done);
    assert_eq!(bench.show(&transfer).decision.unwrap().by.as_deref(), Some("roar, rune"));
}

#[test]
fn a_reviewer_of_whom_the_system_cannot_be_asked_loses_no_choice() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Reject);
    bench.move_to("rita", Some(&[]));
    assert_operator_refused(&choose(&bench, "roar", &transfer, Choice::Release), Code::Unavailable);
    bench.move_to("rita", Some(&[3]));
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Rejected);
}

#[test]
fn under_a_suspended_agreement_nobody_releases_and_both_choices_stand_when_it_is_resumed() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Release);
    let id = || "lab".parse().unwrap();
    let suspend = OperatorRequest::AgreementSuspend { id: id(), reason: "REK asks".into() };
    let resume = OperatorRequest::AgreementResume { id: id(), reason: "REK is content".into() };
    bench.ask_as("olga", suspend.clone(), &[]);
    assert_operator_refused(&choose(&bench, "roar", &transfer, Choice::Release), Code::AgreementSuspended);
    bench.ask_as("olga", resume.clone(), &[]);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), OperatorReply::Done);
    bench.ask_as("olga", suspend, &[]);
    assert_eq!(bench.state(&transfer), State::Held);
    bench.ask_as("olga", resume, &[]);
    assert_eq!(bench.state(&transfer), State::Released);
}

fn inspected_again(bench: &Bench, name: &str, transfer: &TransferId) {
    let again = OperatorRequest::InspectAgain { transfer: transfer.clone(), reason: "new signatures".into() };
    assert_eq!(bench.ask_as(name, again, &[]).0, OperatorReply::Done);
    bench.next_task();
    bench.inspected(&Dataset::default(), transfer, &[Class::Encrypted]);
}

/// Who chose what of what does not count any more, as the log says.
fn voided(bench: &Bench) -> Vec<(String, String)> {
    let log = bench.audit();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let entries = log.iter().filter(|entry| entry.act == "review-voided");
    entries.map(|entry| (text(&entry.details["by"]), text(&entry.details["choice"]))).collect()
}

#[test]
fn an_inspection_that_is_repeated_asks_everybody_anew_who_would_release() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Release);
    inspected_again(&bench, "roar", &transfer);
    assert_eq!(voided(&bench), [("rita".to_owned(), "release".to_owned())]);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), ONE_MORE);
    assert_eq!(choose(&bench, "rita", &transfer, Choice::Release), OperatorReply::Done);
}

#[test]
fn a_rejection_stands_however_often_is_inspected() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Reject);
    inspected_again(&bench, "roar", &transfer);
    inspected_again(&bench, "olga", &transfer);
    assert!(voided(&bench).is_empty());
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Rejected);
}

#[test]
fn under_a_suspended_agreement_two_persons_can_still_reject_what_was_released() {
    for resumed in [false, true] {
        let bench = bench();
        let transfer = waiting(&bench);
        choose(&bench, "rita", &transfer, Choice::Release);
        choose(&bench, "roar", &transfer, Choice::Release);
        let (id, reason) = ("lab".parse().unwrap(), "REK asks".into());
        bench.ask_as("olga", OperatorRequest::AgreementSuspend { id, reason }, &[]);
        assert_eq!(choose(&bench, "rune", &transfer, Choice::Reject), ONE_MORE);
        assert_eq!(voided(&bench).len(), 2);
        if resumed {
            let (id, reason) = ("lab".parse().unwrap(), "REK is content".into());
            bench.ask_as("olga", OperatorRequest::AgreementResume { id, reason }, &[]);
            assert_eq!(bench.state(&transfer), State::Held);
        }
        assert_eq!(choose(&bench, "rita", &transfer, Choice::Reject), OperatorReply::Done);
        assert_eq!(bench.state(&transfer), State::Rejected);
    }
}

#[test]
fn choices_are_about_the_version_under_which_they_were_made() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Reject);
    let text = agreement("lab").replace("automatic", "two-reviewers").replace("Test", "Other");
    bench.ask_as("olga", OperatorRequest::AgreementChange { reason: "renamed".into() }, text.as_bytes());
    let (id, reason) = ("lab".parse().unwrap(), "read it".into());
    let activate = OperatorRequest::AgreementActivate { id, version: 3, reason };
    assert_eq!(bench.ask_as("ole", activate, &[]).0, OperatorReply::Done);
    assert_eq!(voided(&bench), [("rita".to_owned(), "reject".to_owned())]);
    assert_eq!(choose(&bench, "roar", &transfer, Choice::Release), ONE_MORE);
    assert_eq!(choose(&bench, "rita", &transfer, Choice::Release), OperatorReply::Done);
}

#[test]
fn without_separated_powers_two_reviewers_are_impossible_and_that_is_said() {
    let bench = Bench::new();
    let two = agreement("two").replace("automatic", "two-reviewers");
    let (refused, _) = bench.ask_operator(OperatorRequest::AgreementAdd, two.as_bytes());
    assert_operator_refused(&refused, Code::Forbidden);
    assert!(format!("{refused:?}").contains("no second person"));
}

#[test]
fn what_nobody_decides_is_escalated_after_half_of_its_time_and_then_expires() {
    let bench = bench();
    let transfer = waiting(&bench);
    choose(&bench, "rita", &transfer, Choice::Release);
    let overdue = || {
        deadlines::tick(&bench.control).unwrap();
        let OperatorReply::Health(health) = bench.operate(OperatorRequest::Health) else { panic!() };
        health.problems.iter().any(|problem| problem.code == "decision-overdue")
    };
    bench.wait(30 * DAY);
    assert!(!overdue());
    bench.wait(1);
    assert!(overdue() && overdue());
    bench.wait(30 * DAY);
    overdue();
    assert_eq!(bench.state(&transfer), State::Expired);
    assert_operator_refused(&choose(&bench, "roar", &transfer, Choice::Release), Code::WrongState);
}

/// What may happen around a held transfer.
#[derive(Debug, Clone)]
enum Happening {
    Chooses(usize, Choice),
    Moves(usize, Option<u32>),
    Suspend,
    Resume,
    InspectAgain,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let person = 0..PEOPLE.len();
    prop_oneof![
        5 => (person.clone(), prop_oneof![4 => Just(Choice::Release), 1 => Just(Choice::Reject)])
            .prop_map(|(person, choice)| Happening::Chooses(person, choice)),
        1 => (person, proptest::option::of(1..5u32)).prop_map(|(person, group)| Happening::Moves(person, group)),
        1 => Just(Happening::Suspend),
        2 => Just(Happening::Resume),
        1 => Just(Happening::InspectAgain),
        1 => Just(Happening::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_sequence_of_events_releases_without_two_persons_who_chose_so(
        happenings in proptest::collection::vec(happening(), 1..25)
    ) {
        let mut bench = bench();
        let transfer = waiting(&bench);
        let requesters = [uid("olga"), uid("ole")];
        for happening in happenings {
            let name = |person: usize| PEOPLE[person].0;
            match happening {
                Happening::Chooses(person, choice) => drop(choose(&bench, name(person), &transfer, choice)),
                Happening::Moves(person, group) => bench.move_to(name(person), group.map(|group| vec![group]).as_deref()),
                Happening::Suspend => {
                    let (id, reason) = ("lab".parse().unwrap(), "x".into());
                    bench.ask_operator(OperatorRequest::AgreementSuspend { id, reason }, &[]);
                }
                Happening::Resume => {
                    let (id, reason) = ("lab".parse().unwrap(), "x".into());
                    bench.ask_operator(OperatorRequest::AgreementResume { id, reason }, &[]);
                }
                Happening::InspectAgain => {
                    let request = OperatorRequest::InspectAgain { transfer: transfer.clone(), reason: "x".into() };
                    if bench.ask_operator(request, &[]).0 == OperatorReply::Done {
                        bench.next_task();
                        bench.inspected(&Dataset::default(), &transfer, &[]);
                    }
                }
                Happening::Restart => bench = bench.restart(),
            }
            let state = bench.state(&transfer);
            let made = bench.control.store.read(|sql| reviews::standing(sql, &transfer)).unwrap();
            let persons: BTreeSet<u32> = made.iter().map(|made| made.by.uid).collect();
            prop_assert_eq!(persons.len(), made.len());
            prop_assert!(persons.iter().all(|person| !requesters.contains(person)));
            if state == State::Released {
                prop_assert!(persons.len() >= 2);
                prop_assert!(made.iter().all(|made| made.choice == Choice::Release));
                let logged = bench.audit();
                let said: BTreeSet<_> = logged.iter().filter(|entry| entry.act == "review-made").map(|entry| &entry.actor).collect();
                prop_assert!(said.len() >= 2);
            } else {
                prop_assert!(matches!(state, State::Held | State::Rejected), "{}", state);
            }
        }
    }
}
