//! What lies in quarantine opens with the stock `age` tool and the right keys, and with nothing else.

use sluse_tests::command::program;
use sluse_tests::data;
use sluse_tests::zone::Zone;
use std::fs;

#[test]
fn stock_age_opens_a_held_transfer_by_its_identity_and_no_other_key_of_the_zone_does() {
    let zone = Zone::start();
    zone.agree("edc", "edc", |text| text.replace("automatic", "one-reviewer")).expect(0);
    let source = zone.enrol("edc");
    let file = zone.folder.path().join("two-chunks.bin");
    let bytes = data::noise(1, 5_000_000);
    fs::write(&file, &bytes).unwrap();
    let sent = source.send(&file, "two-chunks", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");

    let identity = zone.show(&transfer)["identity"].as_str().unwrap().to_owned();
    let wrapped = zone.root().join(format!("inspect/identities/{identity}.age"));
    let folder = zone.folder.path();
    let quarantine_key = zone.root().join("inspect/quarantine.key");
    let opened = folder.join("identity.key");
    program("age", &[&"-d", &"-i", &quarantine_key, &"-o", &opened, &wrapped], folder, b"").expect(0);
    let sealed = zone.root().join("quarantine/sealed").join(&transfer);
    let mut plain = Vec::new();
    for chunk in ["0000000.age", "0000001.age"] {
        let out = folder.join(chunk);
        program("age", &[&"-d", &"-i", &opened, &"-o", &out, &sealed.join(chunk)], folder, b"").expect(0);
        plain.extend(fs::read(out).unwrap());
    }
    assert!(plain == bytes, "the chunks in order are the file");

    let deliver_key = zone.root().join("deliver/deliver.key");
    for key in [&quarantine_key, &deliver_key] {
        let tried = program("age", &[&"-d", &"-i", key, &sealed.join("0000000.age")], folder, b"");
        assert_ne!(tried.code, 0, "no key of the zone opens a chunk without the transfer's identity");
    }
    assert!(!grep(&zone.root().join("quarantine"), &bytes[..64]), "nothing lies in the clear");
}

/// Whether any file below `folder` contains `needle`.
fn grep(folder: &std::path::Path, needle: &[u8]) -> bool {
    data::tree(folder).values().flatten().any(|(bytes, _)| bytes.windows(needle.len()).any(|window| window == needle))
}
