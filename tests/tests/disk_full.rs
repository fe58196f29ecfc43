//! A full quarantine stops the transfer that met it, harms no other, and heals; a full room too, and a delivery that hangs there is taken
//! back. Needs root, to mount a small tmpfs.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::process::Stdio;

#[test]
fn an_offer_larger_than_what_is_free_is_refused_for_now() {
    let mut zone = Zone::prepare();
    let _small = SmallDisk::under_quarantine(&zone, 32 << 20);
    zone.configure(|settings| settings.replace("[receive]\n", "[receive]\nkeep_free_bytes = 0\n"));
    zone.run();
    let source = zone.source("lab");
    let file = zone.folder.path().join("large.bin");
    fs::write(&file, data::noise(1, 40 << 20)).unwrap();
    let mut command = source.sending(&file, "large", "received");
    command.args(["--give-up", "3s"]);
    let refused = sluse_tests::command::run(command).expect(6);
    assert!(refused.stderr.contains("no-space"), "{}", refused.stderr);
    let small = zone.folder.path().join("small.bin");
    fs::write(&small, data::noise(1, 4 << 20)).unwrap();
    source.deliver(&small, "small");
}

#[test]
fn a_disk_that_fills_up_in_the_middle_stops_that_transfer_and_heals_when_there_is_room() {
    let mut zone = Zone::prepare();
    let _small = SmallDisk::under_quarantine(&zone, 96 << 20);
    zone.configure(|settings| {
        // Slow enough that the disk fills up before the transfer is through.
        let settings = settings.replace("[network]\n", "[network]\nmax_bytes_per_second = 6000000\n");
        settings.replace("[receive]\n", "[receive]\nkeep_free_bytes = 0\n")
    });
    zone.run();
    let source = zone.source("lab");
    let ballast = zone.root().join("quarantine/ballast");
    let file = zone.folder.path().join("large.bin");
    let bytes = data::noise(1, 64 << 20);
    fs::write(&file, &bytes).unwrap();
    let mut command = source.sending(&file, "large", "delivered");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    zone.eventually("the transfer runs", || {
        fs::read_dir(zone.root().join("quarantine/incoming")).ok()?.next().map(|_| ())
    });
    fs::write(&ballast, vec![1; 88 << 20]).unwrap_or_default();
    zone.eventually("the zone says that it is full", || zone.log().contains("no-space").then_some(()));
    fs::remove_file(&ballast).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bag = zone.room().join("large").join(told["transfer"].as_str().unwrap());
    assert!(fs::read(bag.join("data/large.bin")).unwrap() == bytes);
}

#[test]
fn a_delivery_that_hangs_in_a_full_room_is_taken_back_and_leaves_nothing() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let room = SmallDisk::mount(zone.room(), 8 << 20);
    let (large, small) = (zone.folder.path().join("large.bin"), zone.folder.path().join("small.bin"));
    fs::write(&large, data::noise(1, 24 << 20)).unwrap();
    fs::write(&small, data::noise(2, 1 << 20)).unwrap();
    let sent = source.send(&large, "large", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.eventually("health says that it hangs", || {
        zone.operate(&["health", "--json"]).stdout.contains("retrying").then_some(())
    });
    assert_eq!(zone.show(&transfer)["info"]["status"]["state"], "delivering");
    // Also while it is tried once more.
    zone.operate(&["cancel", &transfer, "--reason", "the room is too small"]).expect(0);
    zone.wait_for_state(&transfer, "cancelled");
    let left: Vec<_> = data::tree(room.path()).into_iter().filter(|(_, file)| file.is_some()).collect();
    assert!(left.is_empty() && !room.path().join("large").exists(), "{left:?}");
    let told = run(sluse(&["status", &transfer, "--identity", text(&source.identity), "--json"])).expect(0).json();
    assert_eq!((&told["state"], &told["reason"]["message"]), (&"cancelled".into(), &"the room is too small".into()));
    zone.operate(&["audit", "verify"]).expect(0);
    source.deliver(&small, "small");
}
