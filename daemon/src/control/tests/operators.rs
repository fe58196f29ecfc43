//! What operators add and see.

use crate::control::testing::*;
use sluse_protocol::audit::parse_checkpoint;
use sluse_protocol::finding::EngineReport;
use sluse_protocol::limits::MAX_HEAD_BYTES;
use sluse_protocol::operator::{Health, OperatorReply, OperatorRequest};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{InspectRequest, Role};
use sluse_protocol::sshsig::{self, NAMESPACE_CHECKPOINT};
use sluse_protocol::transfer::State;

fn add_room(bench: &Bench, name: &str, folder: &str) -> OperatorReply {
    let (name, folder) = (name.parse().unwrap(), folder.to_owned());
    bench.operate(OperatorRequest::RoomAdd { name, folder, names: NameRule::Posix, elsewhere: None })
}

#[test]
fn rooms_have_folders_of_their_own() {
    let bench = Bench::empty();
    assert_eq!(add_room(&bench, "one", "a/b"), OperatorReply::Done);
    assert_eq!(add_room(&bench, "one", "a/b"), OperatorReply::Done);
    assert_operator_refused(&add_room(&bench, "one", "c"), Code::NameTaken);
    for folder in ["a/b", "a", "a/b/c", "A/B"] {
        assert_operator_refused(&add_room(&bench, "two", folder), Code::NameTaken);
    }
    for folder in ["", "/a", "../a", "a/../b", "a//b", ".sluse-incoming", "a/.hidden"] {
        assert_operator_refused(&add_room(&bench, "two", folder), Code::Invalid);
    }
    assert_eq!(add_room(&bench, "two", "a/bc"), OperatorReply::Done);
    assert_eq!(bench.acts(), ["room-added", "room-added"]);
}

#[test]
fn an_agreements_id_stands_for_one_text() {
    let bench = Bench::empty();
    let add = |text: &str| bench.ask_operator(OperatorRequest::AgreementAdd, text.as_bytes()).0;
    for _ in 0..2 {
        assert!(matches!(add(&agreement("a")), OperatorReply::Agreement(info) if info.status == "active"));
    }
    assert_operator_refused(&add(&agreement("a").replace("Test", "Other")), Code::NameTaken);
    assert_operator_refused(&add("id = 5"), Code::Invalid);
    assert_operator_refused(&add(&"#".repeat(70_000)), Code::TooLarge);
    assert_operator_refused(&bench.ask_operator(OperatorRequest::AgreementAdd, b"\xff").0, Code::Invalid);
    let id: sluse_protocol::ids::AgreementId = "a".parse().unwrap();
    let (shown, text) = bench.ask_operator(OperatorRequest::AgreementShow { id: id.clone(), version: None }, &[]);
    assert!(matches!(shown, OperatorReply::Agreement(info) if info.status == "active"));
    assert_eq!(text, agreement("a").as_bytes());
    let end = OperatorRequest::AgreementEnd { id, reason: "over".into() };
    assert_eq!(bench.operate(end.clone()), OperatorReply::Done);
    assert_eq!(bench.operate(end), OperatorReply::Done);
    assert_operator_refused(&add(&agreement("a")), Code::NameTaken);
    assert_eq!(bench.acts(), ["agreement-added", "agreement-ended"]);
}

#[test]
fn transfers_are_listed_newest_first_in_pages_that_fit_a_frame() {
    let bench = Bench::new();
    bench.mint(40..100);
    bench.mint(100..200);
    bench.mint(200..300);
    let mut sent = Vec::new();
    for key in 0..=255 {
        bench.wait(1);
        sent.push(bench.accepted(&Dataset { key, ..Dataset::default() }));
    }
    let reason = "x".repeat(1900);
    for transfer in &sent {
        bench.operate(OperatorRequest::Cancel { transfer: transfer.clone(), reason: reason.clone() });
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let request = OperatorRequest::Transfers { state: Some(State::Cancelled), before: before.clone() };
        let reply = bench.operate(request);
        assert!(serde_json::to_vec(&reply).unwrap().len() < MAX_HEAD_BYTES as usize);
        let OperatorReply::Transfers { transfers, more } = reply else { panic!() };
        seen.extend(transfers.iter().map(|transfer| transfer.status.transfer.clone()));
        before = seen.last().cloned();
        if !more {
            break;
        }
    }
    sent.reverse();
    assert_eq!(seen, sent);
    let none = OperatorRequest::Transfers { state: Some(State::Held), before: None };
    assert_eq!(bench.operate(none), OperatorReply::Transfers { transfers: vec![], more: false });
}

