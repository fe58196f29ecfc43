//! A zone in which each role is a user of its own, as docs/operations.md sets it up. Needs root. The users are made by that
//! page's own commands, in a copy of /etc that only these tests' processes see (a mount namespace): the machine's users stay
//! as they are, and so do zones of other tests.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid, User, getgrouplist};
use sluse_tests::command::{Ended, binaries, run};
use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROLES: [&str; 4] = ["control", "inspect", "deliver", "receive"];

/// The kernel's number of the one capability that any process of a zone keeps: the child of `inspect` that takes leases on
/// `receive`'s files.
const CAP_LEASE: u32 = 28;

/// Runs `body`, which is the test called `name`, where the roles' users exist.
fn with_users(name: &str, body: impl FnOnce()) {
    let setup = format!(
        "for one in receive control inspect deliver; do userdel sluse-$one 2>/dev/null || true; done\n\
         groupdel sluse-quarantine 2>/dev/null || true\n{}",
        documented_users()
    );
    with_own_etc(name, &setup, body);
}

/// The commands by which docs/operations.md makes the users.
fn documented_users() -> String {
    let page = include_str!("../../docs/operations.md");
    let from = page.lines().skip_while(|line| !line.contains("groupadd"));
    from.take_while(|line| line.starts_with("    ")).map(|line| format!("{}\n", &line[4..])).collect()
}

/// A zone whose folder the roles' users can reach.
fn zone() -> Zone {
    let zone = Zone::prepare();
    fs::set_permissions(zone.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    zone
}

fn user(role: &str) -> User {
    User::from_name(&format!("sluse-{role}")).unwrap().expect("the documented commands made it")
}

/// Starts a command as another user, in all of that user's groups.
fn command_as(name: &str, words: &[&str]) -> Command {
    let group = if name == "nobody" { "nogroup" } else { name };
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={name}"), &format!("--regid={group}"), "--init-groups"]);
    command.args(words).current_dir("/");
    command
}

/// Whether a user may do something (`-r`, `-w`, `-x`) with a path, by owner and mode alone.
fn may(name: &str, what: &str, path: &Path) -> bool {
    let ended = run(command_as(name, &["test", what, text(path)]));
    assert!(ended.code <= 1, "{}", ended.stderr);
    ended.code == 0
}

/// A source's file under an agreement that a person must release.
fn hold(zone: &Zone) -> (String, Vec<u8>) {
    zone.agree("edc", "edc", |text| text.replace("automatic", "one-reviewer")).expect(0);
    let source = zone.enrol("edc");
    let (file, bytes) = (zone.folder.path().join("held.bin"), data::noise(3, 5_000_000));
    fs::write(&file, &bytes).unwrap();
    let sent = source.send(&file, "held", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    (transfer, bytes)
}

/// Every path below a folder, and the folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn each_role_runs_as_its_user_with_no_more_than_it_needs_and_the_main_path_works() {
    with_users("each_role_runs_as_its_user_with_no_more_than_it_needs_and_the_main_path_works", || {
        let mut zone = zone();
        zone.operate(&["zone", "check"]).expect(0);
        zone.run();
        for role in ROLES {
            let pid = zone.process(role).expect("it runs");
            check_process(role, &fs::read_to_string(format!("/proc/{pid}/status")).unwrap());
        }
        let lease = fs::read_to_string(format!("/proc/{}/status", lease_process(&zone))).unwrap();
        check_powers("lease", &lease, 1 << CAP_LEASE);
        let source = zone.source("lab");
        let file = zone.folder.path().join("extract.csv");
        fs::write(&file, data::csv(1, 9_000_000)).unwrap();
        let bag = zone.room().join("nightly").join(source.deliver(&file, "nightly"));
        assert!(fs::read(bag.join("data/extract.csv")).unwrap() == fs::read(&file).unwrap());
        assert_eq!(bag.metadata().unwrap().uid(), user("deliver").uid.as_raw());
        let (held, bytes) = hold(&zone);
        zone.operate(&["release", &held, "--reason", "test"]).expect(0);
        zone.wait_for_state(&held, "delivered");
        assert!(fs::read(zone.room().join("held").join(held).join("data/held.bin")).unwrap() == bytes);
        zone.operate(&["zone", "check"]).expect(0);
        zone.operate(&["audit", "verify"]).expect(0);
        assert_eq!(zone.stop(), Some(0));
    });
}

/// Compares what `/proc` says of a role's process with what it should be.
fn check_process(role: &str, status: &str) {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name}: {status}")).split_ascii_whitespace().collect::<Vec<_>>()
    };
    let user = user(role);
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    assert_eq!(field("Uid"), [uid.as_str(); 4], "{role}");
    assert_eq!(field("Gid"), [gid.as_str(); 4], "{role}");
    let wanted: &[&str] = match role {
        "receive" => &["sluse-quarantine"],
        "inspect" => &["sluse-quarantine", "sluse-receive"],
        "deliver" => &["sluse-receive"],
        _ => &[],
    };
    let id = |name: &&str| Group::from_name(name).unwrap().unwrap().gid.to_string();
    let wanted: BTreeSet<String> = wanted.iter().map(id).chain([gid]).collect();
    let has: BTreeSet<String> = field("Groups").into_iter().map(str::to_owned).collect();
    assert_eq!(has, wanted, "{role}");
    let name = CString::new(user.name.as_bytes()).unwrap();
    assert_eq!(getgrouplist(&name, user.gid).unwrap().len(), wanted.len(), "{role}");
    check_powers(role, status, 0);
}

