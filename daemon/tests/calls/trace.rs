//! What strace says of a process that confined itself.

use slused::confine::allowed::Allowed;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Number of the call that puts the filter in force (`seccomp`).
const FILTERS: i64 = nix::libc::SYS_seccomp;

/// A call that a process made.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its process.
    pub pid: u32,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: Vec<u64>,
}

/// A traced process, which ends with its test.
pub struct Traced(pub Child);

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended, which is what a test that passes waits for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where traces are written: one file for each process.
pub struct Traces(tempfile::TempDir);

impl Traces {
    /// None yet.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A command that is traced. What is started is the traced process itself: its number is the child's.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("strace");
        // As the product starts them: nothing in the environment changes what is done in a panic.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        // -D: the tracer is the grandchild, so that signals and ends are the program's own. Numbers and arguments undecoded.
        command.args(["-D", "-ff", "-n", "-q", "-e", "raw=all", "-o"]);
        command.arg(self.0.path().join("trace")).arg(program);
        command
    }

    /// How often `what` stands in the traces so far.
    pub fn count(&self, what: &str) -> usize {
        let files = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| fs::read_to_string(path).unwrap().matches(what).count()).sum()
    }

    /// All calls that were made after the filter was in force.
    pub fn calls(&self) -> Vec<Call> {
        let files = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        files.flat_map(|path| after_the_filter(&path, &whole(&path))).collect()
    }
}

/// A trace to its end, which the tracer writes when the process is gone.
fn whole(trace: &Path) -> String {
    let mut text = String::new();
    until(&format!("{} ends", trace.display()), || {
        text = fs::read_to_string(trace).unwrap();
        text.lines().last().is_some_and(|line| line.contains("+++"))
    });
    text
}

fn after_the_filter(trace: &Path, text: &str) -> Vec<Call> {
    let pid = trace.extension().unwrap().to_str().unwrap().parse().unwrap();
    let calls: Vec<Call> = text.lines().filter_map(|line| parse(pid, line)).collect();
    let filtered = calls.iter().rposition(|call| call.number == FILTERS).expect("it puts a filter in force");
    calls[filtered + 1..].to_vec()
}

/// `[  0] read(0x3, 0x7ffe0, 0x40) = 0x40`.
fn parse(pid: u32, line: &str) -> Option<Call> {
    let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (_, rest) = rest.split_once('(')?;
    let (arguments, _) = rest.split_once(')')?;
    let argument = |text: &str| match text.trim().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.trim().parse().unwrap(),
    };
    let arguments = arguments.split(',').filter(|text| !text.trim().is_empty()).map(argument).collect();
    Some(Call { pid, number: number.trim().parse().unwrap(), arguments })
}

/// Each entry was used, and each call is one that an entry allows.
pub fn compare(list: &[Allowed], calls: &[Call]) {
    assert!(calls.len() > 100, "{} calls were traced", calls.len());
    let covers = |allowed: &Allowed, call: &Call| allowed.covers(call.pid, call.number, &call.arguments);
    let unused: Vec<_> = list.iter().filter(|allowed| !calls.iter().any(|call| covers(allowed, call))).collect();
    let unlisted: Vec<_> = calls.iter().filter(|call| !list.iter().any(|allowed| covers(allowed, call))).collect();
    assert!(unused.is_empty() && unlisted.is_empty(), "superfluous: {unused:#?}\nnot listed: {unlisted:#?}");
    assert!(list.iter().all(|allowed| !allowed.reason.is_empty()));
}
