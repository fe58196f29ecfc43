//! An emulated path between two network namespaces, held up by `tests/bench/path.py` for as long as a test needs it.

use crate::command::binaries;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

/// A path with a source's end, `near`, and a zone's, `far`.
#[derive(Debug)]
pub struct Path {
    holder: Child,
    /// The source's network namespace.
    pub near: String,
    /// The zone's.
    pub far: String,
    /// The zone's address.
    pub far_address: IpAddr,
}

impl Path {
    /// A path with a delay of so many milliseconds and so much loss, in per cent, each way, and a rate.
    pub fn new(delay_ms: u32, loss: f64, mbit: u32) -> Self {
        Self::for_packets(delay_ms, loss, mbit, 1500)
    }

    /// The same, on which packets of more than `largest` bytes vanish.
    pub fn for_packets(delay_ms: u32, loss: f64, mbit: u32, largest: u32) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/path.py");
        let mut command = Command::new("python3");
        command.arg(script).arg("--bin").arg(binaries());
        command.args(["--delay-ms", &delay_ms.to_string(), "--loss", &loss.to_string(), "--mbit", &mbit.to_string()]);
        command.args(["--largest", &largest.to_string()]);
        // It lasts until its standard input ends.
        command.args(["--", "sh", "-c", "echo $NEAR $FAR $FAR_ADDRESS; cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().expect("python3 starts (tests/run installs it)");
        let mut line = String::new();
        let said = holder.stdout.as_mut().map(|out| BufReader::new(out).read_line(&mut line));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [near, far, far_address] = words[..] else {
            let ended = holder.wait_with_output().map(|ended| String::from_utf8_lossy(&ended.stderr).into_owned());
            panic!("no path (it needs root): {said:?} {ended:?}");
        };
        let far_address = far_address.parse().expect("an address");
        Self { near: near.to_owned(), far: far.to_owned(), far_address, holder }
    }

    /// A command like `command`, but in a namespace.
    pub fn within(namespace: &str, command: &Command) -> Command {
        let mut within = Command::new("ip");
        within.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
        within
    }

    /// Ends the path; how many packets were lost on it at random, and dropped since they were too many or too large, there and back.
    pub fn end(mut self) -> (u64, u64) {
        drop(self.holder.stdin.take());
        let mut told = String::new();
        let errors = self.holder.stderr.as_mut().expect("a pipe");
        errors.read_to_string(&mut told).expect("text");
        let counts: serde_json::Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
        let sum = |what: &str| ["there", "back"].iter().filter_map(|way| counts[way][what].as_u64()).sum();
        (sum("lost"), sum("dropped"))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // A path that was ended, or never was, has nothing left to remove.
        let _ = self.holder.wait();
    }
}
