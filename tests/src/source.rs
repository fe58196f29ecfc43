//! An enrolled source.

use crate::command::{Ended, run, sluse};
use crate::zone::text;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source's identity folder and its agreement.
#[derive(Debug)]
pub struct Source {
    /// The identity folder.
    pub identity: PathBuf,
    /// The agreement that it sends under.
    pub agreement: String,
}

impl Source {
    /// The command that sends `path` as `dataset` and waits until `until`.
    pub fn sending(&self, path: &Path, dataset: &str, until: &str) -> Command {
        let words = ["send", text(path), "--identity", text(&self.identity), "--agreement", &self.agreement];
        let mut command = sluse(&words);
        command.args(["--dataset", dataset, "--wait", until, "--wait-timeout", "120s", "--json"]);
        command
    }

    /// Sends `path` as `dataset` and waits until `until`.
    pub fn send(&self, path: &Path, dataset: &str, until: &str) -> Ended {
        run(self.sending(path, dataset, until))
    }

    /// Sends, which must succeed, and returns the transfer's id.
    #[track_caller]
    pub fn deliver(&self, path: &Path, dataset: &str) -> String {
        let sent = self.send(path, dataset, "delivered").expect(0).json();
        sent["transfer"].as_str().expect("a transfer's id").to_owned()
    }

    /// From here on it reaches the zone at `address`, a proxy's.
    pub fn reach(&self, address: SocketAddr) {
        let path = self.identity.join("identity.toml");
        let settings = std::fs::read_to_string(&path).expect("the identity's settings");
        let other: String = settings
            .lines()
            .map(|line| match line.starts_with("addresses") {
                true => format!("addresses = [\"{address}\"]\n"),
                false => format!("{line}\n"),
            })
            .collect();
        std::fs::write(&path, other).expect("the identity's settings can be written");
    }

    /// The folder in which a transfer's receipts lie.
    pub fn receipts(&self, transfer: &str) -> PathBuf {
        self.identity.join("transfers").join(transfer)
    }
}
