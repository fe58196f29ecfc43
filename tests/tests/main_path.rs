//! The main path: what a source sends stands in the room, with proof.

use sluse_tests::command::{program, run, sluse};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn bag(zone: &Zone, dataset: &str, transfer: &str) -> PathBuf {
    zone.room().join(dataset).join(transfer)
}

/// A tree with everything that a dataset may hold.
fn varied_tree(folder: &Path) {
    fs::create_dir_all(folder.join("a/b/empty")).unwrap();
    fs::create_dir_all(folder.join("blåbær")).unwrap();
    fs::write(folder.join("none.csv"), "").unwrap();
    fs::write(folder.join("a/lab.csv"), data::csv(1, 70_000)).unwrap();
    fs::write(folder.join("a/b/noise.bin"), data::noise(2, 9_500_000)).unwrap();
    fs::write(folder.join("blåbær/nfc-é.csv"), data::csv(3, 10)).unwrap();
    fs::write(folder.join("blåbær/nfd-e\u{301}.csv"), data::csv(4, 10)).unwrap();
    fs::write(folder.join("x".repeat(251) + ".csv"), data::csv(5, 10)).unwrap();
    fs::write(folder.join("tool.csv"), data::csv(6, 10)).unwrap();
    fs::set_permissions(folder.join("tool.csv"), fs::Permissions::from_mode(0o755)).unwrap();
    let sparse = fs::File::create(folder.join("sparse.bin")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    sparse.set_modified(old).unwrap();
}

#[test]
fn a_tree_arrives_byte_for_byte_with_empty_folders_times_and_executable_bits() {
    let zone = Zone::start();
    let source = zone.source("epic");
    let tree = zone.folder.path().join("extract");
    varied_tree(&tree);
    let transfer = source.deliver(&tree, "Nightly extract");
    let bag = bag(&zone, "Nightly extract", &transfer);
    assert_eq!(data::tree(&bag.join("data")), data::tree(&tree));
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(time(&bag.join("data/sparse.bin")), time(&tree.join("sparse.bin")));
    program("sha256sum", &[&"--quiet", &"-c", &"manifest-sha256.txt"], &bag, b"").expect(0);
    program("sha256sum", &[&"--quiet", &"-c", &"tagmanifest-sha256.txt"], &bag, b"").expect(0);
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&zone.signers())])).expect(0);
}

#[test]
fn files_of_a_foreign_package_arrive_byte_for_byte() {
    let samples = std::env::var_os("SLUSE_SAMPLES").expect("tests/run fetches sample files and names their folder");
    let samples = PathBuf::from(samples);
    assert!(data::tree(&samples).len() >= 100, "a real package has many files");
    let zone = Zone::start();
    zone.agree("pacs", "pacs", |text| {
        text.replace(
            "type-unknown",
            "executable = \"allow\"\nmalformed = \"allow\"\nnot-deidentified = \"allow\"\ntype-unknown",
        )
    })
    .expect(0);
    let source = zone.enrol("pacs");
    let transfer = source.deliver(&samples, "pydicom");
    let bag = bag(&zone, "pydicom", &transfer);
    assert_eq!(data::tree(&bag.join("data")), data::tree(&samples));
    program("sha256sum", &[&"--quiet", &"-c", &"manifest-sha256.txt"], &bag, b"").expect(0);
}

/// Sends one small dataset; the zone, its source and the transfer.
fn delivered() -> (Zone, Source, String) {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("lab.csv");
    fs::write(&file, data::csv(1, 5000)).unwrap();
    let transfer = source.deliver(&file, "lab");
    (zone, source, transfer)
}

#[test]
fn receipts_verify_with_ssh_keygen_and_with_sluse_and_both_notice_one_changed_byte() {
    let (zone, source, transfer) = delivered();
    let folder = source.receipts(&transfer);
    for kind in ["received", "released", "delivered"] {
        let statement = folder.join(format!("{kind}.json"));
        let signature = folder.join(format!("{kind}.json.sig"));
        let ssh_keygen = |message: &[u8]| {
            let words: &[&dyn AsRef<std::ffi::OsStr>] = &[
                &"-Y",
                &"verify",
                &"-f",
                &zone.signers(),
                &"-I",
                &"sluse",
                &"-n",
                &"sluse-receipt",
                &"-s",
                &signature,
            ];
            program("ssh-keygen", words, zone.folder.path(), message).code
        };
        let verify = |file: &Path| run(sluse(&["receipt", "verify", text(file), "--signer", text(&zone.signers())]));
        let good = fs::read(&statement).unwrap();
        assert_eq!(ssh_keygen(&good), 0, "{kind}");
        verify(&statement).expect(0);
        let mut changed = good.clone();
        let last_digit = changed.iter().rposition(u8::is_ascii_digit).unwrap();
        changed[last_digit] = if changed[last_digit] == b'1' { b'2' } else { b'1' };
        assert_ne!(ssh_keygen(&changed), 0, "{kind}");
        let copy = zone.folder.path().join(format!("{kind}.json"));
        fs::write(&copy, &changed).unwrap();
        fs::copy(&signature, zone.folder.path().join(format!("{kind}.json.sig"))).unwrap();
        verify(&copy).expect(5);
    }
}