/// Compares its capabilities, and that it has filters.
fn check_powers(who: &str, status: &str, kept: u64) {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    for (set, expected) in [("CapEff", kept), ("CapPrm", kept), ("CapInh", 0), ("CapAmb", 0)] {
        assert_eq!(field(set), Some(format!("{expected:016x}").as_str()), "{who} {set}");
    }
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), (Some("1"), Some("2")), "{who}");
}

/// The process that takes leases for `inspect`, which started it.
fn lease_process(zone: &Zone) -> i32 {
    let inspect = zone.process("inspect").expect("it runs");
    let children = fs::read_to_string(format!("/proc/{inspect}/task/{inspect}/children")).unwrap();
    let is_it = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "slused-lease\n");
    children.split_ascii_whitespace().find(|pid| is_it(pid)).expect("inspect has started it").parse().unwrap()
}

#[test]
fn a_file_that_receive_can_still_write_to_is_not_sealed_and_without_an_answer_nothing_is() {
    with_users("a_file_that_receive_can_still_write_to_is_not_sealed_and_without_an_answer_nothing_is", || {
        let mut zone = zone();
        zone.run();
        let source = zone.source("lab");
        // Slow enough that its first chunk is met before it is sealed.
        let settings = source.identity.join("identity.toml");
        let slow = fs::read_to_string(&settings).unwrap() + "\n[network]\nmax_bytes_per_second = 8000000\n";
        fs::write(&settings, slow).unwrap();
        let file = zone.folder.path().join("extract");
        fs::write(&file, data::noise(1, 60_000_000)).unwrap();
        let incoming = zone.root().join("quarantine/incoming");
        let chunk = || {
            let transfer = fs::read_dir(&incoming).unwrap().flatten().next()?.path();
            Some(transfer.join("0000000.age")).filter(|chunk| chunk.exists())
        };
        let times = |what: &str| zone.log().matches(what).count();
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| source.deliver(&file, "nightly"));
            let path = zone.eventually("the first chunk is there", chunk);
            let held = fs::OpenOptions::new().append(true).open(&path).unwrap();
            zone.eventually("it is refused", || (times("transfer was not taken over") > 0).then_some(()));
            zone.eventually("it lies where it was", || path.exists().then_some(()));
            // Nor is it where nobody says whether somebody writes.
            let lease = lease_process(&zone);
            kill(Pid::from_raw(lease), Signal::SIGSTOP).unwrap();
            let refused = times("transfer was not taken over");
            zone.eventually("it is refused again", || (times("a read lease") > 0).then_some(()));
            zone.eventually("and says so", || (times("transfer was not taken over") > refused).then_some(()));
            drop(held);
            kill(Pid::from_raw(lease), Signal::SIGKILL).unwrap();
            let id = sending.join().unwrap();
            let bag = zone.room().join("nightly").join(id);
            assert!(fs::read(bag.join("data/extract")).unwrap() == fs::read(&file).unwrap());
            assert_ne!(lease_process(&zone), lease);
        });
    });
}

