//! The attempts, and the process that makes them.

use crate::harness::say;
use crate::scene::{self, Scene};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::kill;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, Uid};
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use slused::inspect::jail::Outside;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What tells a process to make attempts, and as whom: a role, `nursery`, or `unconfined`.
const AS: &str = "SLUSE_TEST_AS";
const NURSERY: &str = "nursery";
const OUTSIDE: &str = "SLUSE_TEST_OUTSIDE";
const FOLDER: &str = "SLUSE_TEST_FOLDER";
const SIBLING: &str = "SLUSE_TEST_SIBLING";
const PORTS: &str = "SLUSE_TEST_PORTS";
const THREAD: &str = "SLUSE_TEST_THREAD";

/// What the attempts need to know.
struct World {
    zone: Zone,
    sibling: Pid,
    tcp: u16,
    udp: u16,
}

type Attempt = fn(&World) -> io::Result<()>;

/// The attempts by name. Each leaves the scene as it was, or ready to be attempted by the next process.
const ATTEMPTS: &[(&str, Attempt)] = &[
    ("read the configuration", |world| read(world.zone.layout.config())),
    ("read trust", |world| read(world.zone.layout.signer())),
    ("write trust", |world| write(world.zone.layout.trust().join("new"))),
    ("read the database", |world| read(world.zone.layout.database())),
    ("write the database", |world| modify(world.zone.layout.database())),
    ("read the authority's key", |world| read(world.zone.layout.ca_key())),
    ("read the signing key", |world| read(world.zone.layout.signing_key())),
    ("read the TLS key", |world| read(world.zone.layout.tls_key())),
    ("write beside the TLS key", |world| write(world.zone.layout.role(Role::Receive).join("new"))),
    ("read the quarantine key", |world| read(world.zone.layout.quarantine_key())),
    ("read an identity", |world| read(world.zone.layout.identity("age1x"))),
    ("make an identity", |world| write(world.zone.layout.identity("age1y"))),
    ("read deliver's key", |world| read(world.zone.layout.deliver_key())),
    ("write beside deliver's key", |world| write(world.zone.layout.role(Role::Deliver).join("new"))),
    ("remember a delivery", |world| write(world.zone.layout.pending().join("new"))),
    ("list receive's folder", |world| list(world.zone.layout.role(Role::Receive))),
    ("list control's folder", |world| list(world.zone.layout.role(Role::Control))),
    ("list inspect's folder", |world| list(world.zone.layout.role(Role::Inspect))),
    ("list deliver's folder", |world| list(world.zone.layout.role(Role::Deliver))),
    ("read an incoming chunk", |world| read(incoming(world).join("0000000.age"))),
    ("write an incoming chunk", |world| write(incoming(world).join("0000001.age"))),
    ("make an incoming folder", |world| {
        fs::create_dir(incoming(world).join("new")).and(fs::remove_dir(incoming(world).join("new")))
    }),
    ("rename an incoming chunk", |world| {
        there_and_back(incoming(world).join("0000000.age"), incoming(world).join("9"))
    }),
    ("move a chunk to another transfer", |world| {
        there_and_back(incoming(world).join("0000000.age"), world.zone.layout.incoming().join("two/0000000.age"))
    }),
    ("read a sealed chunk", |world| read(sealed(world).join("0000000.age"))),
    ("list a sealed transfer", |world| list(sealed(world))),
    ("write to a sealed chunk", |world| modify(sealed(world).join("0000000.age"))),
    ("truncate a sealed chunk", |world| {
        nix::unistd::truncate(&sealed(world).join("0000000.age"), 6).map_err(io::Error::from)
    }),
    ("add a sealed chunk", |world| write(sealed(world).join("0000001.age"))),
    ("seal a transfer", |world| there_and_back(incoming(world), world.zone.layout.sealed().join("one"))),
    ("unseal a transfer", |world| there_and_back(sealed(world), world.zone.layout.incoming().join("three"))),
    ("read a signature list", |world| read(world.zone.signatures().join("list.sha256"))),
    ("read a room", |world| read(room(world).join("data"))),
    ("write a room", |world| write(room(world).join("new"))),
    ("move within the rooms", |world| there_and_back(room(world).join("data"), world.zone.rooms().join("other/data"))),
    ("make a link in a room", |world| {
        std::os::unix::fs::symlink("/etc/passwd", room(world).join("link"))
            .and(fs::remove_file(room(world).join("link")))
    }),
    ("make a socket to listen on", |world| {
        let path = world.zone.layout.run().join("new.sock");
        UnixListener::bind(&path).and(fs::remove_file(path))
    }),
    ("list the sockets", |world| list(world.zone.layout.run())),
    ("read the users", |_| read("/etc/passwd".into())),
    ("read the host's name", |_| read("/etc/hostname".into())),
    ("write a temporary file", |_| write(PathBuf::from(format!("/tmp/sluse-test-{}", std::process::id())))),
    ("read another's memory by file", |world| File::open(format!("/proc/{}/mem", world.sibling)).map(drop)),
    ("read another's environment", |world| read(PathBuf::from(format!("/proc/{}/environ", world.sibling)))),
    ("read another's memory", |world| {
        let mut byte = [0];
        let remote = [RemoteIoVec { base: 0, len: 1 }];
        match process_vm_readv(world.sibling, &mut [IoSliceMut::new(&mut byte)], &remote) {
            // Nothing is mapped there, but it was looked for.
            Err(nix::errno::Errno::EFAULT) => Ok(()),
            other => other.map(drop).map_err(io::Error::from),
        }
    }),
    ("trace another", |world| {
        ptrace::seize(world.sibling, ptrace::Options::empty())?;
        ptrace::interrupt(world.sibling)?;
        nix::sys::wait::waitpid(world.sibling, None)?;
        Ok(ptrace::detach(world.sibling, None)?)
    }),
    ("signal another", |world| Ok(kill(world.sibling, None)?)),
    ("signal itself", |_| Ok(kill(nix::unistd::getpid(), None)?)),
    ("start a program", |_| Command::new("/bin/true").status().map(drop)),
    ("start a thread", |_| std::thread::Builder::new().spawn(|| {}).map(|thread| drop(thread.join()))),
    ("raise its limits", |_| Ok(setrlimit(Resource::RLIMIT_CORE, 1, 1)?)),
    ("be traced again", |_| Ok(nix::sys::prctl::set_dumpable(true)?)),
    ("connect by TCP", |world| TcpStream::connect(("127.0.0.1", world.tcp)).map(drop)),
    ("listen by TCP", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("make a UDP socket", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("send by UDP", |world| UdpSocket::bind("127.0.0.1:0")?.send_to(b"secret", ("127.0.0.1", world.udp)).map(drop)),
    ("connect to a socket", |world| UnixStream::connect(scene::unix_socket(world.zone.layout.root())).map(drop)),
    ("connect to an abstract socket", |world| {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(scene::abstract_name(world.zone.layout.root()))?)
            .map(drop)
    }),
    ("make a pair of sockets", |_| UnixStream::pair().map(drop)),
    ("change its user", |_| Ok(nix::unistd::setuid(Uid::current())?)),
];

/// Attempts that only root succeeds in, unconfined.
const ROOT_ATTEMPTS: &[(&str, Attempt)] = &[
    ("read the passwords", |_| read("/etc/shadow".into())),
    ("mount", |world| {
        let folder = world.zone.layout.trust();
        let none = None::<&str>;
        nix::mount::mount(Some("none"), &folder, Some("tmpfs"), nix::mount::MsFlags::empty(), none)?;
        Ok(nix::mount::umount(&folder)?)
    }),
    ("change the root", |_| Ok(nix::unistd::chroot("/")?)),
    ("make a device", |world| {
        let path = world.zone.layout.incoming().join("one/null");
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::sys::stat::mknod(&path, nix::sys::stat::SFlag::S_IFCHR, mode, nix::sys::stat::makedev(1, 3))?;
        fs::remove_file(path)
    }),
    ("give a file away", |world| {
        std::os::unix::fs::chown(incoming(world).join("0000000.age"), Some(1), None)
            .and_then(|()| std::os::unix::fs::chown(incoming(world).join("0000000.age"), Some(0), None))
    }),
];

/// The last one: whoever succeeds is nobody afterwards.
const LAST_ATTEMPT: &[(&str, Attempt)] =
    &[("enter a namespace", |_| Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER)?))];

