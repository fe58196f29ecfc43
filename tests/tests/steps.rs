//! Each step by which bytes become durable or visible, failed and cut off: every sync, rename and removal of `receive`, `inspect`
//! and `deliver` on the way of a transfer ends once with an I/O error, and once with the role's death just before it. strace
//! does both. What is delivered afterwards is whole, delivered once, and proven. Needs root, to trace roles.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Steps of one kind that are tried in one thread of a role, at most.
const MOST: usize = 12;

/// Sends a dataset while one step of `role` fails; whether there was such a step.
fn send(zone: &Zone, source: &Source, number: usize, role: &str, call: &str, nth: usize, fault: Fault) -> bool {
    let dataset = format!("{role}-{number}");
    let tree = zone.folder.path().join(&dataset);
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("small.csv"), data::csv(number as u64, 3000)).unwrap();
    fs::write(tree.join("large.bin"), data::noise(number as u64, 9_000_000)).unwrap();
    let trace = Trace::attach(zone, role, call, nth, fault);
    let mut command = source.sending(&tree, &dataset, "delivered");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let struck = zone.eventually("the step fails, or the dataset is delivered", || {
        // What is visible is whole at every moment.
        whole_or_absent(zone, &dataset, &tree);
        match (trace.struck(), child.try_wait().unwrap()) {
            (true, _) => Some(true),
            // The source may hear of it before the role has taken its last steps.
            (false, Some(_)) if is_settled(zone, &dataset) => Some(trace.struck()),
            (false, _) => None,
        }
    });
    trace.detach();
    whole_or_absent(zone, &dataset, &tree);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{fault:?} at {role}'s {call} {nth}: {told}\n{}", zone.log());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let transfer = told["transfer"].as_str().unwrap();
    proven(zone, &dataset, transfer, &tree);
    fs::remove_dir_all(tree).unwrap();
    struck
}

/// The receipt lies beside the bag, and `deliver` owes nothing more.
fn is_settled(zone: &Zone, dataset: &str) -> bool {
    let beside = fs::read_dir(zone.room().join(dataset)).into_iter().flatten().flatten();
    let laid = beside.map(|entry| entry.path().join("delivered.json")).any(|receipt| receipt.exists());
    laid && fs::read_dir(zone.root().join("deliver/pending")).unwrap().next().is_none()
}

/// The bags of a dataset, receipts aside.
fn bags(zone: &Zone, dataset: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(zone.room().join(dataset)).into_iter().flatten().flatten().map(|entry| entry.path());
    listed.filter(|path| path.extension().is_none_or(|end| end != "receipts")).collect()
}

fn whole_or_absent(zone: &Zone, dataset: &str, tree: &Path) {
    for bag in bags(zone, dataset) {
        assert!(data::tree(&bag.join("data")) == data::tree(tree), "{} is not whole", bag.display());
        assert!(bag.join("tagmanifest-sha256.txt").exists());
    }
}

/// Delivered once, whole, with its receipt beside it.
fn proven(zone: &Zone, dataset: &str, transfer: &str, tree: &Path) {
    let bag = zone.room().join(dataset).join(transfer);
    assert_eq!(bags(zone, dataset), std::slice::from_ref(&bag), "once");
    whole_or_absent(zone, dataset, tree);
    let receipt = zone.room().join(dataset).join(format!("{transfer}.receipts/delivered.json"));
    zone.eventually("the receipt lies beside the bag", || receipt.exists().then_some(()));
    zone.eventually("bag and receipts verify", || {
        let words = ["bag", "verify", text(&bag), "--signer", text(&zone.signers())].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (run(sluse(&words)).code == 0).then_some(())
    });
}

/// Fails every step of these kinds in `role`, one after another; says how many of each kind there were.
fn sweep(role: &str, calls: &[&str], fault: Fault) {
    let zone = Zone::start();
    let source = zone.source("lab");
    let (mut number, mut steps) = (0, BTreeMap::new());
    for call in calls {
        for nth in 1..=MOST {
            number += 1;
            if !send(&zone, &source, number, role, call, nth, fault) {
                break;
            }
            *steps.entry(*call).or_insert(0) += 1;
        }
    }
    eprintln!("{role}, {fault:?}: {steps:?}");
    assert!(calls.iter().all(|call| steps.contains_key(call)), "each kind of step was met: {steps:?}");
    let half = zone.room().join(".sluse-incoming");
    assert!(!half.exists() || fs::read_dir(half).unwrap().next().is_none(), "no half bag is left");
    // A note that could not be removed goes when `deliver` is idle the next time.
    let owed = || fs::read_dir(zone.root().join("deliver/pending")).unwrap().count();
    zone.eventually("no receipt is owed", || (owed() == 0).then_some(()));
    zone.operate(&["audit", "verify"]).expect(0);
}

const RECEIVE: &[&str] = &["rename", "fdatasync", "fsync"];
const INSPECT: &[&str] = &["renameat2", "fsync"];
const DELIVER: &[&str] = &["fdatasync", "syncfs", "renameat2", "fsync", "rename", "renameat", "unlink"];

#[test]
fn receive_is_killed_before_each_step_of_its_commits() {
    sweep("receive", RECEIVE, Fault::Death);
}

#[test]
fn each_step_of_receives_commits_fails() {
    sweep("receive", RECEIVE, Fault::Error);
}

#[test]
fn inspect_is_killed_before_each_step_of_taking_over() {
    sweep("inspect", INSPECT, Fault::Death);
}

#[test]
fn each_step_of_taking_over_fails() {
    sweep("inspect", INSPECT, Fault::Error);
}

#[test]
fn deliver_is_killed_before_each_step_in_a_room() {
    sweep("deliver", DELIVER, Fault::Death);
}

#[test]
fn each_step_in_a_room_fails() {
    sweep("deliver", DELIVER, Fault::Error);
}
