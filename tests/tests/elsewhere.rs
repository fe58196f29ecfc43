//! Rooms elsewhere: what an OpenSSH server holds in the end is what was released, whatever happens on the way; and nothing is called
//! delivered that is not there.

use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::elsewhere::{Courier, SftpServer, Way};
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const OPENSSH: &str = "internal-sftp";

struct Case {
    zone: Zone,
    source: Source,
    server: SftpServer,
    tree: PathBuf,
}

impl Case {
    fn new(subsystem: &str) -> Self {
        Self::with(subsystem, &[])
    }

    fn with(subsystem: &str, room: &[&str]) -> Self {
        Self::of(subsystem, room, |text| text)
    }

    fn with_agreement(edit: impl FnOnce(String) -> String) -> Self {
        Self::of(OPENSSH, &[], edit)
    }

    fn of(subsystem: &str, room: &[&str], edit: impl FnOnce(String) -> String) -> Self {
        let mut zone = Zone::prepare();
        zone.configure(|settings| settings.replace("[deliver]\n", "[deliver]\ncouriers = \"couriers\"\n"));
        zone.run();
        let words = ["room", "add", "hunt", "--names", "posix", "--elsewhere"];
        zone.operate(&[&words, room].concat()).expect(0);
        zone.agree("lab", "lab", |text| edit(text.replace("to = \"room\"", "to = \"hunt\""))).expect(0);
        let source = zone.enrol("lab");
        let server = SftpServer::start(zone.folder.path(), subsystem);
        let tree = zone.folder.path().join("extract");
        fs::create_dir_all(tree.join("deep/er")).unwrap();
        fs::create_dir(tree.join("empty")).unwrap();
        fs::write(tree.join("a.csv"), data::csv(1, 500)).unwrap();
        fs::write(tree.join("none.csv"), "").unwrap();
        fs::write(tree.join("deep/er/percent%.bin"), data::noise(7, 3 * 1024 * 1024 + 17)).unwrap();
        for number in 0..30 {
            fs::write(tree.join(format!("deep/{number}.bin")), data::noise(number, 40_000 + number as usize)).unwrap();
        }
        Self { zone, source, server, tree }
    }

    fn courier(&self) -> Courier {
        Courier::start(&self.zone, "hunt", &self.server.configuration(self.server.port(), "host_key", ""))
    }

    fn send(&self) -> String {
        let sent = self.source.send(&self.tree, "lab", "received").expect(0).json();
        sent["transfer"].as_str().unwrap().to_owned()
    }

    fn bag(&self, transfer: &str) -> PathBuf {
        self.server.room().join("lab").join(transfer)
    }

    /// Waits until a delivery has failed for a reason with these words.
    fn wait_for_trouble(&self, words: &str) {
        self.zone.eventually(&format!("a delivery fails: {words}"), || {
            self.zone.operate(&["health"]).stdout.contains(words).then_some(())
        });
    }

    fn is_as_it_was_sent(&self, transfer: &str) -> Ended {
        let bag = self.bag(transfer);
        assert_eq!(data::tree(&bag.join("data")), data::tree(&self.tree));
        run(sluse(&["bag", "verify", text(&bag), "--signer", text(&self.zone.signers()), "--json"])).expect(0)
    }

    /// The *delivered* receipt as it lies in the room, once it does.
    fn receipt(&self, transfer: &str) -> serde_json::Value {
        let file = self.bag(transfer).with_file_name(format!("{transfer}.receipts")).join("delivered.json");
        let signature = file.with_file_name("delivered.json.sig");
        self.zone.eventually("the receipt lies beside the bag", || (file.exists() && signature.exists()).then_some(()));
        run(sluse(&["receipt", "verify", text(&file), "--signer", text(&self.zone.signers())])).expect(0);
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }
}

