//! Rooms answer: a room's people acknowledge what was delivered, by our command or by ssh-keygen alone, and everybody who should sees it.

use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/audit");
const WAITS: &str = "\n[acknowledgement]\nwithin_days = 7\n";

/// A zone whose room has a key of ssh-keygen's, and what was delivered there.
struct Case {
    zone: Zone,
    source: Source,
    key: PathBuf,
    transfer: String,
    bag: PathBuf,
}

impl Case {
    fn new() -> Self {
        let zone = Zone::start();
        let key = zone.folder.path().join("room-key");
        keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "kari@room", "-f", text(&key)], zone.folder.path());
        let public = key.with_extension("pub");
        zone.operate(&["room", "change", "room", "--key", text(&public), "--reason", "the room's own"]).expect(0);
        zone.agree("lab", "lab", |agreement| agreement + WAITS).expect(0);
        let source = zone.enrol("lab");
        let tree = zone.folder.path().join("extract");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("a.csv"), data::csv(1, 500)).unwrap();
        let transfer = source.deliver(&tree, "lab");
        let bag = zone.room().join("lab").join(&transfer);
        Self { zone, source, key, transfer, bag }
    }

    fn acknowledge(&self) -> Ended {
        let (key, signers) = (text(&self.key).to_owned(), self.zone.signers());
        run(sluse(&["room", "acknowledge", text(&self.bag), "--key", &key, "--signer", text(&signers), "--json"]))
    }

    fn wait_for_the_receipt_beside_the_bag(&self) -> PathBuf {
        let file = self.bag.with_file_name(format!("{}.receipts", self.transfer)).join("acknowledged.json");
        self.zone.eventually("the acknowledged receipt lies beside the bag", || file.exists().then_some(()));
        file
    }
}

fn keygen(words: &[&str], folder: &Path) {
    let words: Vec<&dyn AsRef<OsStr>> = words.iter().map(|word| word as &dyn AsRef<OsStr>).collect();
    program("ssh-keygen", &words, folder, b"").expect(0);
}

#[test]
fn a_room_acknowledges_and_the_source_the_auditor_and_the_room_hold_the_proof() {
    let case = Case::new();
    let made = case.acknowledge().expect(0).json();
    let dropped = PathBuf::from(made["acknowledgement"].as_str().unwrap());
    assert_eq!(dropped.parent(), Some(case.zone.room().join(".sluse-acknowledgements").as_path()));
    case.zone.wait_for_state(&case.transfer, "acknowledged");
    let beside = case.wait_for_the_receipt_beside_the_bag();
    // The sender sees the state, and gets the receipt.
    let status = run(sluse(&["status", &case.transfer, "--identity", text(&case.source.identity), "--json"])).expect(0);
    assert_eq!(status.json()["state"], "acknowledged");
    let fetched = case.source.receipts(&case.transfer).join("acknowledged.json");
    assert_eq!(fs::read(&fetched).unwrap(), fs::read(&beside).unwrap());
    let signers = case.zone.signers();
    run(sluse(&["receipt", "verify", text(&fetched), "--signer", text(&signers)])).expect(0);
    let verified = run(sluse(&["bag", "verify", text(&case.bag), "--signer", text(&signers)])).expect(0);
    assert!(verified.stdout.contains("acknowledged receipt is signed"), "{}", verified.stdout);
    case.zone.operate(&["register", "reconcile"]).expect(0);
    // And so does an auditor without our software, who notices a word that the room did not sign.
    let log = case.zone.folder.path().join("log.jsonl");
    case.zone.operate(&["audit", "export", text(&log)]).expect(0);
    let script = format!("{SCRIPTS}/check.py");
    let check = || {
        let words: &[&dyn AsRef<OsStr>] =
            &[&script, &"--signers", &signers, &"--zone", &"sluse", &"--log", &log, &"--bag", &case.bag];
        program("python3", words, Path::new("/"), b"")
    };
    assert_eq!(check().expect(0).stdout, "OK\n");
    let good = fs::read_to_string(&beside).unwrap();
    fs::write(&beside, good.replacen("acknowledgement/1", "acknowledgement/2", 1)).unwrap();
    assert!(check().expect(1).stdout.contains("signature is not good"));
}

#[test]
fn who_sends_can_wait_for_the_rooms_word_and_gives_up_in_time() {
    let case = Case::new();
    let tree = case.zone.folder.path().join("extract");
    let identity = text(&case.source.identity);
    let words = ["send", text(&tree), "--identity", identity, "--agreement", "lab", "--dataset", "lab"];
    let mut short = sluse(&words);
    short.args(["--wait", "acknowledged", "--wait-timeout", "1s"]);
    let ended = run(short).expect(6);
    assert!(ended.stderr.contains("the transfer is delivered"), "{}", ended.stderr);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| case.source.send(&tree, "lab", "acknowledged"));
        case.acknowledge().expect(0);
        let sent = waiting.join().unwrap().expect(0).json();
        assert_eq!((&sent["transfer"], &sent["state"]), (&case.transfer.as_str().into(), &"acknowledged".into()));
    });
    let receipt = case.source.receipts(&case.transfer).join("acknowledged.json");
    run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&case.zone.signers())])).expect(0);
}

