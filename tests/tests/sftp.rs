//! The gateway's SFTP: what real clients put into an inbox arrives in the room, once, whoever is killed meanwhile.

use sluse_tests::command::Ended;
use sluse_tests::data;
use sluse_tests::gateway::Gateway;
use sluse_tests::sftp::{Inbox, make_key};
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::Zone;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ED25519: &[&str] = &["-t", "ed25519"];
const RENAME: &str = "complete = \"rename\"";

struct Place {
    zone: Zone,
    source: Source,
    gateway: Gateway,
    inbox: Inbox,
}

impl Place {
    /// A zone, and a gateway beside it that runs, with an inbox.
    fn new(complete: &str) -> Self {
        let mut place = Self::quiet(complete, ED25519);
        place.gateway.run();
        place.inbox.wait(&place.gateway);
        place
    }

    /// The same; the gateway does not run yet.
    fn quiet(complete: &str, key: &[&str]) -> Self {
        let zone = Zone::start();
        let source = zone.source("lab");
        let gateway = Gateway::new(&zone, &source, "2s");
        let inbox = Inbox::of(&gateway, complete, key);
        Self { zone, source, gateway, inbox }
    }

    /// The datasets in the room: their names, and for each version its files.
    fn room(&self) -> BTreeMap<String, Vec<BTreeMap<String, Vec<u8>>>> {
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for dataset in fs::read_dir(self.zone.room()).into_iter().flatten().flatten() {
            let name = dataset.file_name().to_string_lossy().into_owned();
            // What is on its way lies in a hidden folder.
            if name.starts_with('.') {
                continue;
            }
            let mut bags: Vec<PathBuf> =
                fs::read_dir(dataset.path()).into_iter().flatten().flatten().map(|bag| bag.path()).collect();
            bags.retain(|bag| bag.join("bagit.txt").exists());
            bags.sort();
            found.insert(name, bags.iter().map(|bag| files(&bag.join("data"))).collect());
        }
        found
    }

    fn wait_for(&self, transfers: usize) {
        self.gateway.wait_for_delivered(transfers);
        self.gateway.wait_until_empty();
    }