/// Attempts that the kernel may deny to anybody but root where it is so set, confined or not.
const TRACING: &[&str] =
    &["read another's memory by file", "read another's environment", "read another's memory", "trace another"];

fn incoming(world: &World) -> PathBuf {
    world.zone.layout.incoming().join("one")
}

fn sealed(world: &World) -> PathBuf {
    world.zone.layout.sealed().join("three")
}

fn room(world: &World) -> PathBuf {
    world.zone.rooms().join("room")
}

fn read(path: PathBuf) -> io::Result<()> {
    fs::read(path).map(drop)
}

fn list(path: PathBuf) -> io::Result<()> {
    fs::read_dir(path).map(drop)
}

fn write(path: PathBuf) -> io::Result<()> {
    File::create_new(&path)?.write_all(b"new")?;
    fs::remove_file(path)
}

fn modify(path: PathBuf) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(b"secret")
}

fn there_and_back(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    fs::rename(&from, &to)?;
    fs::rename(to, from)
}

/// How the attempts of one process ended: each name with its error's number, 0 for success.
pub type Outcomes = Vec<(String, i32)>;

/// The names of all attempts that this user can make.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| *name)
}

fn all() -> impl Iterator<Item = &'static (&'static str, Attempt)> {
    let is_root = Uid::effective().is_root();
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_else(|_| "0".to_owned());
    let may_trace = is_root || scope.trim() == "0";
    let root = if is_root { ROOT_ATTEMPTS } else { &[] };
    let all = ATTEMPTS.iter().chain(root).chain(LAST_ATTEMPT);
    all.filter(move |(name, _)| may_trace || !TRACING.contains(name))
}

