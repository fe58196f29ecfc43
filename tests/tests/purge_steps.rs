//! A power cut at each step of a purge: the key goes, then the bytes, and then the receipt says so, whatever happens in between. strace kills
//! the role just before each system call. Needs root, to trace roles.

use sluse_tests::data;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::Zone;
use std::collections::BTreeMap;
use std::fs;

/// Steps of one kind that are tried at most.
const MOST: usize = 8;

/// Purges a transfer while `role` is killed before one step; whether there was such a step.
fn purge(zone: &Zone, transfer: &str, role: &str, call: &str, nth: usize) -> bool {
    let identity = zone.show(transfer)["identity"].as_str().unwrap().to_owned();
    let identity = zone.root().join(format!("inspect/identities/{identity}.age"));
    let sealed = zone.root().join("quarantine/sealed").join(transfer);
    assert!(identity.exists() && sealed.exists(), "it is retained");
    let trace = Trace::attach(zone, role, call, nth, Fault::Death);
    // `control` may be killed over its answer, and be on its way back.
    let shown = || serde_json::from_str::<serde_json::Value>(&zone.operate(&["show", transfer, "--json"]).stdout).ok();
    zone.eventually("it is not retained any more", || {
        zone.operate(&["retain", transfer, "--lift", "--reason", "over"]);
        shown()?["retained"].is_null().then_some(())
    });
    zone.eventually("it is purged", || {
        let shown = shown()?;
        // Without its key it is nothing; with its bytes it has its key.
        assert!(sealed.exists() || !identity.exists(), "the bytes are gone before the key");
        (shown["info"]["status"]["state"] == "purged").then_some(())
    });
    let struck = trace.struck();
    trace.detach();
    assert!(!identity.exists() && !sealed.exists(), "{role}'s {call} {nth}");
    zone.wait_for_roles();
    let receipts = &zone.show(transfer)["info"]["status"]["receipts"];
    assert!(receipts.as_array().unwrap().contains(&"purged".into()), "{receipts}");
    struck
}

fn sweep(role: &str, calls: &[&str]) {
    let zone = Zone::start();
    let reviewed = |text: String| {
        let text = text.replace("quarantine_days = 30", "quarantine_days = 0");
        text.replace("rule = \"automatic\"", "rule = \"one-reviewer\"")
    };
    zone.agree("lab", "lab", reviewed).expect(0);
    let source = zone.enrol("lab");
    let (mut number, mut steps) = (0, BTreeMap::new());
    for call in calls {
        for nth in 1..=MOST {
            number += 1;
            let dataset = format!("{call}-{number}");
            let file = zone.folder.path().join(&dataset);
            fs::write(&file, data::noise(number, 5_000_000)).unwrap();
            let sent = source.send(&file, &dataset, "received").expect(0).json();
            let transfer = sent["transfer"].as_str().unwrap();
            zone.wait_for_state(transfer, "held");
            zone.operate(&["retain", transfer, "--reason", "not yet"]).expect(0);
            zone.operate(&["release", transfer, "--reason", "seen"]).expect(0);
            zone.wait_for_state(transfer, "delivered");
            if !purge(&zone, transfer, role, call, nth) {
                break;
            }
            *steps.entry(*call).or_insert(0) += 1;
        }
    }
    eprintln!("{role}: {steps:?}");
    assert!(calls.iter().all(|call| steps.contains_key(call)), "each kind of step was met: {steps:?}");
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn inspect_is_killed_before_each_step_of_a_purge() {
    sweep("inspect", &["unlink", "unlinkat", "fsync"]);
}

#[test]
fn control_is_killed_before_each_step_of_taking_a_purge_down() {
    sweep("control", &["ftruncate", "unlink"]);
}
