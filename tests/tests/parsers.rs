//! The parsers of a running zone, seen from outside.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluse_tests::data;
use sluse_tests::zone::Zone;
use std::fs;

fn children(of: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The processes that the nursery of `inspect` has started.
fn parsers(zone: &Zone) -> Vec<i32> {
    zone.process("inspect").into_iter().flat_map(children).flat_map(children).collect()
}

#[test]
fn a_file_whose_parser_was_killed_is_held_and_named_and_the_next_file_is_inspected() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let folder = zone.folder.path().join("extract");
    fs::create_dir(&folder).unwrap();
    // Long enough that its parser is met at work.
    fs::write(folder.join("a-large.csv"), data::csv(1, 100_000_000)).unwrap();
    fs::write(folder.join("b-small.csv"), data::csv(2, 3_000)).unwrap();
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| source.send(&folder, "extract", "received"));
        // No other transfer is there, and the engines were tested before the roles were ready: it is this transfer's.
        let victim = zone.eventually("a parser is at work", || parsers(&zone).first().copied());
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        sending.join().unwrap()
    });
    let transfer = sent.expect(0).json()["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    let finding = "not-inspected (file-type): a-large.csv: the parser that read it was killed";
    assert!(shown.contains(finding), "{shown}");
    assert!(shown.contains("read 1 files") && !shown.contains("b-small.csv:"), "{shown}");
    let again = zone.operate(&["inspect-again", &transfer, "--reason", "its parser was killed by a test"]);
    again.expect(0);
    zone.wait_for_state(&transfer, "delivered");
}

#[test]
fn parsers_and_their_nursery_end_with_inspect() {
    let zone = Zone::start();
    let inspect = zone.process("inspect").unwrap();
    let nursery = children(inspect);
    assert_eq!(nursery.len(), 1);
    assert!(zone.kill("inspect"));
    let gone = || !fs::exists(format!("/proc/{}", nursery[0])).unwrap();
    zone.eventually("the nursery ends", || gone().then_some(()));
}

#[test]
fn a_nursery_that_is_killed_comes_back_with_inspect_and_nothing_is_called_uninspected_for_it() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let inspect = zone.process("inspect").unwrap();
    kill(Pid::from_raw(children(inspect)[0]), Signal::SIGKILL).unwrap();
    let file = zone.folder.path().join("table.csv");
    fs::write(&file, data::csv(1, 10_000)).unwrap();
    source.deliver(&file, "table");
    assert_ne!(zone.process("inspect"), Some(inspect));
}