/// How a process is to make the attempts.
#[derive(Default, Clone, Copy)]
pub struct As {
    /// Confined as this role, or not at all.
    pub role: Option<Role>,
    /// Confined as the nursery of parsers.
    pub nursery: bool,
    /// In a zone with this engine.
    pub outside: Option<Outside>,
    /// In a thread that starts after confinement.
    pub thread: bool,
}

/// Starts a process that makes the attempts, and reads how they ended.
pub fn of(user: As, scene: &Scene) -> Outcomes {
    let ports = [scene.tcp.local_addr().unwrap().port(), scene.udp.local_addr().unwrap().port()];
    let output = Command::new(std::env::current_exe().unwrap())
        .env(AS, if user.nursery { NURSERY } else { user.role.map_or("unconfined", Role::as_str) })
        .env(OUTSIDE, format!("{:?}", user.outside))
        .env(THREAD, user.thread.to_string())
        .env(FOLDER, scene.folder.path())
        .env(SIBLING, scene.pid().to_string())
        .env(PORTS, format!("{} {}", ports[0], ports[1]))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let outcome = |line: &str| line.split_once(' ').map(|(number, name)| (name.to_owned(), number.parse().unwrap()));
    said.lines().map(|line| outcome(line).unwrap()).collect()
}

/// Whether this process was started to make attempts.
pub fn asked_for() -> bool {
    std::env::var_os(AS).is_some()
}

/// Confines this process as it was told, and makes the attempts.
pub fn make() {
    let variable = |name| std::env::var(name).unwrap();
    let folder = PathBuf::from(variable(FOLDER));
    let outside =
        [Outside::Clamd, Outside::Icap].into_iter().find(|one| format!("{:?}", Some(one)) == variable(OUTSIDE));
    let zone = scene::zone(&folder, outside);
    let ports = variable(PORTS);
    let (tcp, udp) = ports.split_once(' ').unwrap();
    let world = World {
        zone,
        sibling: Pid::from_raw(variable(SIBLING).parse().unwrap()),
        tcp: tcp.parse().unwrap(),
        udp: udp.parse().unwrap(),
    };
    let user = variable(AS);
    if let Some(&role) = Role::ALL.iter().find(|role| role.as_str() == user) {
        slused::confine::apply(role, &world.zone).unwrap();
    }
    if user == NURSERY {
        slused::confine::nursery(false, true).unwrap();
    }
    if variable(THREAD) == "true" {
        std::thread::spawn(move || make_all(&world)).join().unwrap();
    } else {
        make_all(&world);
    }
}

fn make_all(world: &World) {
    for (name, attempt) in all() {
        let number = match attempt(world) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
        };
        say(&format!("{number} {name}"));
    }
}
