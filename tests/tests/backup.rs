//! A zone that is lost and comes back from a backup: it carries on, proves its history, names what is newer, and takes again what was in
//! quarantine. And a backup that is not what it was, or a restore that is killed, leaves nothing.

use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A key pair of stock age: the identity's file, and the recipient.
fn key(zone: &Zone, name: &str) -> (PathBuf, String) {
    let file = zone.folder.path().join(name);
    program("age-keygen", &[&"-o", &file], Path::new("/"), b"").expect(0);
    let made = fs::read_to_string(&file).unwrap();
    let recipient = made.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("its public half");
    (file, recipient.to_owned())
}

fn backup(zone: &Zone, to: &str) -> PathBuf {
    let file = zone.folder.path().join("backup.age");
    zone.operate(&["zone", "backup", text(&file), "--to", to]).expect(0);
    file
}

fn restore(file: &Path, identity: &Path, dir: &Path, more: &[&str]) -> Ended {
    run(sluse(&[&["zone", "restore", text(file), text(dir), "--identity", text(identity)], more].concat()))
}

fn dataset(zone: &Zone, name: &str, seed: u64) -> PathBuf {
    let tree = zone.folder.path().join(name);
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("a.csv"), data::csv(seed, 2000)).unwrap();
    tree
}

fn reviewed(text: String) -> String {
    text.replace("rule = \"automatic\"", "rule = \"one-reviewer\"")
}

#[test]
fn a_restored_zone_carries_on_names_what_is_newer_and_takes_again_what_was_in_quarantine() {
    let mut zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let lab = zone.source("lab");
    zone.agree("epic", "epic", reviewed).expect(0);
    let epic: Source = zone.enrol("epic");
    fs::write(zone.root().join("signatures/ours.patterns"), "Ours-1 = 65766c2d6d61726b6572\n").unwrap();
    let old = lab.deliver(&dataset(&zone, "old", 1), "old");
    let held_tree = dataset(&zone, "held", 2);
    let sent = epic.send(&held_tree, "held", "received").expect(0).json();
    let held = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&held, "held");
    let signers = zone.folder.path().join("kept_signers");
    fs::copy(zone.signers(), &signers).unwrap();
    let file = backup(&zone, &recipient);
    let new = lab.deliver(&dataset(&zone, "new", 3), "new");

    // What is in it, by stock age and tar: nothing of the quarantine, and no identity, not even a wrapped one.
    let opened = program("age", &[&"--decrypt", &"-i", &identity, &"-o", &"b.tar", &file], zone.folder.path(), b"");
    opened.expect(0);
    let listed = program("tar", &[&"-tf", &"b.tar"], zone.folder.path(), b"").expect(0).stdout;
    assert!(listed.contains("control/state.db") && listed.contains(&format!("control/documents/{old}.manifest")));
    assert!(
        !listed.contains("identities") && !listed.contains("quarantine/") && !listed.contains("rooms/"),
        "{listed}"
    );
    program("tar", &[&"-xf", &"b.tar", &"control/state.db"], zone.folder.path(), b"").expect(0);
    let copy = rusqlite::Connection::open(zone.folder.path().join("control/state.db")).unwrap();
    let count = |question: &str| copy.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM transfers WHERE wrapped IS NOT NULL"), 0);
    assert_eq!(count("SELECT count(*) FROM identities WHERE transfer IS NULL"), 0);
    assert_eq!(count("SELECT count(*) FROM transfers"), 2);
    drop(copy);

    // The host is lost, but for its rooms.
    zone.crash();
    let lost = zone.folder.path().join("lost");
    fs::rename(zone.root(), &lost).unwrap();
    let rooms = lost.join("rooms");
    let checkpoint = lost.join("control/checkpoint");
    let words = ["--signer", text(&signers), "--rooms", text(&rooms), "--checkpoint", text(&checkpoint), "--json"];
    let told = restore(&file, &identity, &zone.root(), &words).expect(0).json();
    assert_eq!((told["newer"].as_array().unwrap().len(), &told["newer"][0]["transfer"]), (1, &new.as_str().into()));
    assert!(told["attested"]["size"].as_u64() > told["audit"]["size"].as_u64(), "{told}");
    assert_eq!(told["empty_rooms"], text(&zone.root().join("rooms")));
    run(sluse(&["zone", "check", "--zone", text(&zone.root())])).expect(0);
    let mode = |path: &str| fs::metadata(zone.root().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("signatures/ours.patterns"), mode("control/state.db")), (0o644, 0o600));

    // It proves its history: the log goes on from what receipts of before attest.
    zone.run();
    let receipt = lab.receipts(&old).join("delivered.json");
    zone.operate(&["audit", "verify", "--receipt", text(&receipt)]).expect(0);
    let log = zone.folder.path().join("log.jsonl");
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    let log = fs::read_to_string(&log).unwrap();
    let restored = log.lines().find(|line| line.contains("\"act\":\"zone-restored\"")).expect("an entry");
    assert!(restored.contains(&new), "{restored}");
    // What was delivered since is missing, and is named as long as it stands in a room.
    program("cp", &[&"-a", &rooms, &zone.root()], Path::new("/"), b"").expect(0);
    let differences = zone.operate(&["register", "reconcile"]).expect(5).stdout;
    assert!(differences.contains(&format!("new/{new} stands there")) && !differences.contains(&old), "{differences}");

    // What was in quarantine is given up, and comes again by the same command.
    let given_up = zone.show(&held);
    assert_eq!(given_up["info"]["status"]["state"], "cancelled");
    let reason = given_up["info"]["status"]["reason"]["message"].as_str().unwrap();
    assert!(reason.contains("restored from a backup") && reason.contains("send it again"), "{reason}");
    let again = epic.send(&held_tree, "held", "received").expect(0).json();
    assert_ne!(again["transfer"], sent["transfer"]);
    let again = again["transfer"].as_str().unwrap();
    zone.wait_for_state(again, "held");
    zone.operate(&["release", again, "--reason", "seen"]).expect(0);
    zone.wait_for_state(again, "delivered");
    let entries = |zone: &Zone| zone.operate(&["audit", "verify", "--json"]).expect(0).json()["entries"].as_u64();
    let before = entries(&zone);
    assert_eq!(zone.stop(), Some(0));
    zone.run();
    assert_eq!(entries(&zone), before, "it is restored once");
}

