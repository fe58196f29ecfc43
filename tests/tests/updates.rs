//! Updates without internet, made on the outside by `tar` and `ssh-keygen`: what is the site's newest is put in place, and nothing else
//! changes anything.

use sluse_tests::bundle::{Maker, signature_of};
use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A zone that takes the updates of a maker, and reads its signatures again each second.
fn zone() -> (Zone, Maker) {
    let mut zone = Zone::prepare();
    let maker = Maker::new(zone.folder.path().join("maker"));
    let keys = format!("[updates]\nkeys = [\"{}\"]\n", maker.key());
    zone.configure(|settings| settings.replace("[inspect]\n", "[inspect]\nengine_test_every = \"1s\"\n") + &keys);
    zone.run();
    (zone, maker)
}

fn import(zone: &Zone, bundle: &Path) -> Ended {
    zone.operate(&["update", "import", text(bundle)])
}

/// The zone's signatures: each file's name and content.
fn signatures(zone: &Zone) -> BTreeMap<String, String> {
    let entries = fs::read_dir(zone.root().join("signatures")).unwrap().map(Result::unwrap);
    let content = |path: PathBuf| fs::read_to_string(path).unwrap();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), content(entry.path()))).collect()
}

/// The log's entries about updates: act and code.
fn logged(zone: &Zone) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    zone.operate(&["audit", "export", text(&file)]).expect(0);
    let log = fs::read_to_string(&file).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let updates = entries.filter(|entry| entry["act"].as_str().is_some_and(|act| act.starts_with("update-")));
    updates.map(|entry| format!("{} {}", entry["act"], entry["details"]["code"]).replace('"', "")).collect()
}

#[test]
fn signatures_that_a_bundle_brings_are_looked_for() {
    let (zone, maker) = zone();
    let source = zone.source("lab");
    let file = zone.folder.path().join("file.csv");
    fs::write(&file, [&data::csv(1, 1000)[..], b"S1,1,what-only-the-update-knows,1.0\n"].concat()).unwrap();
    source.deliver(&file, "before");
    let hex: String = b"what-only-the-update-knows".iter().map(|byte| format!("{byte:02x}")).collect();
    let pattern = format!("Update.Known = {hex}\n");
    let bundle = maker.bundle("s-1.tar", "signatures", 1, &[("national.patterns", pattern.as_bytes())]);
    let done = run(imported(&zone, &bundle, true)).expect(0).json();
    assert_eq!(
        (&done["kind"], &done["number"], &done["files"][0]),
        (&"signatures".into(), &1.into(), &"national.patterns".into())
    );
    let placed = zone.root().join("signatures/national.patterns");
    assert_eq!(fs::metadata(&placed).unwrap().permissions().mode() & 0o777, 0o644, "the role reads it");
    let mut number = 0;
    let found = zone.eventually("inspect has read it", || {
        number += 1;
        let sent = source.send(&file, &format!("after-{number}"), "delivered");
        (sent.code == 7).then(|| sent.json()["transfer"].as_str().unwrap().to_owned())
    });
    assert!(zone.operate(&["show", &found]).stdout.contains("Update.Known"));
    let listed = zone.operate(&["update", "list", "--json"]).expect(0).json();
    assert_eq!((&listed[0]["number"], listed[0]["applied"].is_string()), (&1.into(), true), "{listed}");
    assert_eq!(logged(&zone), ["update-admitted null", "update-applied null"]);
}

fn imported(zone: &Zone, bundle: &Path, json: bool) -> std::process::Command {
    let mut command = sluse(&["update", "import", text(bundle), "--zone", text(&zone.root())]);
    command.args(json.then_some("--json"));
    command
}

#[test]
fn a_newer_bundle_takes_away_what_the_one_before_brought_and_leaves_the_sites_own() {
    let (zone, maker) = zone();
    fs::write(zone.root().join("signatures/ours.patterns"), "Ours = 41424344\n").unwrap();
    let (a, b, c) = ("A = 41414141\n", "B = 42424242\n", "C = 43434343\n");
    let first = maker.bundle("1.tar", "signatures", 1, &[("a.patterns", a.as_bytes()), ("b.patterns", b.as_bytes())]);
    import(&zone, &first).expect(0);
    let second = maker.bundle("2.tar", "signatures", 2, &[("b.patterns", c.as_bytes()), ("c.patterns", c.as_bytes())]);
    import(&zone, &second).expect(0);
    let names: Vec<String> = signatures(&zone).into_keys().collect();
    assert_eq!(names, ["b.patterns", "c.patterns", "ours.patterns"]);
    assert_eq!(signatures(&zone)["b.patterns"], c);
    // Once more, as after an interruption: the same, and no step back.
    fs::remove_file(zone.root().join("signatures/c.patterns")).unwrap();
    import(&zone, &second).expect(0);
    assert_eq!(signatures(&zone).into_keys().collect::<Vec<_>>(), names);
    let refused = import(&zone, &first).expect(4);
    assert!(refused.stderr.contains("(update-older)"), "{}", refused.stderr);
    assert_eq!(signatures(&zone).into_keys().collect::<Vec<_>>(), names);
}

