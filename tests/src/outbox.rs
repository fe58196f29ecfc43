//! A watcher of the real `sluse watch` over one outbox.

use crate::command::{binaries, sluse};
use crate::source::Source;
use crate::zone::{PATIENCE, eventually, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// An outbox called `lab` and its watcher.
#[derive(Debug)]
pub struct Outbox {
    /// Its folder.
    pub folder: PathBuf,
    config: PathBuf,
    events: PathBuf,
    watcher: Option<Child>,
}

impl Outbox {
    /// An outbox in `place` that sends as `source`; `settings` are further lines of its section. Nothing watches it yet.
    pub fn new(place: &Path, source: &Source, settings: &str) -> Self {
        let folder = place.join("outbox");
        fs::create_dir(&folder).expect("an outbox");
        let config = place.join("watch.toml");
        let lines = format!(
            "[watch]\nstate = \"watch-state\"\nidentity = \"{}\"\npoll_seconds = 1\nparallel = 4\n\
             [outbox.lab]\nfolder = \"outbox\"\nagreement = \"{}\"\n{settings}\n",
            text(&source.identity),
            source.agreement
        );
        fs::write(&config, lines).expect("a configuration");
        Self { folder, config, events: place.join("events.jsonl"), watcher: None }
    }

    /// Starts its watcher.
    pub fn watch(&mut self) {
        let append = |path: &Path| fs::OpenOptions::new().create(true).append(true).open(path).expect("a log");
        let mut command = sluse(&["watch", "--config", text(&self.config), "--events"]);
        command.stdin(Stdio::null()).stdout(append(&self.events)).stderr(append(&self.log_file()));
        assert!(binaries().join("sluse").exists());
        self.watcher = Some(command.spawn().expect("sluse starts"));
    }

    /// Kills the watcher as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            watcher.kill().expect("it is our child");
            watcher.wait().expect("it is our child");
        }
    }

    /// Stops the watcher as systemd would, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        use nix::sys::signal::{Signal, kill};
        let mut watcher = self.watcher.take()?;
        let pid = i32::try_from(watcher.id()).expect("a process id");
        kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("the watcher runs");
        watcher.wait().expect("it is our child").code()
    }

    /// Writes a file under another name and renames it into the outbox.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let unfinished = self.folder.join(format!(".{name}"));
        fs::write(&unfinished, bytes).expect("the outbox can be written");
        fs::rename(unfinished, self.folder.join(name)).expect("the outbox can be written");
    }

    /// Everything that was told, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        // A watcher that was killed may leave half a line.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for `check` to give something.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE * 3, || self.log(), check)
    }

    /// Waits for an event of an entry, and returns it.
    #[track_caller]
    pub fn wait_for(&self, name: &str, event: &str) -> Value {
        self.eventually(&format!("{event} {name}"), || {
            self.events().into_iter().find(|told| told["name"] == name && told["event"] == event)
        })
    }

    /// The folder in which a finished entry lies, below `_delivered` or `_rejected`.
    pub fn finished(&self, kind: &str, told: &Value) -> PathBuf {
        self.folder.join(kind).join(told["record"].as_str().expect("a record's id"))
    }

    /// What the watcher logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.config.with_extension("log")
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.kill();
    }
}