#[test]
fn users_are_kept_apart_by_owners_and_modes_alone_and_a_stranger_reads_nothing() {
    with_users("users_are_kept_apart_by_owners_and_modes_alone_and_a_stranger_reads_nothing", || {
        let mut zone = zone();
        zone.run();
        let source = zone.source("lab");
        let file = zone.folder.path().join("extract.csv");
        fs::write(&file, data::csv(1, 3000)).unwrap();
        source.deliver(&file, "nightly");
        let (held, _) = hold(&zone);
        let root = zone.root();
        for role in ROLES {
            let folder = root.join(role);
            assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700, "{role}");
            for path in walk(&folder) {
                let found = path.symlink_metadata().unwrap();
                assert_eq!(found.uid(), user(role).uid.as_raw(), "{}", path.display());
                let key = path.extension().is_some_and(|end| end == "key") || path.ends_with("state.db");
                assert!(!key || found.mode() & 0o077 == 0, "{} {:o}", path.display(), found.mode());
            }
        }
        let transfers = [root.join("quarantine/incoming"), root.join("quarantine/sealed")];
        for path in transfers.iter().flat_map(|folder| walk(folder)) {
            let (found, depth) = (path.metadata().unwrap(), path.strip_prefix(&root).unwrap().components().count());
            // Through a transfer's folder, of which nobody knows but by way of what is closed, others may pass.
            let others = if depth == 3 { 0o001 } else { 0 };
            assert_eq!(found.mode() & 0o007, others, "{} {:o}", path.display(), found.mode());
        }
        let sealed = root.join("quarantine/sealed").join(&held);
        let chunk = sealed.join("0000000.age");
        let incoming = root.join("quarantine/incoming");
        let rights: [(&Path, &str, &[&str]); 13] = [
            (&chunk, "-r", &["inspect", "deliver"]),
            (&chunk, "-w", &[]),
            (&sealed, "-x", &["inspect", "deliver"]),
            (&sealed, "-r", &["inspect"]),
            (&sealed, "-w", &["inspect"]),
            (&incoming, "-x", &["receive", "inspect"]),
            (&incoming, "-w", &["receive", "inspect"]),
            (&root.join("receive/reset.key"), "-r", &["receive"]),
            (&root.join("control/signing.key"), "-r", &["control"]),
            (&root.join("inspect/quarantine.key"), "-r", &["inspect"]),
            (&root.join("deliver/deliver.key"), "-r", &["deliver"]),
            (&zone.room(), "-w", &["deliver"]),
            (&zone.room(), "-x", &["deliver"]),
        ];
        for (path, what, expected) in rights {
            let allowed: Vec<_> = ROLES.iter().filter(|role| may(&format!("sluse-{role}"), what, path)).collect();
            let expected: Vec<_> = ROLES.iter().filter(|role| expected.contains(*role)).collect();
            assert_eq!(allowed, expected, "{what} {}", path.display());
            assert!(!may("nobody", what, path), "{what} {}", path.display());
        }
        let listed = run(command_as("nobody", &["find", text(&root), "!", "-type", "d", "-readable"]));
        let readable: BTreeSet<_> = listed.stdout.lines().map(PathBuf::from).collect();
        let public = |path: &Path| path.ends_with("sluse.toml") || path.parent() == Some(&root.join("trust"));
        // Anybody may connect to this socket, and hears nothing there.
        let alerts = root.join("run/alerts/alerts.sock");
        assert!(readable.iter().all(|path| public(path) || *path == alerts), "{readable:?}");
        let hear = format!(
            "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); print(s.recv(9))",
            text(&alerts)
        );
        let heard = run(command_as("nobody", &["python3", "-c", &hear]));
        assert!(heard.code != 0 || heard.stdout == "b''\n", "{heard:?}");
        assert_eq!(readable.len(), 7, "the listing saw the public halves: {readable:?}");
        let sluse = zone.folder.path().join("sluse");
        fs::copy(binaries().join("sluse"), &sluse).unwrap();
        let health = run(command_as("nobody", &[text(&sluse), "health", "--zone", text(&root)]));
        assert_eq!(health.code, 4, "{}", health.stderr);
        assert!(health.stderr.contains("only operators may"), "{}", health.stderr);
    });
}

