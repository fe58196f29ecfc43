//! A throw-away landing zone of the real `slused`.

use crate::command::{Ended, binaries, run, sluse};
use crate::source::Source;
use sluse_protocol::ids::TransferId;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: generous, since no test is decided by speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A landing zone in a temporary folder, with a room called `room`.
#[derive(Debug)]
pub struct Zone {
    /// Where it lies: `zone/`, and whatever the test puts beside.
    pub folder: tempfile::TempDir,
    /// Its UDP address.
    pub address: SocketAddr,
    daemon: Option<Child>,
    /// The network namespaces of sources and of the zone, where they are not this process's.
    ends: Option<(String, String)>,
}

impl Zone {
    /// A zone that runs.
    pub fn start() -> Self {
        let mut zone = Self::prepare();
        zone.run();
        zone
    }

    /// A zone that was initialised but does not run yet.
    pub fn prepare() -> Self {
        Self::prepare_on("127.0.0.1")
    }

    /// The same with a name of its own, where there is another zone.
    pub fn prepare_as(name: &str) -> Self {
        Self::initialise(name, Self::temporary(), free_address(), None)
    }

    /// The same on another address of this host.
    pub fn prepare_on(host: &str) -> Self {
        Self::initialise("sluse", Self::temporary(), free_address_on(host), None)
    }

    /// The same at the far end of a path; sources are at the near one.
    pub fn prepare_at(path: &crate::path::Path) -> Self {
        // A port that is free here is free in the namespace, where nothing else runs.
        let address = SocketAddr::new(path.far_address, free_address().port());
        Self::initialise("sluse", Self::temporary(), address, Some((path.near.clone(), path.far.clone())))
    }

