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
    outbox.wait_for_all(&zone, sent.len());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    outbox.check_all(&zone, &sent);
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
    outbox.wait_for_all(&zone, sent.len());
    eprintln!("1000 extracts: {} s", begun.elapsed().as_secs());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    outbox.check_all(&zone, &sent);
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
    outbox.wait_for_all(&zone, sent.len());
    outbox.eventually("the outbox is empty", || (fs::read_dir(&outbox.folder).unwrap().count() == 1).then_some(()));
    outbox.check_all(&zone, &sent);
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
