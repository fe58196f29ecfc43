//! A thousand extracts through one outbox, and everything that can happen to it: nothing is lost, nothing arrives twice, each receipt is there.

use serde_json::Value;
use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

/// Of a certificate: short enough to wait for its end.
const LIFE: Duration = Duration::from_secs(40);

fn certificates_live(zone: &Zone, life: &str) {
    zone.configure(|text| {
        let others = text.lines().filter(|line| !line.contains("certificate_life"));
        let text: String = others.map(|line| format!("{line}\n")).collect();
        text.replacen("[control]\n", &format!("[control]\ncertificate_life = \"{life}\"\n"), 1)
    });
}

fn enrol_again(zone: &Zone, source: &Source) {
    let invite = zone.invite("lab");
    run(sluse(&["enroll", text(&invite), "--identity", text(&source.identity)])).expect(0);
}

/// Waits for the next event with this code; what was told before counts no more.
fn wait_for_code(outbox: &Outbox, before: usize, code: &str) {
    outbox.eventually(code, || outbox.events().iter().skip(before).find(|told| told["why"]["code"] == code).map(drop));
}

/// The outbox, and what was put there.
struct Host {
    outbox: Outbox,
    sent: BTreeMap<String, Vec<u8>>,
}

impl Host {
    fn put(&mut self, count: usize) {
        for number in self.sent.len()..self.sent.len() + count {
            let (name, bytes) = (format!("e{number:04}.csv"), data::csv(number as u64, 200));
            self.outbox.put(&name, &bytes);
            self.outbox.put(&format!("{name}.done"), b"");
            self.sent.insert(name, bytes);
        }
    }

    /// Puts a file there that is renamed in the middle of writing; the marker comes when it is whole.
    fn put_growing(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        let (name, bytes) = ("growing.csv", data::csv(4711, 400_000));
        let unfinished = self.outbox.folder.join(".growing.csv");
        let mut file = fs::File::create(&unfinished).unwrap();
        let (early, late) = bytes.split_at(200_000);
        file.write_all(early).unwrap();
        fs::rename(&unfinished, self.outbox.folder.join(name)).unwrap();
        meanwhile(self);
        file.write_all(late).unwrap();
        drop(file);
        self.outbox.put(&format!("{name}.done"), b"");
        self.sent.insert(name.to_owned(), bytes);
    }

    fn wait_but_for(&self, zone: &Zone, few: usize) {
        self.outbox.wait_for_all(zone, self.sent.len() - few);
    }
}

#[test]
fn a_thousand_extracts_arrive_once_each_with_their_receipts_whatever_happens_meanwhile() {
    let mut zone = Zone::prepare();
    let _small = SmallDisk::under_quarantine(&zone, 256 << 20);
    zone.configure(|settings| settings.replace("[receive]\n", "[receive]\nkeep_free_bytes = 0\n"));
    zone.run();
    let source = zone.source("lab");
    let outbox = Outbox::new(zone.folder.path(), &source, "complete = \"marker\"\nafter_hours = 0");
    let mut host = Host { outbox, sent: BTreeMap::new() };
    host.put(300);
    host.outbox.watch();

    for (left, role) in [(270, "control"), (210, "inspect"), (150, "deliver"), (90, "receive")] {
        host.wait_but_for(&zone, left);
        zone.eventually("there is one to kill", || zone.kill(role).then_some(()));
    }
    host.wait_but_for(&zone, 50);
    host.outbox.kill();
    host.outbox.watch();
    host.put_growing(|host| {
        host.put(100);
        host.wait_but_for(&zone, 60);
    });

    // The zone's disk is full.
    let (ballast, before) = (zone.root().join("quarantine/ballast"), host.outbox.events().len());
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    host.put(150);
    wait_for_code(&host.outbox, before, "no-space");
    // An open file keeps its space.
    drop(file);
    fs::remove_file(&ballast).unwrap();
    host.wait_but_for(&zone, 100);

    // The source is shut out, and enrolled again with a certificate that lives for seconds: it is renewed.
    let before = host.outbox.events().len();
    zone.operate(&["source", "revoke", "lab", "--reason", "a laptop was stolen"]).expect(0);
    host.put(150);
    wait_for_code(&host.outbox, before, "revoked-source");
    assert_eq!(zone.stop(), Some(0));
    certificates_live(&zone, &format!("{}s", LIFE.as_secs()));
    zone.run();
    enrol_again(&zone, &source);
    let renewed = || host.outbox.events().iter().any(|told| told["event"] == "renewed");
    while !renewed() {
        // Where this machine was too slow for a life of seconds, it ran out before; then a person enrols once more.
        let before = host.outbox.events().len();
        host.outbox.eventually("the certificate is renewed, or it ran out", || {
            let expired = |told: &Value| told["why"]["code"] == "certificate-expired";
            (renewed() || host.outbox.events().iter().skip(before).any(expired)).then_some(())
        });
        if !renewed() {
            enrol_again(&zone, &source);
        }
    }

    // The zone is away for longer than the certificate lives.
    assert_eq!(zone.stop(), Some(0));
    certificates_live(&zone, "1h");
    host.put(150);
    std::thread::sleep(LIFE + Duration::from_secs(1));
    let before = host.outbox.events().len();
    zone.run();
    wait_for_code(&host.outbox, before, "certificate-expired");
    enrol_again(&zone, &source);

    // The power goes, at the zone and at the source.
    host.put(149);
    host.wait_but_for(&zone, 100);
    zone.crash();
    host.outbox.kill();
    zone.run();
    host.outbox.watch();
    host.wait_but_for(&zone, 0);
    host.outbox
        .eventually("the outbox is empty", || (fs::read_dir(&host.outbox.folder).unwrap().count() == 1).then_some(()));
    assert_eq!(host.sent.len(), 1000);
    host.outbox.check_all(&zone, &host.sent);
    zone.operate(&["audit", "verify"]).expect(0);
}
