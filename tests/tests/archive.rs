//! A trial's dataset that is archived: signed as a whole, readable by software that is not ours, read again on a schedule, and each change
//! planted in it named.

use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/audit");

/// A zone that reads archives again every `period`, and an archived bag in its room.
fn archived(period: &str) -> (Zone, PathBuf) {
    let mut zone = Zone::prepare();
    let setting = format!("[deliver]\narchive_check = \"{period}\"");
    zone.configure(|text| text.replace("[deliver]", &setting));
    zone.run();
    zone.agree("trial", "trial", |text| format!("delivery = \"archive\"\n{text}")).expect(0);
    let source = zone.enrol("trial");
    let tree = zone.folder.path().join("trial");
    fs::create_dir_all(tree.join("visits")).unwrap();
    fs::write(tree.join("subjects.csv"), data::csv(1, 2000)).unwrap();
    fs::write(tree.join("visits/1.csv"), data::csv(2, 500)).unwrap();
    let transfer = source.deliver(&tree, "trial");
    let bag = zone.room().join("trial").join(transfer);
    (zone, bag)
}

fn check(path: &Path, signers: &Path) -> Ended {
    run(sluse(&["archive", "check", text(path), "--signer", text(signers)]))
}

/// The check that needs none of our software.
fn without_us(bag: &Path, signers: &Path) -> Ended {
    let script = format!("{SCRIPTS}/check.py");
    program("python3", &[&script, &"--signers", &signers, &"--zone", &"sluse", &"--bag", &bag], Path::new("/"), b"")
}

fn copy(from: &Path, to: &Path) {
    program("cp", &[&"-a", &from, &to], Path::new("/"), b"").expect(0);
}

/// Changes a file and covers it up in both of the bag's lists.
fn forge(bag: &Path, file: &str, content: &str) {
    fs::write(bag.join(file), content).unwrap();
    for list in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        let lines = fs::read_to_string(bag.join(list)).unwrap();
        let relist = |line: &str| {
            let path = line.split_once("  ").unwrap().1;
            let digest = program("sha256sum", &[&path], bag, b"").expect(0).stdout;
            format!("{}  {path}\n", digest.split_once(' ').unwrap().0)
        };
        fs::write(bag.join(list), lines.lines().map(relist).collect::<String>()).unwrap();
    }
}

fn edit(file: PathBuf, from: &str, to: &str) {
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains(from), "{from} in {}", file.display());
    fs::write(file, before.replacen(from, to, 1)).unwrap();
}

