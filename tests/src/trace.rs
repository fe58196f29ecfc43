//! Failing one system call of a process by strace: with an error, or by the process's death.

use crate::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How a step fails.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The system call ends with EIO and does nothing.
    Error,
    /// The process is killed before the system call does anything.
    Death,
}

impl Fault {
    /// strace's arguments: the `nth` call of `call` in each thread fails.
    pub fn inject(self, call: &str, nth: usize) -> [String; 4] {
        let how = match self {
            Fault::Error => "error=EIO",
            Fault::Death => "signal=KILL",
        };
        ["-e".into(), format!("trace={call}"), "-e".into(), format!("inject={call}:{how}:when={nth}")]
    }
}

/// strace, attached to a process.
#[derive(Debug)]
pub struct Trace {
    strace: Child,
    output: PathBuf,
}

impl Trace {
    /// Waits until every thread of the role is traced; the `nth` call of `call` in each of them will fail.
    pub fn attach(zone: &Zone, role: &str, call: &str, nth: usize, fault: Fault) -> Self {
        zone.wait_for_roles();
        let pid = zone.eventually("the role runs", || zone.process(role));
        Self::attach_to(zone, pid, call, nth, fault)
    }

    /// The same for any process; threads that it begins later are traced too.
    pub fn attach_to(zone: &Zone, pid: i32, call: &str, nth: usize, fault: Fault) -> Self {
        let output = zone.folder.path().join("strace.log");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", text(&output), "-p", &pid.to_string()]);
        command.args(fault.inject(call, nth));
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let strace = strace.expect("strace runs (tests/run installs it)");
        let traced = |thread: &Path| {
            let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
            status.lines().any(|line| line == format!("TracerPid:\t{}", strace.id()))
        };
        zone.eventually("the process is traced, which needs root", || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            threads.flatten().all(|thread| traced(&thread.path())).then_some(())
        });
        Self { strace, output }
    }

    /// Whether the fault has happened.
    pub fn struck(&self) -> bool {
        let log = fs::read_to_string(&self.output).unwrap_or_default();
        log.contains("(INJECTED)") || log.contains("killed by SIGKILL")
    }

    /// Lets go of the process.
    pub fn detach(mut self) {
        use nix::sys::signal::{Signal, kill};
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.strace.id()).unwrap());
        // It ends by itself when what it traced was killed; asked to end at that moment it may hang, and hold the dead.
        let _ = kill(pid, Signal::SIGTERM);
        for _ in 0..100 {
            if self.strace.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.strace.kill();
        self.strace.wait().unwrap();
        let _ = fs::remove_file(&self.output);
    }
}
