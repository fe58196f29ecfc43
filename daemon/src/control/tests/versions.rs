//! A text comes into force by a second person, and counts from then on.

use crate::control::testing::*;
use sluse_protocol::agreement::Lack;
use sluse_protocol::operator::{AgreementInfo, OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{DeliverReply, DeliverRequest, InspectReply};
use sluse_protocol::transfer::State;

fn added(bench: &Bench, name: &str, text: &str) -> AgreementInfo {
    match bench.ask_as(name, OperatorRequest::AgreementAdd, text.as_bytes()).0 {
        OperatorReply::Agreement(info) => info,
        other => panic!("{other:?}"),
    }
}

fn changed(bench: &Bench, name: &str, text: &str) -> OperatorReply {
    bench.ask_as(name, OperatorRequest::AgreementChange { reason: "prolonged".into() }, text.as_bytes()).0
}

fn activated(bench: &Bench, name: &str, id: &str, version: u32) -> OperatorReply {
    let request = OperatorRequest::AgreementActivate { id: id.parse().unwrap(), version, reason: "read it".into() };
    bench.ask_as(name, request, &[]).0
}

fn shown(bench: &Bench, id: &str) -> (AgreementInfo, String) {
    let (reply, text) =
        bench.ask_as("aud", OperatorRequest::AgreementShow { id: id.parse().unwrap(), version: None }, &[]);
    let OperatorReply::Agreement(info) = reply else { panic!("{reply:?}") };
    (info, String::from_utf8(text).unwrap())
}

fn is_about(entry: &sluse_protocol::audit::Entry, id: &str) -> bool {
    entry.act.starts_with("agreement-") && entry.details["agreement"] == id
}

fn without_dpia(id: &str) -> String {
    agreement(id).replace("[dpia]\nreference = \"2\"\n", "")
}

#[test]
fn a_draft_allows_nothing_until_another_operator_activates_it() {
    let bench = Bench::separated();
    let info = added(&bench, "olga", &agreement("new"));
    assert_eq!((info.status.as_str(), info.draft.unwrap().version), ("draft", 1));
    let dataset = Dataset { agreement: "new", ..Dataset::default() };
    assert_refused(&bench.offer(&dataset), Code::AgreementDraft);
    assert_operator_refused(&activated(&bench, "olga", "new", 1), Code::Forbidden);
    for name in ["rita", "adam", "aud"] {
        assert_operator_refused(&activated(&bench, name, "new", 1), Code::Forbidden);
    }
    let bench = bench.restart();
    assert_eq!(activated(&bench, "ole", "new", 1), OperatorReply::Done);
    assert_operator_refused(&activated(&bench, "ole", "new", 1), Code::WrongState);
    bench.accepted(&dataset);
    let version = &shown(&bench, "new").0.versions[0];
    assert_eq!((version.author.as_deref(), version.activated_by.as_deref()), (Some("olga"), Some("ole")));
    let log = bench.audit();
    let acts: Vec<_> = log.iter().filter(|entry| is_about(entry, "new")).collect();
    let named: Vec<_> = acts.iter().map(|entry| (entry.act.as_str(), entry.actor.as_str())).collect();
    assert_eq!(named[..2], [("agreement-added", "operator olga"), ("agreement-activated", "operator ole")]);
}

#[test]
fn what_lacks_what_it_rests_on_stays_a_draft_and_says_which() {
    let bench = Bench::separated();
    let info = added(&bench, "olga", &without_dpia("new"));
    assert_eq!(info.draft.unwrap().lacks, [Lack::Dpia]);
    let refused = activated(&bench, "ole", "new", 1);
    assert_operator_refused(&refused, Code::AgreementDraft);
    assert!(format!("{refused:?}").contains("DPIA"));
    assert!(matches!(changed(&bench, "olga", &agreement("new")), OperatorReply::Agreement(_)));
    assert_operator_refused(&activated(&bench, "ole", "new", 1), Code::WrongState);
    assert_eq!(activated(&bench, "ole", "new", 2), OperatorReply::Done);
    assert_eq!(shown(&bench, "new").0.status, "active");
}

#[test]
fn a_change_counts_when_it_is_activated_and_the_text_before_until_then() {
    let bench = Bench::separated();
    let narrower = agreement("lab").replace("max_files = 1000", "max_files = 1");
    assert!(matches!(changed(&bench, "olga", &narrower), OperatorReply::Agreement(_)));
    let (info, text) = shown(&bench, "lab");
    assert_eq!((info.status.as_str(), info.draft.unwrap().version), ("active", 2));
    assert_eq!(text, agreement("lab"));
    bench.accepted(&Dataset::default());
    assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
    assert_refused(&bench.offer(&Dataset { key: 1, ..Dataset::default() }), Code::TooManyFiles);
    let (info, text) = shown(&bench, "lab");
    assert_eq!((info.draft, text), (None, narrower));
    assert_eq!(info.versions[1].reason.as_deref(), Some("prolonged"));
}

#[test]
fn what_a_new_version_would_not_release_is_held_when_it_is_activated() {
    let bench = Bench::separated();
    let transfer = bench.released(&Dataset::default());
    changed(&bench, "olga", &agreement("lab").replace("automatic", "one-reviewer"));
    assert_eq!(bench.state(&transfer), State::Released);
    assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Held);
}