#[test]
fn a_dataset_sent_again_is_not_sent_twice_and_has_the_same_receipts() {
    let (zone, source, transfer) = delivered();
    let before = fs::read(source.receipts(&transfer).join("received.json")).unwrap();
    let again = source.send(&zone.folder.path().join("lab.csv"), "lab", "delivered").expect(0).json();
    assert_eq!(again["transfer"], transfer.as_str());
    assert_eq!(again["sent_bytes"], 0);
    assert_eq!(fs::read(source.receipts(&transfer).join("received.json")).unwrap(), before);
    assert_eq!(
        fs::read_dir(zone.room().join("lab"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().join("data").exists())
            .count(),
        1
    );
}

#[test]
fn other_bytes_with_the_length_and_time_of_those_before_are_delivered_as_a_new_transfer() {
    let (zone, source, first) = delivered();
    let file = zone.folder.path().join("lab.csv");
    let (before, time) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
    let corrected: Vec<u8> = before.iter().map(|byte| if *byte == b'1' { b'7' } else { *byte }).collect();
    assert_ne!(corrected, before);
    fs::write(&file, &corrected).unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
    let second = source.send(&file, "lab", "delivered").expect(0).json();
    assert_ne!(second["transfer"], first.as_str());
    let bag = bag(&zone, "lab", second["transfer"].as_str().unwrap());
    assert_eq!(fs::read(bag.join("data/lab.csv")).unwrap(), corrected);
}

#[test]
fn the_audit_log_verifies_live_and_exported_and_against_receipts() {
    let (zone, source, transfer) = delivered();
    zone.operate(&["audit", "verify"]).expect(0);
    let log = zone.folder.path().join("audit.jsonl");
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    let receipt = source.receipts(&transfer).join("delivered.json");
    let verify = |log: &Path| {
        let signers = zone.signers();
        let words = ["audit", "verify", text(log), "--signer", text(&signers), "--receipt", text(&receipt)];
        run(sluse(&words))
    };
    verify(&log).expect(0);
    let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    let with = |lines: &[String]| {
        let changed = zone.folder.path().join("changed.jsonl");
        fs::write(&changed, lines.join("\n") + "\n").unwrap();
        for end in ["checkpoint", "checkpoint.sig"] {
            fs::copy(log.with_extension(format!("jsonl.{end}")), changed.with_extension(format!("jsonl.{end}")))
                .unwrap();
        }
        verify(&changed).expect(5)
    };
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert!(with(&swapped).stderr.contains("entry 2"));
    let mut removed = lines.clone();
    removed.remove(2);
    assert!(with(&removed).stderr.contains("entry 2"));
    let mut changed = lines.clone();
    changed[2] = changed[2].replace("\"time\":\"2", "\"time\":\"1");
    assert!(with(&changed).stderr.contains("entry 3"));
    assert!(with(&lines[..lines.len() - 2]).stderr.contains("tail"));
}

#[test]
fn eicar_is_rejected_with_a_receipt_and_never_reaches_the_room() {
    let zone = Zone::start();
    let source = zone.source("edc");
    let tree = zone.folder.path().join("study");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("good.csv"), data::csv(1, 1000)).unwrap();
    fs::write(tree.join("bad.csv"), data::eicar()).unwrap();
    let sent = source.send(&tree, "study", "delivered").expect(7).json();
    let transfer = sent["transfer"].as_str().unwrap();
    assert_eq!(sent["state"], "rejected");
    assert!(source.receipts(transfer).join("rejected.json").exists());
    assert!(!zone.room().join("study").exists());
    let shown = zone.operate(&["show", transfer]).expect(0).stdout;
    assert!(shown.contains("bad.csv") && shown.contains("malware"), "{shown}");
}

#[test]
fn what_the_agreement_holds_waits_for_an_operator_who_may_release_or_reject() {
    let zone = Zone::start();
    zone.agree("edc", "edc", |text| text.replace("automatic", "one-reviewer")).expect(0);
    let source = zone.enrol("edc");
    let send = |name: &str| {
        let file = zone.folder.path().join(name);
        fs::write(&file, data::csv(1, 1000)).unwrap();
        let sent = source.send(&file, name, "received").expect(0).json();
        let transfer = sent["transfer"].as_str().unwrap().to_owned();
        zone.wait_for_state(&transfer, "held");
        transfer
    };
    let (good, bad) = (send("good.csv"), send("bad.csv"));
    assert!(!zone.room().join("good.csv").exists());
    assert_ne!(zone.operate(&["release", &good]).code, 0, "a reason is required");
    zone.operate(&["release", &good, "--reason", "reviewed"]).expect(0);
    zone.operate(&["reject", &bad, "--reason", "wrong study"]).expect(0);
    zone.wait_for_state(&good, "delivered");
    zone.wait_for_state(&bad, "rejected");
    assert!(bag(&zone, "good.csv", &good).join("data/good.csv").exists());
    assert!(!zone.room().join("bad.csv").exists());
    let shown = zone.operate(&["show", &good]).expect(0).stdout;
    assert!(shown.contains("reviewed"), "{shown}");
    assert_eq!(source.send(&zone.folder.path().join("bad.csv"), "bad.csv", "delivered").code, 7);
}
