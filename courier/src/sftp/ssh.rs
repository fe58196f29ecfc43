//! The way to the server: the system's own OpenSSH client, which carries what we say to the server's SFTP subsystem. It takes the pinned host
//! key and no other, and our key and nothing else.

use crate::leash::Leash;
use crate::settings::Sftp;
use crate::target::Trouble;
use std::io::Read as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of what the client complains that are read.
const MAX_COMPLAINT: u64 = 4096;

/// How long the client may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running client.
pub struct Ssh {
    child: Arc<Mutex<Child>>,
    complaint: Option<ChildStderr>,
}

impl Ssh {
    /// Starts it; it ends when `leash` is let go.
    ///
    /// # Errors
    /// When it is not installed, or nobody waits for it any more.
    pub fn start(way: &Sftp, leash: &Leash) -> Result<(Self, ChildStdin, ChildStdout), Trouble> {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-T", "-p", &way.port.to_string(), "-l", &way.user]).arg("-i").arg(&way.key);
        let known_hosts = format!("UserKnownHostsFile=\"{}\"", way.known_hosts.display());
        for option in OPTIONS.iter().copied().chain([known_hosts.as_str()]) {
            command.args(["-o", option]);
        }
        command.args(["-s", "--", &way.host, "sftp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| Trouble::new(format!("OpenSSH's ssh cannot be started: {error}")))?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = pipes else { return Err(Trouble::new("ssh has no pipes")) };
        let complaint = child.stderr.take();
        let ssh = Self { child: Arc::new(Mutex::new(child)), complaint };
        leash.bind(&ssh.child)?;
        Ok((ssh, input, output))
    }

    /// Why it ended, once it has.
    pub fn why(&mut self) -> Trouble {
        let (mut complaint, until) = (Vec::new(), Instant::now() + PATIENCE);
        while matches!(self.child().try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end();
        if let Some(stderr) = self.complaint.take() {
            // What cannot be read is no complaint.
            let _ = stderr.take(MAX_COMPLAINT).read_to_end(&mut complaint);
        }
        Trouble::new(sentence(&String::from_utf8_lossy(&complaint)))
    }

    fn end(&self) {
        let mut child = self.child();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.end();
    }
}

/// No question to anybody, no configuration of anybody's, no other host key than the pinned one, no agent, nothing forwarded; a server that
/// is silent for three quarters of a minute is gone.
const OPTIONS: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ControlPath=none",
    "Compression=no",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
];

/// What the client's complaint means.
fn sentence(complaint: &str) -> String {
    let has = |words: &str| complaint.contains(words);
    if has("Host key verification failed") || has("REMOTE HOST IDENTIFICATION") || has("No matching host key") {
        return "the server's host key is not the one in known_hosts: nothing was said to it".into();
    }
    if has("Permission denied") {
        return "the server does not take our key: it is unknown there, or has expired".into();
    }
    if has("UNPROTECTED PRIVATE KEY") || has("Load key") {
        return "our own key cannot be used: its file, its mode or its form".into();
    }
    if has("subsystem request failed") {
        return "the server has no SFTP".into();
    }
    if has("Could not resolve") {
        return "the server's name is not known here".into();
    }
    let unreachable = ["Connection refused", "timed out", "No route to host", "unreachable", "Network is"];
    if unreachable.iter().any(|words| has(words)) {
        return "the server cannot be reached".into();
    }
    "the connection to the server ended".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_complains_is_said_without_its_words() {
        let refused = "u@10.0.0.1: Permission denied (publickey).\r\n";
        assert!(sentence(refused).contains("does not take our key"));
        assert!(sentence("Host key verification failed.\r\n").contains("host key is not the one"));
        assert_eq!(sentence("anything else of /a/file"), "the connection to the server ended");
    }
}
