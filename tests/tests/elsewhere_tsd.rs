//! Rooms in a project at TSD: what stands in its import in the end is what was released, whatever happens on the way.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::elsewhere::{Courier, Way};
use sluse_tests::source::Source;
use sluse_tests::tsd::Tsd;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

struct Case {
    zone: Zone,
    source: Source,
    tsd: Tsd,
    tree: PathBuf,
}

impl Case {
    fn new() -> Self {
        let mut zone = Zone::prepare();
        zone.configure(|settings| settings.replace("[deliver]\n", "[deliver]\ncouriers = \"couriers\"\n"));
        zone.run();
        zone.operate(&["room", "add", "oslo", "--names", "posix", "--elsewhere"]).expect(0);
        zone.agree("lab", "lab", |text| text.replace("to = \"room\"", "to = \"oslo\"")).expect(0);
        let source = zone.enrol("lab");
        let tsd = Tsd::start(zone.folder.path());
        let tree = zone.folder.path().join("extract");
        fs::create_dir_all(tree.join("deep/year=2026")).unwrap();
        fs::write(tree.join("a.csv"), data::csv(1, 500)).unwrap();
        fs::write(tree.join("none.csv"), "").unwrap();
        fs::write(tree.join("deep/year=2026/percent% + ø.bin"), data::noise(7, 20 * 1024 * 1024 + 17)).unwrap();
        Self { zone, source, tsd, tree }
    }

    fn courier(&self, port: u16) -> Courier {
        Courier::start(&self.zone, "oslo", &self.tsd.configuration(port))
    }

    fn send(&self) -> String {
        self.send_as(&self.tree, "lab")
    }

    fn send_as(&self, tree: &Path, dataset: &str) -> String {
        let sent = self.source.send(tree, dataset, "received").expect(0).json();
        sent["transfer"].as_str().unwrap().to_owned()
    }

    fn wait_for_trouble(&self, words: &str) {
        self.zone.eventually(&format!("a delivery fails: {words}"), || {
            self.zone.operate(&["health"]).stdout.contains(words).then_some(())
        });
    }

    /// What is tried again later is tried now.
    fn try_again(&self) {
        self.zone.kill("deliver");
    }

    fn is_as_it_was_sent(&self, transfer: &str) {
        self.is_as_it_was(&self.tree, &self.tsd.room().join("lab").join(transfer));
    }

    fn is_as_it_was(&self, tree: &Path, bag: &Path) {
        assert_eq!(data::tree(&bag.join("data")), data::tree(tree));
        run(sluse(&["bag", "verify", text(bag), "--signer", text(&self.zone.signers()), "--json"])).expect(0);
    }

    /// No bag in the room is whole.
    fn has_no_bag(&self) -> bool {
        !self.tsd.files().iter().any(|path| path.ends_with("bagit.txt"))
    }
}

#[test]
fn what_was_released_stands_in_the_import_as_it_was_sent_and_its_receipt_says_that_nobody_could_read_it() {
    let case = Case::new();
    Courier::check(&case.tsd.configuration(case.tsd.port())).expect(0);
    assert!(case.tsd.files().is_empty(), "a check leaves no file");
    let _courier = case.courier(case.tsd.port());
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    let file = "deep/year=2026/percent% + ø.bin";
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap().as_secs();
    let bag = case.tsd.room().join("lab").join(&transfer);
    assert!(changed(&bag.join("data").join(file)).abs_diff(changed(&case.tree.join(file))) <= 2, "times are kept");
    let receipt = case.tsd.room().join(format!("lab/{transfer}.receipts/delivered.json"));
    case.zone.eventually("the receipt lies beside the bag", || receipt.exists().then_some(()));
    run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&case.zone.signers())])).expect(0);
    let stated: serde_json::Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
    let not_kept = ["empty-folders", "executable-bits"];
    assert_eq!(stated["stored"], serde_json::json!({"by": "tsd", "verified": "piece-digests", "not_kept": not_kept}));
    let shown = case.zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(shown.contains("NOT READ BACK: the target told the digest of each piece"), "{shown}");
    assert_eq!(case.source.deliver(&case.tree, "lab"), transfer, "the same again is no other bag");
}

#[test]
fn a_way_that_is_cut_in_a_large_file_is_gone_on_with_behind_the_last_piece() {
    let case = Case::new();
    let way = Way::to(case.tsd.port(), 18 * 1024 * 1024);
    let _courier = case.courier(way.port);
    let transfer = case.send();
    case.zone.eventually("the way is cut", || way.is_cut().then_some(()));
    case.wait_for_trouble("room oslo");
    assert!(case.has_no_bag());
    way.mend();
    case.try_again();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
    // 20 MiB in pieces of 16: the second one is sent again.
    let carried = way.carried.load(Ordering::SeqCst);
    assert!(carried < 24 * 1024 * 1024, "{carried}");
}