fn is_empty(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn what_was_released_stands_on_an_sftp_server_as_it_was_sent_with_its_receipt_beside_it() {
    let case = Case::new(OPENSSH);
    let _courier = case.courier();
    Courier::check(&case.server.configuration(case.server.port(), "host_key", "")).expect(0);
    assert!(is_empty(&case.server.room()), "a check leaves nothing");
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    let executable = fs::metadata(case.bag(&transfer).join("data/a.csv")).unwrap();
    let sent = fs::metadata(case.tree.join("a.csv")).unwrap();
    assert_eq!(
        executable.modified().unwrap().elapsed().unwrap().as_secs() / 100,
        sent.modified().unwrap().elapsed().unwrap().as_secs() / 100
    );
    let stored = serde_json::json!({"by": "sftp", "verified": "read-back"});
    assert_eq!(case.receipt(&transfer)["stored"], stored);
    let shown = case.zone.show(&transfer);
    assert_eq!(shown["stored"], stored);
    assert!(case.zone.operate(&["show", &transfer]).expect(0).stdout.contains("by sftp; every file was read back"));
    assert!(is_empty(&case.server.room().join(".sluse-incoming")));
    // Nothing of it lies in the zone any more.
    let work = case.zone.root().join("deliver/elsewhere");
    case.zone.eventually("nothing is remembered", || is_empty(&work).then_some(()));
    let compared = case.zone.operate(&["register", "reconcile"]).expect(0).stdout;
    assert!(compared.contains("elsewhere, not looked at: room hunt"), "{compared}");
    // The same again is no other bag.
    assert_eq!(case.source.deliver(&case.tree, "lab"), transfer);
    assert_eq!(fs::read_dir(case.server.room().join("lab")).unwrap().count(), 2);
}

#[test]
fn a_way_that_is_cut_again_and_again_is_gone_on_with_and_nothing_is_sent_twice() {
    let case = Case::new(OPENSSH);
    let way = Way::to(case.server.port(), 1_500_000);
    let configuration = case.server.configuration(way.port, "host_key", "");
    let mut courier = Courier::start(&case.zone, "hunt", &configuration);
    let transfer = case.send();
    case.zone.eventually("the way is cut", || way.is_cut().then_some(()));
    assert!(!case.bag(&transfer).exists(), "half a bag is not visible");
    case.wait_for_trouble("room hunt");
    courier.kill();
    way.mend();
    let _courier = Courier::start(&case.zone, "hunt", &configuration);
    case.zone.kill("deliver");
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
    case.receipt(&transfer);
    // The dataset has 4.3 MB, of which a third was there; both ways' requests to read it back are small.
    let carried = way.carried.load(Ordering::SeqCst);
    assert!(carried < 5_600_000, "{carried}");
}

#[test]
fn another_host_key_is_said_nothing_and_an_expired_key_is_told() {
    let case = Case::new(OPENSSH);
    let configuration = case.server.configuration(case.server.port(), "other_key", "");
    let ended = Courier::check(&configuration).expect(6);
    assert!(ended.stderr.contains("host key is not the one"), "{}", ended.stderr);
    let mut courier = Courier::start(&case.zone, "hunt", &configuration);
    let transfer = case.send();
    case.wait_for_trouble("host key is not the one");
    assert!(is_empty(&case.server.room()));
    courier.kill();
    let checked = case.zone.operate(&["zone", "check"]).stdout;
    assert!(checked.contains("no courier answers at"), "{checked}");
    case.server.take_key("expiry-time=\"20200101\"");
    let configuration = case.server.configuration(case.server.port(), "host_key", "");
    let _courier = Courier::start(&case.zone, "hunt", &configuration);
    case.wait_for_trouble("does not take our key");
    assert_eq!(case.zone.show(&transfer)["info"]["status"]["state"], "delivering");
    case.server.take_key("");
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_full_disk_there_delivers_nothing_until_it_has_room() {
    let case = Case::new(OPENSSH);
    let disk = SmallDisk::mount(case.server.room(), 6 * 1024 * 1024);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 4 * 1024 * 1024]).unwrap();
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("disk");
    assert!(!case.bag(&transfer).exists());
    fs::remove_file(ballast).unwrap();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_server_that_stores_other_bytes_than_it_says_is_found_out() {
    let liar = concat!("/usr/bin/python3 ", env!("CARGO_MANIFEST_DIR"), "/elsewhere/liar.py");
    let case = Case::new(liar);
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("gives back other bytes than were sent");
    assert!(!case.bag(&transfer).exists());
    // Taken back, nothing of it is left there.
    case.zone.operate(&["cancel", &transfer, "--reason", "the server lies"]).expect(0);
    case.zone.wait_for_state(&transfer, "cancelled");
    case.zone.eventually("nothing is left", || is_empty(&case.server.room()).then_some(()));
}

#[test]
fn where_nothing_can_be_read_back_the_receipt_says_so() {
    let case = Case::new(OPENSSH);
    let configuration = case.server.configuration(case.server.port(), "host_key", "read_back = false\n");
    let _courier = Courier::start(&case.zone, "hunt", &configuration);
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    assert_eq!(case.receipt(&transfer)["stored"]["verified"], "sizes");
    assert!(case.zone.operate(&["show", &transfer]).expect(0).stdout.contains("NOT READ BACK"));
}

#[test]
fn a_room_with_a_key_gets_only_what_it_can_open_and_a_cut_way_sends_no_file_twice() {
    let carried = encrypted_over_a_cut_way("");
    assert!(carried < 5_900_000, "{carried}");
}

#[test]
fn where_nothing_can_be_read_back_a_room_with_a_key_gets_all_of_it_over_a_cut_way_too() {
    // Nothing says that what is there of a file has no holes: files are sent again.
    encrypted_over_a_cut_way("read_back = false\n");
}

/// Delivers to a room with a key over a way that is cut once; how much went over it.
fn encrypted_over_a_cut_way(more: &str) -> u64 {
    let case = Case::new(OPENSSH);
    let folder = case.zone.folder.path();
    let key = folder.join("room.key");
    let made = program("age-keygen", &[&"-o", &key], folder, b"").expect(0).stderr;
    let recipient = made.trim().rsplit(' ').next().unwrap().to_owned();
    case.zone.operate(&["room", "change", "hunt", "--recipient", &recipient, "--reason", "its own"]).expect(0);
    let way = Way::to(case.server.port(), 1_500_000);
    let configuration = case.server.configuration(way.port, "host_key", more);
    let _courier = Courier::start(&case.zone, "hunt", &configuration);
    let transfer = case.send();
    case.zone.eventually("the way is cut", || way.is_cut().then_some(()));
    case.wait_for_trouble("room hunt");
    way.mend();
    case.zone.wait_for_state(&transfer, "delivered");
    let bag = case.bag(&transfer);
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&case.zone.signers())])).expect(0);
    let opened = program("age", &[&"-d", &"-i", &key, &bag.join("data/a.csv")], folder, b"").expect(0);
    assert_eq!(opened.stdout.as_bytes(), fs::read(case.tree.join("a.csv")).unwrap());
    way.carried.load(Ordering::SeqCst)
}

