//! Datasets that are kept in sync: of a new version only what is new travels, and the room holds each version as it was.

use sluse_protocol::digest::ChunkDigest;
use sluse_protocol::sync::pieces::Cutter;
use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::proxy::Proxy;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};

/// A zone that runs, with a source whose agreement has `more` below `[sync]`, and a folder to be kept in sync.
fn prepared(more: &str) -> (Zone, Source, PathBuf) {
    prepared_in(Zone::start(), more)
}

fn prepared_in(zone: Zone, more: &str) -> (Zone, Source, PathBuf) {
    zone.agree("edc", "edc", |text| format!("{text}\n[sync]\n{more}\n")).expect(0);
    let source = zone.enrol("edc");
    let tree = zone.folder.path().join("export");
    fs::create_dir_all(tree.join("forms")).unwrap();
    fs::write(tree.join("forms/visits.csv"), data::csv(1, 1_000_000)).unwrap();
    fs::write(tree.join("forms/labs.csv"), data::csv(500_000, 2_000_000)).unwrap();
    fs::write(tree.join("codebook.txt"), "visits: one row a visit\n").unwrap();
    (zone, source, tree)
}

fn sync(source: &Source, tree: &Path) -> Ended {
    let mut command = source.sending(tree, "edc", "delivered");
    command.arg("--sync");
    run(command)
}

/// Sends a version, which must be delivered; its transfer, and the plain bytes that travelled.
#[track_caller]
fn version(source: &Source, tree: &Path) -> (String, u64) {
    let sent = sync(source, tree).expect(0).json();
    assert_eq!((&sent["state"], &sent["unchanged"]), (&"delivered".into(), &false.into()));
    (sent["transfer"].as_str().unwrap().to_owned(), sent["sent_bytes"].as_u64().unwrap())
}

fn bag(zone: &Zone, transfer: &str) -> PathBuf {
    zone.room().join("edc").join(transfer)
}

#[track_caller]
fn stands(zone: &Zone, transfer: &str, tree: &Path) {
    assert!(data::tree(&bag(zone, transfer).join("data")) == data::tree(tree), "{transfer} is not what was sent");
    run(sluse(&["bag", "verify", text(&bag(zone, transfer)), "--signer", text(&zone.signers())])).expect(0);
}

fn versions(zone: &Zone) -> usize {
    let listed = zone.operate(&["transfers", "--json"]).expect(0).json();
    listed["transfers"].as_array().or_else(|| listed.as_array()).map_or(0, Vec::len)
}