#[test]
fn what_a_new_version_releases_too_has_a_receipt_of_its_own() {
    let bench = Bench::separated();
    let transfer = bench.released(&Dataset::default());
    let receipts = |bench: &Bench| bench.acts().iter().filter(|act| *act == "transfer-released").count();
    assert_eq!(receipts(&bench), 1);
    changed(&bench, "olga", &agreement("lab").replace("Test", "Other"));
    assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
    assert_eq!((bench.state(&transfer), receipts(&bench)), (State::Released, 2));
    bench.wrap(&transfer);
    assert!(matches!(bench.deliver(DeliverRequest::Next).0, DeliverReply::Deliver { .. }));
}

#[test]
fn what_was_inspected_by_other_rules_is_inspected_by_the_new_ones() {
    for released in [true, false] {
        let bench = Bench::separated();
        let transfer = if released { bench.released(&Dataset::default()) } else { bench.held(&Dataset::default()) };
        let stricter = agreement("lab").replace("\"signatures\"]", "\"signatures\", \"clamd\"]");
        assert_ne!(stricter, agreement("lab"));
        changed(&bench, "olga", &stricter);
        assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
        assert_eq!(bench.state(&transfer), State::Received);
        let InspectReply::Inspect { content, .. } = bench.next_task() else { panic!() };
        assert_eq!(content.engines, ["file-type", "signatures", "clamd"]);
    }
}

#[test]
fn other_rules_of_content_are_not_activated_while_an_inspection_is_under_way() {
    let bench = Bench::separated();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    changed(&bench, "olga", &agreement("lab").replace("\"signatures\"]", "\"signatures\", \"clamd\"]"));
    let refused = activated(&bench, "ole", "lab", 2);
    assert_operator_refused(&refused, Code::WrongState);
    assert!(format!("{refused:?}").contains("1 inspections"));
    bench.inspected(&dataset, &transfer, &[]);
    assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Received);
}

#[test]
fn nothing_is_activated_while_a_delivery_is_under_way() {
    let bench = Bench::separated();
    let transfer = bench.delivering(&Dataset::default());
    changed(&bench, "olga", &agreement("lab").replace("automatic", "one-reviewer"));
    assert_operator_refused(&activated(&bench, "ole", "lab", 2), Code::WrongState);
    bench.visible(&transfer);
    assert_eq!(activated(&bench, "ole", "lab", 2), OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Delivered);
}

#[test]
fn a_version_has_the_flow_of_the_one_before_and_an_ended_agreement_has_no_more() {
    let bench = Bench::separated();
    let elsewhere = agreement("lab").replace("to = \"room\"", "to = \"other\"");
    assert_operator_refused(&changed(&bench, "olga", &elsewhere), Code::Invalid);
    assert_operator_refused(&changed(&bench, "olga", &agreement("nothing")), Code::UnknownName);
    let again = bench.ask_as("olga", OperatorRequest::AgreementAdd, agreement("lab").replace("Test", "T").as_bytes()).0;
    assert_operator_refused(&again, Code::NameTaken);
    changed(&bench, "olga", &agreement("lab").replace("Test", "Other"));
    let end = OperatorRequest::AgreementEnd { id: "lab".parse().unwrap(), reason: "over".into() };
    assert_eq!(bench.ask_as("olga", end, &[]).0, OperatorReply::Done);
    assert_operator_refused(&activated(&bench, "ole", "lab", 2), Code::WrongState);
    assert_operator_refused(&changed(&bench, "olga", &agreement("lab")), Code::WrongState);
}

#[test]
fn without_separated_powers_what_is_complete_is_in_force_at_once_and_what_is_not_is_a_draft() {
    let bench = Bench::new();
    let ask = |text: &str| bench.ask_operator(OperatorRequest::AgreementAdd, text.as_bytes()).0;
    let OperatorReply::Agreement(info) = ask(&without_dpia("new")) else { panic!() };
    assert_eq!(info.status, "draft");
    let change = OperatorRequest::AgreementChange { reason: "assessed".into() };
    let (OperatorReply::Agreement(info), _) = bench.ask_operator(change, agreement("new").as_bytes()) else { panic!() };
    assert_eq!((info.status.as_str(), info.draft), ("active", None));
}

#[test]
fn an_agreement_has_a_bounded_number_of_versions() {
    let bench = Bench::new();
    let change = |text: &str| {
        let request = OperatorRequest::AgreementChange { reason: "again".into() };
        bench.ask_operator(request, text.as_bytes()).0
    };
    for number in 2..=200 {
        let reply = change(&agreement("lab").replace("Test", &format!("Test {number}")));
        assert!(matches!(reply, OperatorReply::Agreement(_)), "{reply:?}");
    }
    assert_operator_refused(&change(&agreement("lab").replace("Test", "One more")), Code::WrongState);
}
