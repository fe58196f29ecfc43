//! Every key of a zone exchanged while transfers run: nothing is lost, and what was signed before and after verifies with our commands,
//! with `ssh-keygen`, and by an auditor who knows the first signing key alone. And what is left when that is cut off at any step.

use serde_json::Value;
use sluse_tests::command::{Ended, binaries, program, run, sluse};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::trace::Fault;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/audit/check.py");

const KEYS: [&str; 6] = ["signing", "quarantine", "deliver", "tls", "ca", "reset"];

fn rotate(zone: &Zone, words: &[&str]) -> Ended {
    zone.operate(&[&["zone", "rotate", "--json"][..], words].concat())
}

/// An extract of its own.
fn extract(zone: &Zone, number: usize) -> PathBuf {
    let tree = zone.folder.path().join(format!("extract-{number}"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a.csv"), data::csv(number as u64, 3000)).unwrap();
    fs::write(tree.join("b.bin"), data::noise(number as u64, 6_000_000)).unwrap();
    tree
}

/// Sends extracts one after another until it is told to stop: each one, and its transfer.
fn keep_sending(zone: &Zone, source: &Source, stop: &AtomicBool) -> Vec<(PathBuf, String)> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let tree = extract(zone, sent.len());
        let transfer = source.deliver(&tree, "nightly");
        sent.push((tree, transfer));
    }
    sent
}

/// The room has what was sent, and each receipt verifies: by `sluse` and, at its own time, by `ssh-keygen`.
fn proven(zone: &Zone, source: &Source, tree: &Path, transfer: &str) {
    let bag = zone.room().join("nightly").join(transfer);
    assert!(data::tree(&bag.join("data")) == data::tree(tree), "{transfer} is whole");
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&zone.signers())])).expect(0);
    for kind in ["received", "released", "delivered"] {
        let receipt = source.receipts(transfer).join(format!("{kind}.json"));
        run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&zone.signers())])).expect(0);
        let statement = fs::read(&receipt).unwrap();
        let read: Value = serde_json::from_slice(&statement).unwrap();
        let time: String = read["time"].as_str().unwrap().chars().filter(|c| !"-:T".contains(*c)).collect();
        let (signers, signature) = (zone.signers(), receipt.with_extension("json.sig"));
        let time = format!("-Overify-time={time}");
        let words = ["-Y", "verify", "-I", "sluse", "-n", "sluse-receipt", &time, "-f", text(&signers), "-s"];
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        words.push(&signature);
        program("ssh-keygen", &words, Path::new("/"), &statement).expect(0);
    }
}

#[test]
fn every_key_is_exchanged_while_transfers_run_and_nothing_is_lost() {
    let zone = Zone::start();
    let (source, early) = (zone.source("lab"), zone.source("early"));
    let case = zone.folder.path().join("case");
    fs::create_dir(&case).unwrap();
    // What an auditor, and a witness, know from the beginning.
    let known = case.join("known");
    fs::copy(zone.signers(), &known).unwrap();
    zone.operate(&["audit", "checkpoint", text(&case.join("first"))]).expect(0);
    let before = extract(&zone, 1000);
    let held = source.deliver(&before, "nightly");
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| keep_sending(&zone, &source, &stop));
        let mut number = 2000;
        let mut delivered = || {
            number += 1;
            let tree = extract(&zone, number);
            (early.deliver(&tree, "nightly"), tree)
        };
        let mut others = Vec::new();
        for key in KEYS {
            let done = rotate(&zone, &[key]).expect(0).json();
            let wanted = [Value::from(key), "rotated".into(), true.into()];
            assert_eq!([&done["key"], &done["change"], &done["running"]], wanted.each_ref());
            others.push(delivered());
        }
        // The sender that is under way moves to the new authority at its next connection.
        for key in ["quarantine", "ca"] {
            zone.eventually("nothing needs the old one", || {
                (rotate(&zone, &[key, "--end-old"]).code == 0).then_some(())
            });
            others.push(delivered());
        }
        stop.store(true, Ordering::SeqCst);
        for (transfer, tree) in others {
            proven(&zone, &early, &tree, &transfer);
        }
        sending.join().unwrap()
    });
    assert!(sent.len() > 1, "transfers ran meanwhile");
    source.deliver(&extract(&zone, 3000), "nightly");
    proven(&zone, &source, &before, &held);
    sent.iter().for_each(|(tree, transfer)| proven(&zone, &source, tree, transfer));
    zone.operate(&["audit", "verify"]).expect(0);
    zone.operate(&["zone", "check"]).expect(0);
    zone.operate(&["register", "reconcile"]).expect(0);
    audited(&zone, &source, &case, &held, &sent[sent.len() - 1].1);
    for source in ["lab", "early"] {
        let identity = zone.folder.path().join(format!("identity-{source}"));
        assert_eq!(fs::read(identity.join("ca.crt")).unwrap(), fs::read(zone.root().join("trust/ca.crt")).unwrap());
    }
}

