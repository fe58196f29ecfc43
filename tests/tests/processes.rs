//! The processes of a running zone, seen from outside: what each has open, what it may, who starts and stops it.

use nix::unistd::Uid;
use sluse_tests::data;
use sluse_tests::zone::Zone;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROLES: [&str; 4] = ["control", "inspect", "deliver", "receive"];

/// Folders of the zone in which a role may have files open while it works.
fn own_folders(role: &str) -> &'static [&'static str] {
    match role {
        "control" => &["control"],
        "inspect" => &["inspect", "quarantine", "signatures"],
        "deliver" => &["quarantine/sealed", "rooms", "deliver/pending"],
        _ => &["quarantine/incoming"],
    }
}

fn pid(zone: &Zone, role: &str) -> i32 {
    zone.eventually(&format!("{role} runs"), || zone.process(role))
}

/// What a process has open; `None` when we may not know.
fn open_files(pid: i32) -> Option<Vec<PathBuf>> {
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        listed => {
            // A file that was closed meanwhile is none.
            Some(listed.unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect())
        }
    }
}

/// What a process has open, and the kinds of all sockets, as they were at one moment: a socket that was closed before the
/// tables were read stands in none of them, so what was not open all the while is looked at again.
fn open_and_sockets(pid: i32) -> Option<(Vec<PathBuf>, BTreeMap<String, &'static str>)> {
    loop {
        let open = open_files(pid)?;
        let sockets = sockets();
        let again = open_files(pid)?;
        if open.iter().all(|path| again.contains(path) || !path.to_string_lossy().starts_with("socket:")) {
            return Some((open, sockets));
        }
    }
}

/// The kinds of all sockets of the network that the test sees, by inode.
fn sockets() -> BTreeMap<String, &'static str> {
    let tables =
        [("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("raw", 9), ("packet", 8), ("netlink", 9), ("unix", 6)];
    let mut found = BTreeMap::new();
    for (kind, column) in tables {
        for line in fs::read_to_string(format!("/proc/net/{kind}")).unwrap_or_default().lines().skip(1) {
            if let Some(inode) = line.split_ascii_whitespace().nth(column) {
                found.insert(inode.to_owned(), kind);
            }
        }
    }
    found
}

/// What of `open` a role should not have open.
fn surprises(zone: &Zone, role: &str, open: &[PathBuf], sockets: &BTreeMap<String, &'static str>) -> Vec<String> {
    let root = zone.root().canonicalize().unwrap();
    let own = |path: &Path| own_folders(role).iter().any(|folder| path.starts_with(root.join(folder)));
    let mut udp = 0;
    let mut expected = |path: &Path| {
        let text = path.to_string_lossy();
        if let Some(inode) = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            return match sockets.get(inode).copied() {
                Some("unix") => true,
                Some("udp" | "udp6") => {
                    udp += 1;
                    role == "receive" && udp == 1
                }
                _ => false,
            };
        }
        let runtime = role == "receive" && ["anon_inode:[eventpoll]", "anon_inode:[eventfd]"].contains(&text.as_ref());
        runtime || text == "/dev/null" || path.ends_with("slused.log") || own(path)
    };
    open.iter().filter(|path| !expected(path)).map(|path| path.display().to_string()).collect()
}

#[test]
fn each_role_has_open_only_what_is_its_own_while_it_works() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("extract");
    fs::write(&file, data::noise(1, 40_000_000)).unwrap();
    let listings = std::thread::scope(|scope| {
        let sending = scope.spawn(|| source.deliver(&file, "nightly"));
        let (mut listings, mut seen) = (0, BTreeSet::new());
        while !sending.is_finished() {
            for role in ROLES {
                let Some((open, sockets)) = open_and_sockets(pid(&zone, role)) else {
                    // Whose processes these are does not matter: they are closed to the same user.
                    assert!(!Uid::effective().is_root());
                    continue;
                };
                assert_eq!(surprises(&zone, role, &open, &sockets), Vec::<String>::new(), "{role} has these open");
                seen.extend(open.into_iter().filter(|path| path.starts_with(zone.root())).map(|_| role));
                listings += 1;
            }
        }
        sending.join().unwrap();
        assert!(listings == 0 || seen.contains("receive"), "the listing saw nobody at work: {seen:?}");
        listings
    });
    assert_eq!(listings > 0, Uid::effective().is_root());
}

#[test]
fn each_role_has_no_privileges_and_a_filter_of_system_calls() {
    let zone = Zone::start();
    for role in ROLES {
        let status = fs::read_to_string(format!("/proc/{}/status", pid(&zone, role))).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            line.trim().to_owned()
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{role} {set}");
        }
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()), "{role}");
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid(&zone, role))).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"), "{role}: {core}");
    }
}

#[test]
fn each_role_that_is_killed_comes_back() {
    let zone = Zone::start();
    for role in ROLES {
        let before = pid(&zone, role);
        assert!(zone.kill(role));
        zone.eventually(&format!("{role} is started again"), || zone.process(role).filter(|now| *now != before));
        zone.wait_for_roles();
    }
    let source = zone.source("lab");
    let file = zone.folder.path().join("extract");
    fs::write(&file, "a,b\n1,2\n").unwrap();
    source.deliver(&file, "nightly");
}

#[test]
fn the_zone_stops_in_order_and_leaves_no_process() {
    let mut zone = Zone::start();
    let pids = ROLES.map(|role| pid(&zone, role));
    assert_eq!(zone.stop(), Some(0));
    let log = zone.log();
    let stopped = log.lines().filter(|line| line.contains("INFO stopped"));
    let stopped: Vec<&str> = stopped.filter_map(|line| line.split("role=").nth(1)?.split(' ').next()).collect();
    assert_eq!(stopped, ["receive", "deliver", "inspect", "control"], "{log}");
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} still runs");
    }
    zone.run();
}

#[test]
fn roles_end_with_the_supervisor() {
    let mut zone = Zone::start();
    let pids = ROLES.map(|role| pid(&zone, role));
    zone.kill_supervisor();
    for pid in pids {
        zone.eventually("a role ends", || (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(()));
    }
}

#[test]
fn a_role_that_cannot_start_stops_everything_and_says_why() {
    let mut zone = Zone::prepare();
    fs::remove_file(zone.root().join("inspect/quarantine.key")).unwrap();
    assert_eq!(zone.run_to_end(), Some(3));
    let log = zone.log();
    assert!(log.contains("quarantine.key"), "{log}");
    assert!(log.contains("Error: the role inspect refused to start"), "{log}");
}
