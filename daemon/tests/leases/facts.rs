//! What holds of it.

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Pid, Uid};
use sluse_host::config::{Settings, Zone};
use sluse_host::layout::Layout;
use slused::RoleError;
use slused::leases::{Leases, MAX_FILES, process};
use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A user that this process is not.
const OTHER: u32 = 4711;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this process was started to answer, and has done so.
pub fn asked_for() -> bool {
    if std::env::args().nth(1).as_deref() != Some("lease") {
        return false;
    }
    process::run(process::Args { allow_unconfined: false }).unwrap();
    true
}

/// A zone whose incoming files are another user's.
struct Scene {
    folder: tempfile::TempDir,
    zone: Zone,
}

impl Scene {
    fn new() -> Self {
        assert!(Uid::effective().is_root(), "this test gives files to another user, and therefore needs root");
        let folder = tempfile::tempdir().unwrap();
        let text = "[zone]\nname = \"test\"\n[receive]\nlisten = \"127.0.0.1:1\"\nadvertise = [\"h:1\"]\n";
        let zone = Zone { settings: Settings::parse(text).unwrap(), layout: Layout::new(folder.path()) };
        fs::create_dir_all(zone.layout.incoming()).unwrap();
        std::os::unix::fs::chown(zone.layout.incoming(), Some(OTHER), None).unwrap();
        Self { folder, zone }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.zone.layout.incoming().join(number.to_string())
    }

    /// As many files of the other user, open for reading.
    fn files(&self, count: usize) -> Vec<File> {
        let make = |number| {
            let path = self.path(number);
            fs::write(&path, "chunk").unwrap();
            std::os::unix::fs::chown(&path, Some(OTHER), None).unwrap();
            File::open(path).unwrap()
        };
        (0..count).map(make).collect()
    }

    fn writer(&self, number: usize) -> File {
        OpenOptions::new().append(true).open(self.path(number)).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("lease.sock")
    }
}

/// `slused lease` on a socket that the service manager holds.
struct Unit {
    process: Child,
}