/// Who knows the first key alone follows the log to the one in force.
fn audited(zone: &Zone, source: &Source, case: &Path, first: &str, last: &str) {
    let (log, known) = (case.join("log.jsonl"), case.join("known"));
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    let old = case.join("first");
    zone.operate(&["audit", "checkpoint", text(&case.join("later")), "--since", text(&old)]).expect(0);
    let later = source.receipts(last).join("delivered.json");
    let words = ["audit", "verify", text(&log), "--signer", text(&known), "--receipt", text(&later), "--checkpoint"];
    run(sluse(&[&words[..], &[text(&old)]].concat())).expect(0);
    run(sluse(&["receipt", "verify", text(&later), "--signer", text(&known)])).expect(5);
    let led = run(sluse(&["audit", "signers", text(&log), "--signer", text(&known)])).expect(0).stdout;
    assert_eq!(led, fs::read_to_string(zone.signers()).unwrap());
    for transfer in [first, last] {
        let bag = zone.room().join("nightly").join(transfer);
        let words: [&dyn AsRef<std::ffi::OsStr>; 9] =
            [&CHECK, &"--signers", &known, &"--zone", &"sluse", &"--log", &log, &"--bag", &bag];
        let ended = program("python3", &words, case, b"");
        assert_eq!((ended.code, ended.stdout.trim()), (0, "OK"), "{ended:?}");
    }
    // A log in which a statement says something else leads nowhere.
    let whole = fs::read_to_string(&log).unwrap();
    let forged = whole.replacen(r#"\"number\":1,"#, r#"\"number\":9,"#, 1);
    assert_ne!(forged, whole);
    fs::write(case.join("forged"), forged).unwrap();
    run(sluse(&["audit", "signers", text(&case.join("forged")), "--signer", text(&known)])).expect(5);
}

#[test]
fn an_archived_bag_of_before_an_exchange_stays_whole_for_the_zone_for_its_keeper_and_without_our_software() {
    let mut zone = Zone::prepare();
    zone.configure(|text| text.replace("[deliver]", "[deliver]\narchive_check = \"1s\""));
    zone.run();
    zone.agree("trial", "trial", |text| format!("delivery = \"archive\"\n{text}")).expect(0);
    let source = zone.enrol("trial");
    let case = zone.folder.path().join("case");
    fs::create_dir(&case).unwrap();
    let known = case.join("known");
    fs::copy(zone.signers(), &known).unwrap();
    let transfer = source.deliver(&extract(&zone, 1), "trial");
    let exchanged = rotate(&zone, &["signing"]).expect(0).json()["time"].as_str().unwrap().to_owned();
    let read_since = || {
        let archives = zone.operate(&["archive", "list", "--json"]).expect(0).json();
        let archive = archives.as_array()?.iter().find(|it| it["transfer"] == transfer.as_str())?.clone();
        (archive["checked"].as_str()? > exchanged.as_str()).then_some(archive)
    };
    let read = zone.eventually("it is read again", read_since);
    assert_eq!((&read["fixity"]["signed"], &read["fixity"]["changed"]), (&true.into(), &0.into()), "{read}");
    zone.operate(&["health"]).expect(0);
    let bag = zone.room().join("trial").join(&transfer);
    let later = source.deliver(&extract(&zone, 2), "later");
    let later = zone.room().join("later").join(later);
    let log = case.join("log.jsonl");
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    for bag in [&bag, &later] {
        run(sluse(&["archive", "check", text(bag), "--signer", text(&zone.signers())])).expect(0);
        let words: [&dyn AsRef<std::ffi::OsStr>; 9] =
            [&CHECK, &"--signers", &known, &"--zone", &"sluse", &"--log", &log, &"--bag", bag];
        let ended = program("python3", &words, &case, b"");
        assert_eq!((ended.code, ended.stdout.trim()), (0, "OK"), "{ended:?}");
    }
    run(sluse(&["archive", "check", text(&bag), "--signer", text(&known)])).expect(0);
    run(sluse(&["archive", "check", text(&later), "--signer", text(&known)])).expect(5);
}

#[test]
fn the_inventory_names_old_keys_what_needs_them_and_what_is_due() {
    let zone = Zone::start();
    let source = zone.source("lab");
    source.deliver(&extract(&zone, 1), "nightly");
    for key in ["signing", "quarantine", "ca"] {
        rotate(&zone, &[key]).expect(0);
    }
    let inventory = zone.operate(&["zone", "inventory", "--json"]).expect(0).json();
    let item = |name: &str| {
        let items = inventory["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {inventory}")).clone()
    };
    assert_eq!(item("old certificate authority")["needed"], "needed for certificates of lab");
    assert_eq!(item("old certificate authority")["due"], Value::Null);
    assert_eq!(item("old quarantine")["due"], "sluse zone rotate quarantine --end-old");
    assert!(item("old signing")["expires"].is_string() && item("signing")["problem"].is_null());
    rotate(&zone, &["ca", "--end-old"]).expect(4);
    rotate(&zone, &["ca"]).expect(4);
    rotate(&zone, &["tls"]).expect(4);
    rotate(&zone, &["reset", "--end-old"]).expect(2);
    source.deliver(&extract(&zone, 2), "nightly");
    rotate(&zone, &["ca", "--end-old"]).expect(0);
    rotate(&zone, &["quarantine", "--end-old"]).expect(0);
    rotate(&zone, &["quarantine", "--end-old"]).expect(4);
    source.deliver(&extract(&zone, 3), "nightly");
    let acts = zone.operate(&["audit", "export", text(&zone.folder.path().join("log"))]).expect(0);
    assert_eq!(acts.code, 0);
    let log = fs::read_to_string(zone.folder.path().join("log")).unwrap();
    assert_eq!(log.matches("\"act\":\"key-rotated\"").count(), 5, "a leaf for each, and none for what was refused");
}

