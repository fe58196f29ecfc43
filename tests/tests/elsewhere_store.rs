//! Rooms in an S3-compatible store: what another client fetches from it in the end is what was released, whatever happens on the way.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::elsewhere::{Courier, Store, Way};
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

struct Case {
    zone: Zone,
    source: Source,
    store: Store,
    tree: PathBuf,
}

impl Case {
    fn new() -> Self {
        let mut zone = Zone::prepare();
        zone.configure(|settings| settings.replace("[deliver]\n", "[deliver]\ncouriers = \"couriers\"\n"));
        zone.run();
        zone.operate(&["room", "add", "hunt", "--names", "posix", "--elsewhere"]).expect(0);
        zone.agree("lab", "lab", |text| text.replace("to = \"room\"", "to = \"hunt\"")).expect(0);
        let source = zone.enrol("lab");
        let store = Store::start(zone.folder.path());
        let tree = zone.folder.path().join("extract");
        fs::create_dir_all(tree.join("deep/er")).unwrap();
        fs::write(tree.join("a.csv"), data::csv(1, 500)).unwrap();
        fs::write(tree.join("none.csv"), "").unwrap();
        fs::write(tree.join("deep/er/percent% and ø.bin"), data::noise(7, 20 * 1024 * 1024 + 17)).unwrap();
        Self { zone, source, store, tree }
    }

    fn courier(&self, port: u16) -> Courier {
        Courier::start(&self.zone, "hunt", &self.store.configuration(port))
    }

    fn send(&self) -> String {
        let sent = self.source.send(&self.tree, "lab", "received").expect(0).json();
        sent["transfer"].as_str().unwrap().to_owned()
    }

    fn wait_for_trouble(&self, words: &str) {
        self.zone.eventually(&format!("a delivery fails: {words}"), || {
            self.zone.operate(&["health"]).stdout.contains(words).then_some(())
        });
    }

    fn is_as_it_was_sent(&self, transfer: &str) {
        let bag = self.store.fetch().join("hunt/lab").join(transfer);
        assert_eq!(data::tree(&bag.join("data")), data::tree(&self.tree));
        run(sluse(&["bag", "verify", text(&bag), "--signer", text(&self.zone.signers()), "--json"])).expect(0);
    }

    fn is_empty(&self) -> bool {
        data::tree(&self.store.fetch()).is_empty()
    }
}

#[test]
fn what_was_released_stands_in_a_store_as_it_was_sent_with_its_receipt_beside_it() {
    let case = Case::new();
    Courier::check(&case.store.configuration(case.store.port())).expect(0);
    assert!(case.is_empty(), "a check leaves nothing");
    let _courier = case.courier(case.store.port());
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_as_it_was_sent(&transfer);
    let receipt = format!("hunt/lab/{transfer}.receipts/delivered.json");
    case.zone
        .eventually("the receipt lies beside the bag", || case.store.fetch().join(&receipt).exists().then_some(()));
    let receipt = case.store.fetch().join(&receipt);
    run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&case.zone.signers())])).expect(0);
    let stated: serde_json::Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
    let not_kept = ["empty-folders", "times", "executable-bits"];
    assert_eq!(stated["stored"], serde_json::json!({"by": "s3", "verified": "read-back", "not_kept": not_kept}));
    assert_eq!(case.source.deliver(&case.tree, "lab"), transfer, "the same again is no other bag");
}

#[test]
fn a_store_that_is_cut_off_in_a_large_file_is_gone_on_with_part_by_part() {
    let case = Case::new();
    let way = Way::to(case.store.port(), 18 * 1024 * 1024);
    let _courier = case.courier(way.port);
    let transfer = case.send();
    case.zone.eventually("the way is cut", || way.is_cut().then_some(()));
    case.wait_for_trouble("room hunt");
    assert!(!case.store.fetch().join("hunt/lab").join(&transfer).join("bagit.txt").exists());
    way.mend();
    case.zone.kill("deliver");
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
    // 20 MiB in parts of 8: of two that were there, and one that was cut off, one is sent again.
    let carried = way.carried.load(Ordering::SeqCst);
    assert!(carried < 24 * 1024 * 1024, "{carried}");
}

#[test]
fn a_key_that_expired_and_a_store_that_is_full_are_told_and_nothing_is_delivered_meanwhile() {
    let case = Case::new();
    case.store.fail("deny", true);
    let configuration = case.store.configuration(case.store.port());
    let ended = Courier::check(&configuration).expect(6);
    assert!(ended.stderr.contains("does not take our key"), "{}", ended.stderr);
    let _courier = case.courier(case.store.port());
    let transfer = case.send();
    case.wait_for_trouble("does not take our key");
    case.store.fail("full", true);
    case.store.fail("deny", false);
    case.wait_for_trouble("the store is full");
    assert!(case.is_empty());
    case.store.fail("full", false);
    case.zone.wait_for_state(&transfer, "delivered");
    case.is_as_it_was_sent(&transfer);
}

#[test]
fn a_store_that_keeps_other_bytes_than_it_says_is_found_out() {
    let case = Case::new();
    case.store.fail("lie", true);
    let _courier = case.courier(case.store.port());
    let transfer = case.send();
    case.wait_for_trouble("gives back other bytes than were sent");
    assert!(!case.store.fetch().join("hunt/lab").join(&transfer).join("bagit.txt").exists());
    case.zone.eventually("the delivery is taken back", || {
        (case.zone.operate(&["cancel", &transfer, "--reason", "the store lies"]).code == 0).then_some(())
    });
    case.zone.wait_for_state(&transfer, "cancelled");
    case.zone.eventually("nothing is left", || case.is_empty().then_some(()));
}

#[test]
fn over_https_a_stores_certificate_must_be_good_by_the_named_authority_and_no_other() {
    let zone = Zone::prepare();
    let store = Store::start_encrypted(zone.folder.path());
    Courier::check(&store.configuration(store.port())).expect(0);
    let ended = Courier::check(&store.configuration_by(store.port(), "other.pem")).expect(6);
    assert!(ended.stderr.contains("certificate is not good by the authority"), "{}", ended.stderr);
}