/// Changes one row in the middle of a file, as an export does: it is written anew.
fn change_one_row(file: &Path, number: u64) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    let row = middle + bytes[middle..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes.splice(row..row + 7, format!("S{:06}", 900_000 + number).into_bytes());
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

#[test]
fn of_one_changed_row_few_bytes_travel_and_the_whole_version_is_delivered() {
    let (zone, source, tree) = prepared("deletions = false");
    let (first, sent) = version(&source, &tree);
    assert!(sent > 3_000_000, "{sent}");
    stands(&zone, &first, &tree);
    change_one_row(&tree.join("forms/labs.csv"), 1);
    let (second, sent) = version(&source, &tree);
    assert!(sent < 150_000, "{sent}");
    stands(&zone, &second, &tree);
    // A version that was put together is what the next one is built on.
    change_one_row(&tree.join("forms/visits.csv"), 1);
    fs::write(tree.join("forms/more.csv"), "subject\nS1\n").unwrap();
    let (third, sent) = version(&source, &tree);
    assert!(sent < 150_000, "{sent}");
    stands(&zone, &third, &tree);
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn twelve_versions_stand_in_the_room_as_each_of_them_was() {
    let (zone, source, tree) = prepared("deletions = true\nhold_deletions_above = 60");
    let mut sent: Vec<(String, PathBuf)> = Vec::new();
    for number in 0..12 {
        let visit = tree.join(format!("forms/visit-{number}.csv"));
        fs::write(visit, data::csv(number, 20_000)).unwrap();
        if number > 0 {
            change_one_row(&tree.join("forms/labs.csv"), number);
        }
        if number > 2 {
            fs::remove_file(tree.join(format!("forms/visit-{}.csv", number - 2))).unwrap();
        }
        let (transfer, bytes) = version(&source, &tree);
        assert!(number == 0 || bytes < 150_000, "{bytes}");
        let kept = zone.folder.path().join(format!("kept-{number}"));
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", text(&tree), text(&kept)]);
        run(copy).expect(0);
        sent.push((transfer, kept));
        let current = fs::read_to_string(zone.room().join("edc/current")).unwrap();
        assert_eq!(current.trim_end(), sent.last().unwrap().0);
    }
    for (transfer, kept) in &sent {
        stands(&zone, transfer, kept);
    }
    // So says a tool that is not ours, of each of them.
    let python = std::env::var("SLUSE_PYTHON").expect("tests/run makes a Python with bagit and rocrate, and names it");
    let validate = |transfer: &str| {
        program(&python, &[&"-m", &"bagit", &"--validate", &bag(&zone, transfer)], zone.folder.path(), b"")
    };
    for (transfer, _) in &sent {
        validate(transfer).expect(0);
    }
    let table = bag(&zone, &sent[3].0).join("data/forms/labs.csv");
    let bytes = fs::read(&table).unwrap();
    change_one_row(&table, 99);
    assert_ne!(validate(&sent[3].0).code, 0, "it sees a changed row");
    fs::write(&table, bytes).unwrap();
    validate(&sent[3].0).expect(0);
    let changes = fs::read_to_string(bag(&zone, &sent[11].0).join("changes.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = changes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["from"], sent[10].0.as_str());
    let told: Vec<_> =
        lines[1..].iter().map(|line| (line["path"].as_str().unwrap(), line["change"].as_str().unwrap())).collect();
    let expected = [("forms/labs.csv", "changed"), ("forms/visit-11.csv", "added"), ("forms/visit-9.csv", "deleted")];
    assert_eq!(told, expected);
    assert!(!bag(&zone, &sent[0].0).join("changes.jsonl").exists());
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn an_unchanged_export_makes_no_version_and_costs_next_to_nothing() {
    let (zone, source, tree) = prepared("deletions = false");
    let (first, _) = version(&source, &tree);
    let proxy = Proxy::start(zone.address).unwrap();
    source.reach(proxy.address());
    // Written anew, as exports are.
    for file in ["forms/visits.csv", "forms/labs.csv", "codebook.txt"] {
        let bytes = fs::read(tree.join(file)).unwrap();
        fs::remove_file(tree.join(file)).unwrap();
        fs::write(tree.join(file), bytes).unwrap();
    }
    let again = sync(&source, &tree).expect(0).json();
    assert_eq!((&again["transfer"], &again["unchanged"]), (&first.as_str().into(), &true.into()));
    assert_eq!(versions(&zone), 1);
    let wire = proxy.bytes_to_zone() + proxy.bytes_from_zone();
    assert!(wire < 20_000, "{wire} bytes on the wire");
}

#[test]
fn a_version_that_was_before_is_a_version_of_its_own_when_it_comes_again() {
    let (zone, source, tree) = prepared("deletions = true\nhold_deletions_above = 100");
    let old = zone.folder.path().join("old");
    run({
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", text(&tree), text(&old)]);
        copy
    })
    .expect(0);
    let (first, _) = version(&source, &tree);
    fs::write(tree.join("codebook.txt"), "changed\n").unwrap();
    let (second, _) = version(&source, &tree);
    let (third, sent) = version(&source, &old);
    assert!(third != first && third != second && sent < 150_000, "{sent}");
    stands(&zone, &third, &old);
}

#[test]
fn what_cannot_be_built_on_the_zones_version_is_sent_whole() {
    let (zone, source, tree) = prepared("deletions = false");
    let (first, _) = version(&source, &tree);
    // The source remembers nothing, as after its identity came to another host.
    fs::remove_file(source.receipts(&first).join("version.json")).unwrap();
    change_one_row(&tree.join("forms/labs.csv"), 1);
    let (second, sent) = version(&source, &tree);
    assert!(sent > 3_000_000, "{sent}");
    stands(&zone, &second, &tree);
    // The zone's bytes of the version are gone, as after it was restored from a backup.
    let identity = zone.show(&second)["identity"].as_str().unwrap().to_owned();
    fs::remove_file(zone.root().join(format!("inspect/identities/{identity}.age"))).unwrap();
    change_one_row(&tree.join("forms/visits.csv"), 1);
    let (third, sent) = version(&source, &tree);
    assert!(sent > 3_000_000, "{sent}");
    stands(&zone, &third, &tree);
}

#[test]
fn the_current_version_is_not_purged_and_the_one_before_is() {
    let (zone, source, tree) = {
        let zone = Zone::start();
        zone.agree("edc", "edc", |text| {
            text.replace("quarantine_days = 30", "quarantine_days = 0") + "\n[sync]\ndeletions = false\n"
        })
        .expect(0);
        let source = zone.enrol("edc");
        let tree = zone.folder.path().join("export");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("labs.csv"), data::csv(1, 500_000)).unwrap();
        (zone, source, tree)
    };
    let (first, _) = version(&source, &tree);
    change_one_row(&tree.join("labs.csv"), 1);
    let (second, sent) = version(&source, &tree);
    assert!(sent < 100_000, "{sent}");
    zone.wait_for_state(&first, "purged");
    change_one_row(&tree.join("labs.csv"), 1);
    fs::write(tree.join("more.csv"), data::csv(9, 1000)).unwrap();
    let (third, sent) = version(&source, &tree);
    assert!(sent < 100_000, "{sent}");
    stands(&zone, &third, &tree);
    zone.wait_for_state(&second, "purged");
}

#[test]
fn deletions_travel_only_where_the_agreement_allows_and_many_wait_for_a_person() {
    let (_zone, source, tree) = prepared("deletions = false");
    version(&source, &tree);
    fs::remove_file(tree.join("codebook.txt")).unwrap();
    let refused = sync(&source, &tree).expect(4);
    assert!(refused.stderr.contains("deletions-not-allowed"), "{}", refused.stderr);

    let (zone, source, tree) = prepared("deletions = true\nhold_deletions_above = 40");
    version(&source, &tree);
    fs::remove_file(tree.join("codebook.txt")).unwrap();
    let (second, _) = version(&source, &tree);
    stands(&zone, &second, &tree);
    fs::remove_file(tree.join("forms/visits.csv")).unwrap();
    let mut command = source.sending(&tree, "edc", "received");
    let sent = run({
        command.arg("--sync");
        command
    });
    let third = sent.expect(0).json()["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&third, "held");
    assert!(!bag(&zone, &third).exists());
    let shown = zone.operate(&["show", &third]).expect(0).stdout;
    assert!(shown.contains("1 of the 2 files in the room would be deleted"), "{shown}");
    zone.operate(&["release", &third, "--reason", "the form was withdrawn"]).expect(0);
    zone.wait_for_state(&third, "delivered");
    stands(&zone, &third, &tree);
}

#[test]
fn an_agreement_without_sync_says_so() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("lab.csv");
    fs::write(&file, data::csv(1, 5000)).unwrap();
    let refused = sync(&source, &file).expect(4);
    assert!(refused.stderr.contains("sync-not-allowed"), "{}", refused.stderr);
}

#[test]
fn what_versions_have_alike_is_stored_once_and_each_is_written_to_alone() {
    let mut zone = Zone::prepare();
    let disk = SmallDisk::mount_xfs(zone.root().join("rooms"), &zone.folder.path().join("rooms.xfs"));
    zone.run();
    let (zone, source, tree) = prepared_in(zone, "deletions = false");
    let large: Vec<u8> = (0..12_000_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(tree.join("large.bin"), &large[..20_000_000]).unwrap();
    let (first, _) = version(&source, &tree);
    let before = disk.stored();
    change_one_row(&tree.join("forms/labs.csv"), 1);
    let (second, _) = version(&source, &tree);
    let more = disk.stored() - before;
    assert!(more < 5_000_000, "{more} bytes more for a version of 23 MB of which a file of 2 MB is new");
    stands(&zone, &second, &tree);
    // Whoever writes to one, or takes it away, changes no other.
    let old = bag(&zone, &first).join("data/large.bin");
    fs::write(&old, "written over").unwrap();
    stands(&zone, &second, &tree);
    fs::remove_dir_all(bag(&zone, &first)).unwrap();
    change_one_row(&tree.join("forms/labs.csv"), 2);
    let (third, _) = version(&source, &tree);
    for transfer in [&second, &third] {
        run(sluse(&["bag", "verify", text(&bag(&zone, transfer)), "--signer", text(&zone.signers())])).expect(0);
    }
    stands(&zone, &third, &tree);
    drop(zone);
    drop(disk);
}

#[test]
fn a_version_before_that_was_tampered_with_leaves_no_trace_in_the_next() {
    let mut zone = Zone::prepare();
    let disk = SmallDisk::mount_xfs(zone.root().join("rooms"), &zone.folder.path().join("rooms.xfs"));
    zone.run();
    let (zone, source, tree) = prepared_in(zone, "deletions = false");
    let (first, _) = version(&source, &tree);
    // As long as it was, and other bytes at its end.
    let labs = bag(&zone, &first).join("data/forms/labs.csv");
    let mut bytes = fs::read(&labs).unwrap();
    let end = bytes.len() - 1;
    bytes[end] = b'!';
    fs::write(&labs, bytes).unwrap();
    change_one_row(&tree.join("forms/visits.csv"), 1);
    let (second, _) = version(&source, &tree);
    stands(&zone, &second, &tree);
    drop(zone);
    drop(disk);
}

#[test]
fn versions_that_are_not_kept_leave_the_room_and_break_no_other() {
    let (zone, source, tree) = prepared("deletions = false\nkeep_versions = 2");
    let sent: Vec<String> = (0..4)
        .map(|number| {
            change_one_row(&tree.join("forms/labs.csv"), number);
            version(&source, &tree).0
        })
        .collect();
    let room = zone.room().join("edc");
    zone.eventually("two versions stay", || (!bag(&zone, &sent[1]).exists()).then_some(()));
    assert!(!bag(&zone, &sent[0]).exists() && room.join(format!("{}.receipts", sent[0])).exists());
    for transfer in &sent[2..] {
        run(sluse(&["bag", "verify", text(&bag(&zone, transfer)), "--signer", text(&zone.signers())])).expect(0);
    }
    stands(&zone, &sent[3], &tree);
    assert_eq!(fs::read_to_string(room.join("current")).unwrap().trim_end(), sent[3]);
    // Who asks for one that is gone is told so, and when it went.
    zone.eventually("it is told that they were removed", || {
        sent[..2].iter().all(|transfer| zone.show(transfer)["removed"].is_string()).then_some(())
    });
    let shown = |transfer: &str| zone.operate(&["show", transfer]).expect(0).stdout;
    let line =
        format!("edc/{}, removed from the room at {}", sent[0], zone.show(&sent[0])["removed"].as_str().unwrap());
    assert!(shown(&sent[0]).contains(&line), "{}", shown(&sent[0]));
    assert!(shown(&sent[3]).contains("in the room's folder") && zone.show(&sent[3])["removed"].is_null());
    let incoming = zone.room().join(".sluse-incoming");
    zone.eventually("nothing is left of them", || fs::read_dir(&incoming).unwrap().next().is_none().then_some(()));
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn an_outbox_keeps_its_dataset_in_sync() {
    let (zone, source, _) = prepared("deletions = false");
    let settings = "complete = \"rename\"\nafter_hours = 0\ndataset = \"edc\"\nsync = true";
    let mut outbox = Outbox::new(zone.folder.path(), &source, settings);
    outbox.watch();
    let mut sent = Vec::new();
    // The second is as the first was.
    for (number, seed) in [1, 1, 2].into_iter().enumerate() {
        let entry = format!("export-{number}");
        let half = outbox.folder.join(format!(".{entry}"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join("labs.csv"), data::csv(7, 500_000)).unwrap();
        change_one_row(&half.join("labs.csv"), seed);
        fs::rename(half, outbox.folder.join(&entry)).unwrap();
        let told = outbox.wait_for(&entry, "put-away");
        let place = outbox.finished("_delivered", &told);
        let transfer = told["transfer"].as_str().unwrap().to_owned();
        assert!(place.join(format!("{entry}.receipts/{transfer}.delivered.json")).exists());
        sent.push(transfer);
    }
    assert!(sent[0] == sent[1] && sent[1] != sent[2], "{sent:?}");
    assert_eq!(versions(&zone), 2);
    assert_eq!(fs::read_to_string(zone.room().join("edc/current")).unwrap().trim_end(), sent[2]);
    let changes = fs::read_to_string(bag(&zone, &sent[2]).join("changes.jsonl")).unwrap();
    assert!(changes.ends_with("{\"path\":\"labs.csv\",\"change\":\"changed\"}\n"), "{changes}");
}

/// Has the source believe that the version which `base` brought has all that `bytes` are, so that its next recipe lies.
fn deceive(source: &Source, base: &str, bytes: &[u8]) {
    let path = source.receipts(base).join("version.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut remembered: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let mut cutter = Cutter::new(u32::try_from(remembered["average"].as_u64().unwrap()).unwrap());
    cutter.push(bytes);
    let pieces = serde_json::to_value(cutter.finish()).unwrap();
    let entries = remembered["entries"].as_array_mut().unwrap();
    entries.iter_mut().find(|it| it["entry"]["path"] == "labs.csv").unwrap()["pieces"] = pieces;
    let text = remembered.to_string();
    fs::write(&path, format!("{text}\n{}\n", ChunkDigest::of(text.as_bytes()))).unwrap();
}

#[test]
fn a_recipe_that_lies_fails_and_nothing_of_it_reaches_the_room() {
    let (zone, source, _) = prepared("deletions = false");
    let tree = zone.folder.path().join("one-table");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("labs.csv"), data::csv(3, 400_000)).unwrap();
    let (mut base, _) = version(&source, &tree);
    let longer = [data::csv(3, 400_000), data::csv(4, 90_000)].concat();
    let mut other = longer.clone();
    other[200_000] ^= 1;
    // Stretches from outside of the base; and from within, which make other bytes than were signed.
    for (bytes, why) in [(longer, "outside of the base"), (other, "a file's SHA-256 is not the one in the manifest")] {
        fs::write(tree.join("labs.csv"), &bytes).unwrap();
        deceive(&source, &base, &bytes);
        let (next, sent) = version(&source, &tree);
        assert!(sent > 400_000, "it was sent whole after all: {sent}");
        stands(&zone, &next, &tree);
        assert!(zone.log().contains(why), "{why}: {}", zone.log());
        base = next;
    }
    let listed = zone.operate(&["transfers", "--state", "failed", "--json"]).expect(0).json();
    let failed = listed["transfers"].as_array().or_else(|| listed.as_array()).unwrap();
    assert_eq!(failed.len(), 2, "{listed}");
    let bags = fs::read_dir(zone.room().join("edc")).unwrap().flatten().filter(|it| it.path().join("data").exists());
    assert_eq!(bags.count(), 3);
    zone.operate(&["audit", "verify"]).expect(0);
}

#[test]
fn what_was_left_out_of_a_version_has_no_name_in_the_changes_of_the_next() {
    let zone = Zone::start();
    let sync = "\n[sync]\ndeletions = true\nhold_deletions_above = 100\n";
    zone.agree("edc", "edc", |text| text.replace("automatic", "one-reviewer") + sync).expect(0);
    let source = zone.enrol("edc");
    let tree = zone.folder.path().join("export");
    fs::create_dir(&tree).unwrap();
    let release = |without: &[&str]| {
        let mut command = source.sending(&tree, "edc", "received");
        command.arg("--sync");
        let transfer = run(command).expect(0).json()["transfer"].as_str().unwrap().to_owned();
        zone.wait_for_state(&transfer, "held");
        zone.operate(&[&["release", &transfer, "--reason", "seen"], without].concat()).expect(0);
        zone.wait_for_state(&transfer, "delivered");
        transfer
    };
    for (name, seed) in [("labs.csv", 1), ("secret.csv", 2), ("visits.csv", 3)] {
        fs::write(tree.join(name), data::csv(seed, 50_000)).unwrap();
    }
    release(&["--without", "secret.csv"]);
    // Neither that it changed, nor that it is gone.
    change_one_row(&tree.join("secret.csv"), 1);
    change_one_row(&tree.join("labs.csv"), 1);
    let second = release(&["--without", "secret.csv"]);
    fs::remove_file(tree.join("secret.csv")).unwrap();
    fs::remove_file(tree.join("visits.csv")).unwrap();
    let third = release(&[]);
    for (transfer, change) in [
        (&second, "{\"path\":\"labs.csv\",\"change\":\"changed\"}"),
        (&third, "{\"path\":\"visits.csv\",\"change\":\"deleted\"}"),
    ] {
        let changes = fs::read_to_string(bag(&zone, transfer).join("changes.jsonl")).unwrap();
        let told: Vec<&str> = changes.lines().skip(1).collect();
        assert_eq!(told, [change]);
    }
}