#[test]
fn a_source_refuses_a_signing_key_that_no_known_key_introduced() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let first = extract(&zone, 1);
    let transfer = source.deliver(&first, "nightly");
    zone.stop();
    fs::remove_file(zone.root().join("control/signing.key")).unwrap();
    rotate(&zone, &["signing"]).expect(3);
    rotate(&zone, &["signing", "--lost"]).expect(0);
    zone.run();
    let second = extract(&zone, 2);
    let refused = source.send(&second, "nightly", "delivered").expect(5);
    assert!(refused.stderr.contains("no key known here introduced"), "{}", refused.stderr);
    // Given by a trusted way, the new signers are believed; what the lost key signed still verifies.
    fs::copy(zone.signers(), source.identity.join("allowed_signers")).unwrap();
    let later = source.deliver(&second, "nightly");
    proven(&zone, &source, &first, &transfer);
    proven(&zone, &source, &second, &later);
    zone.operate(&["audit", "verify"]).expect(0);
    rotate(&zone, &["signing"]).expect(0);
    source.deliver(&extract(&zone, 3), "nightly");
}

#[test]
fn an_invite_from_before_a_rotation_enrols_after_it() {
    let zone = Zone::start();
    zone.agree("lab", "lab", |text| text).expect(0);
    let invite = zone.invite("lab");
    rotate(&zone, &["signing"]).expect(0);
    rotate(&zone, &["ca"]).expect(0);
    let identity = zone.folder.path().join("identity-lab");
    run(sluse(&["enroll", text(&invite), "--identity", text(&identity)])).expect(0);
    let source = Source { identity, agreement: "lab".into() };
    let tree = extract(&zone, 1);
    let transfer = source.deliver(&tree, "nightly");
    proven(&zone, &source, &tree, &transfer);
}

/// Runs `sluse zone rotate` and kills it before its `nth` rename; whether there was one.
fn cut_off(zone: &Zone, words: &[&str], nth: usize) -> bool {
    let output = zone.folder.path().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", text(&output), "-e", "trace=rename"]);
    command.args(["-e", &format!("inject=rename:signal=KILL:when={nth}")]);
    command.arg(binaries().join("sluse")).args(["zone", "rotate"]).args(words).args(["--zone", text(&zone.root())]);
    run(command);
    fs::read_to_string(&output).unwrap().contains("killed by SIGKILL")
}

#[test]
fn a_rotation_that_is_cut_off_at_any_step_leaves_a_zone_that_works_with_the_old_key_or_the_new() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let mut number = 0;
    let mut works = |zone: &mut Zone, what: &str| {
        number += 1;
        zone.run();
        let tree = extract(zone, number);
        let sent = source.send(&tree, "nightly", "delivered");
        assert_eq!(sent.code, 0, "{what}: {}\n{}", sent.stderr, zone.log());
        let transfer = sent.json()["transfer"].as_str().unwrap().to_owned();
        proven(zone, &source, &tree, &transfer);
        zone.operate(&["audit", "verify"]).expect(0);
        zone.operate(&["zone", "check"]).expect(0);
        zone.stop();
    };
    zone.stop();
    let mut steps = Vec::new();
    let ending: [&[&str]; 2] = [&["quarantine", "--end-old"], &["ca", "--end-old", "--anyway"]];
    for words in KEYS.iter().map(std::slice::from_ref).chain(ending) {
        let mut nth = 1;
        while cut_off(&zone, words, nth) {
            works(&mut zone, &format!("{words:?} cut off before rename {nth}"));
            nth += 1;
            assert!(nth < 12, "{words:?} ends");
        }
        works(&mut zone, &format!("{words:?} done"));
        steps.push(nth - 1);
    }
    eprintln!("renames of {KEYS:?} and the ends of old ones: {steps:?}");
    assert!(steps.iter().all(|steps| *steps >= 2), "{steps:?}");
    zone.run();
    zone.operate(&["zone", "check"]).expect(0);
}

