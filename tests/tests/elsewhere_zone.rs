//! A room that is another landing zone's: what stands in that zone's room in the end is what was released here, with the receipts of both, once,
//! whatever happens on the way; and nothing is called delivered that the other zone has not signed.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::elsewhere::Courier;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More deliveries than `deliver` has places.
const MORE: u64 = 5;

struct Case {
    here: Zone,
    there: Zone,
    source: Source,
    /// As whom we send there.
    ours: Source,
    tree: PathBuf,
}

impl Case {
    fn new() -> Self {
        Self::with(Zone::prepare_as("trondheim"), |here| here, |there| there)
    }

    /// With a zone there that is configured, and changes to the agreements of both.
    fn with(
        mut there: Zone,
        agreed_here: impl FnOnce(String) -> String,
        agreed_there: impl FnOnce(String) -> String,
    ) -> Self {
        there.run();
        there.agree("from-oslo", "oslo", agreed_there).expect(0);
        let ours = there.enrol("oslo");
        let mut here = Zone::prepare_as("oslo");
        here.configure(|settings| settings.replace("[deliver]\n", "[deliver]\ncouriers = \"couriers\"\n"));
        here.run();
        here.operate(&["room", "add", "trondheim", "--names", "posix", "--elsewhere"]).expect(0);
        here.agree("lab", "lab", |text| agreed_here(text.replace("to = \"room\"", "to = \"trondheim\""))).expect(0);
        let source = here.enrol("lab");
        let tree = here.folder.path().join("extract");
        fs::create_dir_all(tree.join("deep/er")).unwrap();
        fs::write(tree.join("a.csv"), data::csv(1, 500)).unwrap();
        fs::write(tree.join("none.csv"), "").unwrap();
        fs::write(tree.join("deep/er/percent% and ø.bin"), data::noise(7, 3 * 1024 * 1024 + 17)).unwrap();
        for number in 0..30 {
            fs::write(tree.join(format!("deep/{number}.bin")), data::noise(number, 4_000 + number as usize)).unwrap();
        }
        Self { here, there, source, ours, tree }
    }

    fn configuration(&self) -> PathBuf {
        let file = self.here.folder.path().join("trondheim.toml");
        let settings = format!("[zone]\nidentity = \"{}\"\nagreement = \"from-oslo\"\n", text(&self.ours.identity));
        fs::write(&file, settings).unwrap();
        file
    }

    fn courier(&self) -> Courier {
        Courier::start(&self.here, "trondheim", &self.configuration())
    }

    fn send(&self) -> String {
        let sent = self.source.send(&self.tree, "lab", "received").expect(0).json();
        sent["transfer"].as_str().unwrap().to_owned()
    }

    /// Waits until a delivery has failed for a reason with these words.
    fn wait_for_trouble(&self, words: &str) {
        self.here.eventually(&format!("a delivery fails: {words}"), || {
            self.here.operate(&["health"]).stdout.contains(words).then_some(())
        });
    }

    fn state(&self, transfer: &str) -> serde_json::Value {
        self.here.show(transfer)["info"]["status"]["state"].clone()
    }

