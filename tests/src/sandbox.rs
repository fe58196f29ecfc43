//! A sandbox that runs, as an integrator starts it.

use crate::command::{Ended, run, sluse};
use crate::zone::{PATIENCE, text};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

/// `sluse sandbox --json` in a folder of its own.
#[derive(Debug)]
pub struct Sandbox {
    /// Where everything lies; the sandbox's own folder is `sandbox` in it.
    pub folder: tempfile::TempDir,
    /// What it printed.
    pub made: Value,
    process: Child,
}

impl Sandbox {
    /// Starts one and waits until it is up.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sluse-test-").tempdir().expect("a temporary folder");
        let mut command = sluse(&["sandbox", "--json", "--keep", text(&folder.path().join("sandbox"))]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sluse starts");
        let printed = process.stdout.take().expect("its output is ours");
        // It prints one object and stays up: what comes first is all.
        let mut objects = serde_json::Deserializer::from_reader(printed).into_iter();
        let made = objects.next().expect("it prints an object").expect("JSON");
        Self { folder, made, process }
    }

    /// A path that it made.
    pub fn path(&self, member: &str) -> PathBuf {
        self.made[member].as_str().expect("a path").into()
    }

    /// Its answers.
    pub fn answers(&self) -> &[Value] {
        self.made["answers"].as_array().expect("a list")
    }

    /// Runs the command that asks for an answer.
    pub fn ask(&self, answer: &Value) -> Ended {
        let words: Vec<&str> =
            answer["command"].as_array().expect("words").iter().map(|word| word.as_str().expect("a word")).collect();
        run(sluse(&words))
    }

    /// Ends it as Ctrl-C would; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"));
        kill(pid, Signal::SIGINT).expect("it runs");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the sandbox does not stop");
    }

    /// The folder of tests' own files.
    pub fn place(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let Ok(None) = self.process.try_wait() else { return };
        let pid = i32::try_from(self.process.id()).expect("a process id");
        // So that it stops its zone; a process that ended meanwhile needs no signal.
        let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