    fn restart_intake(&mut self) {
        self.gateway.kill_intake();
        self.gateway.run_intake();
        self.inbox.wait(&self.gateway);
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let tree = data::tree(folder).into_iter();
    tree.filter_map(|(path, file)| Some((path, file?.0))).collect()
}

fn one(name: &str, bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([(name.to_owned(), bytes.to_vec())])
}

/// A folder of files below the client's.
fn extract(inbox: &Inbox, name: &str) -> BTreeMap<String, Vec<u8>> {
    for number in 0..12 {
        inbox.file(
            &format!("{name}/part {}/blodprøver-{number}.csv", number % 3),
            &data::csv(number, 3000 * number as usize),
        );
    }
    inbox.file(&format!("{name}/empty.csv"), b"");
    files(&inbox.folder.join(name))
}

#[test]
fn what_sftp_puts_and_renames_is_one_dataset_in_the_room_with_its_receipts() {
    let place = Place::new(RENAME);
    let big = data::csv(1, 3_000_000);
    place.inbox.file("results.csv", &big);
    place.inbox.sftp("put results.csv results.csv.part\nrename results.csv.part results.csv\nls -l").expect(0);
    let tree = extract(&place.inbox, "extract");
    place.inbox.sftp("mkdir .extract\nput -rp extract/* .extract\nrename .extract extract").expect(0);
    place.wait_for(2);
    let expected = BTreeMap::from([
        ("extract".to_owned(), vec![tree]),
        ("results.csv".to_owned(), vec![one("results.csv", &big)]),
    ]);
    assert_eq!(place.room(), expected);
    for transfer in place.gateway.delivered() {
        assert!(place.source.receipts(&transfer).join("delivered.json").exists());
    }
    let log = place.gateway.log();
    assert!(!log.contains("results") && !log.contains("extract"), "names are no matter for the log\n{log}");
}

#[test]
fn every_kind_of_key_and_cipher_that_is_taken_works_and_no_other() {
    let kinds: [&[&str]; 5] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "3072"],
    ];
    let mut place = Place::quiet(RENAME, ED25519);
    let own = fs::read_to_string(place.inbox.folder.join("key.pub")).unwrap();
    let keys: Vec<PathBuf> = kinds
        .iter()
        .enumerate()
        .map(|(number, kind)| make_key(&place.inbox.folder.join(format!("key-{number}")), kind))
        .collect();
    let lines: Vec<String> = keys
        .iter()
        .map(|key| format!("\"{}\"", fs::read_to_string(key.with_extension("pub")).unwrap().trim()))
        .collect();
    let config = fs::read_to_string(place.gateway.config()).unwrap();
    fs::write(place.gateway.config(), config.replace(&format!("\"{}\"", own.trim()), &lines.join(", "))).unwrap();
    place.gateway.run_intake();
    place.inbox.wait(&place.gateway);
    for key in &keys {
        place.inbox.sftp_as("lab", key, &[], "pwd").expect(0);
    }
    let rsa = |algorithm: &str| {
        place.inbox.sftp_as("lab", &keys[4], &["-o", &format!("PubkeyAcceptedAlgorithms={algorithm}")], "pwd")
    };
    rsa("rsa-sha2-256").expect(0);
    assert_ne!(rsa("ssh-rsa").code, 0, "SHA-1 is not taken");
    let with = |option: &str| place.inbox.sftp_as("lab", &keys[0], &["-o", option], "pwd").code;
    for cipher in ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        assert_eq!(with(&format!("Ciphers={cipher}")), 0, "{cipher}");
    }
    assert_eq!((with("KexAlgorithms=curve25519-sha256"), with("KexAlgorithms=ecdh-sha2-nistp256")), (0, 0));
    for weak in [
        "Ciphers=aes256-cbc",
        "Ciphers=aes128-ctr",
        "KexAlgorithms=diffie-hellman-group14-sha1",
        "HostKeyAlgorithms=ssh-rsa",
    ] {
        assert_ne!(with(weak), 0, "{weak}");
    }
    // Strangers: a key that is not there, and the right one for somebody who is not.
    assert!(denied(&place.inbox.sftp("pwd")));
    assert!(denied(&place.inbox.sftp_as("other", &keys[0], &[], "pwd")));
    assert!(place.inbox.sftp_as("lab", &keys[0], &["-s", "other"], "pwd").code != 0, "no other subsystem");
}

fn denied(ended: &Ended) -> bool {
    ended.code != 0 && ended.stderr.contains("Permission denied (publickey)")
}

#[test]
fn keys_are_exchanged_again_and_again_in_the_middle_of_a_file() {
    let place = Place::new(RENAME);
    let bytes = data::csv(2, 8_000_000);
    place.inbox.file("a.csv", &bytes);
    for cipher in ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        let options = ["-o", "RekeyLimit=256K", "-o", &format!("Ciphers={cipher}")];
        place.inbox.sftp_with(&options, "put a.csv a.csv.part").expect(0);
    }
    place.inbox.sftp("rename a.csv.part a.csv").expect(0);
    place.wait_for(1);
    assert_eq!(place.room()["a.csv"], [one("a.csv", &bytes)]);
}

#[test]
fn nothing_can_be_read_and_nothing_leads_out() {
    let place = Place::new(RENAME);
    place.inbox.file("a.csv", b"a,b\n1,2\n");
    place.inbox.sftp("put a.csv a.csv.part").expect(0);
    let refused = [
        ("get a.csv.part", "Permission denied"),
        ("get ../../../etc/passwd", "not found"),
        ("put a.csv ../../etc/passwd", "No such file"),
        ("put a.csv /root/a.csv", "No such file"),
        ("ln -s /etc/passwd link", "Operation unsupported"),
        ("symlink /etc link", "Operation unsupported"),
        ("ln a.csv.part hard", "does not support"),
        ("mkdir back\\\\\\\\slash", "Failure"),
        ("rmdir /", "Permission denied"),
        ("rename a.csv.part nowhere/a.csv", "No such file"),
    ];
    for (command, why) in refused {
        let ended = place.inbox.sftp(command);
        assert!(ended.code != 0 && ended.stderr.contains(why), "{command}: {ended:?}");
    }
    let put = place.inbox.sftp("put a.csv ../../../../up.part\nls -1 /").expect(0);
    assert!(put.stdout.contains("/up.part"), "above the inbox is the inbox: {put:?}");
    assert!(!place.gateway.folder.join("up.part").exists());
    let shell = place.inbox.rclone(&["backend", "shell", ":sftp:", "id"]);
    assert!(!shell.stdout.contains("uid="), "{shell:?}");
}

