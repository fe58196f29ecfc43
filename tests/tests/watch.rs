//! Outboxes: what is put there whole arrives, with its receipts beside it, and nobody does anything.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::Path;

const NOW: &str = "complete = \"rename\"\nafter_hours = 0";

#[test]
fn what_is_renamed_into_an_outbox_is_delivered_and_moved_with_its_receipts() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.put("before.csv", &data::csv(1, 3000));
    outbox.watch();
    outbox.put("after.csv", &data::csv(2, 3000));
    for (name, seed) in [("before.csv", 1), ("after.csv", 2)] {
        let told = outbox.wait_for(name, "put-away");
        let place = outbox.finished("_delivered", &told);
        let transfer = told["transfer"].as_str().unwrap();
        assert_eq!(fs::read(place.join(name)).unwrap(), data::csv(seed, 3000));
        for kind in ["received", "released", "delivered"] {
            let receipt = place.join(format!("{name}.receipts/{transfer}.{kind}.json"));
            run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&zone.signers())])).expect(0);
        }
        let bag = zone.room().join(name).join(transfer);
        assert_eq!(fs::read(bag.join("data").join(name)).unwrap(), data::csv(seed, 3000));
    }
    let left: Vec<_> = fs::read_dir(&outbox.folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["_delivered"]);
    assert_eq!(outbox.stop(), Some(0));
    assert!(!outbox.log().contains("before.csv"), "names of files are no matter for the log");
}

#[test]
fn what_is_rejected_or_refused_lies_in_a_folder_of_its_own_with_the_reason_and_can_be_put_back() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.watch();
    outbox.put("virus.txt", &data::eicar());
    let linked = outbox.folder.join("linked");
    fs::create_dir(zone.folder.path().join("linked")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", zone.folder.path().join("linked/passwd")).unwrap();
    fs::rename(zone.folder.path().join("linked"), &linked).unwrap();
    let told = outbox.wait_for("virus.txt", "put-away");
    let place = outbox.finished("_rejected", &told);
    let why = fs::read_to_string(place.join("WHY.txt")).unwrap();
    assert!(why.contains("(rejected)") && why.contains(told["transfer"].as_str().unwrap()), "{why}");
    assert_eq!(fs::read(place.join("virus.txt")).unwrap(), data::eicar());
    assert!(place.join("virus.txt.receipts").read_dir().unwrap().count() >= 2);
    let linked_told = outbox.wait_for("linked", "put-away");
    let why = fs::read_to_string(outbox.finished("_rejected", &linked_told).join("WHY.txt")).unwrap();
    assert!(why.contains("a symbolic link"), "{why}");
    // Put back, it is a new transfer, and is rejected once more.
    fs::rename(place.join("virus.txt"), outbox.folder.join("virus.txt")).unwrap();
    let first = told["transfer"].clone();
    let second = outbox.eventually("it is rejected again", || {
        let told =
            outbox.events().into_iter().filter(|told| told["name"] == "virus.txt" && told["event"] == "put-away");
        told.map(|told| told["transfer"].clone()).find(|transfer| *transfer != first)
    });
    zone.wait_for_state(second.as_str().unwrap(), "rejected");
}

#[test]
fn what_is_kept_is_not_sent_twice_but_what_changes_is_a_new_dataset_version() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let settings = "complete = \"marker\"\ndelivered = \"keep\"";
    let mut outbox = Outbox::new(zone.folder.path(), &source, settings);
    outbox.watch();
    let folder = outbox.folder.join("nightly");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.csv"), data::csv(1, 100)).unwrap();
    fs::write(outbox.folder.join("nightly.done"), "").unwrap();
    let first = outbox.wait_for("nightly", "delivered")["transfer"].clone();
    outbox.eventually("the marker is gone", || (!outbox.folder.join("nightly.done").exists()).then_some(()));
    outbox.kill();
    outbox.watch();
    fs::write(folder.join("b.csv"), data::csv(2, 100)).unwrap();
    fs::write(outbox.folder.join("nightly.done"), "").unwrap();
    let second = outbox.eventually("the new version is delivered", || {
        let told = outbox.events().into_iter().filter(|told| told["event"] == "delivered");
        told.map(|told| told["transfer"].clone()).find(|transfer| *transfer != first)
    });
    assert_eq!(
        zone.room()
            .join("nightly")
            .read_dir()
            .unwrap()
            .flatten()
            .filter(|bag| bag.path().join("data").exists())
            .count(),
        2
    );
    let receipts = outbox.folder.join("nightly.receipts");
    for transfer in [first, second] {
        let receipt = receipts.join(format!("{}.delivered.json", transfer.as_str().unwrap()));
        outbox.eventually("its receipt is there", || receipt.exists().then_some(()));
    }
    let sent = outbox.events().iter().filter(|told| told["event"] == "received").count();
    assert_eq!(sent, 2);
}

#[test]
fn an_agreement_that_is_not_there_leaves_everything_in_place_with_words_and_goes_on_when_it_is() {
    let zone = Zone::start();
    let source = zone.enrol("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.put("a.csv", b"a,b\n1,2\n");
    outbox.watch();
    let problem = outbox.folder.join("_PROBLEM.txt");
    let text = outbox.eventually("the problem is told", || fs::read_to_string(&problem).ok());
    assert!(text.contains("unknown-agreement") && text.contains("tried again by itself"), "{text}");
    assert!(outbox.folder.join("a.csv").exists());
    zone.agree("lab", "lab", |text| text).expect(0);
    outbox.wait_for("a.csv", "put-away");
    outbox.eventually("the problem is taken back", || (!problem.exists()).then_some(()));
}

#[test]
fn a_wrong_configuration_is_told_with_file_and_line_and_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("watch.toml");
    fs::write(
        &file,
        "[watch]\nstate = \"s\"\n[outbox.lab]\nfolder = \"f\"\nagremeent = \"a\"\ncomplete = \"rename\"\n",
    )
    .unwrap();
    let ended = run(sluse(&["watch", "--check", "--config", text(&file)])).expect(3);
    for words in ["watch.toml:5: unknown field `outbox.lab.agremeent`", "did you mean `agreement`?", "has no identity"]
    {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn a_check_of_the_configuration_finds_places_that_are_not_there() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("watch.toml");
    let check = |folder: &str, identity: &Path| {
        let identity = text(identity);
        let outbox = format!("[outbox.lab]\nfolder = \"{folder}\"\nagreement = \"a\"\ncomplete = \"rename\"\n");
        fs::write(&file, format!("[watch]\nstate = \"s\"\nidentity = \"{identity}\"\n{outbox}")).unwrap();
        run(sluse(&["watch", "--check", "--config", text(&file)]))
    };
    let missing = check("out", &source.identity).expect(3);
    assert!(missing.stderr.contains("the outbox lab cannot be read"), "{}", missing.stderr);
    fs::create_dir(zone.folder.path().join("out")).unwrap();
    check("out", Path::new("nobody")).expect(3);
    check("out", &source.identity).expect(0);
}
