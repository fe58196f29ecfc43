//! The register of disclosures through the real binaries: what is exported agrees with the audit log, by our own check and by one
//! that has none of our software; differences are named; a page that is safe to open.

use rusqlite::Connection;
use sluse_tests::command::{Ended, program};
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// A zone in which `lab` delivered two datasets, one of them corrected in the register, and a third was rejected.
struct Case {
    zone: Zone,
    delivered: [String; 2],
}

fn dataset(zone: &Zone, name: &str) -> PathBuf {
    let tree = zone.folder.path().join(name);
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("a.csv"), data::csv(1, 50)).unwrap();
    fs::write(tree.join("b <i>.csv"), data::csv(2, 10)).unwrap();
    tree
}

fn disclosed() -> Case {
    let zone = Zone::start();
    let hostile = |text: String| text.replace("purpose = \"testing\"", "purpose = \"=1+1 <script>alert(1)</script>\"");
    zone.agree("lab", "lab", hostile).expect(0);
    let source: Source = zone.enrol("lab");
    let tree = dataset(&zone, "extract");
    let delivered = [source.deliver(&tree, "lab"), source.deliver(&tree, "again")];
    let eicar = zone.folder.path().join("eicar");
    fs::create_dir(&eicar).unwrap();
    fs::write(eicar.join("x.txt"), data::eicar()).unwrap();
    source.send(&eicar, "eicar", "delivered").expect(7);
    zone.operate(&["register", "correct", "1", "--reason", "feil formål", "--set", "purpose=hjertesvikt"]).expect(0);
    Case { zone, delivered }
}

impl Case {
    fn export(&self, words: &[&str]) -> Ended {
        self.zone.operate(&[&["register", "export"], words].concat())
    }

    fn reconcile(&self, words: &[&str]) -> Ended {
        self.zone.operate(&[&["register", "reconcile"], words].concat())
    }

    fn bag(&self, dataset: &str, number: usize) -> PathBuf {
        self.zone.room().join(dataset).join(&self.delivered[number])
    }

    /// Changes the database of the zone while it stands.
    fn tamper(&mut self, change: &str) {
        assert_eq!(self.zone.stop(), Some(0));
        let sql = Connection::open(self.zone.root().join("control/state.db")).unwrap();
        sql.execute_batch(&format!(
            "DROP TRIGGER IF EXISTS register_is_not_changed; DROP TRIGGER IF EXISTS register_is_not_cut; {change}"
        ))
        .unwrap();
        drop(sql);
        self.zone.run();
    }
}

/// What an auditor runs on an exported log and register.
fn check(folder: &Path) -> Ended {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/audit/check.py");
    let words: Vec<&dyn AsRef<OsStr>> = vec![
        &script,
        &"--signers",
        &"allowed_signers",
        &"--zone",
        &"sluse",
        &"--log",
        &"log.jsonl",
        &"--register",
        &"register.json",
    ];
    program("python3", &words, folder, b"")
}

