//! Sending over a long path that loses packets, between two network namespaces.

use sluse_tests::command::run;
use sluse_tests::data;
use sluse_tests::path::Path;
use sluse_tests::zone::Zone;
use std::fs;

#[test]
fn an_extract_arrives_whole_over_a_long_path_that_loses_three_packets_in_a_hundred() {
    let path = Path::new(50, 3.0, 200);
    let mut zone = Zone::prepare_at(&path);
    zone.run();
    let source = zone.source("far");
    let file = zone.folder.path().join("extract.bin");
    fs::write(&file, data::noise(1, 6_000_000)).unwrap();
    let sent = run(Path::within(&path.near, &source.sending(&file, "extract", "delivered"))).expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap();
    let delivered = zone.room().join("extract").join(transfer).join("data/extract.bin");
    assert!(fs::read(delivered).unwrap() == fs::read(&file).unwrap());
    drop(zone);
    // Some 6,000 packets went there.
    assert!(path.end().0 > 50, "the path loses packets");
}

#[test]
fn an_extract_arrives_over_a_path_on_which_packets_of_more_than_1280_bytes_vanish() {
    let path = Path::for_packets(5, 0.0, 200, 1280);
    let mut zone = Zone::prepare_at(&path);
    zone.run();
    let source = zone.source("far");
    let file = zone.folder.path().join("extract.bin");
    fs::write(&file, data::noise(1, 6_000_000)).unwrap();
    run(Path::within(&path.near, &source.sending(&file, "extract", "delivered"))).expect(0);
    drop(zone);
    assert!(path.end().1 > 0, "larger ones were tried");
}
