//! A full quarantine stops the transfer that met it, harms no other, and heals. Needs root, to mount a small tmpfs.

use sluse_tests::data;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::zone::Zone;
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
