//! Partial release, from the source to the auditor: what a reviewer leaves out does not reach the room, its name neither, and everybody who
//! holds a document of it knows that something was left out.

use sluse_tests::command::{program, run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/audit");

#[test]
fn a_reviewer_releases_a_dataset_without_a_file_and_a_folder_and_room_source_and_auditor_know() {
    let zone = Zone::start();
    zone.agree("edc", "edc", |text| text.replace("automatic", "one-reviewer")).expect(0);
    let source = zone.enrol("edc");
    let tree = zone.folder.path().join("extract");
    fs::create_dir_all(tree.join("notes/2026")).unwrap();
    fs::write(tree.join("a.csv"), data::csv(1, 5000)).unwrap();
    fs::write(tree.join("initials.csv"), data::csv(2, 70)).unwrap();
    fs::write(tree.join("notes/2026/kari.csv"), data::csv(3, 9000)).unwrap();
    fs::write(tree.join("z.bin"), data::noise(4, 9_000_000)).unwrap();
    let sent = source.send(&tree, "visits", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");

    let list = zone.folder.path().join("left-out");
    fs::write(&list, "notes\n").unwrap();
    let release = ["release", &transfer, "--reason", "two files name persons", "--without", "initials.csv"];
    let wrong = zone.operate(&["release", &transfer, "--reason", "x", "--without", "initials"]).expect(2);
    assert!(wrong.stderr.contains("not in the dataset"), "{}", wrong.stderr);
    zone.operate(&["release", &transfer, "--reason", "x", "--without-from", "/dev/null"]).expect(2);
    let released = zone.operate(&[&release[..], &["--without-from", text(&list)]].concat()).expect(0);
    let told = format!("{}{}", released.stdout, released.stderr);
    assert!(told.contains("in part: 2 files without 2, manifest SHA-256"), "{told}");
    zone.wait_for_state(&transfer, "delivered");

    let bag = zone.room().join("visits").join(&transfer);
    assert_eq!(data::tree(&bag.join("data")).into_keys().collect::<Vec<_>>(), ["a.csv", "z.bin"]);
    // Neither bytes nor names of what was left out stand in the room.
    let grepped =
        program("grep", &[&"-r", &"-l", &"-e", &"initials", &"-e", &"kari.csv", &zone.room()], Path::new("/"), b"");
    assert_eq!((grepped.code, grepped.stdout.as_str()), (1, ""));
    let signers = zone.signers();
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&signers)])).expect(0);
    let keygen: &[&dyn AsRef<OsStr>] = &[
        &"-Y",
        &"verify",
        &"-f",
        &signers,
        &"-I",
        &"sluse",
        &"-n",
        &"sluse-receipt",
        &"-s",
        &"released-manifest.jsonl.sig",
    ];
    let manifest = fs::read(bag.join("released-manifest.jsonl")).unwrap();
    program("ssh-keygen", keygen, &bag, &manifest).expect(0);
    let python = std::env::var("SLUSE_PYTHON").expect("tests/run makes a Python with bagit and rocrate, and names it");
    let foreign = program(&python, &[&format!("{SCRIPTS}/foreign.py"), &bag], Path::new("/"), b"").expect(0).json();
    assert_eq!(foreign["files"], 2);

    // The source has receipts that say so.
    run(sluse(&["status", &transfer, "--identity", text(&source.identity)])).expect(0);
    let receipt = source.receipts(&transfer).join("delivered.json");
    let verified = run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&signers)])).expect(0);
    assert!(verified.stdout.contains("in part: 2 files were left out of manifest"), "{}", verified.stdout);
    // And so have the register, and an auditor without our software.
    let register = zone.folder.path().join("register.json");
    let exported = zone.operate(&["register", "export", "--format", "json", "--files"]).expect(0);
    fs::write(&register, &exported.stdout).unwrap();
    let record = &exported.json()["records"][0]["record"];
    assert_eq!((&record["totals"]["files"], &record["part_of"]["left_out"]["files"]), (&2.into(), &2.into()));
    zone.operate(&["register", "reconcile"]).expect(0);
    let log = zone.folder.path().join("log.jsonl");
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    let script = format!("{SCRIPTS}/check.py");
    let check = || {
        let words: &[&dyn AsRef<OsStr>] = &[
            &script,
            &"--signers",
            &signers,
            &"--zone",
            &"sluse",
            &"--log",
            &log,
            &"--bag",
            &bag,
            &"--register",
            &register,
        ];
        program("python3", words, Path::new("/"), b"")
    };
    assert_eq!(check().expect(0).stdout, "OK\n");
    // A list of what was left out that somebody lays into the bag later is noticed.
    fs::write(bag.join("source-manifest.jsonl"), "").unwrap();
    check().expect(1);
}