#[test]
fn an_archived_bag_verifies_by_ours_by_theirs_and_by_none_and_each_planted_change_is_named() {
    let (zone, bag) = archived("90d");
    let signers = zone.signers();
    assert!(check(&bag, &signers).expect(0).stdout.contains("archived, 2 files"));
    run(sluse(&["bag", "verify", text(&bag), "--signer", text(&signers)])).expect(0);
    assert_eq!(without_us(&bag, &signers).expect(0).stdout, "OK\n");
    let python = std::env::var("SLUSE_PYTHON").expect("tests/run makes a Python with bagit and rocrate, and names it");
    let told = program(&python, &[&format!("{SCRIPTS}/foreign.py"), &bag], Path::new("/"), b"").expect(0).json();
    assert_eq!((&told["files"], &told["crate"]), (&2.into(), &"trial".into()));
    let parts = told["parts"].as_array().unwrap();
    for part in ["archive.json", "findings.json", "decision.json", "receipts/released.json", "agreement.toml"] {
        assert!(parts.contains(&part.into()), "{part}: {told}");
    }
    let statement = program(
        "sh",
        &[
            &"-c",
            &"ssh-keygen -Y verify -f $1 -I sluse -n sluse-receipt -s $2/archive.json.sig <$2/archive.json",
            &"sh",
            &signers,
            &bag,
        ],
        Path::new("/"),
        b"",
    );
    statement.expect(0);

    type Change<'a> = Box<dyn Fn(&Path) + 'a>;
    let changes: Vec<(&str, &str, Change<'_>)> = vec![
        (
            "a file changed",
            "data/subjects.csv was changed",
            Box::new(|bag| fs::write(bag.join("data/subjects.csv"), "a\n").unwrap()),
        ),
        (
            "a file gone",
            "data/visits/1.csv is missing",
            Box::new(|bag| fs::remove_file(bag.join("data/visits/1.csv")).unwrap()),
        ),
        (
            "a file added",
            "data/more.csv is not listed",
            Box::new(|bag| fs::write(bag.join("data/more.csv"), "a\n").unwrap()),
        ),
        (
            "findings forged",
            "findings.json was changed",
            Box::new(|bag| fs::write(bag.join("findings.json"), "[1]").unwrap()),
        ),
        (
            "a decision forged with all lists",
            "not the one that archive.json attests",
            Box::new(|bag| forge(bag, "decision.json", r#"{"rule":"operator","by":"ola","reason":"seen"}"#)),
        ),
        (
            "a dataset forged with all lists",
            "is not the file that the source declared",
            Box::new(|bag| forge(bag, "data/subjects.csv", "a;b\n1;2\n")),
        ),
        (
            "a receipt changed",
            "receipts/released.json is not good",
            Box::new(|bag| edit(bag.join("receipts/released.json"), "\"automatic\"", "\"operator\"")),
        ),
        (
            "the statement changed",
            "archive.json is not good",
            Box::new(|bag| edit(bag.join("archive.json"), "\"dataset\": \"trial\"", "\"dataset\": \"trail\"")),
        ),
        (
            "its proof changed",
            "archive.json is not good",
            Box::new(|bag| edit(bag.join("archive.json"), "archive-signed", "archive-singed")),
        ),
        (
            "the signature gone",
            "archive.json.sig",
            Box::new(|bag| fs::remove_file(bag.join("archive.json.sig")).unwrap()),
        ),
        (
            "the statement gone",
            "archive.json is missing",
            Box::new(|bag| {
                fs::remove_file(bag.join("archive.json")).unwrap();
                fs::remove_file(bag.join("archive.json.sig")).unwrap();
            }),
        ),
        (
            "that it is archived gone, with all lists",
            "bag-info.txt does not say",
            Box::new(|bag| {
                let info = fs::read_to_string(bag.join("bag-info.txt")).unwrap();
                forge(bag, "bag-info.txt", &info.replace("Sluse-Delivery: archive\n", ""));
            }),
        ),
    ];
    let cases = zone.folder.path().join("cases");
    for (number, (name, expected, change)) in changes.iter().enumerate() {
        let case = cases.join(number.to_string()).join(bag.file_name().unwrap());
        fs::create_dir_all(case.parent().unwrap()).unwrap();
        copy(&bag, &case);
        let receipts = format!("{}.receipts", bag.display());
        copy(Path::new(&receipts), &PathBuf::from(format!("{}.receipts", case.display())));
        change(&case);
        let told = check(&case, &signers).expect(5).stdout;
        assert!(told.contains("DIFFERS") && told.contains(expected), "{name}: {told}");
        assert_ne!(without_us(&case, &signers).code, 0, "{name}: without our software");
    }
    // All of them at once, and the good one beside: each is named, and the good one too.
    copy(&bag, &cases.join(bag.file_name().unwrap()));
    let ended = run(sluse(&["archive", "check", text(&cases), "--signer", text(&signers), "--json"])).expect(5).json();
    let checked = ended["checked"].as_array().unwrap();
    assert_eq!(
        (checked.len(), checked.iter().filter(|it| it["ok"] == true).count()),
        (changes.len() + 1, 1),
        "{ended}"
    );
    let elsewhere = zone.folder.path().join("20261122-101500-7f3k9a2m");
    copy(&bag, &elsewhere);
    assert!(check(&elsewhere, &signers).expect(5).stdout.contains("bears the name of another transfer"));
    // Without all that makes it an archived bag, and under another name, it is found and is not good.
    let stripped = zone.folder.path().join("stripped");
    let kept = stripped.join("shelf/kept");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    copy(&bag, &kept);
    for file in ["archive.json", "archive.json.sig"] {
        fs::remove_file(kept.join(file)).unwrap();
    }
    let info = fs::read_to_string(kept.join("bag-info.txt")).unwrap();
    forge(&kept, "bag-info.txt", &info.replace("Sluse-Delivery: archive\n", ""));
    forge(&kept, "findings.json", "[]");
    let told = check(&stripped, &signers).expect(5).stdout;
    assert!(told.contains("signed statement of an archived bag, is not there"), "{told}");
    // Beside a good one, what was not looked into is named, and nobody is told that all is well.
    fs::remove_dir_all(&kept).unwrap();
    copy(&bag, &stripped.join("shelf").join(bag.file_name().unwrap()));
    check(&stripped, &signers).expect(0);
    let (hidden, link) = (stripped.join("shelf/.hidden"), stripped.join("linked"));
    fs::create_dir(&hidden).unwrap();
    std::os::unix::fs::symlink(&bag, &link).unwrap();
    fs::create_dir_all(stripped.join("1/2/3/4/5/6/7")).unwrap();
    let told = check(&stripped, &signers).expect(5).stdout;
    for skipped in [&hidden, &link, &stripped.join("1/2/3/4/5/6/7")] {
        assert!(told.contains(&format!("SKIPPED: {}:", skipped.display())), "{told}");
    }
    // A bag of another zone's is good by that zone's signers alone; no bag is nothing to be content with.
    let other = Zone::prepare();
    assert!(check(&bag, &other.signers()).expect(5).stdout.contains("is not good"));
    assert!(check(&zone.root().join("trust"), &signers).expect(2).stderr.contains("there is no bag"));
}

#[test]
fn a_running_zone_reads_its_archives_again_and_tells_of_damage_in_health_and_in_the_log() {
    let (zone, bag) = archived("1s");
    let entries = || {
        let log = zone.folder.path().join("log.jsonl");
        ["", ".checkpoint", ".checkpoint.sig"].iter().for_each(|end| {
            let _ = fs::remove_file(format!("{}{end}", log.display()));
        });
        zone.operate(&["audit", "export", text(&log)]).expect(0);
        let log = fs::read_to_string(log).unwrap();
        let checked = log.lines().filter(|line| line.contains("\"archive-checked\""));
        checked
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["details"].clone())
            .collect::<Vec<_>>()
    };
    let whole = zone.eventually("it is read", || entries().into_iter().next());
    assert_eq!(
        (&whole["changed"], &whole["missing"], &whole["signed"]),
        (&0.into(), &0.into(), &true.into()),
        "{whole}"
    );
    zone.operate(&["health"]).expect(0);
    let good = fs::read(bag.join("data/subjects.csv")).unwrap();
    fs::write(bag.join("data/subjects.csv"), "rotten").unwrap();
    let damaged = || {
        let health = zone.operate(&["health", "--json"]).json();
        let problems = health["problems"].as_array().unwrap();
        problems.iter().find(|problem| problem["code"] == "archive-damaged").map(|it| it["message"].to_string())
    };
    let told = zone.eventually("health tells of it", damaged);
    assert!(told.contains("1 changed") && !told.contains("subjects"), "{told}");
    assert!(entries().iter().any(|found| found["changed"] == 1));
    zone.operate(&["health"]).expect(70);
    fs::write(bag.join("data/subjects.csv"), good).unwrap();
    zone.eventually("it is good again", || damaged().is_none().then_some(()));
    let transfer = bag.file_name().unwrap().to_str().unwrap();
    let listed = || zone.operate(&["archive", "list"]).expect(0).stdout;
    assert!(listed().contains(transfer) && listed().contains("whole"), "{}", listed());
    fs::rename(&bag, zone.folder.path().join("moved")).unwrap();
    zone.eventually("it is missed", damaged);
    zone.operate(&["archive", "end", transfer, "--reason", "handed to the national archive"]).expect(0);
    zone.eventually("nobody misses it", || damaged().is_none().then_some(()));
    assert!(listed().contains("ended"), "{}", listed());
    zone.operate(&["audit", "verify"]).expect(0);
    assert!(!zone.log().contains("subjects.csv"), "no name of a file in the journal");
}
