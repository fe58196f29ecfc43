//! Out of a room: which source is a room's, and under which agreements it sends.

use crate::control::testing::*;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::ReceiveReply;

/// A zone of separated powers with a second room, `heart`, whose own source is enrolled as `out`.
fn bench() -> Bench {
    let bench = Bench::new();
    let (name, folder, names) = ("heart".parse().unwrap(), "heart".into(), NameRule::Posix);
    assert_eq!(bench.operate(OperatorRequest::RoomAdd { name, folder, names, elsewhere: None }), OperatorReply::Done);
    let (reply, text) = invite(&bench, "out", Some("heart"));
    assert!(matches!(reply, OperatorReply::Invite { .. }), "{reply:?}");
    let enrolled = bench.enrol_with(&String::from_utf8(text).unwrap());
    assert!(matches!(enrolled, ReceiveReply::Enrolled { .. }), "{enrolled:?}");
    bench.separate()
}

fn invite(bench: &Bench, name: &str, room: Option<&str>) -> (OperatorReply, Vec<u8>) {
    let room = room.map(|room| room.parse().unwrap());
    bench.ask_operator(OperatorRequest::SourceInvite { name: name.parse().unwrap(), hours: 1, room }, &[])
}

/// The text of an agreement from `out`, of exports or not.
fn agreement_of(from: &str, to: &str, export: bool) -> String {
    let text = agreement("x").replace("from = \"lab\"", &format!("from = \"{from}\""));
    let text = text.replace("to = \"room\"", &format!("to = \"{to}\"")).replace("automatic", "two-reviewers");
    if export { text + "\n[export]\noutput = [\"figures\"]\n" } else { text }
}

/// Adds an agreement, and what activating it is answered.
fn activated(bench: &Bench, text: &str) -> OperatorReply {
    let (reply, _) = bench.ask_as("olga", OperatorRequest::AgreementAdd, text.as_bytes());
    assert!(matches!(reply, OperatorReply::Agreement(_)), "{reply:?}");
    let activate = OperatorRequest::AgreementActivate { id: "x".parse().unwrap(), version: 1, reason: "read".into() };
    bench.ask_as("ole", activate, &[]).0
}

#[test]
fn an_agreement_goes_in_the_direction_of_its_source() {
    assert_eq!(activated(&bench(), &agreement_of("out", "room", true)), OperatorReply::Done);
    assert_operator_refused(&activated(&bench(), &agreement_of("out", "room", false)), Code::Forbidden);
    assert_operator_refused(&activated(&bench(), &agreement_of("lab", "room", true)), Code::Forbidden);
    assert_operator_refused(&activated(&bench(), &agreement_of("out", "heart", true)), Code::ForbiddenRoom);
}

#[test]
fn an_agreement_that_was_there_before_its_source_is_looked_at_when_something_is_offered() {
    let bench = Bench::separated();
    let (name, folder, names) = ("heart".parse().unwrap(), "heart".into(), NameRule::Posix);
    bench.operate(OperatorRequest::RoomAdd { name, folder, names, elsewhere: None });
    assert_eq!(activated(&bench, &agreement_of("out", "room", false)), OperatorReply::Done);
    let (_, text) = invite(&bench, "out", Some("heart"));
    bench.enrol_with(&String::from_utf8(text).unwrap());
    let dataset = Dataset { source: "out", agreement: "x", ..Dataset::default() };
    assert_refused(&bench.offer(&dataset), Code::Forbidden);
}

#[test]
fn a_source_is_of_a_room_that_is_known_and_stays_so() {
    let bench = bench();
    assert_operator_refused(&invite(&bench, "new", Some("nowhere")).0, Code::UnknownName);
    for room in [None, Some("room")] {
        assert_operator_refused(&invite(&bench, "out", room).0, Code::Invalid);
    }
    assert_operator_refused(&invite(&bench, "lab", Some("heart")).0, Code::Invalid);
    assert!(matches!(invite(&bench, "out", Some("heart")).0, OperatorReply::Invite { .. }));
    let OperatorReply::Sources { sources, .. } = bench.operate(OperatorRequest::SourceList { after: None }) else {
        panic!()
    };
    let rooms: Vec<_> =
        sources.iter().map(|source| (source.name.as_str(), source.room.as_ref().map(|room| room.as_str()))).collect();
    assert_eq!(rooms, [("lab", None), ("out", Some("heart"))]);
}

#[test]
fn whoever_takes_a_source_out_of_its_room_in_the_database_is_noticed_at_the_next_start() {
    let bench = bench();
    let folder = bench.stop();
    let database = sluse_host::layout::Layout::new(folder.path()).database();
    rusqlite::Connection::open(database).unwrap().execute("UPDATE sources SET room = NULL", []).unwrap();
    let error = Bench::reopen(folder).err().expect("it must not start");
    assert!(error.to_string().contains("source out"), "{error}");
}
