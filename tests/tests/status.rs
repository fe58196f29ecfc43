//! What a source learns of its transfers, also days later, and what scripts see of it.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::fs;

#[test]
fn a_rejection_is_told_later_with_its_reason_and_receipt_and_the_journal_keeps_it() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("virus.txt");
    fs::write(&file, data::eicar()).unwrap();
    let sent = source.send(&file, "virus", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap();
    zone.wait_for_state(transfer, "rejected");
    let identity = text(&source.identity);
    let told = run(sluse(&["status", transfer, "--identity", identity])).expect(0).stdout;
    for words in ["state      rejected since", "(rejected)", "to do", "rejected.json"] {
        assert!(told.contains(words), "{told}");
    }
    let table = run(sluse(&["status", "--identity", identity])).expect(0).stdout;
    assert!(table.lines().nth(1).unwrap().contains("rejected"), "{table}");
    zone.stop();
    run(sluse(&["status", "--identity", identity])).expect(6);
    let offline = run(sluse(&["status", transfer, "--offline", "--json", "--identity", identity])).expect(0).json();
    assert_eq!((&offline["state"], &offline["reason"]["code"]), (&"rejected".into(), &"rejected".into()));
    assert_eq!(offline["receipts"].as_array().unwrap().len(), 2);
    let unknown = ["status", "20200101-000000-00000000", "--offline", "--identity", identity];
    run(sluse(&unknown)).expect(4);
}

#[test]
fn sending_with_events_tells_each_step_as_a_line_of_json_and_ends_with_the_outcome() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("a.csv");
    fs::write(&file, data::csv(1, 9000)).unwrap();
    let words = ["send", text(&file), "--identity", text(&source.identity), "--agreement", "lab", "--dataset", "a"];
    let mut command = sluse(&words);
    command.args(["--wait", "delivered", "--events"]);
    let told = run(command).expect(0).stdout;
    let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for kind in ["planned", "accepted", "durable", "sealing", "receipt", "state"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))), "{told}");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["state"]), (&"ended".into(), &"delivered".into()));
    assert_eq!(lines.iter().filter(|line| line["kind"] == "delivered").count(), 1);
}