    /// The transfers that the other zone knows.
    fn transfers_there(&self) -> Vec<String> {
        let listed = self.there.operate(&["transfers", "--json"]).expect(0).json();
        let id = |transfer: &serde_json::Value| transfer["status"]["transfer"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(id).collect()
    }

    /// What the courier keeps of a delivery.
    fn kept(&self, transfer: &str) -> PathBuf {
        self.ours.identity.join("deliveries").join(transfer)
    }

    /// The bag stands in the other zone's room, once, as a dataset of that zone; both zones' receipts say so.
    fn is_there_once(&self, transfer: &str) {
        self.here.wait_for_state(transfer, "delivered");
        let there = self.transfers_there();
        assert_eq!(there.len(), 1, "{there:?}");
        let outer = self.there.room().join("lab").join(&there[0]);
        run(sluse(&["bag", "verify", text(&outer), "--signer", text(&self.there.signers())])).expect(0);
        let bag = outer.join("data");
        run(sluse(&["bag", "verify", text(&bag), "--signer", text(&self.here.signers())])).expect(0);
        assert_eq!(without_marks(&bag.join("data")), without_marks(&self.tree));
        let kept = self.kept(transfer);
        let ours = kept.join("delivered.json");
        self.here.eventually("our receipt lies beside theirs", || ours.exists().then_some(()));
        verify(&ours, &self.here);
        for name in ["zone-received.json", "zone-delivered.json"] {
            verify(&kept.join(name), &self.there);
        }
        let ours: serde_json::Value = serde_json::from_slice(&fs::read(ours).unwrap()).unwrap();
        let theirs: serde_json::Value =
            serde_json::from_slice(&fs::read(kept.join("zone-delivered.json")).unwrap()).unwrap();
        let stored = &ours["stored"];
        assert_eq!((&stored["by"], &stored["verified"]), (&"zone".into(), &"receipt".into()));
        assert_eq!(
            (&stored["zone"]["zone"], &stored["zone"]["transfer"]),
            (&"trondheim".into(), &there[0].clone().into())
        );
        assert_eq!(stored["zone"]["manifest_sha256"], theirs["manifest_sha256"]);
        let digest = program_sha256(&kept.join("zone-delivered.json"));
        assert_eq!(stored["zone"]["receipt_sha256"], digest);
    }

    /// Has what failed tried at once: the longer it failed, the longer it waits, and that only a zone that runs remembers.
    fn try_at_once(&mut self) {
        assert_eq!(self.here.stop(), Some(0), "{}", self.here.log());
        self.here.run();
    }

    /// Whether nothing that was sent stands in the other zone's room.
    fn nothing_is_there(&self) -> bool {
        !self.there.room().join("lab").exists()
    }
}

/// Every file's bytes: neither empty folders nor executable bits travel into another zone's bag.
fn without_marks(folder: &Path) -> Vec<(String, Vec<u8>)> {
    data::tree(folder).into_iter().filter_map(|(path, file)| Some((path, file?.0))).collect()
}

fn verify(receipt: &Path, zone: &Zone) {
    run(sluse(&["receipt", "verify", text(receipt), "--signer", text(&zone.signers())])).expect(0);
}

fn program_sha256(file: &Path) -> String {
    let mut command = std::process::Command::new("sha256sum");
    command.arg(file);
    run(command).expect(0).stdout.split_whitespace().next().unwrap().to_owned()
}

fn is_empty(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn what_was_released_stands_in_the_other_zones_room_with_both_zones_receipts() {
    let case = Case::new();
    fs::create_dir(case.tree.join("empty")).unwrap();
    let _courier = case.courier();
    Courier::check(&case.configuration()).expect(0);
    let transfer = case.source.deliver(&case.tree, "lab");
    case.is_there_once(&transfer);
    let stored = &case.here.show(&transfer)["stored"];
    assert_eq!(stored["not_kept"], serde_json::json!(["empty-folders"]));
    let shown = case.here.operate(&["show", &transfer]).expect(0).stdout;
    assert!(
        shown.contains("by zone; not read back: that zone has signed that it stands there; zone trondheim"),
        "{shown}"
    );
    let work = case.here.root().join("deliver/elsewhere");
    case.here.eventually("nothing is remembered", || is_empty(&work).then_some(()));
    // The same again is no other bag, here or there.
    assert_eq!(case.source.deliver(&case.tree, "lab"), transfer);
    case.is_there_once(&transfer);
    // Other bytes in files of the same lengths and times are another bag, which stands beside the first.
    let file = case.tree.join("a.csv");
    let changed = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, data::csv(2, 500)).unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(changed).unwrap();
    assert_ne!(case.source.deliver(&case.tree, "lab"), transfer);
    assert_eq!(case.transfers_there().len(), 2);
}

#[test]
fn a_courier_and_a_zone_that_are_killed_in_the_middle_go_on_where_they_were() {
    let there = Zone::prepare_as("trondheim");
    // Slow enough that something is on its way when it is killed.
    there.configure(|settings| settings.replace("[network]\n", "[network]\nmax_bytes_per_second = 4000000\n"));
    let mut case = Case::with(there, |here| here, |there| there);
    fs::write(case.tree.join("large.bin"), data::noise(9, 48 << 20)).unwrap();
    let mut courier = case.courier();
    let transfer = case.send();
    let durable = || {
        let listed = case.there.operate(&["transfers", "--json"]).expect(0).json();
        listed[0]["durable_bytes"].as_u64().unwrap_or(0)
    };
    case.there.eventually("some of it is there", || (durable() >= 8 << 20).then_some(()));
    courier.kill();
    assert_eq!(case.state(&transfer), "delivering");
    assert!(case.nothing_is_there());
    let before = durable();
    courier = case.courier();
    case.there.eventually("more of it is there", || (durable() > before).then_some(()));
    case.there.crash();
    case.there.run();
    case.here.kill("deliver");
    case.try_at_once();
    case.is_there_once(&transfer);
    // The last attempt sent what was missing, and no more.
    let log = fs::read_to_string(case.here.folder.path().join("courier.log")).unwrap();
    let told = log.lines().rfind(|line| line.contains("the zone has the bag")).expect("it was sent");
    let number = |name: &str| -> u64 {
        let after = told.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("{told}"));
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(number("sent") + (8 << 20) <= number("bytes"), "{told}");
    drop(courier);
}

#[test]
fn another_zone_at_the_address_is_sent_nothing_and_a_source_that_is_shut_out_is_told() {
    let mut case = Case::new();
    // Who answers there has another authority.
    case.ours.reach(case.here.address);
    let ended = Courier::check(&case.configuration()).expect(6);
    assert!(ended.stderr.contains("is not the zone that we are enrolled at"), "{}", ended.stderr);
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("is not the zone that we are enrolled at");
    case.there.operate(&["source", "revoke", "oslo", "--reason", "stolen"]).expect(0);
    case.ours.reach(case.there.address);
    case.try_at_once();
    case.wait_for_trouble("revoked-source");
    assert!(case.transfers_there().is_empty() && case.nothing_is_there());
    let invite = case.there.invite("oslo");
    run(sluse(&["enroll", text(&invite), "--identity", text(&case.ours.identity)])).expect(0);
    case.try_at_once();
    case.is_there_once(&transfer);
}

#[test]
fn a_certificate_that_ran_out_there_is_told_and_another_one_is_good() {
    let live = |zone: &Zone, life: &str| {
        zone.configure(|text| {
            let others = text.lines().filter(|line| !line.contains("certificate_life"));
            let text: String = others.map(|line| format!("{line}\n")).collect();
            text.replacen("[control]\n", &format!("[control]\ncertificate_life = \"{life}\"\n"), 1)
        });
    };
    let there = Zone::prepare_as("trondheim");
    live(&there, "20s");
    let mut case = Case::with(there, |here| here, |there| there);
    // Nothing renews it meanwhile.
    std::thread::sleep(Duration::from_secs(21));
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("certificate-expired");
    assert!(case.transfers_there().is_empty());
    assert_eq!(case.there.stop(), Some(0));
    live(&case.there, "1h");
    case.there.run();
    let invite = case.there.invite("oslo");
    run(sluse(&["enroll", text(&invite), "--identity", text(&case.ours.identity)])).expect(0);
    case.try_at_once();
    case.is_there_once(&transfer);
}

#[test]
fn a_full_quarantine_there_is_waited_for() {
    let there = Zone::prepare_as("trondheim");
    let _small = SmallDisk::under_quarantine(&there, 32 << 20);
    there.configure(|settings| settings.replace("[receive]\n", "[receive]\nkeep_free_bytes = 0\n"));
    let mut case = Case::with(there, |here| here, |there| there);
    fs::write(case.tree.join("large.bin"), data::noise(9, 6 << 20)).unwrap();
    let ballast = case.there.root().join("quarantine/ballast");
    fs::write(&ballast, vec![1; 26 << 20]).unwrap();
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("no-space");
    assert!(case.nothing_is_there());
    fs::remove_file(&ballast).unwrap();
    case.try_at_once();
    case.is_there_once(&transfer);
}

#[test]
fn what_is_rejected_there_is_not_delivered_and_the_reason_is_told_here() {
    let narrow = |text: String| text.replace("type-unknown = \"allow\"", "type-unknown = \"block\"");
    let mut case = Case::with(Zone::prepare_as("trondheim"), |here| here, narrow);
    let _courier = case.courier();
    let transfer = case.send();
    case.wait_for_trouble("the zone trondheim rejected it");
    assert_eq!((case.state(&transfer), case.nothing_is_there()), ("delivering".into(), true));
    // It stays so, and is sent no second time, until somebody here takes it back.
    case.try_at_once();
    case.wait_for_trouble("the zone trondheim rejected it");
    case.here.eventually("it can be taken back", || {
        (case.here.operate(&["cancel", &transfer, "--reason", "they do not take it"]).code == 0).then_some(())
    });
    case.here.wait_for_state(&transfer, "cancelled");
    assert_eq!(case.transfers_there().len(), 1);
    assert!(case.nothing_is_there() && !case.kept(&transfer).join("zone-delivered.json").exists());
}

#[test]
fn what_is_held_there_is_waited_for_and_others_pass_meanwhile() {
    let reviewed = |text: String| text.replace("rule = \"automatic\"", "rule = \"one-reviewer\"");
    let mut case = Case::with(Zone::prepare_as("trondheim"), |here| here, reviewed);
    let _courier = case.courier();
    let mut sent = Vec::new();
    for number in 0..MORE {
        fs::write(case.tree.join("a.csv"), data::csv(number, 600)).unwrap();
        sent.push(case.send());
    }
    case.wait_for_trouble("the zone trondheim holds it: a person there must decide");
    case.here.agree("near", "near", |text| text).expect(0);
    let near = Source { agreement: "near".into(), ..case.here.enrol("near") };
    near.deliver(&case.tree, "near");
    case.there.eventually("all of them are held there", || {
        let held = case.there.operate(&["transfers", "--state", "held", "--json"]).expect(0).json();
        (held.as_array()?.len() == MORE as usize).then_some(())
    });
    for transfer in &sent {
        assert_eq!(case.state(transfer), "delivering");
    }
    // Nobody here can take back what the other zone has whole.
    case.here.eventually("it can be asked for", || {
        (case.here.operate(&["cancel", &sent[0], "--reason", "a mistake"]).code == 0).then_some(())
    });
    case.wait_for_trouble("its operators must reject or cancel it first");
    for transfer in case.transfers_there() {
        case.there.operate(&["release", &transfer, "--reason", "looked at"]).expect(0);
        case.there.wait_for_state(&transfer, "delivered");
    }
    case.try_at_once();
    for transfer in &sent {
        case.here.wait_for_state(transfer, "delivered");
    }
    assert_eq!(case.transfers_there().len(), MORE as usize);
}