#[test]
fn a_key_that_is_refused_and_a_quota_that_is_used_up_are_told_and_nothing_is_delivered_meanwhile() {
    let case = Case::new();
    case.tsd.fail("deny", true);
    let ended = Courier::check(&case.tsd.configuration(case.tsd.port())).expect(6);
    assert!(ended.stderr.contains("does not take our key"), "{}", ended.stderr);
    let _courier = case.courier(case.tsd.port());
    let transfer = case.send();
    case.wait_for_trouble("does not take our key");
    case.tsd.fail("full", true);
    case.tsd.fail("deny", false);
    case.try_again();
    case.wait_for_trouble("disk quota is used up");
    assert!(case.tsd.files().is_empty());
    case.tsd.fail("full", false);
    case.try_again();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_token_that_ends_on_the_way_is_exchanged_and_the_delivery_goes_on() {
    let case = Case::new();
    case.tsd.fail("void", true);
    let way = Way::to(case.tsd.port(), u64::MAX);
    let _courier = case.courier(way.port);
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    assert!(!case.tsd.is_told("void"), "the tokens ended when the second piece came");
    // 20 MiB, of which the 4 that came with a token that had ended were sent again.
    let carried = way.carried.load(Ordering::SeqCst);
    assert!(carried < 28 * 1024 * 1024, "{carried}");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_piece_leaves_a_torn_one_and_the_file_is_sent_anew() {
    let case = Case::new();
    case.tsd.fail("torn", true);
    let _courier = case.courier(case.tsd.port());
    let transfer = case.send();
    case.wait_for_trouble("answered 500");
    assert!(case.has_no_bag());
    case.try_again();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_server_that_stores_other_bytes_than_it_was_sent_is_found_out() {
    let case = Case::new();
    case.tsd.fail("lie", true);
    let _courier = case.courier(case.tsd.port());
    let transfer = case.send();
    case.wait_for_trouble("holds other bytes than were sent");
    assert!(case.has_no_bag());
    case.zone.eventually("the delivery is taken back", || {
        (case.zone.operate(&["cancel", &transfer, "--reason", "the server lies"]).code == 0).then_some(())
    });
    case.zone.wait_for_state(&transfer, "cancelled");
    case.zone.eventually("nothing is left", || case.tsd.files().is_empty().then_some(()));
}

#[test]
fn a_file_that_never_comes_to_stand_under_its_name_is_missed_and_sent_again() {
    let case = Case::new();
    case.tsd.fail("lose", true);
    let _courier = case.courier(case.tsd.port());
    let transfer = case.send();
    case.wait_for_trouble("says that it has a file, and it does not stand there");
    assert!(case.has_no_bag());
    case.tsd.fail("lose", false);
    case.try_again();
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn two_deliveries_at_the_same_time_do_not_take_each_others_files_of_the_same_name() {
    let case = Case::new();
    case.tsd.fail("slow", true);
    let other = case.zone.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.csv"), data::csv(2, 500)).unwrap();
    let first = case.send();
    let second = case.send_as(&other, "blodprøver og svar");
    let _courier = case.courier(case.tsd.port());
    case.zone.wait_for_state(&first, "delivered");
    case.zone.wait_for_state(&second, "delivered");
    case.is_as_it_was_sent(&first);
    // Its folder has the name that TSD's own client gives it.
    case.is_as_it_was(&other, &case.tsd.room().join("blodpr%C3%B8ver%20og%20svar").join(&second));
}

#[test]
fn a_folder_whose_name_would_not_be_kept_is_told_and_nothing_is_delivered() {
    let case = Case::new();
    fs::create_dir(case.tree.join("two words")).unwrap();
    fs::write(case.tree.join("two words/b.csv"), data::csv(3, 5)).unwrap();
    case.zone.operate(&["room", "add", "bergen", "--names", "tsd-refuse", "--elsewhere"]).expect(0);
    case.zone.agree("early", "lab", |text| text.replace("to = \"room\"", "to = \"bergen\"")).expect(0);
    let early = Source { identity: case.source.identity.clone(), agreement: "early".into() };
    let refused = early.send(&case.tree, "lab", "received").expect(4);
    assert!(refused.stderr.contains("TSD, where the room is, does not keep its name"), "{}", refused.stderr);
    let _courier = case.courier(case.tsd.port());
    let transfer = case.send();
    case.wait_for_trouble("TSD does not keep the name of a file or folder");
    assert!(case.has_no_bag());
    case.zone.eventually("the delivery is taken back", || {
        (case.zone.operate(&["cancel", &transfer, "--reason", "a name"]).code == 0).then_some(())
    });
    case.zone.wait_for_state(&transfer, "cancelled");
}

#[test]
fn over_https_the_servers_certificate_must_be_good_by_the_named_authority_and_no_other() {
    let zone = Zone::prepare();
    let tsd = Tsd::start_encrypted(zone.folder.path());
    Courier::check(&tsd.configuration(tsd.port())).expect(0);
    let ended = Courier::check(&tsd.configuration_by(tsd.port(), "other.pem")).expect(6);
    assert!(ended.stderr.contains("certificate is not good by the authority"), "{}", ended.stderr);
}
