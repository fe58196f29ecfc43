//! What the zone does not accept is refused before a byte moves, with its code.

use sluse_tests::command::{Ended, run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::fs;

#[track_caller]
fn assert_refused(ended: &Ended, exit: i32, code: &str) {
    assert_eq!(ended.code, exit, "{ended:?}");
    assert!(ended.stderr.contains(code), "{code}: {}", ended.stderr);
    assert!(ended.stderr.contains("Hint:"), "{}", ended.stderr);
}

#[test]
fn an_offer_outside_its_agreement_is_refused_with_a_code_and_a_hint() {
    let zone = Zone::start();
    let file = zone.folder.path().join("data.csv");
    fs::write(&file, data::csv(1, 2000)).unwrap();
    let mut source = zone.source("lab");
    let mut case = |id: &str, change: &dyn Fn(String) -> String, exit: i32, code: &str| {
        zone.agree(id, "lab", change).expect(0);
        source.agreement = id.to_owned();
        assert_refused(&source.send(&file, id, "received"), exit, code);
    };
    case("early", &|t| t.replace("2020-01-01", "2090-01-01"), 4, "agreement-not-yet-valid");
    case("late", &|t| t.replace("2099-01-01", "2021-01-01"), 4, "agreement-expired");
    case("others", &|t| t.replace("from = \"lab\"", "from = \"pacs\""), 4, "unknown-agreement");
    case("elsewhere", &|t| t.replace("to = \"room\"", "to = \"nowhere\""), 4, "forbidden-room");
    case("small", &|t| t.replace("max_bytes = 1_000_000_000", "max_bytes = 100"), 4, "dataset-too-large");
    case(
        "quota",
        &|t| {
            t.replace("max_open_bytes = 1_000_000_000", "max_open_bytes = 100")
                .replace("max_bytes = 1_000_000_000", "max_bytes = 100")
        },
        4,
        "dataset-too-large",
    );
    case("paths", &|t| t.replace("engines =", "forbidden_paths = [\"**/*.csv\"]\nengines ="), 4, "forbidden-path");
    source.agreement = "no-such".into();
    assert_refused(&source.send(&file, "x", "received"), 4, "unknown-agreement");
    zone.operate(&["agreement", "end", "lab", "--reason", "over"]).expect(0);
    source.agreement = "lab".into();
    assert_refused(&source.send(&file, "x", "received"), 4, "agreement-inactive");
    assert!(fs::read_dir(zone.root().join("quarantine/incoming")).unwrap().next().is_none(), "no byte moved");
}

#[test]
fn a_source_that_was_refused_leaves_no_connection_behind() {
    let zone = Zone::start();
    let mut source = zone.source("lab");
    source.agreement = "no-such".into();
    let file = zone.folder.path().join("data.csv");
    fs::write(&file, data::csv(1, 100)).unwrap();
    // More than one source may have, and in less time than it takes to notice that one is silent.
    for _ in 0..24 {
        assert_refused(&source.send(&file, "x", "received"), 4, "unknown-agreement");
    }
}

#[test]
fn too_many_files_are_refused() {
    let zone = Zone::start();
    zone.agree("few", "lab", |text| text.replace("max_files = 100_000", "max_files = 2")).expect(0);
    let mut source = zone.source("lab");
    source.agreement = "few".into();
    let tree = zone.folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for name in ["a.csv", "b.csv", "c.csv"] {
        fs::write(tree.join(name), data::csv(1, 100)).unwrap();
    }
    assert_refused(&source.send(&tree, "tree", "received"), 4, "too-many-files");
}

#[test]
fn a_room_for_windows_refuses_or_maps_names_as_it_was_told() {
    let zone = Zone::start();
    for (room, names) in [("strict", "windows-refuse"), ("mapped", "windows-map")] {
        zone.operate(&["room", "add", room, "--names", names]).expect(0);
        zone.agree(room, "lab", |text| text.replace("to = \"room\"", &format!("to = \"{room}\""))).expect(0);
    }
    let mut source = zone.enrol("lab");
    let tree = zone.folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a:b.csv"), data::csv(1, 100)).unwrap();
    source.agreement = "strict".into();
    assert_refused(&source.send(&tree, "tree", "received"), 4, "windows-path");
    source.agreement = "mapped".into();
    let transfer = source.deliver(&tree, "tree");
    let bag = zone.root().join("rooms/mapped/tree").join(&transfer);
    assert_eq!(fs::read(bag.join("data/a_b.csv")).unwrap(), data::csv(1, 100));
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&zone.signers())])).expect(0);
    fs::write(tree.join("a?b.csv"), data::csv(1, 100)).unwrap();
    assert_refused(&source.send(&tree, "tree", "received"), 4, "path-collision");
}

