//! An outbox for real: killed, cut off, full, renamed too early. Nothing is lost, nothing arrives twice, each receipt is there.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

const NOW: &str = "complete = \"rename\"\nafter_hours = 0";

/// The entries that were put away as delivered, with their transfers; each once.
#[track_caller]
fn delivered(outbox: &Outbox) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let place = outbox.folder.join("_delivered");
    for record in fs::read_dir(place).into_iter().flatten().flatten() {
        let names: Vec<String> = fs::read_dir(record.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        let receipts = names.iter().find(|name| name.ends_with(".receipts"));
        let Some(name) = names.iter().find(|name| !name.ends_with(".receipts")) else { continue };
        let Some(receipts) = receipts else { continue };
        let kinds = fs::read_dir(record.path().join(receipts)).unwrap().flatten();
        let delivered = kinds.filter_map(|entry| {
            entry.file_name().into_string().ok()?.strip_suffix(".delivered.json").map(str::to_owned)
        });
        if let Some(transfer) = delivered.last() {
            assert!(found.insert(name.clone(), transfer).is_none(), "{name} was put away twice");
        }
    }
    found
}

/// Every entry arrived once, byte for byte, with receipts that verify, and nothing else arrived.
#[track_caller]
fn check_all(zone: &Zone, outbox: &Outbox, sent: &BTreeMap<String, Vec<u8>>) {
    let delivered = delivered(outbox);
    assert_eq!(delivered.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
    for (name, transfer) in &delivered {
        let folder = zone.room().join(name);
        let bags: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .map(|bag| bag.path())
            .filter(|bag| bag.join("data").exists())
            .collect();
        assert_eq!(bags, [folder.join(transfer)], "{name} arrived once");
        assert!(fs::read(bags[0].join("data").join(name)).unwrap() == sent[name], "{name} arrived byte for byte");
    }
    let receipts: Vec<PathBuf> = fs::read_dir(outbox.folder.join("_delivered"))
        .unwrap()
        .flatten()
        .flat_map(|record| fs::read_dir(record.path()).unwrap().flatten())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".receipts"))
        .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten())
        .map(|receipt| receipt.path())
        .filter(|receipt| receipt.extension().is_some_and(|end| end == "json"))
        .collect();
    assert!(receipts.len() >= sent.len() * 3, "received, released and delivered of each");
    for some in receipts.chunks(200) {
        let mut command = sluse(&["receipt", "verify", "--signer", text(&zone.signers())]);
        command.args(some);
        run(command).expect(0);
    }
    let left: Vec<_> = fs::read_dir(&outbox.folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["_delivered"], "nothing is left behind");
}

#[track_caller]
fn wait_for_all(outbox: &Outbox, count: usize) {
    // Whatever takes long must at least go on.
    let mut last = 0;
    while last < count {
        last = outbox.eventually(&format!("more than {last} of {count} are put away"), || {
            let now = delivered(outbox).len();
            (now > last).then_some(now)
        });
    }
}

#[test]
fn everything_arrives_once_though_the_watcher_and_every_role_are_killed_and_the_zone_is_away() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.watch();
    let mut sent = BTreeMap::new();
    let mut dice = data::noise(4711, 4096).into_iter();
    for number in 0..24 {
        let size = if number % 6 == 0 { 9_000_000 } else { 3000 + number * 100 };
        let (name, bytes) = (format!("extract-{number:02}.csv"), data::csv(number as u64, size));
        outbox.put(&name, &bytes);
        sent.insert(name, bytes);
        std::thread::sleep(Duration::from_millis(u64::from(dice.next().unwrap())));
        match number {
            // Each role once, at whatever it does just then; the watcher more often.
            3 => drop(zone.kill("control")),
            7 => drop(zone.kill("inspect")),
            11 => drop(zone.kill("deliver")),
            15 => drop(zone.kill("receive")),
            18 => assert_eq!(zone.stop(), Some(0)),
            21 => zone.run(),
            _ => {}
        }
        if number % 4 == 2 {
            outbox.kill();
            outbox.watch();
        }
    }
    wait_for_all(&outbox, sent.len());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    check_all(&zone, &outbox, &sent);
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn a_thousand_tiny_extracts_arrive_once_each() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.watch();
    let mut sent = BTreeMap::new();
    for number in 0..1000 {
        let (name, bytes) = (format!("e{number:04}.csv"), data::csv(number, 200));
        outbox.put(&name, &bytes);
        sent.insert(name, bytes);
    }
    let begun = std::time::Instant::now();
    wait_for_all(&outbox, sent.len());
    eprintln!("1000 extracts: {} s", begun.elapsed().as_secs());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    check_all(&zone, &outbox, &sent);
}

#[test]
fn what_is_renamed_while_it_is_written_arrives_whole_in_the_end() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, "complete = \"rename\"\ndelivered = \"keep\"");
    outbox.watch();
    let unfinished = outbox.folder.join(".growing.csv");
    let mut file = fs::File::create(&unfinished).unwrap();
    let bytes = data::csv(5, 2_000_000);
    let (early, late) = bytes.split_at(1_000_000);
    file.write_all(early).unwrap();
    fs::rename(&unfinished, outbox.folder.join("growing.csv")).unwrap();
    for part in late.chunks(100_000) {
        std::thread::sleep(Duration::from_millis(100));
        file.write_all(part).unwrap();
    }
    drop(file);
    let bags = zone.room().join("growing.csv");
    let whole = outbox.eventually("the whole file arrives", || {
        let bags = fs::read_dir(&bags).ok()?.flatten();
        let whole = |bag: &PathBuf| fs::read(bag.join("data/growing.csv")).is_ok_and(|data| data == bytes);
        bags.map(|bag| bag.path()).filter(whole).last()
    });
    let transfer = whole.file_name().unwrap().to_str().unwrap().to_owned();
    let receipt = outbox.folder.join(format!("growing.csv.receipts/{transfer}.delivered.json"));
    outbox.eventually("its receipt is there", || receipt.exists().then_some(()));
}

#[test]
fn a_quarantine_that_is_full_delays_what_is_in_the_outbox_and_loses_nothing() {
    let mut zone = Zone::prepare();
    let _small = SmallDisk::under_quarantine(&zone, 64 << 20);
    zone.configure(|settings| settings.replace("[receive]\n", "[receive]\nkeep_free_bytes = 0\n"));
    zone.run();
    let ballast = zone.root().join("quarantine/ballast");
    fs::write(&ballast, vec![1; 61 << 20]).unwrap();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.watch();
    let mut sent = BTreeMap::new();
    for (name, size) in [("large.csv", 8_000_000), ("small.csv", 2000)] {
        let bytes = data::csv(size as u64, size);
        outbox.put(name, &bytes);
        sent.insert(name.to_owned(), bytes);
    }
    outbox.eventually("the zone says that it is full", || {
        outbox.events().into_iter().find(|told| told["why"]["code"] == "no-space" && told["rests"] == "entry")
    });
    assert!(outbox.folder.join("large.csv").exists());
    fs::remove_file(&ballast).unwrap();
    wait_for_all(&outbox, sent.len());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    check_all(&zone, &outbox, &sent);
}

#[test]
fn two_watchers_do_not_share_a_journal() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, NOW);
    outbox.watch();
    outbox.put("a.csv", b"a,b\n1,2\n");
    outbox.wait_for("a.csv", "put-away");
    let second = run(sluse(&["watch", "--config", text(&zone.folder.path().join("watch.toml"))])).expect(3);
    assert!(second.stderr.contains("another watcher uses this folder"), "{}", second.stderr);
}