#[test]
fn what_is_exported_adds_up_to_the_audit_log_by_a_check_of_its_own_that_notices_each_planted_change() {
    let case = disclosed();
    let folder = case.zone.folder.path().join("auditor");
    fs::create_dir(&folder).unwrap();
    fs::copy(case.zone.signers(), folder.join("allowed_signers")).unwrap();
    let register = case.export(&["--format", "json", "--files"]).expect(0);
    case.zone.operate(&["audit", "export", text(&folder.join("log.jsonl"))]).expect(0);
    let file = folder.join("register.json");
    fs::write(&file, &register.stdout).unwrap();
    assert_eq!(check(&folder).expect(0).stdout, "OK\n");
    let told = register.json();
    let log = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let count = |act: &str| log.lines().filter(|line| line.contains(&format!("\"act\":\"{act}\""))).count();
    let totals = &told["totals"];
    assert_eq!((count("transfer-released"), count("transfer-delivered")), (2, 2));
    assert_eq!((&totals["records"], &totals["corrections"]), (&3.into(), &1.into()));
    assert_eq!((&totals["releases"], &totals["delivered"], &totals["files"]), (&2.into(), &2.into(), &4.into()));
    assert_eq!(told["records"][0]["files"][1]["path"], "b <i>.csv");
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, &str, Change); 9] = [
        ("a field", "its fields are not those", |told| told["records"][0]["record"]["room"] = "other".into()),
        ("a statement", "is not the one in the log", |told| {
            let changed =
                told["records"][1]["statement"].as_str().unwrap().replace("\"room\":\"room\"", "\"room\":\"r\"");
            told["records"][1]["record"] = serde_json::from_str(&changed).unwrap();
            told["records"][1]["statement"] = changed.into();
        }),
        ("a record left out", "is left out", |told| {
            told["records"].as_array_mut().unwrap().remove(1);
            told["totals"]["records"] = 2.into();
            for (name, less) in [("releases", 1), ("delivered", 1), ("files", 2)] {
                told["totals"][name] = (told["totals"][name].as_u64().unwrap() - less).into();
            }
            let bytes = told["records"][0]["record"]["totals"]["bytes"].as_u64().unwrap();
            told["totals"]["bytes"] = (told["totals"]["bytes"].as_u64().unwrap() - bytes).into();
        }),
        ("a record twice", "twice", |told| {
            let again = told["records"][0].clone();
            told["records"].as_array_mut().unwrap().push(again);
        }),
        ("a delivery denied", "says that it was delivered", |told| {
            told["records"][1]["outcome"]["disclosed"] = "underway".into();
        }),
        ("another bag", "another bag", |told| {
            told["records"][1]["outcome"]["tagmanifest"] = "0".repeat(64).into();
        }),
        ("a purge made up", "no such purge", |told| {
            told["records"][1]["outcome"]["deleted"] = "2026-11-22T00:00:00Z".into();
        }),
        ("the totals", "do not add up to its totals", |told| told["totals"]["bytes"] = 1.into()),
        ("the correction hidden", "another record corrects it", |told| {
            told["records"][0]["outcome"]["corrected_by"] = serde_json::Value::Null;
        }),
    ];
    for (name, expected, change) in changes {
        let mut changed = told.clone();
        change(&mut changed);
        assert_ne!(changed, told, "{name}");
        fs::write(&file, changed.to_string()).unwrap();
        let checked = check(&folder).expect(1);
        assert!(checked.stdout.contains(expected), "{name}: {}", checked.stdout);
    }
}

#[test]
fn register_log_receipts_and_rooms_agree_and_each_difference_is_named() {
    let mut case = disclosed();
    let good = case.reconcile(&["--json"]).expect(0).json();
    assert_eq!((&good["ok"], &good["totals"]["delivered"]), (&true.into(), &2.into()));
    let named = |case: &Case, expected: &str| {
        let told = case.reconcile(&[]).expect(5);
        assert!(told.stdout.contains(expected), "{expected}: {}", told.stdout);
        case.reconcile(&["--without-rooms"]).expect(0);
    };
    // Rooms: a bag that changed, one that is gone, one that nobody recorded, a receipt of something else.
    let tags = case.bag("lab", 0).join("tagmanifest-sha256.txt");
    let before = fs::read_to_string(&tags).unwrap();
    fs::write(&tags, before.replacen('0', "1", 1) + "x").unwrap();
    named(&case, "is not the bag that was delivered");
    fs::write(&tags, before).unwrap();
    let (bag, aside) = (case.bag("again", 1), case.zone.folder.path().join("aside"));
    fs::rename(&bag, &aside).unwrap();
    named(&case, "tagmanifest-sha256.txt: No such file");
    fs::rename(&aside, &bag).unwrap();
    let stranger = case.zone.room().join("lab/20261122-101500-7f3k9a2m");
    fs::create_dir(&stranger).unwrap();
    named(&case, "lab/20261122-101500-7f3k9a2m stands there, and no record says so");
    fs::remove_dir(&stranger).unwrap();
    let receipt = PathBuf::from(format!("{}.receipts/delivered.json", bag.display()));
    let kept = fs::read(&receipt).unwrap();
    fs::write(&receipt, "{}").unwrap();
    named(&case, "is not the receipt of its delivery");
    fs::write(&receipt, kept).unwrap();
    case.reconcile(&[]).expect(0);
    // The register and the zone's own receipts.
    case.tamper("UPDATE register SET statement = replace(statement, 'hjertesvikt', 'hjerte') WHERE number = 3");
    let told = case.reconcile(&["--without-rooms"]).expect(5);
    assert!(told.stdout.contains("record 3 of the register was changed"), "{}", told.stdout);
    assert!(case.export(&[]).expect(5).stderr.contains("was changed"));
    case.tamper("UPDATE register SET statement = replace(statement, 'hjerte', 'hjertesvikt') WHERE number = 3");
    case.reconcile(&[]).expect(0);
    case.tamper("PRAGMA foreign_keys = OFF; CREATE TABLE gone AS SELECT * FROM register WHERE number = 2; DELETE FROM register WHERE number = 2");
    let told = case.reconcile(&["--without-rooms"]).expect(5);
    assert!(told.stdout.contains("record 2 is not in the register"), "{}", told.stdout);
    assert!(told.stdout.contains(&format!("{} was delivered", case.delivered[1])), "{}", told.stdout);
}

