//! What lies in quarantine opens with the stock `age` tool and the right keys, and with nothing else.

use sluse_tests::command::program;
use sluse_tests::data;
use sluse_tests::zone::Zone;
use std::fs;
use std::path::Path;

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

#[test]
fn a_destroyed_identity_leaves_nothing_that_opens_a_copy_of_the_chunks() {
    let zone = Zone::start();
    // Nothing is kept after a transfer is settled.
    zone.agree("edc", "edc", |text| {
        text.replace("automatic", "one-reviewer").replace("quarantine_days = 30", "quarantine_days = 0")
    })
    .expect(0);
    let source = zone.enrol("edc");
    let folder = zone.folder.path();
    // One is delivered, so that its identity was wrapped to `deliver`'s key too; one is rejected.
    for (dataset, decision, state) in [("given", "release", "delivered"), ("kept", "reject", "rejected")] {
        let file = folder.join(dataset);
        fs::write(&file, data::noise(dataset.len() as u64, 5_000_000)).unwrap();
        let sent = source.send(&file, dataset, "received").expect(0).json();
        let transfer = sent["transfer"].as_str().unwrap();
        zone.wait_for_state(transfer, "held");
        let copy = folder.join(format!("copy-{dataset}"));
        fs::create_dir(&copy).unwrap();
        for (name, bytes) in data::tree(&zone.root().join("quarantine/sealed").join(transfer)) {
            fs::write(copy.join(name), bytes.unwrap().0).unwrap();
        }
        let identity = zone.show(transfer)["identity"].as_str().unwrap().to_owned();
        let wrapped = zone.root().join(format!("inspect/identities/{identity}.age"));
        let opened = folder.join(format!("identity-{dataset}"));
        let key = zone.root().join("inspect/quarantine.key");
        program("age", &[&"-d", &"-i", &key, &"-o", &opened, &wrapped], folder, b"").expect(0);
        let chunk = copy.join("0000001.age");
        program("age", &[&"-d", &"-i", &opened, &chunk], folder, b"").expect(0);
        fs::remove_file(opened).unwrap();

        zone.operate(&[decision, transfer, "--reason", "test"]).expect(0);
        zone.wait_for_state(transfer, "purged");
        let states = zone.show(transfer)["history"].to_string();
        assert!(states.contains(state), "{states}");
        assert!(!zone.root().join("quarantine/sealed").join(transfer).exists() && !wrapped.exists());
        for name in ["0000000.age", "0000001.age", "manifest.age"] {
            assert!(!opens(&zone, &copy.join(name)), "{dataset}: {name}");
        }
    }
    // Nor does a copy of an identity lie in the state, where no file is named after it.
    let state = data::tree(&zone.root().join("control"));
    assert!(state.contains_key("state.db"));
    for (name, file) in &state {
        let holds = file.as_ref().is_some_and(|(bytes, _)| holds(bytes, b"age-encryption.org"));
        assert!(!holds, "{name} holds an age file");
    }
}

/// Whether stock `age` opens `file` with any file of the zone as its identity, or with any that opens with one of those.
fn opens(zone: &Zone, file: &Path) -> bool {
    let folder = zone.folder.path();
    let mut paths = vec![zone.root().join("sluse.toml")];
    for place in ["receive", "control", "inspect", "deliver", "trust", "rooms"].map(|name| zone.root().join(name)) {
        let files = data::tree(&place);
        let small = files.iter().filter(|(_, file)| file.as_ref().is_some_and(|(bytes, _)| bytes.len() < 64 * 1024));
        paths.extend(small.map(|(name, _)| place.join(name)));
    }
    assert!(paths.iter().any(|path| path.ends_with("deliver/deliver.key")), "every key is tried");
    let mut keys = Vec::new();
    for path in &paths {
        let tried = program("age", &[&"-d", &"-i", path, &file], folder, b"");
        if tried.code == 0 {
            return true;
        }
        // What `age` itself takes for a key file, it refuses for another reason than its form.
        if path.extension().is_some_and(|end| end == "key") && tried.stderr.contains("no identity matched") {
            keys.push(path);
        }
    }
    assert!(keys.len() >= 2, "quarantine.key and deliver.key are age identities: {keys:?}");
    let identities = paths.iter().filter(|path| path.starts_with(zone.root().join("inspect/identities")));
    identities.into_iter().any(|wrapped| {
        let key = folder.join("some-identity");
        let unwrapped =
            keys.iter().any(|with| program("age", &[&"-d", &"-i", with, &"-o", &key, wrapped], folder, b"").code == 0);
        assert!(unwrapped, "the identities that are left open");
        program("age", &[&"-d", &"-i", &key, &file], folder, b"").code == 0
    })
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Whether any file below `folder` contains `needle`.
fn grep(folder: &Path, needle: &[u8]) -> bool {
    data::tree(folder).values().flatten().any(|(bytes, _)| holds(bytes, needle))
}