#[test]
fn what_is_not_the_sites_newest_is_refused_and_logged_and_changes_nothing() {
    let (zone, maker) = zone();
    let stranger = Maker::new(zone.folder.path().join("stranger"));
    let good: &[(&str, &[u8])] = &[("a.patterns", b"A = 41414141\n")];
    import(&zone, &maker.bundle("good.tar", "signatures", 7, good)).expect(0);
    let before = (signatures(&zone), zone.operate(&["update", "list", "--json"]).stdout);
    let bundle = |name: &str, number| maker.bundle(name, "signatures", number, &[("b.patterns", b"B = 42424242\n")]);
    let damaged = |name: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let bundle = bundle(name, 8);
        let mut bytes = fs::read(&bundle).unwrap();
        damage(&mut bytes);
        fs::write(&bundle, bytes).unwrap();
        bundle
    };
    let elsewhere = bundle("elsewhere.tar", 8);
    maker.sign(&elsewhere, "sluse-receipt");
    let unsigned = bundle("unsigned.tar", 8);
    fs::remove_file(signature_of(&unsigned)).unwrap();
    let huge = bundle("huge.tar", 8);
    fs::File::options().write(true).open(&huge).unwrap().set_len(2 * 1024 * 1024 * 1024 + 1).unwrap();
    let named = |name: &str, file: &str| maker.bundle(name, "signatures", 8, &[(file, b"B = 42424242\n")]);
    let cases = [
        (stranger.bundle("strange.tar", "signatures", 8, good), 5, "update-unsigned"),
        (elsewhere, 5, "update-unsigned"),
        (unsigned, 5, "update-unsigned"),
        (damaged("flipped.tar", &|bytes| bytes[700] ^= 1), 5, "update-unsigned"),
        (damaged("truncated.tar", &|bytes| bytes.truncate(2000)), 5, "update-unsigned"),
        (damaged("longer.tar", &|bytes| bytes.push(0)), 5, "update-unsigned"),
        (huge, 4, "update-too-large"),
        (bundle("older.tar", 6), 4, "update-older"),
        (bundle("other.tar", 7), 4, "update-older"),
        // Signed, and yet none that can be put in place.
        (named("ending.tar", "b.conf"), 4, "update-malformed"),
        (named("hidden.tar", ".b.patterns"), 4, "update-malformed"),
        (maker.bundle("line.tar", "signatures", 8, &[("b.patterns", b"B = 4\n")]), 4, "update-malformed"),
        (maker.bundle("empty.tar", "signatures", 8, &[]), 4, "update-malformed"),
        (maker.archive("headless.tar", good), 4, "update-malformed"),
        (maker.archive("head.tar", &[("update.toml", b"kind = 7\n"), ("b.patterns", b"")]), 4, "update-malformed"),
        (linked(&maker), 4, "update-malformed"),
        (maker.bundle("clamd.tar", "clamd", 8, &[("main.ndb", b"x")]), 4, "update-no-place"),
        (maker.bundle("list.tar", "revocations", 8, &[("pki.crl", b"x")]), 4, "update-no-place"),
        (maker.bundle("system.tar", "system", 8, &[("sluse_9.efi", b"x")]), 4, "update-no-place"),
    ];
    let mut expected = vec!["update-admitted null".to_owned(), "update-applied null".to_owned()];
    for (bundle, code, refusal) in cases {
        let refused = import(&zone, &bundle);
        assert_eq!(refused.code, code, "{}: {refused:?}", bundle.display());
        assert!(refused.stderr.contains(&format!("({refusal})")), "{}: {refused:?}", bundle.display());
        expected.push(format!("update-refused {refusal}"));
        assert_eq!(
            (signatures(&zone), zone.operate(&["update", "list", "--json"]).stdout),
            before,
            "{}",
            bundle.display()
        );
    }
    assert_eq!(logged(&zone), expected);
    assert!(!zone.root().join("updates/incoming").exists(), "nothing is left");
}

/// A bundle with a link out of the folder in it.
fn linked(maker: &Maker) -> PathBuf {
    let bundle = maker.bundle("linked.tar", "signatures", 8, &[("b.patterns", b"B = 42424242\n")]);
    let folder = bundle.with_extension("tar.d");
    fs::remove_file(folder.join("b.patterns")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.join("b.patterns")).unwrap();
    program("tar", &[&"-cf", &bundle, &"update.toml", &"b.patterns"], &folder, b"").expect(0);
    maker.sign(&bundle, "sluse-update");
    bundle
}

#[test]
fn a_zone_without_a_key_takes_no_updates_and_the_next_key_may_stand_beside_the_one_in_use() {
    let (zone, maker) = zone();
    let next = Maker::new(zone.folder.path().join("next"));
    let files: &[(&str, &[u8])] = &[("a.patterns", b"A = 41414141\n")];
    let both = format!("keys = [\"{}\", \"{}\"]", maker.key(), next.key());
    zone.configure(|settings| settings.replace(&format!("keys = [\"{}\"]", maker.key()), &both));
    import(&zone, &next.bundle("1.tar", "signatures", 1, files)).expect(0);
    import(&zone, &maker.bundle("2.tar", "signatures", 2, files)).expect(0);
    zone.configure(|settings| settings.replace(&both, "keys = []"));
    let refused = import(&zone, &maker.bundle("3.tar", "signatures", 3, files)).expect(5);
    assert!(refused.stderr.contains("no key for updates (update-unsigned)"), "{}", refused.stderr);
}

#[test]
fn nobody_but_root_puts_an_update_in_place() {
    let (zone, maker) = zone();
    let bundle = maker.bundle("1.tar", "signatures", 1, &[("a.patterns", b"A = 41414141\n")]);
    fs::set_permissions(zone.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let asked = imported(&zone, &bundle, false);
    let words: Vec<_> = asked.get_args().map(|word| word.to_owned()).collect();
    let mut others = std::process::Command::new("setpriv");
    others.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(asked.get_program()).args(words);
    let refused = run(others).expect(4);
    assert!(refused.stderr.contains("only root, or who made the zone"), "{}", refused.stderr);
    assert_eq!(logged(&zone), Vec::<String>::new());
}
