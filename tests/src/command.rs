//! Running the real binaries and other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the workspace's binaries: the test's own, two up.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("test binaries lie in target/<profile>/deps").to_owned();
    assert!(folder.join("slused").exists(), "build the whole workspace first: cargo build --workspace");
    folder
}

/// A command of `sluse`.
pub fn sluse(words: &[&str]) -> Command {
    let mut command = Command::new(binaries().join("sluse"));
    command.args(words).env_remove("SLUSE_ZONE");
    command
}

/// How a command ended, with what it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The same, after checking the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ended {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Runs another program in a folder, with `input` on its standard input.
pub fn program(name: &str, words: &[&dyn AsRef<OsStr>], folder: &Path, input: &[u8]) -> Ended {
    use std::io::Write as _;
    let mut command = Command::new(name);
    command.args(words.iter().map(|word| word.as_ref())).current_dir(folder);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} (tests/run installs it): {error}"));
    // A program that does not read its input may close it early.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    child.wait_with_output().expect("its output can be read").into()
}
