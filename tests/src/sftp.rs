//! SFTP of a gateway, and the clients that we did not write: OpenSSH's `sftp`, rclone, lftp.

use crate::command::{Ended, program, run};
use crate::gateway::{Gateway, free_port};
use crate::zone::text;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An inbox of a gateway, and a client's key to it.
#[derive(Debug)]
pub struct Inbox {
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// The client's folder: its key, and the host's.
    pub folder: PathBuf,
    key: PathBuf,
}

impl Inbox {
    /// Gives a gateway that does not run yet an inbox for the account `lab`, and a client a key of `kind`. `complete` is what its
    /// section says of when an entry is whole.
    pub fn of(gateway: &Gateway, complete: &str, kind: &[&str]) -> Self {
        let folder = gateway.folder.join("client");
        fs::create_dir_all(&folder).expect("a folder");
        let key = make_key(&folder.join("key"), kind);
        let address = free_port();
        let public = fs::read_to_string(folder.join("key.pub")).expect("a public key");
        let lines = format!(
            "\n[sftp]\nlisten = \"{address}\"\nhost_key = \"host.key\"\ninbox_key = \"inbox.key\"\nidle = \"20s\"\n\n\
             [inbox.lab]\nflow = \"ct\"\nkeys = [\"{}\"]\npeers = [\"127.0.0.0/8\"]\n{complete}\n",
            public.trim()
        );
        let config = fs::read_to_string(gateway.config()).expect("a configuration");
        fs::write(gateway.config(), config + &lines).expect("a configuration");
        run(gateway.command("keys")).expect(0);
        let inbox = Self { address, folder, key };
        let host = program("ssh-keygen", &[&"-y", &"-f", &"host.key"], &gateway.folder, b"").expect(0).stdout;
        let known = format!("[{}]:{} {host}", address.ip(), address.port());
        fs::write(inbox.known_hosts(), known).expect("known hosts");
        inbox
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// Waits until the gateway listens.
    pub fn wait(&self, gateway: &Gateway) {
        gateway.eventually("the gateway serves SFTP", || TcpStream::connect(self.address).ok());
    }

    /// Options of OpenSSH's programs for a client with the key at `key`.
    fn options(&self, key: &Path) -> Vec<String> {
        let known = format!("UserKnownHostsFile={}", text(&self.known_hosts()));
        let words = ["-F", "none", "-i", text(key), "-o", &known, "-o", "StrictHostKeyChecking=yes"];
        let more = ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"];
        words.into_iter().chain(more).map(str::to_owned).collect()
    }

    /// OpenSSH's `sftp` with a batch of commands, in the client's folder.
    pub fn sftp(&self, batch: &str) -> Ended {
        self.sftp_as("lab", &self.key, &[], batch)
    }

    /// The same with further options.
    pub fn sftp_with(&self, options: &[&str], batch: &str) -> Ended {
        self.sftp_as("lab", &self.key, options, batch)
    }

    /// The same of another user, or with another key.
    pub fn sftp_as(&self, user: &str, key: &Path, options: &[&str], batch: &str) -> Ended {
        run(self.sftp_command(user, key, options, batch))
    }

    /// The same, not started yet.
    pub fn sftp_command(&self, user: &str, key: &Path, options: &[&str], batch: &str) -> Command {
        let name = format!("batch-{}", fs::read_dir(&self.folder).expect("a folder").count());
        let file = self.folder.join(name);
        fs::write(&file, batch).expect("a batch");
        let mut command = Command::new("sftp");
        command.arg("-b").arg(file).args(self.options(key)).args(options);
        command.args(["-P", &self.address.port().to_string(), &format!("{user}@{}", self.address.ip())]);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// A session that lasts for as long as somebody may write to it.
    pub fn session(&self) -> Child {
        let mut command = Command::new("ssh");
        command.args(self.options(&self.key)).args(["-p", &self.address.port().to_string(), "-s"]);
        command.args([&format!("lab@{}", self.address.ip()), "sftp"]);
        command.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("ssh (tests/run installs it)")
    }

    /// The client's key.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// rclone with a command; `:sftp:` is the inbox.
    pub fn rclone(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("rclone");
        command.env("RCLONE_CONFIG", "/dev/null").args(words).args(["--retries", "1", "--low-level-retries", "1"]);
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        command.args(["--sftp-host", &host, "--sftp-port", &port, "--sftp-user", "lab"]);
        command.args(["--sftp-key-file", text(&self.key), "--sftp-known-hosts-file", text(&self.known_hosts())]);
        command.current_dir(&self.folder).stdin(Stdio::null());
        run(command)
    }

    /// lftp with commands, in the inbox.
    pub fn lftp(&self, commands: &str) -> Ended {
        let program = format!("ssh -a -x {}", self.options(&self.key).join(" "));
        let address = format!("sftp://lab:none@{}:{}", self.address.ip(), self.address.port());
        let words = format!(
            "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 20; set sftp:connect-program \"{program}\"; \
             open {address}; {commands}"
        );
        let mut command = Command::new("lftp");
        command.env("HOME", &self.folder).args(["--norc", "-c", &words]).current_dir(&self.folder).stdin(Stdio::null());
        run(command)
    }

    /// Writes a file into the client's folder.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }
}

/// Makes a key by OpenSSH's `ssh-keygen`.
pub fn make_key(path: &Path, kind: &[&str]) -> PathBuf {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", "client", "-f"]).arg(path).args(kind);
    run(command).expect(0);
    path.to_owned()
}
