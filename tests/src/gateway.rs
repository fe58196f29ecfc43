//! A gateway of the real `sluse-gateway`, its two processes apart so that each can be killed.

use crate::clock::Clock;
use crate::command::{binaries, program, run};
use crate::source::Source;
use crate::zone::{PATIENCE, Zone, eventually, text};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A gateway with a flow called `ct` and an application entity `SLUSE` that `PACS` may call.
#[derive(Debug)]
pub struct Gateway {
    /// Its folder; the spool lies in `spool`.
    pub folder: PathBuf,
    /// Where it takes DICOM.
    pub dicom: SocketAddr,
    /// Where else it must listen before it is said to run.
    pub listens: Vec<SocketAddr>,
    /// The clock that its processes go by, where it is not this host's.
    pub clock: Option<Clock>,
    intake: Option<Child>,
    forward: Option<Child>,
}

impl Gateway {
    /// A gateway beside `zone` that sends as `source`; a study is whole after `quiet`. Nothing runs yet.
    pub fn new(zone: &Zone, source: &Source, quiet: &str) -> Self {
        let folder = zone.folder.path().join("gateway");
        fs::create_dir_all(folder.join("spool")).expect("a spool");
        let dicom = free_port();
        let gateway = Self { folder, dicom, listens: vec![dicom], clock: None, intake: None, forward: None };
        let (identity, agreement) = (text(&source.identity), &source.agreement);
        let lines = format!(
            "[gateway]\nspool = \"spool\"\npublic_key = \"spool.pub\"\nprivate_key = \"spool.key\"\n\
             identity = \"{identity}\"\nkeep_free_bytes = 0\n\n[flow.ct]\nagreement = \"{agreement}\"\ndataset = \"CT\"\n\
             quiet = \"{quiet}\"\n\n[dicom]\nlisten = \"{dicom}\"\nidle = \"20s\"\n\n\
             [ae.ct]\ntitle = \"SLUSE\"\nflow = \"ct\"\ncalling = [\"PACS\"]\npeers = [\"127.0.0.0/8\"]\n"
        );
        fs::write(gateway.config(), lines).expect("a configuration");
        run(gateway.command("keys")).expect(0);
        gateway
    }

    /// The configuration's file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("gateway.toml")
    }

    /// The spool.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Changes the configuration.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let config = fs::read_to_string(self.config()).expect("a configuration");
        fs::write(self.config(), change(config)).expect("a configuration");
    }

    /// A command of `sluse-gateway` with this gateway's configuration.
    pub fn command(&self, word: &str) -> Command {
        let mut command = Command::new(binaries().join("sluse-gateway"));
        command.args([word, "--config", text(&self.config())]);
        command
    }

    /// Starts both processes.
    pub fn run(&mut self) {
        self.run_intake();
        self.run_forward();
    }

    /// Starts the process that takes in, and waits until it listens.
    pub fn run_intake(&mut self) {
        let mut command = self.command("intake");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.append("gateway.log"));
        self.clock.iter().for_each(|clock| clock.rule(&mut command));
        self.intake = Some(command.spawn().expect("sluse-gateway starts"));
        for address in &self.listens {
            self.eventually("the gateway listens", || std::net::TcpStream::connect(address).ok());
        }
    }

    /// Starts the process that sends.
    pub fn run_forward(&mut self) {
        let mut command = self.command("forward");
        command.arg("--events").stdin(Stdio::null());
        command.stdout(self.append("events.jsonl")).stderr(self.append("gateway.log"));
        self.clock.iter().for_each(|clock| clock.rule(&mut command));
        self.forward = Some(command.spawn().expect("sluse-gateway starts"));
    }

    /// Kills the process that takes in, as a power cut would.
    pub fn kill_intake(&mut self) {
        kill(&mut self.intake);
    }

    /// Kills the process that sends, as a power cut would.
    pub fn kill_forward(&mut self) {
        kill(&mut self.forward);
    }

    /// The process that takes in.
    pub fn intake(&self) -> i32 {
        self.intake.as_ref().and_then(|child| i32::try_from(child.id()).ok()).expect("it runs")
    }

    fn append(&self, name: &str) -> fs::File {
        fs::OpenOptions::new().create(true).append(true).open(self.folder.join(name)).expect("a log")
    }

    /// Everything that was told, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let told = fs::read_to_string(self.folder.join("events.jsonl")).unwrap_or_default();
        // A process that was killed may leave half a line.
        told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The transfers that were delivered so far, each once for each time that it was told.
    pub fn delivered(&self) -> Vec<String> {
        let told = self.events().into_iter().filter(|told| told["event"] == "delivered");
        told.map(|told| told["transfer"].as_str().expect("a transfer").to_owned()).collect()
    }

    /// Waits until so many transfers were delivered, and returns them.
    #[track_caller]
    pub fn wait_for_delivered(&self, count: usize) -> Vec<String> {
        self.eventually(&format!("{count} delivered"), || {
            let delivered = self.delivered();
            (delivered.len() >= count).then_some(delivered)
        })
    }

    /// Waits until nothing lies in the spool but what is remembered.
    #[track_caller]
    pub fn wait_until_empty(&self) {
        self.eventually("the spool is empty", || {
            let empty =
                |name: &str| fs::read_dir(self.spool().join(name)).is_ok_and(|mut found| found.next().is_none());
            let outbox = fs::read_dir(self.spool().join("outbox/ct")).ok()?;
            let left = outbox.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('_')).count();
            (["partial", "arrived", "closing"].into_iter().all(empty) && left == 0).then_some(())
        });
    }

    /// Waits for `check` to give something.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE, || self.log(), check)
    }

    /// What both processes logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default()
    }

    /// dcmtk's `storescu` with further words, which are options or files; its exit code.
    pub fn storescu(&self, words: &[&str], files: &[&Path]) -> crate::command::Ended {
        run(self.storescu_command(words, files))
    }

    /// The same, not started yet.
    pub fn storescu_command(&self, words: &[&str], files: &[&Path]) -> Command {
        let (host, port) = (self.dicom.ip().to_string(), self.dicom.port().to_string());
        let mut command = Command::new("storescu");
        command.args(["-aet", "PACS", "-aec", "SLUSE", "-to", "20"]).args(words).args([host, port]).args(files);
        command
    }

    /// dcmtk's `echoscu` with further words.
    pub fn echoscu(&self, words: &[&str]) -> crate::command::Ended {
        let (host, port) = (self.dicom.ip().to_string(), self.dicom.port().to_string());
        let mut all: Vec<&dyn AsRef<OsStr>> = words.iter().map(|word| word as &dyn AsRef<OsStr>).collect();
        all.extend([&host as &dyn AsRef<OsStr>, &port]);
        program("echoscu", &all, &self.folder, b"")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill_intake();
        self.kill_forward();
    }
}

fn kill(process: &mut Option<Child>) {
    if let Some(mut process) = process.take() {
        process.kill().expect("it is our child");
        process.wait().expect("it is our child");
    }
}

/// A TCP port of loopback that nobody listens on.
pub fn free_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port")
}