#[test]
fn what_rclone_copies_and_moves_arrives_whole_and_once() {
    let place = Place::new("complete = \"quiet\"\nquiet = \"3s\"");
    let tree = extract(&place.inbox, "extract");
    place.inbox.rclone(&["copy", "extract", ":sftp:extract", "--transfers", "4"]).expect(0);
    // Again, as a job that runs every night does: rclone sees that all is there.
    let again = place.inbox.rclone(&["copy", "-v", "extract", ":sftp:extract"]).expect(0);
    assert!(!again.stderr.contains("Copied"), "{again:?}");
    place.wait_for(1);
    let big = data::csv(3, 12_000_000);
    place.inbox.file("outgoing/big.csv", &big);
    place.inbox.rclone(&["move", "outgoing", ":sftp:", "--sftp-chunk-size", "64k"]).expect(0);
    assert!(!place.inbox.folder.join("outgoing/big.csv").exists(), "rclone found it there and removed its own");
    place.wait_for(2);
    let expected =
        BTreeMap::from([("big.csv".to_owned(), vec![one("big.csv", &big)]), ("extract".to_owned(), vec![tree])]);
    assert_eq!(place.room(), expected);
}

#[test]
fn what_lftp_mirrors_with_a_marker_arrives_and_what_it_was_cut_off_in_is_resumed() {
    let place = Place::new("complete = \"marker\"");
    let tree = extract(&place.inbox, "extract");
    place.inbox.lftp("mirror -R -P 3 extract extract").expect(0);
    let whole = data::csv(4, 5_000_000);
    place.inbox.file("cut/big.csv", &whole[..2_000_000]);
    place.inbox.lftp("mkdir cut; put -O cut cut/big.csv").expect(0);
    place.inbox.file("cut/big.csv", &whole);
    place.inbox.lftp("put -c -O cut cut/big.csv").expect(0);
    place.inbox.file("done", b"");
    place.inbox.lftp("put done -o extract.done; put done -o cut.done").expect(0);
    place.wait_for(2);
    let expected =
        BTreeMap::from([("cut".to_owned(), vec![one("big.csv", &whole)]), ("extract".to_owned(), vec![tree])]);
    assert_eq!(place.room(), expected);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_file_goes_on_where_it_was() {
    let mut place = Place::new(RENAME);
    let bytes = data::csv(5, 30_000_000);
    place.inbox.file("a.csv", &bytes);
    let put = "put a.csv a.csv.part";
    // A slow line, and the client dies.
    let mut sending = place.inbox.sftp_command("lab", place.inbox.key(), &["-l", "40000"], put).spawn().unwrap();
    let partial = place.gateway.spool().join("partial");
    let begun = || {
        fs::read_dir(&partial).unwrap().flatten().any(|file| file.metadata().is_ok_and(|file| file.len() > 3_000_000))
    };
    place.gateway.eventually("some bytes came", || begun().then_some(()));
    sending.kill().unwrap();
    sending.wait().unwrap();
    place.gateway.eventually("what came is kept", || place.gateway.log().contains("left in the middle").then_some(()));
    place.restart_intake();
    let listed = place.inbox.sftp("ls -l").expect(0).stdout;
    let size: usize = listed.split_ascii_whitespace().nth_back(4).and_then(|word| word.parse().ok()).expect("a size");
    assert!((3_000_000..bytes.len()).contains(&size), "{listed}");
    // Renamed by somebody in between: nobody closed it, so that it is not whole.
    place.inbox.sftp("rename a.csv.part a.csv").expect(0);
    let resumed = place.inbox.sftp("reput a.csv a.csv").expect(0);
    assert!(resumed.stdout.contains("reput"), "{resumed:?}");
    place.wait_for(1);
    assert_eq!(place.room()["a.csv"], [one("a.csv", &bytes)]);
}

#[test]
fn the_same_files_again_are_not_delivered_again_and_others_are_another_version() {
    let place = Place::new(RENAME);
    let first = data::csv(6, 5000);
    place.inbox.file("a.csv", &first);
    let put = "put a.csv a.csv.part\nrename a.csv.part a.csv";
    place.inbox.sftp(put).expect(0);
    place.wait_for(1);
    place.inbox.sftp(put).expect(0);
    place.gateway.eventually("it is known", || place.gateway.log().contains("was sent before").then_some(()));
    place.gateway.wait_until_empty();
    let second = data::csv(7, 5000);
    place.inbox.file("a.csv", &second);
    place.inbox.sftp(put).expect(0);
    place.wait_for(2);
    let mut versions = place.room().remove("a.csv").unwrap();
    versions.sort_by_key(|version| version["a.csv"] != first);
    assert_eq!(versions, [one("a.csv", &first), one("a.csv", &second)]);
}

#[test]
fn a_full_spool_is_told_to_the_client_and_heals_when_there_is_room() {
    let mut place = Place::quiet(RENAME, ED25519);
    let disk = SmallDisk::mount(place.gateway.spool(), 12 << 20);
    let config = fs::read_to_string(place.gateway.config()).unwrap();
    fs::write(place.gateway.config(), config.replace("keep_free_bytes = 0", "keep_free_bytes = 2000000")).unwrap();
    place.gateway.run();
    place.inbox.wait(&place.gateway);
    let small = data::csv(8, 200_000);
    place.inbox.file("small.csv", &small);
    place.inbox.file("large.csv", &data::csv(9, 40_000_000));
    place.inbox.sftp("put small.csv small.csv.part").expect(0);
    let refused = place.inbox.sftp("put large.csv large.csv.part");
    assert!(refused.code != 0 && refused.stderr.contains("Failure"), "{refused:?}");
    place.inbox.sftp("rename small.csv.part small.csv").expect(0);
    place.wait_for(1);
    place.inbox.sftp("-rm large.csv.part\nput small.csv again.csv.part\nrename again.csv.part again.csv").expect(0);
    place.wait_for(2);
    assert_eq!(place.room()["small.csv"], [one("small.csv", &small)]);
    assert_eq!(place.room()["again.csv"], [one("again.csv", &small)]);
    drop(place.gateway);
    drop(disk);
}

#[test]
fn whoever_is_killed_and_however_often_what_was_acknowledged_is_delivered_once() {
    let mut place = Place::new(RENAME);
    let tree = extract(&place.inbox, "extract");
    place.inbox.sftp("mkdir extract.part\nput -r extract/* extract.part").expect(0);
    place.restart_intake();
    // The zone is away: handed over, but not sent. Then forward is killed again and again while it gathers and tries to send.
    place.zone.crash();
    place.gateway.kill_forward();
    place.inbox.sftp("rename extract.part extract").expect(0);
    place.restart_intake();
    for milliseconds in [0, 50, 100, 200, 300, 400, 800, 1600] {
        place.gateway.run_forward();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        place.gateway.kill_forward();
    }
    place.gateway.run_forward();
    let tried = || place.gateway.log().contains("will try again");
    place.gateway.eventually("it is tried while the zone is away", || tried().then_some(()));
    place.zone.run();
    place
        .gateway
        .eventually("accepted", || place.gateway.events().iter().any(|told| told["event"] == "accepted").then_some(()));
    place.gateway.kill_forward();
    place.gateway.run_forward();
    place.gateway.wait_until_empty();
    assert_eq!(place.room(), BTreeMap::from([("extract".to_owned(), vec![tree])]));
}

#[test]
fn at_whichever_step_of_storing_it_fails_or_is_killed_what_was_acknowledged_is_there_and_the_rest_is_sent_again() {
    let mut place = Place::quiet(RENAME, ED25519);
    // Of the second of two files: its bytes, its name, the folder's sync, the journal's; then the rename's record.
    let steps = [("fsync", 3), ("rename", 2), ("fsync", 4), ("fdatasync", 2), ("fdatasync", 3)];
    let cases = steps.into_iter().flat_map(|(call, nth)| [(call, nth, Fault::Error), (call, nth, Fault::Death)]);
    let mut expected = BTreeMap::new();
    for (number, (call, nth, fault)) in cases.enumerate() {
        let name = format!("e{number}");
        for file in ["one.csv", "two.csv"] {
            place.inbox.file(&format!("{name}/{file}"), &data::csv(number as u64 + 20, 4000));
        }
        place.gateway.run_intake();
        place.inbox.wait(&place.gateway);
        let trace = Trace::attach_to(&place.zone, place.gateway.intake(), call, nth, fault);
        let batch = format!("mkdir {name}.part\nput -r {name}/* {name}.part\nrename {name}.part {name}");
        let ended = place.inbox.sftp(&batch);
        place.gateway.eventually("the fault has happened", || trace.struck().then_some(()));
        trace.detach();
        assert_ne!(ended.code, 0, "{call} {nth} {fault:?}: the client hears of it\n{ended:?}");
        place.restart_intake();
        // Once more, as a script does that was told of a failure: what is there is written anew.
        place
            .inbox
            .sftp(&format!("-mkdir {name}.part\nput -r {name}/* {name}.part\nrename {name}.part {name}"))
            .expect(0);
        place.gateway.kill_intake();
        expected.insert(name.clone(), vec![files(&place.inbox.folder.join(name))]);
    }
    place.gateway.run();
    place.inbox.wait(&place.gateway);
    place.wait_for(expected.len());
    assert_eq!(place.room(), expected);
}

#[test]
fn nothing_in_the_spool_can_be_read_without_the_keys() {
    let mut place = Place::quiet(RENAME, ED25519);
    place.gateway.run_intake();
    place.inbox.wait(&place.gateway);
    place.inbox.file("secretname.csv", b"secretcontent");
    place.inbox.sftp("put secretname.csv secretname.csv.part").expect(0);
    let mut looked = 0;
    for folder in ["arrived", "inbox"] {
        for file in fs::read_dir(place.gateway.spool().join(folder)).unwrap().flatten() {
            let bytes = fs::read(file.path()).unwrap();
            assert!(!bytes.windows(6).any(|bytes| bytes == b"secret"), "{file:?}");
            looked += 1;
        }
    }
    assert_eq!(looked, 3, "what remains, the file, the journal");
}

#[test]
fn a_client_that_says_nothing_or_nonsense_is_hung_up_on_and_others_are_served() {
    use std::io::{Read as _, Write as _};
    let place = Place::new(RENAME);
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff",
        b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14\0\0\0\0\0\0\0\0\0\0",
        &[b'x'; 10_000],
    ] {
        let mut stream = std::net::TcpStream::connect(place.inbox.address).unwrap();
        // It may hang up before all of it was written.
        let _ = stream.write_all(nonsense);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"SSH-2.0-Sluse\r\n"));
    }
    // More than may be served.
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(place.inbox.address).unwrap()).collect();
    place.inbox.sftp("pwd").expect(0);
    drop(silent);
}

#[test]
fn an_account_has_as_many_connections_as_it_is_given() {
    let mut place = Place::quiet(&format!("{RENAME}\nconnections = 1"), ED25519);
    place.gateway.run_intake();
    place.inbox.wait(&place.gateway);
    let mut first = place.inbox.session();
    let logged_in = || place.gateway.log().contains("logged in").then_some(());
    place.gateway.eventually("a client has logged in", logged_in);
    assert_ne!(place.inbox.sftp("pwd").code, 0);
    assert!(place.gateway.log().contains("too many connections of this account"), "{}", place.gateway.log());
    // It ends when nobody can write to it any more.
    drop(first.stdin.take());
    first.wait().unwrap();
    place.gateway.eventually("its place is free", || (place.inbox.sftp("pwd").code == 0).then_some(()));
}