/// Roles that were started one by one, as units are.
struct Units {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    running: Vec<(String, Child)>,
}

impl Units {
    fn of(zone: &Zone) -> Self {
        let program = zone.folder.path().join("slused");
        fs::copy(binaries().join("slused"), &program).unwrap();
        let log = zone.folder.path().join("units.log");
        Self { program, config: zone.root().join("sluse.toml"), log, running: Vec::new() }
    }

    fn command(&self, role: &str) -> Command {
        let words = [text(&self.program), role, "--config", text(&self.config)];
        let mut command = Command::new("setpriv");
        if role == "inspect" {
            command.args(["--inh-caps=+lease", "--ambient-caps=+lease"]);
        }
        command.args([&format!("--reuid=sluse-{role}"), &format!("--regid=sluse-{role}"), "--init-groups"]);
        command.args(words).current_dir("/");
        command
    }

    fn start(&mut self, role: &str) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = self.command(role).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.running.push((role.to_owned(), child));
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn stop(&mut self, role: &str) {
        for (_, child) in self.running.iter_mut().filter(|(name, _)| name == role) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Connects as `name` and says how that ended: `closed` when whoever listens cut the connection off.
fn knock(name: &str, socket: &Path) -> Ended {
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1]); \
                  print('closed' if s.recv(1) == b'' else 'answered')";
    run(command_as(name, &["/usr/bin/python3", "-c", script, text(socket)]))
}

#[test]
fn roles_that_are_units_of_their_own_talk_to_each_other_and_to_nobody_else() {
    with_users("roles_that_are_units_of_their_own_talk_to_each_other_and_to_nobody_else", || {
        let zone = zone();
        let mut units = Units::of(&zone);
        ROLES.iter().for_each(|role| units.start(role));
        zone.wait_for_roles();
        zone.operate(&["room", "add", "room", "--names", "posix"]).expect(0);
        let source = zone.source("lab");
        let file = zone.folder.path().join("extract.csv");
        fs::write(&file, data::csv(1, 9_000_000)).unwrap();
        source.deliver(&file, "nightly");

        let socket = |role: &str| zone.root().join(format!("run/control-{role}.sock"));
        for (role, other) in [("receive", "sluse-deliver"), ("inspect", "sluse-receive"), ("deliver", "sluse-inspect")]
        {
            for stranger in ["nobody", other] {
                let knocked = knock(stranger, &socket(role));
                assert_eq!(knocked.stdout, "closed\n", "{stranger} at {role}'s: {}", knocked.stderr);
            }
        }
        assert!(units.log().contains("another user connected to this role's socket and was cut off"));
        zone.operate(&["health"]).expect(0);

        // And who listens at control's socket must be control.
        units.stop("deliver");
        units.stop("control");
        fs::remove_file(socket("deliver")).unwrap();
        let _impostor = UnixListener::bind(socket("deliver")).unwrap();
        fs::set_permissions(socket("deliver"), fs::Permissions::from_mode(0o666)).unwrap();
        let refused: Ended = units.command("deliver").output().unwrap().into();
        assert_eq!(refused.code, 4, "{}", refused.stderr);
        assert!(refused.stderr.contains("who listens at control's socket is another user"), "{}", refused.stderr);
    });
}
