//! A clock for one process, which a test moves while that runs. By libfaketime: what the process is told of the time of day changes,
//! what it is told of how much time has passed (waits, deadlines) does not.

use crate::command::program;
use crate::zone::text;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clock that is so many seconds ahead of this host's, or behind.
#[derive(Debug)]
pub struct Clock(PathBuf);

impl Clock {
    /// A clock that is kept in `folder`.
    pub fn new(folder: &Path, seconds: i64) -> Self {
        let clock = Self(folder.join("clock"));
        clock.set(seconds);
        clock
    }

    /// Moves it. Who reads it knows within a second or two.
    pub fn set(&self, seconds: i64) {
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n")).expect("a clock");
        fs::rename(&fresh, &self.0).expect("a clock");
    }

    /// Has a command that was not started yet go by it.
    pub fn rule(&self, command: &mut Command) {
        let library = program("faketime", &[&"-m", &"-f", &"+0", &"printenv", &"LD_PRELOAD"], Path::new("/"), b"");
        command.env("LD_PRELOAD", library.expect(0).stdout.trim()).env("FAKETIME_TIMESTAMP_FILE", text(&self.0));
        command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    }
}