#[test]
fn a_backup_that_was_changed_cut_or_made_by_another_is_refused_and_leaves_nothing() {
    let zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let file = backup(&zone, &recipient);
    let dir = zone.folder.path().join("restored");
    let refused = |file: &Path, more: &[&str], code: i32, expected: &str| {
        let ended = restore(file, &identity, &dir, more).expect(code);
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        let beside = fs::read_dir(zone.folder.path()).unwrap().flatten().map(|entry| entry.file_name());
        assert!(!beside.into_iter().any(|name| name.to_string_lossy().contains("restor")), "nothing is left");
    };
    let good = fs::read(&file).unwrap();
    let changed = zone.folder.path().join("changed.age");
    for at in [good.len() / 4, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&changed, &bytes).unwrap();
        refused(&changed, &[], 5, "is damaged");
    }
    for length in [good.len() / 2, good.len() - 1] {
        fs::write(&changed, &good[..length]).unwrap();
        refused(&changed, &[], 5, "is damaged");
    }
    let (stranger, _) = key(&zone, "stranger.key");
    let ended = restore(&file, &stranger, &dir, &[]).expect(5);
    assert!(ended.stderr.contains("does not open with this identity"), "{}", ended.stderr);
    // Whoever knows the recipient can make a backup; not one that the zone signed.
    let other = Zone::start();
    let forged = other.folder.path().join("forged.age");
    other.operate(&["zone", "backup", text(&forged), "--to", &recipient]).expect(0);
    let signers = zone.signers();
    refused(&forged, &["--signer", text(&signers)], 5, "is not signed by zone sluse");
    // A full folder is nobody's to replace.
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "precious").unwrap();
    assert!(restore(&file, &identity, &dir, &[]).expect(2).stderr.contains("is not empty"));
    fs::remove_dir_all(&dir).unwrap();
    restore(&file, &identity, &dir, &[]).expect(0);
}

