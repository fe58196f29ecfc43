//! ClamAV as a user has it: Debian's clamd on its Unix socket, with a signature folder of our own.

use sluse_tests::bundle::Maker;
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        let rule = format!("rule Hospital {{ strings: $mark = \"{RULE_MARK}\" condition: $mark }}\n");
        fs::write(signatures.join("rules.yar"), rule).unwrap();
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
const RULE_MARK: &str = "a-mark-that-a-rule-of-yara-knows-of";

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
    fs::write(&bad, [&data::csv(1, 100_000)[..], RULE_MARK.as_bytes(), b"\n"].concat()).unwrap();
    let sent = source.send(&bad, "by-rule", "delivered").expect(7).json();
    let shown = zone.operate(&["show", sent["transfer"].as_str().unwrap()]).expect(0).stdout;
    assert!(shown.contains("YARA.Hospital"), "{shown}");
}

#[test]
fn databases_and_rules_that_updates_bring_are_clamds_at_once_and_each_kind_leaves_the_others() {
    let (zone, _clamd) = zone_with_clamd();
    let maker = Maker::new(zone.folder.path().join("maker"));
    let databases = zone.folder.path().join("clamd/signatures");
    let settings = format!("[updates]\nkeys = [\"{}\"]\nclamd_databases = \"{}\"\n", maker.key(), text(&databases));
    zone.configure(|before| before + &settings);
    let source = zone.enrol("edc");
    let (by_database, by_rule) = (&b"a-mark-of-the-next-database"[..], &b"a-mark-of-the-next-rule"[..]);
    let rule = "rule Next { strings: $mark = \"a-mark-of-the-next-rule\" condition: $mark }\n";
    let hex: String = by_database.iter().map(|byte| format!("{byte:02x}")).collect();
    let database = format!("Next.Mark:0:*:{hex}\n");
    let import = |bundle: &Path| zone.operate(&["update", "import", text(bundle)]).expect(0);
    let told = import(&maker.bundle("d.tar", "clamd", 1, &[("next.ndb", database.as_bytes())]));
    assert!(told.stderr.contains("clamd reads them now"), "{told:?}");
    import(&maker.bundle("r.tar", "yara", 1, &[("next.yar", rule.as_bytes())]));
    let mut number = 0;
    let mut finds = |mark: &[u8], name: &str| {
        let file = zone.folder.path().join("next.csv");
        // A row that is one: it is not held before clamd knows better.
        fs::write(&file, [&data::csv(1, 1000)[..], b"S1,1,", mark, b",1.0\n"].concat()).unwrap();
        zone.eventually(&format!("clamd knows {name}"), || {
            number += 1;
            let sent = source.send(&file, &format!("next-{number}"), "delivered");
            let shown = || zone.operate(&["show", sent.json()["transfer"].as_str().unwrap()]).expect(0).stdout;
            (sent.code == 7 && shown().contains(name)).then_some(())
        });
    };
    finds(by_database, "Next.Mark");
    finds(by_rule, "YARA.Next");
    // What the site has there by itself stays, and what only the update before brought goes.
    import(&maker.bundle("d2.tar", "clamd", 2, &[("other.ndb", database.as_bytes())]));
    let mut names: Vec<_> = fs::read_dir(&databases).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["next.yar", "other.ndb", "rules.yar", "test.ndb"]);
    finds(MARK, "Test.Mark");
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
fn what_is_too_large_for_clamd_passes_by_the_engines_that_the_agreement_says_suffice() {
    let (zone, _clamd) = zone_with_clamd();
    let source = zone.enrol("edc");
    let suffice = |text: String| {
        let text = text.replace("\"signatures\"]", "\"signatures\", \"clamd\"]");
        text.replace("[release]", "[content.above_limit]\nclamd = [\"file-type\", \"signatures\"]\n\n[release]")
    };
    zone.agree("large", "edc", suffice).expect(0);
    let source = Source { agreement: "large".into(), ..source };
    let folder = zone.folder.path().join("large");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("large.csv"), data::csv(1, 5_000_000)).unwrap();
    fs::write(folder.join("small.csv"), data::csv(2, 1000)).unwrap();
    let transfer = source.deliver(&folder, "large");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    let said = "above-limit (clamd): large.csv: larger than the 4194304 bytes that this engine is given; as the agreement \
                allows, it was read by: file-type, signatures";
    assert!(shown.contains(said), "{shown}");
    assert!(shown.contains("read 1 files, 1 above its limit by file-type, signatures instead"), "{shown}");
    let released = fs::read(source.receipts(&transfer).join("released.json")).unwrap();
    let released: serde_json::Value = serde_json::from_slice(&released).unwrap();
    let engines = released["engines"].as_array().unwrap();
    let clamd = engines.iter().find(|engine| engine["engine"] == "clamd").unwrap();
    let instead = serde_json::json!({ "files": 1, "read_by": ["file-type", "signatures"] });
    assert_eq!((&clamd["files"], &clamd["above_limit"]), (&1.into(), &instead));
    // What they find counts as ever.
    fs::write(folder.join("large.csv"), [&data::csv(1, 5_000_000)[..], &data::eicar(), b"\n"].concat()).unwrap();
    source.send(&folder, "large-bad", "delivered").expect(7);
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

