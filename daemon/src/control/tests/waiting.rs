//! What waits has an end.

use crate::control::deadlines;
use crate::control::testing::*;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{InspectReply, InspectRequest, ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;

#[test]
fn a_transfer_to_which_nothing_comes_expires_and_one_that_moves_does_not() {
    let bench = Bench::new();
    let still = bench.accepted(&Dataset::default());
    let moving = bench.accepted(&Dataset { key: 1, files: vec![("a.bin", 90_000_000)], ..Dataset::default() });
    for chunks in 1..4 {
        bench.wait(5 * DAY);
        bench.ask(ReceiveRequest::Progress { transfer: moving.clone(), chunks });
        deadlines::tick(&bench.control).unwrap();
    }
    assert_eq!([bench.state(&still), bench.state(&moving)], [State::Expired, State::Receiving]);
    assert_eq!(bench.show(&still).info.status.reason.unwrap().code, Code::Expired);
    let ReceiveReply::Changes { ended, .. } = bench.ask(ReceiveRequest::Changes { after: 0 }).0 else { panic!() };
    assert_eq!(ended, [still]);
}

#[test]
fn progress_is_known_at_once_and_survives_a_restart_once_written_down() {
    let bench = Bench::new();
    let dataset = Dataset { files: vec![("a.bin", 90_000_000)], ..Dataset::default() };
    let transfer = bench.accepted(&dataset);
    bench.ask(ReceiveRequest::Progress { transfer: transfer.clone(), chunks: 3 });
    let durable = |bench: &Bench| bench.show(&transfer).info.durable_bytes;
    assert_eq!(durable(&bench), 3 * 4 * 1024 * 1024);
    deadlines::tick(&bench.control).unwrap();
    let bench = bench.restart();
    assert_eq!(durable(&bench), 3 * 4 * 1024 * 1024);
    bench.ask(ReceiveRequest::Progress { transfer: transfer.clone(), chunks: 1_000_000 });
    assert_eq!(durable(&bench), 90_000_000, "never more than there is");
}

#[test]
fn a_held_transfer_that_nobody_decides_on_expires() {
    let bench = Bench::new();
    let transfer = bench.held(&Dataset::default());
    bench.wait(60 * DAY);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.state(&transfer), State::Held);
    bench.wait(1);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.state(&transfer), State::Expired);
}

#[test]
fn a_settled_transfer_is_purged_after_its_retention_and_names_of_files_go_with_it() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.held(&dataset);
    let reason = "no".to_owned();
    bench.operate(OperatorRequest::Reject { transfer: transfer.clone(), reason });
    bench.wait(30 * DAY - 1);
    let early = bench.inspect(InspectRequest::Purged { transfer: transfer.clone() }, &[]);
    assert!(matches!(early, InspectReply::Refused(_)));
    bench.wait(1);
    let InspectReply::Purge { transfer: next, recipient } = bench.next_task() else { panic!() };
    assert_eq!((&next, Some(recipient)), (&transfer, bench.show(&transfer).identity));
    for _ in 0..2 {
        let purged = InspectRequest::Purged { transfer: transfer.clone() };
        assert_eq!(bench.inspect(purged, &[]), InspectReply::Done);
    }
    assert_eq!(bench.state(&transfer), State::Purged);
    assert_eq!(std::fs::read_dir(bench.layout().documents()).unwrap().count(), 0);
    let (_, findings) = bench.ask_operator(OperatorRequest::Show { transfer }, &[]);
    assert_eq!(findings, b"[]");
}

#[test]
fn what_was_delivered_keeps_its_manifest_after_the_purge() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    bench.wait(30 * DAY);
    assert!(matches!(bench.next_task(), InspectReply::Purge { .. }));
    bench.inspect(InspectRequest::Purged { transfer: transfer.clone() }, &[]);
    let names: Vec<_> =
        std::fs::read_dir(bench.layout().documents()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [format!("{transfer}.manifest").as_str()]);
    assert!(bench.show(&transfer).info.status.receipts.len() == 4);
}

#[test]
fn a_source_that_waits_for_another_state_is_answered_when_it_comes() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    let ask = |unless, wait_seconds| {
        let request = ReceiveRequest::Status { source: lab(), transfer: transfer.clone(), unless, wait_seconds };
        match bench.ask(request).0 {
            ReceiveReply::Status(status) => status.state,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(None, 20), State::Inspecting);
    assert_eq!(ask(Some(State::Received), 20), State::Inspecting);
    assert_eq!(ask(Some(State::Inspecting), 0), State::Inspecting);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(Some(State::Inspecting), 20));
        bench.inspected(&dataset, &transfer, &[]);
        assert_eq!(waiting.join().unwrap(), State::Released);
    });
}

#[test]
fn troubles_of_what_has_ended_are_forgotten() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    let outcome = sluse_protocol::roles::InspectOutcome::Fault { reason: "disk".into() };
    bench.inspect(InspectRequest::Inspected { transfer: transfer.clone(), outcome }, &[]);
    bench.operate(OperatorRequest::Cancel { transfer, reason: "enough".into() });
    assert_eq!(bench.control.work.troubles().len(), 1);
    deadlines::tick(&bench.control).unwrap();
    assert_eq!(bench.control.work.troubles(), []);
}