#[test]
fn the_printed_page_and_the_table_carry_what_was_disclosed_and_nothing_that_a_program_would_run() {
    let case = disclosed();
    let page = case.export(&["--format", "html", "--files"]).expect(0).stdout;
    for expected in [
        "<html lang=\"nb\">",
        "Utleveringsoversikt",
        "hjertesvikt",
        "feil formål",
        "b &lt;i&gt;.csv",
        "Helse Midt-Norge",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    let tidy = "import sys, html.parser\nclass P(html.parser.HTMLParser):\n    open = []\n    def handle_starttag(s, t, a):\n        \
                if t not in ('meta', 'br'): s.open.append(t)\n    def handle_endtag(s, t):\n        assert s.open.pop() == t, t\n\
                p = P(); p.feed(sys.stdin.read()); p.close(); assert not p.open, p.open";
    program("python3", &[&"-c", &tidy], Path::new("/"), page.as_bytes()).expect(0);
    let table = case.export(&["--format", "csv"]).expect(0).stdout;
    let rows = "import csv, sys, json\nprint(json.dumps(list(csv.DictReader(sys.stdin, strict=True))))";
    let rows = program("python3", &[&"-c", &rows], Path::new("/"), table.as_bytes()).expect(0).json();
    let rows = rows.as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["purpose"]), (3, &"'=1+1 <script>alert(1)</script>".into()));
    assert_eq!((&rows[2]["corrects"], &rows[2]["correction_reason"]), (&"1".into(), &"feil formål".into()));
    for row in rows {
        let cells = row.as_object().unwrap();
        assert!(
            cells.len() > 40 && cells.values().all(|cell| !cell.as_str().unwrap().starts_with(['=', '+', '-', '@']))
        );
    }
    case.export(&["--format", "csv", "--files"]).expect(2);
}

#[test]
fn the_register_is_filtered_by_agreement_institution_and_day() {
    let case = disclosed();
    let records = |words: &[&str]| case.export(words).expect(0).json()["records"].as_array().unwrap().len();
    let lines = [
        (vec!["--agreement", "lab"], 3),
        (vec!["--agreement", "other"], 0),
        (vec!["--institution", "helse midt-norge"], 3),
        (vec!["--institution", "Helse Vest"], 0),
        (vec!["--from", "2020-01-01", "--to", "2090-12-31"], 3),
        (vec!["--to", "2020-01-01"], 0),
        (vec!["--from", "2090-01-01"], 0),
    ];
    for (words, expected) in lines {
        assert_eq!(records(&words), expected, "{words:?}");
    }
    assert!(case.export(&["--from", "yesterday"]).expect(2).stderr.contains("a day looks like"));
    case.zone.operate(&["register", "correct", "1", "--reason", "x"]).expect(4);
    case.zone.operate(&["register", "correct", "99", "--reason", "x"]).expect(4);
}