    fn temporary() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("sluse-test-").tempdir().expect("a temporary folder")
    }

    fn initialise(name: &str, folder: tempfile::TempDir, address: SocketAddr, ends: Option<(String, String)>) -> Self {
        let zone = Self { folder, address, daemon: None, ends };
        let (root, listen) = (zone.root(), address.to_string());
        let init = ["zone", "init", text(&root), "--name", name, "--listen", &listen, "--advertise", &listen];
        run(sluse(&init)).expect(0);
        zone
    }

    /// The zone's folder.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("zone")
    }

    /// The folder of the room called `room`.
    pub fn room(&self) -> PathBuf {
        self.root().join("rooms/room")
    }

    /// The `allowed_signers` file.
    pub fn signers(&self) -> PathBuf {
        self.root().join("trust/allowed_signers")
    }

    /// Adds lines to the configuration, before the zone runs.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let path = self.root().join("sluse.toml");
        let settings = fs::read_to_string(&path).expect("the configuration");
        fs::write(&path, change(settings)).expect("the configuration can be written");
    }

    /// Starts the daemon and waits until all roles are there; the room called `room` is added the first time.
    pub fn run(&mut self) {
        self.spawn();
        self.wait_for_roles();
        if !self.operate(&["room", "list"]).stdout.contains("room") {
            self.operate(&["room", "add", "room", "--names", "posix"]).expect(0);
        }
    }

    /// Starts a daemon that will not get far, and returns its exit code.
    pub fn run_to_end(&mut self) -> Option<i32> {
        self.spawn();
        self.wait_for_end()
    }

    fn spawn(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = Command::new(binaries().join("slused"));
        command.args(["all", "--config", text(&self.root().join("sluse.toml"))]);
        if let Some((_, far)) = &self.ends {
            command = crate::path::Path::within(far, &command);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().expect("slused starts"));
    }

    /// Waits until all four roles are connected.
    pub fn wait_for_roles(&self) {
        self.eventually("all roles are connected", || {
            let health = self.operate(&["health", "--json"]);
            let health: serde_json::Value = serde_json::from_str(&health.stdout).ok()?;
            (health["roles"].as_array()?.len() == 4 && health["engines"].as_array()?.len() >= 2).then_some(())
        });
    }

    /// Waits for `check` to give something.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE, || self.log(), check)
    }

    /// What is held, and why the first of it is.
    pub fn held(&self) -> String {
        let list = self.operate(&["transfers", "--state", "held"]).stdout;
        let first = list.lines().flat_map(str::split_whitespace).find(|word| word.parse::<TransferId>().is_ok());
        let why = first.map_or_else(String::new, |transfer| self.operate(&["show", transfer]).stdout);
        format!("{list}\n{why}")
    }

    /// Runs an operator's command.
    pub fn operate(&self, words: &[&str]) -> Ended {
        let mut command = sluse(words);
        command.args(["--zone", text(&self.root())]);
        run(command)
    }

    /// Adds an agreement called `id` from `source` to `room`; `more` replaces or adds lines of the text.
    pub fn agree(&self, id: &str, source: &str, change: impl FnOnce(String) -> String) -> Ended {
        let file = self.folder.path().join(format!("{id}.toml"));
        fs::write(&file, change(agreement(id, source))).expect("an agreement can be written");
        self.operate(&["agreement", "add", text(&file)])
    }

    /// Enrols a source, with an automatic agreement of the same name.
    pub fn source(&self, name: &str) -> Source {
        self.agree(name, name, |text| text).expect(0);
        self.enrol(name)
    }

    /// Enrols a source.
    pub fn enrol(&self, name: &str) -> Source {
        self.enrol_with(name, &[])
    }

    /// Enrols the source by which a room exports.
    pub fn enrol_of_room(&self, name: &str, room: &str) -> Source {
        self.enrol_with(name, &["--room", room])
    }

    fn enrol_with(&self, name: &str, more: &[&str]) -> Source {
        let invite = self.invite_with(name, more);
        let identity = self.folder.path().join(format!("identity-{name}"));
        let enrolling = sluse(&["enroll", text(&invite), "--identity", text(&identity)]);
        let enrolling = match &self.ends {
            Some((near, _)) => crate::path::Path::within(near, &enrolling),
            None => enrolling,
        };
        run(enrolling).expect(0);
        Source { identity, agreement: name.to_owned() }
    }

    /// Makes an invite for a source.
    pub fn invite(&self, name: &str) -> PathBuf {
        self.invite_with(name, &[])
    }

    fn invite_with(&self, name: &str, more: &[&str]) -> PathBuf {
        let invite = self.folder.path().join(format!("invite-{name}.toml"));
        // The one before was used, or is replaced by this one.
        let _ = fs::remove_file(&invite);
        let words = ["source", "invite", name, "--out", text(&invite)];
        self.operate(&[&words[..], more].concat()).expect(0);
        invite
    }

    /// Everything about a transfer, as JSON.
    pub fn show(&self, transfer: &str) -> serde_json::Value {
        self.operate(&["show", transfer, "--json"]).expect(0).json()
    }

    /// Waits until a transfer is in `state`.
    #[track_caller]
    pub fn wait_for_state(&self, transfer: &str, state: &str) {
        self.eventually(&format!("{transfer} is {state}"), || {
            let shown = self.operate(&["show", transfer, "--json"]);
            let shown: serde_json::Value = serde_json::from_str(&shown.stdout).ok()?;
            (shown["info"]["status"]["state"] == state).then_some(())
        });
    }

    /// The process of a role; `None` while it is being started again.
    pub fn process(&self, role: &str) -> Option<i32> {
        let daemon = self.daemon.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).ok()?;
        children.split_ascii_whitespace().find_map(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            (command.split(|byte| *byte == 0).nth(1)? == role.as_bytes()).then(|| pid.parse().ok())?
        })
    }

    /// Kills a role as a power cut would; whether there was one to kill.
    pub fn kill(&self, role: &str) -> bool {
        use nix::sys::signal::{Signal, kill};
        let killed = self.process(role).map(|pid| kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL));
        matches!(killed, Some(Ok(())))
    }

    /// Stops the daemon as systemd would, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        use nix::sys::signal::{Signal, kill};
        let daemon = self.daemon.as_ref()?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("the daemon runs");
        self.wait_for_end()
    }

    /// Kills the supervisor alone.
    pub fn kill_supervisor(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it is our child");
            daemon.wait().expect("it is our child");
        }
    }

    fn wait_for_end(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take()?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = daemon.try_wait().expect("it is our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the daemon does not stop\n{}", self.log());
    }

    /// Kills the daemon and every role at once, as a power cut would.
    pub fn crash(&mut self) {
        for role in ["control", "inspect", "deliver", "receive"] {
            self.kill(role);
        }
        self.kill_supervisor();
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("slused.log")
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.crash();
        }
    }
}

/// An address on loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    free_address_on("127.0.0.1")
}

fn free_address_on(host: &str) -> SocketAddr {
    UdpSocket::bind((host, 0)).and_then(|socket| socket.local_addr()).expect("a free port")
}

/// A path as text: all of the tests' own are.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test is UTF-8")
}

/// The text of an agreement from `source` to the room called `room`.
pub fn agreement(id: &str, source: &str) -> String {
    format!(
        r#"id = "{id}"
title = "Test"
project = "test"
controller = "Helse Midt-Norge"
purpose = "testing"
identifiability = "pseudonymised"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
from = "{source}"
to = "room"

[legal_basis]
kind = "consent"
authority = "REK"
reference = "1"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
periodic = true

[dpia]
reference = "2"

[processing_agreement]
reference = "3"

[limits]
max_bytes = 1_000_000_000
max_files = 100_000
max_open_bytes = 1_000_000_000

[content]
engines = ["file-type", "signatures"]

[content.actions]
type-unknown = "allow"
type-mismatch = "allow"

[release]
rule = "automatic"

[retention]
quarantine_days = 30
hold_days = 30
"#
    )
}

/// Waits for `check` to give something; shows `log` when it does not in time.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    log: impl Fn() -> String,
    mut check: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(begun.elapsed() < patience, "never: {what}\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