#[test]
fn links_devices_and_sockets_are_refused_by_name() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let tree = zone.folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let link = tree.join("the-link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let refused = source.send(&tree, "tree", "received").expect(4);
    assert!(refused.stderr.contains("the-link"), "{}", refused.stderr);
    fs::remove_file(&link).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(tree.join("the-socket")).unwrap();
    let refused = source.send(&tree, "tree", "received").expect(4);
    assert!(refused.stderr.contains("the-socket"), "{}", refused.stderr);
}

#[test]
fn an_invite_is_good_once_and_only_for_enrolling() {
    let zone = Zone::start();
    let invite = zone.invite("lab");
    let enroll = |folder: &str| {
        let identity = zone.folder.path().join(folder);
        run(sluse(&["enroll", text(&invite), "--identity", text(&identity)]))
    };
    let nowhere = enroll("missing/first").expect(3);
    assert!(
        nowhere.stderr.contains("does not exist") && nowhere.stderr.contains("Make that first"),
        "{}",
        nowhere.stderr
    );
    enroll("first").expect(0);
    assert_refused(&enroll("second"), 4, "invite-used");
}

#[test]
fn a_revoked_source_is_shut_out() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("data.csv");
    fs::write(&file, data::csv(1, 100)).unwrap();
    source.deliver(&file, "before");
    zone.operate(&["source", "revoke", "lab", "--reason", "stolen"]).expect(0);
    assert_refused(&source.send(&file, "after", "received"), 4, "revoked-source");
}

#[test]
fn a_source_sees_nothing_of_anothers_transfers() {
    let zone = Zone::start();
    let (one, other) = (zone.source("one"), zone.source("other"));
    let file = zone.folder.path().join("data.csv");
    fs::write(&file, data::csv(1, 100)).unwrap();
    let transfer = one.deliver(&file, "mine");
    let asked = run(sluse(&["status", &transfer, "--identity", text(&other.identity)]));
    assert_refused(&asked, 4, "unknown-transfer");
    let listed = run(sluse(&["status", "--json", "--identity", text(&other.identity)])).expect(0);
    assert!(!listed.stdout.contains(&transfer));
}

#[test]
fn a_source_of_another_zone_is_not_trusted_and_does_not_trust() {
    let (here, there) = (Zone::start(), Zone::start());
    let stranger = there.source("lab");
    here.source("lab");
    let settings = stranger.identity.join("identity.toml");
    let pointed = fs::read_to_string(&settings).unwrap().replace(&there.address.to_string(), &here.address.to_string());
    fs::write(&settings, pointed).unwrap();
    let file = here.folder.path().join("data.csv");
    fs::write(&file, data::csv(1, 100)).unwrap();
    let mut sending = stranger.sending(&file, "x", "received");
    sending.args(["--give-up", "5s"]);
    assert_ne!(run(sending).code, 0);
    assert!(fs::read_dir(here.root().join("quarantine/incoming")).unwrap().next().is_none());
}

#[test]
fn configuration_errors_name_file_line_and_what_to_write() {
    let zone = Zone::prepare();
    zone.configure(|text| text.replace("listen =", "lisen ="));
    let mut command = std::process::Command::new(sluse_tests::command::binaries().join("slused"));
    command.args(["all", "--config", text(&zone.root().join("sluse.toml"))]);
    let ended = run(command).expect(3);
    assert!(ended.stderr.contains("sluse.toml:") && ended.stderr.contains("lisen"), "{}", ended.stderr);
    assert!(ended.stderr.contains("Hint:") && ended.stderr.contains("listen"), "{}", ended.stderr);
}
