//! ClamAV as a user has it: Debian's clamd on its Unix socket, with a signature folder of our own.

use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A clamd of the test's own.
struct Clamd {
    process: Child,
    socket: PathBuf,
}

impl Clamd {
    fn start(folder: &Path) -> Self {
        let folder = folder.join("clamd");
        fs::create_dir(&folder).unwrap();
        let signatures = folder.join("signatures");
        fs::create_dir(&signatures).unwrap();
        // A body signature (hexadecimal, `*` any file) of a mark that no other engine knows, and EICAR as ClamAV does it.
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines = format!("Test.Mark:0:*:{}\nEicar.Test:0:*:{}\n", hex(MARK), hex(&data::eicar()));
        fs::write(signatures.join("test.ndb"), lines).unwrap();
        let socket = folder.join("clamd.sock");
        let settings = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nStreamMaxLength 4M\nTemporaryDirectory {}\n",
            text(&socket),
            text(&signatures),
            text(&folder)
        );
        fs::write(folder.join("clamd.conf"), settings).unwrap();
        let mut command = Command::new("/usr/sbin/clamd");
        command.arg("--config-file").arg(folder.join("clamd.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: command.spawn().expect("clamd (tests/run installs it)"), socket }
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const MARK: &[u8] = b"a-mark-that-only-clamd-knows-of";

/// A zone with a clamd that takes files of up to 4 MiB, and an agreement that requires it.
fn zone_with_clamd() -> (Zone, Clamd) {
    let mut zone = Zone::prepare();
    let clamd = Clamd::start(zone.folder.path());
    let line = format!("[inspect]\nclamd_socket = \"{}\"\nclamd_max_bytes = 4194304\n", text(&clamd.socket));
    zone.configure(|settings| settings.replace("[inspect]\n", &line));
    zone.eventually("clamd listens", || clamd.socket.exists().then_some(()));
    zone.run();
    zone.agree("edc", "edc", |text| text.replace("\"signatures\"]", "\"signatures\", \"clamd\"]")).expect(0);
    (zone, clamd)
}

#[test]
fn clamd_finds_what_only_it_knows_and_is_named_in_the_receipts() {
    let (zone, _clamd) = zone_with_clamd();
    let source = zone.enrol("edc");
    let good = zone.folder.path().join("good.csv");
    fs::write(&good, data::csv(1, 100_000)).unwrap();
    let transfer = source.deliver(&good, "good");
    let released = fs::read_to_string(source.receipts(&transfer).join("released.json")).unwrap();
    assert!(released.contains("ClamAV"), "{released}");
    let bad = zone.folder.path().join("bad.csv");
    fs::write(&bad, [&data::csv(1, 100_000)[..], MARK, b"\n"].concat()).unwrap();
    let sent = source.send(&bad, "bad", "delivered").expect(7).json();
    let shown = zone.operate(&["show", sent["transfer"].as_str().unwrap()]).expect(0).stdout;
    assert!(shown.contains("Test.Mark"), "{shown}");
}

#[test]
fn what_is_too_large_for_clamd_is_held_and_never_clean() {
    let (zone, _clamd) = zone_with_clamd();
    let source = zone.enrol("edc");
    let large = zone.folder.path().join("large.csv");
    fs::write(&large, data::csv(1, 5_000_000)).unwrap();
    let sent = source.send(&large, "large", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap();
    zone.wait_for_state(transfer, "held");
    assert!(zone.operate(&["show", transfer]).expect(0).stdout.contains("not-inspected"));
}

#[test]
fn a_required_scanner_that_is_away_holds_everything_until_it_is_back() {
    let (zone, clamd) = zone_with_clamd();
    let source = zone.enrol("edc");
    drop(clamd);
    let file = zone.folder.path().join("file.csv");
    fs::write(&file, data::csv(1, 1000)).unwrap();
    let sent = source.send(&file, "file", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    fs::remove_dir_all(zone.folder.path().join("clamd")).unwrap();
    let clamd = Clamd::start(zone.folder.path());
    zone.eventually("clamd listens", || clamd.socket.exists().then_some(()));
    zone.operate(&["inspect-again", &transfer, "--reason", "clamd is back"]).expect(0);
    zone.wait_for_state(&transfer, "delivered");
}

#[test]
fn a_zone_without_a_full_malware_engine_says_so_at_each_start_and_in_health() {
    let zone = Zone::start();
    let health = zone.operate(&["health", "--json"]);
    assert!(health.stdout.contains("no-full-malware-engine"), "{}", health.stdout);
    assert!(zone.log().contains("malware engine"), "{}", zone.log());
}
