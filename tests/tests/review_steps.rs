//! A power cut at each step of two reviews and the release that they make: no choice and no release without its entry in the log, no release
//! without both choices, and nothing in the room that they left out. strace kills `control` just before each system call. Needs root.

use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::site::{SETUP, Site};
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::text;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Steps of one kind that are tried at most.
const MOST: usize = 2;

/// The calls by which a document is kept and a transaction committed.
const STEPS: &[&str] = &["pwrite64", "fdatasync", "fsync", "rename"];

/// A transfer's acts in the log.
fn acts(site: &Site, transfer: &str) -> Vec<String> {
    let file = site.zone.folder.path().join("log.jsonl");
    for end in ["jsonl", "jsonl.checkpoint", "jsonl.checkpoint.sig"] {
        let _ = fs::remove_file(file.with_extension(end));
    }
    site.zone.eventually("the log is exported", || {
        (site.zone.operate(&["audit", "export", text(&file)]).code == 0).then_some(())
    });
    let log = fs::read_to_string(file).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries
        .filter(|entry| entry["transfer"] == transfer)
        .map(|entry| entry["act"].as_str().unwrap().to_owned())
        .collect()
}

/// A person releases all but one file, however often he or she must ask.
fn release(site: &Site, person: &str, transfer: &str) {
    site.zone.eventually(&format!("{person}'s choice is kept"), || {
        let words = ["release", transfer, "--reason", "looked at it", "--without", "b.csv"];
        let ended = site.as_person(person, &words);
        // An answer that was lost is told again: as a choice that was made, or a transfer that is held no more.
        let told = ["chosen already", "not held"].iter().any(|told| ended.stderr.contains(told));
        // No zone, no answer, or a socket that is being made.
        let away = ended.code == 6 || ended.stderr.contains("reach the zone at");
        assert!(ended.code == 0 || away || told, "{} {}", ended.code, ended.stderr);
        (!away).then_some(())
    });
}

/// Two persons release a part while `control` is killed before one step of what follows the first or the second choice; whether there was
/// such a step.
fn decide(site: &Site, transfer: &str, bag: &Path, first: bool, (call, nth): (&str, usize)) -> bool {
    let attach = || Trace::attach(&site.zone, "control", call, nth, Fault::Death);
    let mut trace = first.then(attach);
    release(site, "t-rita", transfer);
    let between = acts(site, transfer);
    let count = |acts: &[String], act: &str| acts.iter().filter(|one| *one == act).count();
    assert_eq!((count(&between, "review-made"), count(&between, "transfer-released")), (1, 0), "{call} {nth}");
    assert!(!bag.exists());
    let trace = trace.take().unwrap_or_else(attach);
    release(site, "t-roar", transfer);
    let is_delivered = || site.zone.operate(&["transfers", "--state", "delivered"]).stdout.contains(transfer);
    site.zone.eventually("it is delivered", || is_delivered().then_some(()));
    let struck = trace.struck();
    trace.detach();
    site.zone.wait_for_roles();
    let after = acts(site, transfer);
    let told =
        ["review-made", "transfer-released", "disclosure-recorded", "transfer-delivered"].map(|act| count(&after, act));
    assert_eq!(told, [2, 1, 1, 1], "{call} {nth}: {after:?}");
    assert_eq!(data::tree(&bag.join("data")).into_keys().collect::<Vec<_>>(), ["a.csv"], "{call} {nth}");
    struck
}

/// Sends two files, of which one is to be left out; held.
fn held(site: &Site, source: &Source, dataset: &str) -> String {
    let tree = site.zone.folder.path().join(dataset);
    fs::create_dir(&tree).unwrap();
    for (number, name) in ["a.csv", "b.csv"].iter().enumerate() {
        fs::write(tree.join(name), data::csv(number as u64, 100)).unwrap();
    }
    let sent = source.send(&tree, dataset, "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    site.wait_for(&transfer, "held");
    transfer
}

#[test]
fn control_is_killed_before_each_step_of_two_reviews_and_the_release() {
    with_own_etc("control_is_killed_before_each_step_of_two_reviews_and_the_release", SETUP, || {
        let site = Site::start();
        let file = site.agreement("lab", |text| text.replace("automatic", "two-reviewers"));
        site.agree("lab", &file);
        let source = site.zone.enrol("lab");
        let mut steps = BTreeMap::new();
        for (call, first) in STEPS.iter().flat_map(|call| [(*call, true), (*call, false)]) {
            for nth in 1..=MOST {
                let dataset = format!("{call}-{first}-{nth}");
                let transfer = held(&site, &source, &dataset);
                let bag = site.zone.room().join(&dataset).join(&transfer);
                if !decide(&site, &transfer, &bag, first, (call, nth)) {
                    break;
                }
                *steps.entry((call, first)).or_insert(0) += 1;
            }
        }
        eprintln!("{steps:?}");
        for met in [("pwrite64", true), ("pwrite64", false), ("rename", false)] {
            assert!(steps.contains_key(&met), "{met:?} was met: {steps:?}");
        }
        site.zone.operate(&["audit", "verify"]).expect(0);
        site.zone.operate(&["register", "reconcile"]).expect(0);
    });
}