/// What plays clamd, says that its signatures are of `date`, and finds the test file unless it is blind.
fn fake_clamd(socket: &Path, date: String, blind: &Arc<AtomicBool>) {
    let listener = UnixListener::bind(socket).unwrap();
    let blind = Arc::clone(blind);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (date, blind) = (date.clone(), Arc::clone(&blind));
            std::thread::spawn(move || serve(stream, &date, &blind));
        }
    });
}

fn serve(mut stream: UnixStream, date: &str, blind: &AtomicBool) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut files = 0;
    loop {
        let mut command = Vec::new();
        input.read_until(0, &mut command).ok()?;
        match command.as_slice() {
            b"zVERSION\0" => stream.write_all(format!("ClamAV 1.4.2/27500/{date}\0").as_bytes()).ok()?,
            b"zPING\0" => stream.write_all(b"PONG\0").ok()?,
            b"zIDSESSION\0" => {}
            b"zINSTREAM\0" => {
                let mut content = Vec::new();
                loop {
                    let mut length = [0; 4];
                    input.read_exact(&mut length).ok()?;
                    let mut piece = vec![0; u32::from_be_bytes(length) as usize];
                    input.read_exact(&mut piece).ok()?;
                    content.extend_from_slice(&piece);
                    if piece.is_empty() {
                        break;
                    }
                }
                files += 1;
                let found = content.windows(68).any(|window| window == data::eicar()) && !blind.load(Ordering::SeqCst);
                let answer = if found { "Eicar FOUND" } else { "OK" };
                stream.write_all(format!("{files}: stream: {answer}\0").as_bytes()).ok()?;
            }
            _ => return None,
        }
    }
}

/// A time as clamd writes it.
fn clamd_date(when: &str) -> String {
    let mut command = Command::new("date");
    command.env("LC_ALL", "C").args(["-u", "-d", when, "+%a %b %e %H:%M:%S %Y"]);
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}

/// A zone with that clamd, and an agreement that does not ask for it and lets unread files pass.
fn zone_with_fake(date: &str, blind: &Arc<AtomicBool>) -> (Zone, Source) {
    let mut zone = Zone::prepare();
    let socket = zone.folder.path().join("fake.sock");
    fake_clamd(&socket, clamd_date(date), blind);
    let lines = format!(
        "[inspect]\nclamd_socket = \"{}\"\nengine_test_every = \"1s\"\nsignatures_max_age = \"7d\"\n",
        text(&socket)
    );
    zone.configure(|settings| settings.replace("[inspect]\n", &lines));
    zone.run();
    let lenient = |text: String| text.replace("[content.actions]\n", "[content.actions]\nnot-inspected = \"allow\"\n");
    zone.agree("edc", "edc", lenient).expect(0);
    let source = zone.enrol("edc");
    (zone, source)
}

fn send_and_hold(zone: &Zone, source: &Source, name: &str) -> String {
    let file = zone.folder.path().join(name);
    fs::write(&file, data::csv(1, 1000)).unwrap();
    let sent = source.send(&file, name, "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    transfer
}

#[test]
fn an_engine_that_goes_blind_holds_everything_until_it_sees_again() {
    let blind = Arc::new(AtomicBool::new(false));
    let (zone, source) = zone_with_fake("1 hour ago", &blind);
    let good = zone.folder.path().join("good");
    fs::write(&good, data::csv(1, 1000)).unwrap();
    source.deliver(&good, "good");
    let holds = || zone.operate(&["health"]).stdout.contains("everything-held");
    assert!(!holds());
    blind.store(true, Ordering::SeqCst);
    zone.eventually("the self-test finds out", || holds().then_some(()));
    let health = zone.operate(&["health"]);
    assert!(health.stdout.contains("EVERYTHING IS HELD: engine clamd"), "{}", health.stdout);
    let transfer = send_and_hold(&zone, &source, "held");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(shown.contains("not to be trusted: it did not find malware"), "{shown}");
    blind.store(false, Ordering::SeqCst);
    zone.eventually("the self-test finds it again", || (!holds()).then_some(()));
    zone.operate(&["inspect-again", &transfer, "--reason", "clamd sees again"]).expect(0);
    zone.wait_for_state(&transfer, "delivered");
}

#[test]
fn stale_signatures_hold_everything() {
    let (zone, source) = zone_with_fake("8 days ago", &Arc::default());
    let holds = || zone.operate(&["health"]).stdout.contains("EVERYTHING IS HELD: engine clamd");
    zone.eventually("its age is seen", || holds().then_some(()));
    let transfer = send_and_hold(&zone, &source, "held");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(shown.contains("its signatures are of"), "{shown}");
}

#[test]
fn a_zone_without_a_full_malware_engine_says_so_at_each_start_and_in_health() {
    let zone = Zone::start();
    let health = zone.operate(&["health", "--json"]);
    assert!(health.stdout.contains("no-full-malware-engine"), "{}", health.stdout);
    assert!(zone.log().contains("malware engine"), "{}", zone.log());
}