#[test]
fn a_checkpoint_is_signed_and_is_where_the_log_ends() {
    let bench = Bench::new();
    let (reply, text) = bench.ask_operator(OperatorRequest::Checkpoint, &[]);
    let OperatorReply::Checkpoint { signature } = reply else { panic!() };
    let key = bench.control.store.signer.key.public();
    sshsig::verify(&key, NAMESPACE_CHECKPOINT, &text, &signature).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(parse_checkpoint(&text), Some(("zone", bench.control.store.audit_position())));
}

#[test]
fn the_manifest_can_be_read_in_steps_once_it_is_sealed() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    let read = |offset| OperatorRequest::Manifest { transfer: transfer.clone(), part: false, offset };
    assert_operator_refused(&bench.operate(read(0)), Code::WrongState);
    bench.seal(&dataset, &transfer);
    let whole = dataset.manifest(&dataset.manifest_header(&transfer)).into_bytes();
    assert_eq!(bench.ask_operator(read(0), &[]), (OperatorReply::Document, whole.clone()));
    assert_eq!(bench.ask_operator(read(7), &[]).1, whole[7..]);
    assert_eq!(bench.ask_operator(read(whole.len() as u64), &[]).1, b"");
}

fn health(bench: &Bench) -> Health {
    match bench.operate(OperatorRequest::Health) {
        OperatorReply::Health(health) => health,
        other => panic!("{other:?}"),
    }
}

fn codes(problems: &[sluse_protocol::operator::HealthProblem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.code.as_str()).collect()
}

#[test]
fn health_names_what_is_wrong_and_what_a_person_should_know() {
    let bench = Bench::new();
    assert_eq!(codes(&health(&bench).problems), ["role-missing"], "receive");
    let engine = |name: &str| EngineReport {
        engine: name.into(),
        version: "1".into(),
        signatures: String::new(),
        files: 0,
        above_limit: None,
    };
    let engines = |engines: Vec<EngineReport>, full_malware_engine| {
        bench.inspect(InspectRequest::Engines { engines, failing: vec![], dated: [].into(), full_malware_engine }, &[]);
    };
    let receive = bench.control.live.connect(Role::Receive);
    engines(vec![engine("file-type"), engine("signatures")], false);
    let now = health(&bench);
    assert_eq!((codes(&now.problems), codes(&now.warnings)), (vec![], vec!["no-full-malware-engine"]));
    assert_eq!(now.roles.len(), 4);
    engines(vec![engine("file-type")], true);
    assert_eq!(codes(&health(&bench).problems), ["engine-missing"]);
    engines(vec![engine("file-type"), engine("signatures")], true);
    bench.held(&Dataset::default());
    assert_eq!(codes(&health(&bench).warnings), ["held"]);
    assert_eq!(health(&bench).transfers["held"], 1);
    bench.received(&Dataset { key: 1, free_bytes: 100_000, ..Dataset::default() });
    bench.wait(7 * 3600);
    assert_eq!(codes(&health(&bench).problems), ["slow"]);
    bench.wait(340 * DAY);
    assert!(codes(&health(&bench).warnings).contains(&"certificate-ends"));
    bench.control.live.disconnect(receive);
    assert!(codes(&health(&bench).problems).contains(&"role-missing"));
}

#[test]
fn a_list_that_no_single_answer_holds_comes_in_pages() {
    let bench = Bench::new();
    let names: Vec<String> = (0..400).map(|number| format!("room-{number:03}")).collect();
    for name in &names {
        // 400 of these are far more than the 256 KiB of an answer.
        let folder = vec![format!("{name}-{}", "x".repeat(200)); 5].join("/");
        let add =
            OperatorRequest::RoomAdd { name: name.parse().unwrap(), folder, names: NameRule::Posix, elsewhere: None };
        assert_eq!(bench.operate(add), OperatorReply::Done);
    }
    let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let OperatorReply::Rooms { rooms, more } = bench.operate(OperatorRequest::RoomList { after }) else { panic!() };
        after = rooms.last().map(|room| room.name.clone());
        found.extend(rooms.into_iter().map(|room| room.name.to_string()));
        pages += 1;
        if !more {
            break;
        }
    }
    found.retain(|name| name.starts_with("room-"));
    assert!(pages > 1 && found == names, "{pages} pages, {} rooms", found.len());
    let OperatorReply::Sources { sources, more } =
        bench.operate(OperatorRequest::SourceList { after: Some("lab".parse().unwrap()) })
    else {
        panic!()
    };
    assert!(!more && sources.iter().all(|source| source.name.as_str() > "lab"));
}