impl Unit {
    fn start(socket: &UnixDatagram, environment: &[(&str, &str)]) -> Self {
        let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 WATCHDOG_PID=$$; exec \"$0\" lease";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_slused")]).envs(environment.iter().copied());
        let handed = OwnedFd::from(socket.try_clone().unwrap());
        Self { process: command.stdin(Stdio::from(handed)).spawn().unwrap() }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Started by who has the capability, for files of another user: one writer among them is seen.
pub fn child() {
    let scene = Scene::new();
    let leases = Leases::open(&scene.zone, None).unwrap();
    let files = scene.files(MAX_FILES);
    assert!(leases.nobody_writes(&files).unwrap());
    let writer = scene.writer(MAX_FILES - 1);
    assert!(!leases.nobody_writes(&files).unwrap());
    assert!(leases.nobody_writes(&files[..MAX_FILES - 1]).unwrap());
    drop(writer);
    assert!(leases.nobody_writes(&files).unwrap());
    // What has no leases says nothing.
    let folder = File::open(scene.zone.layout.incoming()).unwrap();
    assert!(leases.nobody_writes(&[folder]).is_err());
    assert!(leases.nobody_writes(&files).unwrap() && !leases.is_lost());
}

/// Its capability, its descriptors, its filter.
pub fn powers() {
    let scene = Scene::new();
    let leases = Leases::open(&scene.zone, None).unwrap();
    assert!(leases.nobody_writes(&scene.files(1)).unwrap());
    let of = std::process::id();
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    let pid = children.trim();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let lease = format!("{:016x}", 1_u64 << 28);
    for (set, has) in [("CapEff:", &lease), ("CapPrm:", &lease)] {
        assert_eq!(&field(set), has, "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("Threads:")), ("1".into(), "2".into(), "1".into()));
    // What it is asked on, under two numbers; where output goes, and where it logs.
    let open = |number: u32| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    // What it was handed it closes after it has answered.
    while fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() != 4 {
        assert!(Instant::now() < deadline, "it keeps open what it was handed");
    }
    assert_eq!((open(3), open(1).as_path()), (open(0), std::path::Path::new("/dev/null")));
}

/// Whoever answers may die and come back; the socket stays, as the service manager holds it.
pub fn unit() {
    let scene = Scene::new();
    let held = UnixDatagram::bind(scene.socket()).unwrap();
    let leases = Leases::open(&scene.zone, Some(&scene.socket())).unwrap();
    let files = scene.files(3);
    let first = Unit::start(&held, &[]);
    assert!(leases.nobody_writes(&files).unwrap());
    drop(first);
    assert!(leases.nobody_writes(&files).is_err());
    assert!(!leases.is_lost());
    // It meets the question that nobody waits for any more first.
    let second = Unit::start(&held, &[]);
    let writer = scene.writer(1);
    assert!(!leases.nobody_writes(&files).unwrap());
    drop(writer);
    assert!(leases.nobody_writes(&files).unwrap());
    drop(second);
}

/// Other files than were announced, none at all, no socket for the answer.
pub fn nonsense() {
    let scene = Scene::new();
    let held = UnixDatagram::bind(scene.socket()).unwrap();
    let unit = Unit::start(&held, &[]);
    let asking = UnixDatagram::unbound().unwrap();
    asking.connect(scene.socket()).unwrap();
    let files = scene.files(2);
    for announced in [1_u16, 3, u16::MAX] {
        let (mut answer, theirs) = UnixStream::pair().unwrap();
        answer.set_read_timeout(Some(PATIENCE)).unwrap();
        let rights = [theirs.as_raw_fd(), files[0].as_raw_fd(), files[1].as_raw_fd()];
        let parts = [announced.to_le_bytes()];
        let messages = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(asking.as_raw_fd(), &[IoSlice::new(&parts[0])], &messages, MsgFlags::empty(), None).unwrap();
        drop(theirs);
        assert_eq!(answer.read(&mut [0]).unwrap(), 0, "{announced}");
    }
    asking.send(&[9; 40]).unwrap();
    asking.send(&[0; 2]).unwrap();
    let leases = Leases::open(&scene.zone, Some(&scene.socket())).unwrap();
    assert!(leases.nobody_writes(&files).unwrap());
    drop(unit);
}

/// A socket that is gone, and a child that is.
pub fn lost() {
    let scene = Scene::new();
    let held = UnixDatagram::bind(scene.socket()).unwrap();
    let by_unit = Leases::open(&scene.zone, Some(&scene.socket())).unwrap();
    drop(held);
    let files = scene.files(1);
    assert!(by_unit.nobody_writes(&files).is_err() && by_unit.is_lost());
    assert!(Leases::open(&scene.zone, Some(&scene.socket())).is_err());

    let by_child = Leases::open(&scene.zone, None).unwrap();
    assert!(by_child.nobody_writes(&files).unwrap());
    let of = std::process::id();
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    kill(Pid::from_raw(children.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    // The first question may still get into its queue.
    while !by_child.is_lost() {
        assert!(by_child.nobody_writes(&files).is_err());
    }
}

/// It says that it is ready, and again and again that it goes on, by the one socket that it has.
pub fn watchdog() {
    let scene = Scene::new();
    let manager = UnixDatagram::bind(scene.folder.path().join("notify.sock")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let held = UnixDatagram::bind(scene.socket()).unwrap();
    let path = scene.folder.path().join("notify.sock");
    let unit = Unit::start(&held, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
    let mut heard = [0; 64];
    for expected in ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"] {
        let length = manager.recv(&mut heard).unwrap();
        assert_eq!(std::str::from_utf8(&heard[..length]).unwrap(), expected);
    }
    drop(unit);
}

/// Where the files are another user's and nobody has the capability, `inspect` does not start.
pub fn incapable() {
    let scene = Scene::new();
    let zone = scene.zone.clone();
    let opened = std::thread::spawn(move || {
        slused::sys::keep_only(slused::sys::Capabilities::NONE).unwrap();
        Leases::open(&zone, None).err()
    });
    let refused = opened.join().unwrap();
    assert!(matches!(&refused, Some(RoleError::Unsafe(reason)) if reason.contains("CAP_LEASE")), "{refused:?}");
}
