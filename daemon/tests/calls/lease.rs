//! What the process that takes leases does: it waits, answers, logs, tells the service manager, and ends.

use crate::trace::{self, Traced, Traces, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluse_host::config::{Settings, Zone};
use sluse_host::layout::Layout;
use slused::confine::allowed;
use slused::leases::{Leases, MAX_FILES};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Its whole life.
pub fn calls() {
    let folder = tempfile::tempdir().unwrap();
    let (asked, notified) = (folder.path().join("lease.sock"), folder.path().join("notify.sock"));
    let (held, manager) = (UnixDatagram::bind(&asked).unwrap(), UnixDatagram::bind(&notified).unwrap());
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let traces = Traces::new();
    let mut command = traces.command(Path::new("sh"));
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 WATCHDOG_PID=$$; exec \"$0\" lease";
    command.args(["-c", script, env!("CARGO_BIN_EXE_slused")]);
    command.env("NOTIFY_SOCKET", &notified).env("WATCHDOG_USEC", "20000000").stderr(Stdio::piped());
    let mut process = Traced(command.stdin(Stdio::from(OwnedFd::from(held.try_clone().unwrap()))).spawn().unwrap());
    assert_eq!(manager.recv(&mut [0; 64]).unwrap(), "READY=1".len());

    let text = "[zone]\nname = \"test\"\n[receive]\nlisten = \"127.0.0.1:1\"\nadvertise = [\"h:1\"]\n";
    let zone = Zone { settings: Settings::parse(text).unwrap(), layout: Layout::new(folder.path()) };
    let leases = Leases::open(&zone, Some(&asked)).unwrap();
    let path = folder.path().join("file");
    let writer = File::create(&path).unwrap();
    let file = || vec![File::open(&path).unwrap()];
    assert!(!leases.nobody_writes(&file()).unwrap());
    drop(writer);
    let many: Vec<File> = (0..MAX_FILES).map(|_| File::open(&path).unwrap()).collect();
    assert!(leases.nobody_writes(&many).unwrap());
    assert!(leases.nobody_writes(&[File::open(folder.path()).unwrap()]).is_err());

    // Stopped and continued while it waits, it waits on.
    let pid = Pid::from_raw(process.0.id().cast_signed());
    for stops in 0.. {
        assert!(stops < 20, "it was never stopped while it waited");
        let waits = format!("{} ", nix::libc::SYS_poll);
        until("it waits", || fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap().starts_with(&waits));
        kill(pid, Signal::SIGSTOP).unwrap();
        until("it is stopped", || traces.count("stopped by SIGSTOP") > stops);
        kill(pid, Signal::SIGCONT).unwrap();
        assert!(leases.nobody_writes(&file()).unwrap());
        if traces.count("restart_syscall") > 0 {
            break;
        }
    }

    held.shutdown(Shutdown::Both).unwrap();
    assert!(process.0.wait().unwrap().success());
    let mut said = String::new();
    process.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("the kernel does not say whether somebody writes"), "{said}");
    trace::compare(allowed::LEASE, &traces.calls());
}
