//! What docs/integrating.md and the sender's examples tell integrators to do, done.

use sluse_tests::command::{Ended, binaries, program, run};
use sluse_tests::sandbox::Sandbox;
use sluse_tests::zone::text;
use std::fs;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/integrating.md");

/// The commands of the page that are to be run as they stand.
fn commands() -> String {
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|after| after.split_once("```"));
    blocks.map(|(block, _)| block).collect()
}

#[test]
fn the_way_from_nothing_to_the_first_receipt_is_as_it_is_written() {
    let sandbox = Sandbox::start();
    let script = commands();
    assert!(script.contains("sluse enroll") && script.contains("sluse watch"), "{script}");
    let path = format!("{}:{}", text(&binaries()), std::env::var("PATH").unwrap());
    let script = format!("set -eux\nexport PATH='{path}'\n{script}");
    let ended = program("bash", &[&"-c", &script], sandbox.place(), b"").expect(0);
    for said in [
        "state      delivered",
        "OK: zone sandbox states",
        "Good \"sluse-receipt\" signature for sandbox",
        "\"sent_bytes\": 0",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {ended:?}");
    }
}

#[test]
fn every_page_that_the_docs_name_is_there_and_every_page_is_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrating");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(PAGE.contains(&format!("](integrating/{name})")), "{name} is not named");
    }
    for after in PAGE.split("](integrating/").skip(1) {
        let (name, _) = after.split_once(')').unwrap();
        assert!(folder.join(name).is_file(), "{name} is not there");
    }
}

/// Runs one of the sender's examples.
fn example(name: &str, words: &[&str]) -> Ended {
    let mut command = Command::new(binaries().join("examples").join(name));
    command.args(words);
    run(command)
}

#[test]
fn the_senders_examples_enrol_send_ask_and_watch() {
    let sandbox = Sandbox::start();
    let place = |name: &str| sandbox.place().join(name);
    let (invite, identity) = (sandbox.path("invite"), place("identity"));
    let enrolled = example("enrol", &[text(&invite), text(&identity)]).expect(0);
    assert_eq!(enrolled.stdout, "newcomer is enrolled at sandbox\n");
    let sample = sandbox.path("samples").join("plain");
    let sent = example("send", &[text(&identity), "newcomer", "first", text(&sample)]).expect(0);
    assert!(sent.stdout.contains(" is delivered\n") && sent.stdout.contains("delivered: "), "{sent:?}");
    let virus = sandbox.path("samples").join("malware");
    let rejected = example("send", &[text(&identity), "newcomer", "virus", text(&virus)]).expect(7);
    assert!(rejected.stderr.contains("not delivered") && rejected.stderr.contains("hint: "), "{rejected:?}");
    let refused = example("send", &[text(&identity), "nothing", "first", text(&sample)]).expect(4);
    assert!(refused.stderr.contains("unknown-agreement"), "{refused:?}");
    let known = example("status", &[text(&identity)]).expect(0);
    assert!(
        known.stdout.contains(" delivered first") && known.stdout.contains(" rejected virus rejected"),
        "{known:?}"
    );
    fs::create_dir(place("outbox")).unwrap();
    fs::create_dir(place("state")).unwrap();
    fs::copy(sample.join("results.csv"), place("outbox").join("results.csv")).unwrap();
    let config = "[watch]\nstate = \"state\"\nidentity = \"identity\"\npoll_seconds = 1\n\
                  [outbox.out]\nfolder = \"outbox\"\nagreement = \"newcomer\"\ncomplete = \"rename\"\n";
    fs::write(place("watch.toml"), config).unwrap();
    let watched = example("outbox", &[text(&place("watch.toml"))]).expect(0);
    assert!(watched.stdout.ends_with(" was delivered\n"), "{watched:?}");
}
