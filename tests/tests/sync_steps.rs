//! Each step by which a version of a dataset that is kept in sync becomes one, cut off and failed: in `receive`, which takes the difference,
//! in `control`, which decides of it, in `inspect`, which puts it together, in `deliver`, which places it and names it the current one, and in the source's `sluse send --sync`. Afterwards each version stands in the room as
//! it was sent, once, and travelled as its difference. Needs root, to trace roles.

use sluse_tests::command::run;
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Steps of one kind that are tried, at most.
const MOST: usize = 6;

/// Bytes that a version may take where it travels as its difference.
const DIFFERENCE: u64 = 150_000;

struct Kept {
    zone: Zone,
    source: Source,
    tree: PathBuf,
    sent: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// A zone that has a first version.
    fn start() -> Self {
        let zone = Zone::start();
        zone.agree("edc", "edc", |text| format!("{text}\n[sync]\ndeletions = false\n")).expect(0);
        let source = zone.enrol("edc");
        let tree = zone.folder.path().join("export");
        fs::create_dir(&tree).unwrap();
        let mut kept = Self { zone, source, tree, sent: Vec::new() };
        kept.change();
        let first = run(kept.sending()).expect(0).json();
        kept.delivered(&first);
        kept
    }

    /// The next export.
    fn change(&self) {
        let mut bytes = data::csv(1, 1_000_000);
        let middle = bytes.len() / 2;
        let row = middle + bytes[middle..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes.splice(row..row + 7, format!("S{:06}", 900_000 + self.sent.len()).into_bytes());
        fs::write(self.tree.join("labs.csv"), bytes).unwrap();
    }

    fn sending(&self) -> Command {
        let mut command = self.source.sending(&self.tree, "edc", "delivered");
        command.arg("--sync");
        command
    }

    /// A version was delivered: it stands there and is the current one.
    fn delivered(&mut self, told: &serde_json::Value) {
        let transfer = told["transfer"].as_str().unwrap().to_owned();
        assert_eq!(told["state"], "delivered");
        assert!(self.sent.iter().all(|(before, _)| *before != transfer), "{transfer} is a version of its own");
        let room = self.zone.room().join("edc");
        let current = || fs::read_to_string(room.join("current")).ok().filter(|name| name.trim_end() == transfer);
        self.zone.eventually("it is the current version", current);
        self.sent.push((transfer, fs::read(self.tree.join("labs.csv")).unwrap()));
    }

    /// Each version stands in the room as it was, and nothing else does.
    fn all_stand(&self) {
        self.zone.wait_for_roles();
        let room = self.zone.room().join("edc");
        for (transfer, bytes) in &self.sent {
            assert!(fs::read(room.join(transfer).join("data/labs.csv")).unwrap() == *bytes, "{transfer}");
        }
        let bags = |entry: &PathBuf| entry.is_dir() && entry.extension().is_none();
        let listed = fs::read_dir(&room).unwrap().map(|entry| entry.unwrap().path()).filter(bags).count();
        assert_eq!(listed, self.sent.len());
        let incoming = self.zone.room().join(".sluse-incoming");
        assert_eq!(fs::read_dir(incoming).unwrap().count(), 0, "no half bag is left");
        let listed = self.zone.operate(&["transfers", "--json"]).expect(0).json();
        let listed = listed["transfers"].as_array().or_else(|| listed.as_array()).unwrap();
        assert_eq!(listed.len(), self.sent.len(), "each version came as one transfer: {listed:?}");
        self.zone.operate(&["audit", "verify"]).expect(0);
    }

    /// Sends a version while a step of a role fails; whether there was such a step.
    fn struck(&mut self, role: &str, call: &str, nth: usize, fault: Fault) -> bool {
        self.change();
        let trace = Trace::attach(&self.zone, role, call, nth, fault);
        let mut child = self.sending().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let struck = self.zone.eventually("the step fails, or the version is delivered", || {
            match (trace.struck(), child.try_wait().unwrap()) {
                (true, _) => Some(true),
                (false, Some(_)) => Some(trace.struck()),
                (false, None) => None,
            }
        });
        trace.detach();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{fault:?} at {role}'s {call} {nth}: {told}\n{}", self.zone.log());
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let bytes = told["sent_bytes"].as_u64().unwrap();
        assert!(bytes < DIFFERENCE, "{fault:?} at {role}'s {call} {nth}: {bytes} bytes\n{}", self.zone.log());
        self.delivered(&told);
        struck
    }

    fn sweep(mut self, role: &str, calls: &[&str], fault: Fault) {
        let mut steps = BTreeMap::new();
        for call in calls {
            let count = (1..=MOST).take_while(|nth| self.struck(role, call, *nth, fault)).count();
            steps.insert(*call, count);
        }
        eprintln!("{role}, {fault:?}: {steps:?}");
        assert!(steps.values().all(|count| *count > 0), "each kind of step was met: {steps:?}");
        self.all_stand();
    }
}

const RECEIVE: &[&str] = &["rename", "fdatasync", "fsync"];
const CONTROL: &[&str] = &["pwrite64", "rename"];
const INSPECT: &[&str] = &["rename", "fsync", "unlinkat"];
const DELIVER: &[&str] = &["renameat", "fsync"];

#[test]
fn receive_is_killed_before_each_step_of_taking_a_difference() {
    Kept::start().sweep("receive", RECEIVE, Fault::Death);
}

#[test]
fn each_step_of_taking_a_difference_fails() {
    Kept::start().sweep("receive", RECEIVE, Fault::Error);
}

#[test]
fn control_is_killed_before_each_step_of_deciding_of_a_version() {
    Kept::start().sweep("control", CONTROL, Fault::Death);
}

#[test]
fn inspect_is_killed_before_each_step_of_putting_a_version_together() {
    Kept::start().sweep("inspect", INSPECT, Fault::Death);
}

#[test]
fn each_step_of_putting_a_version_together_fails() {
    Kept::start().sweep("inspect", INSPECT, Fault::Error);
}

#[test]
fn deliver_is_killed_before_each_step_of_placing_a_version() {
    Kept::start().sweep("deliver", DELIVER, Fault::Death);
}

#[test]
fn each_step_of_placing_a_version_fails() {
    Kept::start().sweep("deliver", DELIVER, Fault::Error);
}

/// The command, killed before its `nth` call of `call`.
fn killed(command: &Command, call: &str, nth: usize, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", text(log)]).args(Fault::Death.inject(call, nth));
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

#[test]
fn a_source_that_is_killed_before_each_step_goes_on_with_the_same_version() {
    let mut kept = Kept::start();
    let log = kept.zone.folder.path().join("strace.log");
    for call in ["rename", "fdatasync", "fsync", "sendmsg"] {
        let mut met = 0;
        for nth in 1..=MOST {
            kept.change();
            let command = killed(&kept.sending(), call, nth, &log);
            let ended = run(command);
            let told = if ended.code == 0 { ended.json() } else { run(kept.sending()).expect(0).json() };
            let was = (told["transfer"].as_str().unwrap().to_owned(), ended.code);
            kept.delivered(&told);
            if was.1 == 0 {
                break;
            }
            met += 1;
        }
        eprintln!("{call}: {met}");
        assert!(met > 0 || call == "fdatasync" || call == "fsync", "{call} was met");
    }
    kept.all_stand();
}