/// Runs `sluse zone rotate` while its `nth` call of a kind ends with an I/O error; `None` where there is none.
fn failing(zone: &Zone, words: &[&str], call: &str, nth: usize) -> Option<Ended> {
    let output = zone.folder.path().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", text(&output)]).args(Fault::Error.inject(call, nth));
    command.arg(binaries().join("sluse")).args(["zone", "rotate"]).args(words).args(["--zone", text(&zone.root())]);
    let ended = run(command);
    fs::read_to_string(&output).unwrap().contains("(INJECTED)").then_some(ended)
}

#[test]
fn each_call_of_a_rotation_that_fails_is_told_of_and_leaves_keys_that_belong_together() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    zone.stop();
    let ending: [&[&str]; 2] = [&["quarantine", "--end-old"], &["ca", "--end-old", "--anyway"]];
    for (number, words) in KEYS.iter().map(std::slice::from_ref).chain(ending).enumerate() {
        // A sync that fails stands before each rename, and after it. Some exchanges cannot be done twice.
        let calls: &[&str] = if *words == ["signing"] { &["rename", "fsync"] } else { &["fsync"] };
        for call in calls {
            let mut nth = 1;
            while let Some(ended) = failing(&zone, words, call, nth) {
                let what = format!("{words:?}, {call} {nth}");
                assert_eq!(ended.code, 70, "{what}: {ended:?}");
                let checked = zone.operate(&["zone", "check"]);
                assert_eq!(checked.code, 0, "{what}: {checked:?}");
                nth += 1;
            }
            assert!(nth > 2, "{words:?} has steps of {call}");
        }
        let tree = extract(&zone, number);
        zone.run();
        let transfer = source.deliver(&tree, "nightly");
        proven(&zone, &source, &tree, &transfer);
        zone.operate(&["audit", "verify"]).expect(0);
        zone.stop();
    }
}

/// Stands for systemd-creds: what it encrypts opens under the same name alone.
const CREDS: &str = r#"#!/bin/sh
verb=$1 name=$2
case $verb in
  encrypt) { echo "sealed $name"; base64 "$3"; } ;;
  decrypt) [ "$(head -1 "$3")" = "sealed $name" ] || { echo "not for $name" >&2; exit 1; }; tail -n +2 "$3" | base64 -d ;;
esac
"#;

#[test]
fn keys_that_are_encrypted_for_the_host_stay_so_and_a_copy_goes_to_the_safe() {
    let zone = Zone::prepare();
    let tools = zone.folder.path().join("tools");
    let safe = zone.folder.path().join("safe");
    for folder in [&tools, &safe, &zone.root().join("credentials")] {
        fs::create_dir(folder).unwrap();
    }
    let creds = tools.join("systemd-creds");
    fs::write(&creds, CREDS).unwrap();
    program("chmod", &[&"755", &creds], Path::new("/"), b"").expect(0);
    let keys = [
        "control/ca.key",
        "control/signing.key",
        "receive/tls.key",
        "receive/reset.key",
        "inspect/quarantine.key",
        "deliver/deliver.key",
    ];
    let sealed = |name: &str| zone.root().join("credentials").join(name.rsplit('/').next().unwrap());
    let creds = |words: &[&str]| {
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        program(text(&creds), &words, Path::new("/"), b"").expect(0).stdout
    };
    for key in keys {
        let plain = zone.root().join(key);
        let name = format!("--name={}", key.rsplit('/').next().unwrap());
        fs::write(sealed(key), creds(&["encrypt", &name, text(&plain)])).unwrap();
        fs::remove_file(plain).unwrap();
    }
    let path = format!("{}:{}", text(&tools), std::env::var("PATH").unwrap());
    for key in KEYS {
        let mut command =
            sluse(&["zone", "rotate", key, "--zone", text(&zone.root()), "--keys-to", text(&safe), "--json"]);
        command.env("PATH", &path);
        let done = run(command).expect(0).json();
        assert_eq!([&done["encrypted"], &done["running"]], [&Value::from(true), &Value::Null], "{key}");
    }
    for key in keys {
        let name = format!("--name={}", key.rsplit('/').next().unwrap());
        let opened = creds(&["decrypt", &name, text(&sealed(key))]);
        assert_eq!(opened, fs::read_to_string(safe.join(key)).unwrap(), "{key}");
        assert!(!zone.root().join(key).exists(), "{key} is not in the clear");
        let left = fs::read_dir(zone.root().join("credentials")).unwrap().flatten();
        assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().ends_with(".new")));
    }
}
