//! Tests that fail each system call of an act once, with an I/O error: the test runs again in a process of its own, under strace, and does
//! the act there. Where an error is tried again only after seconds, this is quick.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// What tells the process that is traced what to do.
const TASK: &str = "SLUSE_TRACED_TASK";

/// Nobody has such files: opening them shows in the trace where the act begins and ends.
const BEGINS: &str = "/sluse/the/act/begins";
const ENDS: &str = "/sluse/the/act/ends";

/// What this process is to act on, if it is one that is traced.
pub fn task() -> Option<Vec<String>> {
    let task = std::env::var(TASK).ok()?;
    Some(task.split(' ').map(str::to_owned).collect())
}

/// Does the act whose calls are failed.
///
/// # Panics
/// When the act fails: that is how its process ends with something else than 0.
pub fn act<T, E: std::fmt::Debug>(act: impl FnOnce() -> Result<T, E>) {
    assert!(File::open(BEGINS).is_err(), "nobody has such a file");
    let done = act();
    assert!(File::open(ENDS).is_err(), "nobody has such a file");
    done.unwrap();
}

/// A test that is traced: its whole name, and the kinds of calls that are failed.
pub struct Traced<'a> {
    /// `module_path!()` and its name.
    pub test: &'a str,
    /// Names of system calls. Each must be among those of the act.
    pub calls: &'a [&'a str],
}

impl Traced<'_> {
    /// Fails each call once. `prepare` makes what the act is done to: what holds it, and the words that [`task`] gives. `look` is told what
    /// was failed, and whether the act went well all the same.
    pub fn sweep<H>(&self, prepare: impl Fn() -> (H, Vec<String>), look: impl Fn(&H, &str, bool)) {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let (held, words) = prepare();
        assert!(self.run(trace.path(), &words, None), "nothing is failed");
        look(&held, "nothing", true);
        let steps = steps(&fs::read_to_string(trace.path()).unwrap());
        for call in self.calls {
            let (before, within) = *steps.get(*call).unwrap_or_else(|| panic!("no {call}: {steps:?}"));
            assert!(within > 0, "no {call}: {steps:?}");
            for nth in before + 1..=before + within {
                let (held, words) = prepare();
                let well = self.run(trace.path(), &words, Some((call, nth)));
                assert!(fs::read_to_string(trace.path()).unwrap().contains("(INJECTED)"), "{call} {nth} was met");
                look(&held, &format!("{call} {}", nth - before), well);
            }
        }
    }

    /// Runs the test again, traced; whether it ended well.
    fn run(&self, trace: &Path, words: &[String], failing: Option<(&str, usize)>) -> bool {
        let name = self.test.split_once("::").map_or(self.test, |(_, name)| name);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o"]).arg(trace).args(["-e", &format!("trace={}", self.calls.join(","))]);
        if let Some((call, nth)) = failing {
            command.args(["-e", &format!("inject={call}:error=EIO:when={nth}")]);
        }
        command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture", "--test-threads=1"]);
        command.env(TASK, words.join(" ")).output().expect("strace runs (tests/run installs it)").status.success()
    }
}

/// Of each kind of call, how many the acting thread made before the act, and how many within it.
fn steps(trace: &str) -> HashMap<String, (usize, usize)> {
    let thread = |line: &str| line.split(' ').next().filter(|word| word.parse::<u32>().is_ok()).map(str::to_owned);
    let acting = thread(trace.lines().find(|line| line.contains(BEGINS)).expect("the act began"));
    let mut within = false;
    let mut steps = HashMap::new();
    for line in trace.lines().filter(|line| thread(line) == acting) {
        let words = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let Some((call, _)) = words.split_once('(') else { continue };
        if line.contains(ENDS) {
            break;
        }
        let (before, inside) = steps.entry(call.to_owned()).or_insert((0, 0));
        *if within { inside } else { before } += 1;
        within |= line.contains(BEGINS);
    }
    steps
}