#[test]
fn after_the_room_has_ended_nothing_is_taken_for_it_and_health_says_so() {
    let case = Case::with(OPENSSH, &["--until", "2026-01-01T00:00:00Z"]);
    let _courier = case.courier();
    let refused = case.source.send(&case.tree, "lab", "received").expect(4);
    assert!(refused.stderr.contains("room hunt is reached by ended"), "{}", refused.stderr);
    assert!(case.zone.operate(&["health"]).stdout.contains("room-ended"));
    case.zone
        .operate(&["room", "change", "hunt", "--until", "2099-01-01T00:00:00Z", "--reason", "a new key"])
        .expect(0);
    let listed = case.zone.operate(&["room", "list"]).expect(0).stdout;
    assert!(listed.contains("elsewhere, until 2099-01-01T00:00:00Z"), "{listed}");
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    // Nobody looks there for a room's word.
    let key = text(&case.server.folder.join("other_key.pub")).to_owned();
    case.zone.operate(&["room", "change", "hunt", "--key", &key, "--reason", "x"]).expect(2);
}

#[test]
fn something_else_under_the_bags_name_is_never_taken_for_it() {
    let case = Case::new(OPENSSH);
    let transfer = case.send();
    case.wait_for_trouble("cannot be reached");
    fs::create_dir_all(case.bag(&transfer).join("data")).unwrap();
    let _courier = case.courier();
    case.wait_for_trouble("something else stands in the room");
    fs::remove_dir_all(case.bag(&transfer)).unwrap();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_delivery_to_a_server_that_is_gone_for_good_ends_and_says_what_may_be_left_there() {
    let case = Case::with_agreement(|text| text.replace("quarantine_days = 30", "quarantine_days = 0"));
    let way = Way::to(case.server.port(), 1_500_000);
    let _courier = Courier::start(&case.zone, "hunt", &case.server.configuration(way.port, "host_key", ""));
    let transfer = case.send();
    case.zone.eventually("the way is cut", || way.is_cut().then_some(()));
    case.wait_for_trouble("deliver of");
    case.zone.operate(&["cancel", &transfer, "--reason", "they closed"]).expect(0);
    // Nobody knows yet that they do not come back.
    case.wait_for_trouble("withdraw of");
    assert_eq!(case.zone.show(&transfer)["info"]["status"]["state"], "delivering");
    let ended = ["room", "change", "hunt", "--until", "2026-01-01T00:00:00Z", "--reason", "they closed"];
    case.zone.operate(&ended).expect(0);
    case.zone.wait_for_state(&transfer, "purged");
    let shown = case.zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(shown.contains("cancelled") && shown.contains("files of it MAY BE LEFT"), "{shown}");
    assert_eq!(case.zone.show(&transfer)["remains"], "files");
    assert!(!is_empty(&case.server.room().join(".sluse-incoming")) && !case.bag(&transfer).exists());
    let work = case.zone.root().join("deliver/elsewhere");
    case.zone.eventually("nothing is remembered", || is_empty(&work).then_some(()));
    case.zone.operate(&["audit", "verify"]).expect(0);
    case.zone.operate(&["register", "reconcile"]).expect(0);
    // An auditor without our software sees the same in the log and in the register.
    let folder = case.zone.folder.path();
    let (log, register) = (folder.join("log.jsonl"), folder.join("register.json"));
    let exported = case.zone.operate(&["register", "export", "--format", "json"]).expect(0);
    fs::write(&register, &exported.stdout).unwrap();
    case.zone.operate(&["audit", "export", text(&log)]).expect(0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/audit/check.py");
    let check = || {
        let signers = case.zone.signers();
        let words: &[&dyn AsRef<std::ffi::OsStr>] =
            &[&script, &"--signers", &signers, &"--zone", &"sluse", &"--log", &log, &"--register", &register];
        program("python3", words, Path::new("/"), b"")
    };
    check().expect(0);
    let mut other = exported.json();
    other["records"][0]["outcome"]["remains"] = "bag".into();
    fs::write(&register, other.to_string()).unwrap();
    check().expect(1);
}

#[test]
fn what_comes_while_a_target_hangs_ends_the_attempt_at_once() {
    let case = Case::new(OPENSSH);
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut courier = Courier::start(&case.zone, "hunt", &case.server.configuration(port, "host_key", ""));
    let transfer = case.send();
    let ended = |ended: &dyn Fn()| {
        let (connection, _) = silent.accept().unwrap();
        ended();
        case.zone.eventually("the courier lets go of its target", || {
            let mut gone = &connection;
            connection.set_nonblocking(true).unwrap();
            match std::io::Read::read(&mut gone, &mut [0; 1000]) {
                Ok(0) => Some(()),
                // Its own greeting comes first.
                Ok(_) => None,
                Err(error) => (error.kind() != std::io::ErrorKind::WouldBlock).then_some(()),
            }
        });
    };
    ended(&|| drop(case.zone.operate(&["agreement", "suspend", "lab", "--reason", "REK asks"]).expect(0)));
    case.zone.operate(&["agreement", "resume", "lab", "--reason", "REK is content"]).expect(0);
    ended(&|| drop(case.zone.operate(&["cancel", &transfer, "--reason", "not needed"]).expect(0)));
    // Neither came to its end by itself.
    let told = || (case.zone.log().matches("a delivery was ended").count() == 2).then_some(());
    case.zone.eventually("both were ended", told);
    courier.kill();
    let _courier = case.courier();
    case.zone.wait_for_state(&transfer, "cancelled");
    assert!(is_empty(&case.server.room()));
}
