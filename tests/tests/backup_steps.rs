//! A power cut, and a failing disk, at each step of a backup and of a restore: what bears its name is whole, and the next attempt succeeds.
//! strace fails the system calls. Needs root, to trace `control`.

use sluse_tests::command::{Ended, binaries, program, run, sluse};
use sluse_tests::data;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Steps of one kind that are tried at most.
const MOST: usize = 60;

/// Runs `sluse` while its `nth` call of a kind fails: how it ended, and whether there was such a call.
fn faulty(log: &Path, words: &[&str], call: &str, nth: usize, fault: Fault) -> (Ended, bool) {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", text(log)]).args(fault.inject(call, nth));
    command.arg(binaries().join("sluse")).args(words);
    let ended = run(command);
    let told = fs::read_to_string(log).unwrap_or_default();
    (ended, told.contains("(INJECTED)") || told.contains("killed by SIGKILL"))
}

/// A zone with something in it, a recipient of its backups, and the identity's file.
fn zone() -> (Zone, String, PathBuf) {
    let zone = Zone::start();
    let source = zone.source("lab");
    let tree = zone.folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a.csv"), data::csv(1, 100)).unwrap();
    source.deliver(&tree, "lab");
    let identity = zone.folder.path().join("backup.key");
    program("age-keygen", &[&"-o", &identity], Path::new("/"), b"").expect(0);
    let made = fs::read_to_string(&identity).unwrap();
    let recipient = made.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("its public half");
    (zone, recipient.to_owned(), identity)
}

fn whole(zone: &Zone, file: &Path, identity: &Path) {
    let dir = zone.folder.path().join("proof");
    run(sluse(&["zone", "restore", text(file), text(&dir), "--identity", text(identity)])).expect(0);
    fs::remove_dir_all(dir).unwrap();
}

fn leftovers(folder: &Path, part: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(part)).collect()
}

#[test]
fn a_backup_that_fails_or_is_cut_off_at_any_step_is_whole_or_not_there() {
    let (zone, recipient, identity) = zone();
    let (file, log) = (zone.folder.path().join("b.age"), zone.folder.path().join("strace.log"));
    let root = zone.root();
    let words = ["zone", "backup", text(&file), "--to", &recipient, "--zone", text(&root)];
    let mut steps = BTreeMap::new();
    for fault in [Fault::Death, Fault::Error] {
        for call in ["fsync", "rename"] {
            for nth in 1..=MOST {
                let (ended, struck) = faulty(&log, &words, call, nth, fault);
                assert_eq!(ended.code == 0, !struck, "{fault:?} at {call} {nth}: {ended:?}");
                if file.exists() {
                    whole(&zone, &file, &identity);
                    fs::remove_file(&file).unwrap();
                }
                if !struck {
                    break;
                }
                *steps.entry(call).or_insert(0) += 1;
                run(sluse(&words)).expect(0);
                assert_eq!(leftovers(zone.folder.path(), ".partial"), [""; 0]);
                fs::remove_file(&file).unwrap();
            }
        }
    }
    assert!(steps["fsync"] >= 4 && steps["rename"] >= 2, "the file, its folder, its name: {steps:?}");
}

#[test]
fn control_that_is_killed_at_any_step_of_the_copy_leaves_none_and_the_next_backup_is_whole() {
    let (zone, recipient, identity) = zone();
    let file = zone.folder.path().join("b.age");
    let mut steps = BTreeMap::new();
    for call in ["unlink", "rmdir", "mkdir", "pwrite64"] {
        for nth in 1..=2 {
            let trace = Trace::attach(&zone, "control", call, nth, Fault::Death);
            let ended = zone.operate(&["zone", "backup", text(&file), "--to", &recipient]);
            let struck = trace.struck();
            trace.detach();
            zone.wait_for_roles();
            if file.exists() {
                // It was whole before the copy was removed.
                whole(&zone, &file, &identity);
                fs::remove_file(&file).unwrap();
            } else {
                assert_ne!(ended.code, 0, "{call} {nth}");
            }
            if !struck {
                break;
            }
            *steps.entry(call).or_insert(0) += 1;
            zone.operate(&["zone", "backup", text(&file), "--to", &recipient]).expect(0);
            whole(&zone, &file, &identity);
            fs::remove_file(&file).unwrap();
            assert!(!zone.root().join("control/snapshot").exists());
        }
    }
    eprintln!("control: {steps:?}");
    assert!(["unlink", "mkdir", "pwrite64"].iter().all(|call| steps.contains_key(call)), "{steps:?}");
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn a_restore_that_fails_or_is_cut_off_at_any_step_leaves_a_whole_zone_or_none() {
    let (zone, recipient, identity) = zone();
    let (file, log) = (zone.folder.path().join("b.age"), zone.folder.path().join("strace.log"));
    zone.operate(&["zone", "backup", text(&file), "--to", &recipient]).expect(0);
    let dir = zone.folder.path().join("restored");
    let words = ["zone", "restore", text(&file), text(&dir), "--identity", text(&identity)];
    let mut steps = BTreeMap::new();
    // An error takes the same way out wherever it comes from: every fourth of a kind is enough.
    for (fault, stride) in [(Fault::Death, 1), (Fault::Error, 4)] {
        for call in ["fsync", "rename", "mkdir", "chmod", "unlink"] {
            for nth in (1..=MOST).step_by(stride) {
                let (ended, struck) = faulty(&log, &words, call, nth, fault);
                if !struck {
                    ended.expect(0);
                } else if matches!(fault, Fault::Error) {
                    assert_ne!(ended.code, 0, "{call} {nth}: {ended:?}");
                }
                if dir.exists() {
                    run(sluse(&["zone", "check", "--zone", text(&dir)])).expect(0);
                    fs::remove_dir_all(&dir).unwrap();
                }
                if !struck {
                    break;
                }
                *steps.entry(call).or_insert(0) += 1;
            }
            // Whatever the last one left.
            run(sluse(&words)).expect(0);
            assert_eq!(leftovers(zone.folder.path(), "sluse-restoring"), [""; 0]);
            run(sluse(&["zone", "check", "--zone", text(&dir)])).expect(0);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
    eprintln!("restore: {steps:?}");
    assert!(["fsync", "rename", "mkdir"].iter().all(|call| steps.contains_key(call)), "{steps:?}");
}