/// A backup opened by stock age and tar, to be changed and put together again.
struct Opened {
    work: PathBuf,
    members: Vec<String>,
}

impl Opened {
    fn new(zone: &Zone, file: &Path, identity: &Path, name: &str) -> Self {
        let work = zone.folder.path().join(name);
        fs::create_dir(&work).unwrap();
        program("age", &[&"--decrypt", &"-i", &identity, &"-o", &"../b.tar", &file], &work, b"").expect(0);
        let listed = program("tar", &[&"-tf", &"../b.tar"], &work, b"").expect(0).stdout;
        program("tar", &[&"-xf", &"../b.tar"], &work, b"").expect(0);
        Self { work, members: listed.lines().map(str::to_owned).collect() }
    }

    fn write(&self, member: &str, text: &str) {
        let path = self.work.join(member);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn append(&self, member: &str, text: &str) {
        fs::OpenOptions::new().append(true).open(self.work.join(member)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Makes the list say what the members are now, as who covers up would.
    fn list_again(&self) {
        let list = self.work.join("backup.json");
        let mut read: serde_json::Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
        for file in read["files"].as_array_mut().unwrap() {
            let bytes = fs::read(self.work.join(file["path"].as_str().unwrap())).unwrap();
            file["bytes"] = bytes.len().into();
            file["sha256"] = sluse_protocol::digest::Sha256::of(&bytes).to_string().into();
        }
        fs::write(list, read.to_string()).unwrap();
    }

    fn close(&self, recipient: &str) -> PathBuf {
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-cf", &"../c.tar"];
        words.extend(self.members.iter().map(|name| name as &dyn AsRef<std::ffi::OsStr>));
        program("tar", &words, &self.work, b"").expect(0);
        let file = self.work.with_extension("age");
        program("age", &[&"-r", &recipient, &"-o", &file, &"../c.tar"], &self.work, b"").expect(0);
        file
    }
}

#[test]
fn each_change_planted_within_a_backup_is_named_by_whoever_knows_the_recipient() {
    let zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let file = backup(&zone, &recipient);
    type Change<'a> = Box<dyn Fn(&mut Opened) + 'a>;
    let changes: Vec<(&str, &str, Change<'_>)> = vec![
        (
            "the configuration",
            "does not hold what its list says",
            Box::new(|backup| backup.append("sluse.toml", "# x\n")),
        ),
        ("the database", "does not hold what its list says", Box::new(|backup| backup.append("control/state.db", "x"))),
        (
            "the database and the list",
            "is not signed by zone sluse",
            Box::new(|backup| {
                backup.append("control/state.db", "x");
                backup.list_again();
            }),
        ),
        (
            "a key and the list",
            "is not signed by zone sluse",
            Box::new(|backup| {
                backup.write("deliver/deliver.key", "AGE-SECRET-KEY-1\n");
                backup.list_again();
            }),
        ),
        (
            "a member gone",
            "does not hold what its list says",
            Box::new(|backup| backup.members.retain(|name| name != "trust/ca.crt")),
        ),
        (
            "a member more",
            "does not hold what its list says",
            Box::new(|backup| {
                backup.write("trust/more", "x");
                backup.members.insert(0, "trust/more".into());
            }),
        ),
        (
            "a transfer's identity",
            "a member that no backup has",
            Box::new(|backup| {
                backup.write("inspect/identities/age1x.age", "x");
                backup.members.insert(0, "inspect/identities/age1x.age".into());
            }),
        ),
        ("members in another order", "does not hold what its list says", Box::new(|backup| backup.members.swap(0, 2))),
        (
            "the list gone",
            "does not end with its list and signature",
            Box::new(|backup| backup.members.retain(|name| name != "backup.json")),
        ),
        (
            "the signature gone",
            "does not end with its list and signature",
            Box::new(|backup| backup.members.retain(|name| name != "backup.json.sig")),
        ),
        ("the list no list", "has a list that cannot be read", Box::new(|backup| backup.write("backup.json", "{}"))),
        (
            "the log's end in the list",
            "is not signed by zone sluse",
            Box::new(|backup| {
                let list = fs::read_to_string(backup.work.join("backup.json")).unwrap();
                backup.write("backup.json", &list.replacen("\"size\":", "\"size\":1", 1));
            }),
        ),
    ];
    let dir = zone.folder.path().join("restored");
    for (number, (name, expected, change)) in changes.iter().enumerate() {
        let mut opened = Opened::new(&zone, &file, &identity, &format!("case-{number}"));
        change(&mut opened);
        let ended = restore(&opened.close(&recipient), &identity, &dir, &[]).expect(5);
        assert!(ended.stderr.contains(expected) && !dir.exists(), "{name}: {}", ended.stderr);
    }
    let opened = Opened::new(&zone, &file, &identity, "good");
    restore(&opened.close(&recipient), &identity, &dir, &[]).expect(0);
}

/// Encrypts the keys of a zone as `sluse-setup` does, with a secret of the test's own in place of the host's.
fn seal_keys(zone: &Zone) -> PathBuf {
    let secret = zone.folder.path().join("credential.secret");
    let credentials = zone.root().join("credentials");
    fs::create_dir(&credentials).unwrap();
    for key in KEYS {
        let file = zone.root().join(key);
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut command = std::process::Command::new("systemd-creds");
        command.args(["encrypt", "--with-key=host", &format!("--name={name}"), text(&file)]);
        run_with(command.arg(credentials.join(name)), &secret).expect(0);
        fs::remove_file(file).unwrap();
    }
    secret
}

const KEYS: [&str; 6] = [
    "control/ca.key",
    "control/signing.key",
    "receive/tls.key",
    "receive/reset.key",
    "inspect/quarantine.key",
    "deliver/deliver.key",
];

/// Runs a command that knows the secret by which this host encrypts credentials.
fn run_with(command: &mut std::process::Command, secret: &Path) -> Ended {
    command.env("SYSTEMD_CREDENTIAL_SECRET", secret).output().expect("it runs").into()
}

#[test]
fn keys_that_are_encrypted_for_the_host_are_listed_and_get_into_a_backup_in_the_clear() {
    let mut zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let before = KEYS.map(|key| fs::read(zone.root().join(key)).unwrap());
    // The running roles have read theirs.
    let secret = seal_keys(&zone);
    let file = zone.folder.path().join("backup.age");
    let backup = || sluse(&["zone", "backup", text(&file), "--to", &recipient, "--zone", text(&zone.root())]);
    let of_another_host = zone.folder.path().join("another.secret");
    let refused = run_with(&mut backup(), &of_another_host).expect(3);
    assert!(refused.stderr.contains("cannot decrypt") && !file.exists(), "{}", refused.stderr);
    run_with(&mut backup(), &secret).expect(0);
    let inventory = zone.operate(&["zone", "inventory", "--json"]).expect(0).json();
    let items = inventory["items"].as_array().unwrap();
    let sealed =
        |item: &&serde_json::Value| item["files"][0].as_str().is_some_and(|file| file.contains("/credentials/"));
    assert_eq!(items.iter().filter(sealed).count(), KEYS.len(), "{inventory}");
    zone.crash();
    let dir = zone.folder.path().join("restored");
    restore(&file, &identity, &dir, &[]).expect(0);
    assert_eq!(KEYS.map(|key| fs::read(dir.join(key)).unwrap()), before);
    run(sluse(&["zone", "check", "--zone", text(&dir)])).expect(0);
}

#[test]
fn files_of_outside_authorities_come_back_readable_by_the_roles_and_those_elsewhere_are_named() {
    let zone = Zone::prepare();
    let (identity, recipient) = key(&zone, "backup.key");
    let authority = sluse_tests::pki::Authority::root(zone.folder.path().join("pki"), "/C=NO/CN=Root");
    let (folder, elsewhere) = (zone.root().join("authorities/national"), zone.folder.path().join("lists"));
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(folder.join("root.pem"), authority.certificate()).unwrap();
    fs::write(folder.join("root.crl"), authority.list(86_400)).unwrap();
    fs::write(elsewhere.join("far.crl"), authority.list(86_400)).unwrap();
    let far = elsewhere.join("far.crl");
    // Named by its whole path.
    let whole = folder.join("root.pem");
    let one = |name: &str, number: u32| {
        format!(
            "[authority.{name}]\ncertificates = \"{}\"\nrevocation_lists = \
             [\"authorities/national/root.crl\", \"{}\"]\n[authority.{name}.source.{name}]\norganisation = \"{number}\"\n",
            whole.display(),
            far.display()
        )
    };
    // Two that have the same files.
    zone.configure(|text| format!("{text}\n{}{}", one("epic", 983_974_899), one("pacs", 983_974_880)));
    let mut zone = zone;
    zone.run();
    let file = zone.folder.path().join("backup.age");
    let told = zone.operate(&["zone", "backup", text(&file), "--to", &recipient, "--json"]).expect(0).json();
    assert_eq!(told["left_out"], serde_json::json!([far]));
    zone.crash();
    let dir = zone.folder.path().join("restored");
    // Whatever the umask of who restores.
    let script = "umask 077; exec \"$@\"";
    let sluse = sluse_tests::command::binaries().join("sluse");
    let words: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&"-c", &script, &"sh", &sluse, &"zone", &"restore", &file, &dir, &"--identity", &identity];
    let told = program("sh", words, zone.folder.path(), b"").expect(0).stderr;
    let place = dir.join("authorities/national/root.pem");
    assert!(told.contains(&format!("it names {}, which is {} now", whole.display(), place.display())), "{told}");
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o7777;
    let modes =
        ["authorities", "authorities/national", "authorities/national/root.pem", "authorities/national/root.crl"];
    assert_eq!(modes.map(mode), [0o755, 0o755, 0o644, 0o644]);
    assert_eq!(fs::read_to_string(dir.join("authorities/national/root.pem")).unwrap(), authority.certificate());
}

#[test]
fn a_zone_is_not_restored_onto_a_mount_point_or_a_link_and_the_folder_stays() {
    let zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let file = backup(&zone, &recipient);
    let (there, link, mounted) = (
        zone.folder.path().join("there"),
        zone.folder.path().join("link"),
        sluse_tests::small_disk::SmallDisk::mount(zone.folder.path().join("mounted"), 8 << 20),
    );
    fs::create_dir(&there).unwrap();
    std::os::unix::fs::symlink(&there, &link).unwrap();
    for dir in [mounted.path(), link.as_path()] {
        let ended = restore(&file, &identity, dir, &[]).expect(2);
        assert!(ended.stderr.contains("by one rename"), "{}", ended.stderr);
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
    }
    let ended = restore(&file, &identity, &there, &[]).expect(0);
    assert!(ended.stderr.contains("revoke again each source and agreement"), "{}", ended.stderr);
}

#[test]
fn a_restore_that_is_killed_leaves_no_zone_and_the_next_one_is_whole() {
    let zone = Zone::start();
    let (identity, recipient) = key(&zone, "backup.key");
    let file = backup(&zone, &recipient);
    let bytes = fs::read(&file).unwrap();
    let dir = zone.folder.path().join("restored");
    let pipe = zone.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // It is killed while it waits for the rest of the backup: as many bytes as are named were read by then.
    for part in [bytes.len() / 3, bytes.len() - 1] {
        let words = ["zone", "restore", text(&pipe), text(&dir), "--identity", text(&identity)];
        let mut restoring = sluse(&words).stdin(std::process::Stdio::null()).spawn().unwrap();
        let mut feed = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        feed.write_all(&bytes[..part]).unwrap();
        restoring.kill().unwrap();
        restoring.wait().unwrap();
        drop(feed);
        assert!(!dir.exists(), "no zone has the name");
    }
    restore(&file, &identity, &dir, &[]).expect(0);
    run(sluse(&["zone", "check", "--zone", text(&dir)])).expect(0);
    let left = fs::read_dir(zone.folder.path()).unwrap().flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("sluse-restoring")));
}
