//! The network's settings, on both sides; IPv6.

use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::Zone;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A zone with lines in its `[network]`.
fn zone(lines: &str) -> Zone {
    let mut zone = Zone::prepare();
    zone.configure(|text| match text.contains("[network]\n") {
        true => text.replacen("[network]\n", &format!("[network]\n{lines}\n"), 1),
        false => format!("{text}\n[network]\n{lines}\n"),
    });
    zone.run();
    zone
}

/// Gives a source lines in its `[network]`.
fn set(source: &Source, lines: &str) {
    let path = source.identity.join("identity.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.split("[network]").next().unwrap().to_owned();
    fs::write(path, format!("{text}\n[network]\n{lines}\n")).unwrap();
}

fn file(zone: &Zone, seed: u64, size: usize) -> PathBuf {
    let path = zone.folder.path().join(format!("{seed}.bin"));
    fs::write(&path, data::noise(seed, size)).unwrap();
    path
}

#[test]
fn a_bound_on_bytes_a_second_holds_at_the_source_and_at_the_zone() {
    let at_the_zone = zone("max_bytes_per_second = 2000000");
    let source = at_the_zone.source("lab");
    let begun = Instant::now();
    source.deliver(&file(&at_the_zone, 1, 6_000_000), "zone");
    assert!(begun.elapsed() >= Duration::from_millis(2800), "{:?}", begun.elapsed());
    let at_the_source = Zone::start();
    let source = at_the_source.source("lab");
    set(&source, "max_bytes_per_second = 2000000");
    let begun = Instant::now();
    source.deliver(&file(&at_the_source, 2, 6_000_000), "source");
    assert!(begun.elapsed() >= Duration::from_millis(2800), "{:?}", begun.elapsed());
}

#[test]
fn every_congestion_control_delivers_with_small_windows_and_rare_acknowledgements() {
    for (seed, kind) in ["cubic", "bbr", "new-reno"].into_iter().enumerate() {
        let lines = format!(
            "congestion = \"{kind}\"\nack_every_packets = 20\nstream_window_bytes = 65536\n\
             connection_window_bytes = 1048576\nsocket_buffer_bytes = 65536"
        );
        let zone = zone(&lines);
        let source = zone.source("lab");
        set(&source, &lines);
        let sent = file(&zone, seed as u64, 9_000_000);
        let transfer = source.deliver(&sent, kind);
        let bag = zone.room().join(kind).join(transfer).join("data").join(sent.file_name().unwrap());
        assert!(fs::read(bag).unwrap() == fs::read(sent).unwrap(), "{kind}");
    }
}

#[test]
fn a_wrong_setting_of_the_source_is_told_with_its_line() {
    let zone = Zone::start();
    let source = zone.source("lab");
    set(&source, "congestion = \"fast\"");
    let refused = source.send(&file(&zone, 1, 10), "x", "received").expect(3);
    for words in ["identity.toml", "`network.congestion` does not know \"fast\"", "one of: cubic, bbr, new-reno"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}

#[test]
fn a_source_reaches_a_zone_over_ipv6() {
    let mut zone = Zone::prepare_on("::1");
    zone.run();
    let source = zone.source("lab");
    assert!(fs::read_to_string(source.identity.join("identity.toml")).unwrap().contains("[::1]:"));
    source.deliver(&file(&zone, 1, 5_000_000), "six");
}