#[test]
fn ssh_keygen_alone_acknowledges_what_lies_in_the_room() {
    let case = Case::new();
    let folder = case.zone.folder.path();
    let receipt = case.bag.with_file_name(format!("{}.receipts", case.transfer)).join("delivered.json");
    let digest = program("sha256sum", &[&receipt], folder, b"").expect(0).stdout;
    let stated: serde_json::Value = serde_json::from_slice(&fs::read(&receipt).unwrap()).unwrap();
    let word = serde_json::json!({
        "sluse": "acknowledgement/1", "zone": stated["zone"], "room": stated["room"], "transfer": stated["transfer"],
        "time": "2026-11-22T12:00:00Z", "manifest_sha256": stated["manifest_sha256"], "delivered": digest[..64],
    });
    let file = folder.join(format!("{}.json", case.transfer));
    fs::write(&file, word.to_string()).unwrap();
    let sign = ["-Y", "sign", "-f", text(&case.key), "-n", "sluse-acknowledgement", text(&file)];
    keygen(&sign, folder);
    for end in ["json.sig", "json"] {
        let file = file.with_extension(end);
        fs::copy(&file, case.zone.room().join(".sluse-acknowledgements").join(file.file_name().unwrap())).unwrap();
    }
    case.zone.wait_for_state(&case.transfer, "acknowledged");
}

#[test]
fn a_bag_that_is_not_whole_is_not_acknowledged_and_another_key_changes_nothing() {
    let case = Case::new();
    let data = case.bag.join("data/a.csv");
    let good = fs::read(&data).unwrap();
    fs::write(&data, "other").unwrap();
    assert!(case.acknowledge().expect(5).stderr.contains("is not good"));
    fs::write(&data, good).unwrap();
    let forger = case.zone.folder.path().join("forger");
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", text(&forger)], case.zone.folder.path());
    let signers = case.zone.signers();
    run(sluse(&["room", "acknowledge", text(&case.bag), "--key", text(&forger), "--signer", text(&signers)])).expect(0);
    case.zone.eventually("the journal says why", || {
        case.zone.log().contains("an acknowledgement was refused").then_some(())
    });
    assert_eq!(case.zone.show(&case.transfer)["info"]["status"]["state"], "delivered");
    // The room's own word replaces it, and is taken.
    case.acknowledge().expect(0);
    case.zone.wait_for_state(&case.transfer, "acknowledged");
    case.wait_for_the_receipt_beside_the_bag();
    let told = case.zone.log().matches("an acknowledgement was refused").count();
    assert_eq!(told, 1, "said once, however often it is looked at");
}

#[test]
fn into_a_room_with_an_age_key_the_bag_comes_encrypted_and_stays_a_bag_that_stock_age_opens() {
    let zone = Zone::start();
    let folder = zone.folder.path().to_owned();
    let identity = folder.join("room-identity");
    let made = program("age-keygen", &[&"-o", &identity], &folder, b"").expect(0);
    let recipient = made.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    zone.operate(&["room", "change", "room", "--recipient", &recipient, "--reason", "its own"]).expect(0);
    let source = zone.source("lab");
    let tree = folder.join("extract");
    fs::create_dir_all(tree.join("b")).unwrap();
    fs::write(tree.join("a.csv"), data::csv(1, 50_000)).unwrap();
    fs::write(tree.join("b/c.csv"), data::csv(2, 10)).unwrap();
    let transfer = source.deliver(&tree, "lab");
    let (bag, signers) = (zone.room().join("lab").join(&transfer), zone.signers());
    let stored = fs::read(bag.join("data/a.csv")).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1\n") && stored.len() > data::csv(1, 50_000).len());
    // It is a bag to ours, to theirs and to nobody's software.
    let verify = |more: &[&str]| {
        let words = [&["bag", "verify", text(&bag), "--signer", text(&signers)], more].concat();
        run(sluse(&words))
    };
    verify(&[]).expect(0);
    verify(&["--identity", text(&identity)]).expect(0);
    let script = format!("{SCRIPTS}/check.py");
    let words: &[&dyn AsRef<OsStr>] = &[&script, &"--signers", &signers, &"--zone", &"sluse", &"--bag", &bag];
    assert_eq!(program("python3", words, Path::new("/"), b"").expect(0).stdout, "OK\n");
    let python = std::env::var("SLUSE_PYTHON").expect("tests/run makes a Python with bagit and rocrate, and names it");
    let told = program(&python, &[&format!("{SCRIPTS}/foreign.py"), &bag], Path::new("/"), b"").expect(0).json();
    assert_eq!(told["files"], 2);
    // Stock age opens each file, and what comes out agrees with the bag's second list.
    let open = "mkdir -p out/data/b && for f in a.csv b/c.csv; do age -d -i \"$1\" -o out/data/$f \"$2\"/data/$f; done && \
                cd out && sha256sum --quiet -c \"$2\"/plaintext-sha256.txt";
    program("sh", &[&"-ec", &open, &"sh", &identity, &bag], &folder, b"").expect(0);
    assert_eq!(fs::read(folder.join("out/data/a.csv")).unwrap(), data::csv(1, 50_000));
    let out = folder.join("opened");
    run(sluse(&["bag", "decrypt", text(&bag), "--identity", text(&identity), "--to", text(&out)])).expect(0);
    assert_eq!(fs::read(out.join("b/c.csv")).unwrap(), data::csv(2, 10));
    zone.operate(&["register", "reconcile"]).expect(0);
    // Another identity opens nothing, and a list that says something else is noticed.
    let other = folder.join("other-identity");
    program("age-keygen", &[&"-o", &other], &folder, b"").expect(0);
    assert!(verify(&["--identity", text(&other)]).expect(5).stderr.contains("does not decrypt"));
    let list = fs::read_to_string(bag.join("plaintext-sha256.txt")).unwrap();
    fs::write(bag.join("plaintext-sha256.txt"), list.replacen("  data/a.csv", "  data/b.csv", 1)).unwrap();
    verify(&[]).expect(5);
}
