//! Evidence without our software: what `tests/audit/check.py` (Python's standard library, `ssh-keygen`, `sha256sum`) makes of a
//! real run, and of changes planted in it. And what is noticed when a zone is put back to yesterday.

use sluse_protocol::audit::{Entry, Inclusion, Leaves, Tree, Verifier, consistency_text, parse_checkpoint};
use sluse_protocol::sshsig::{self, NAMESPACE_CHECKPOINT, PublicKey};
use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::data;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/audit");

/// What an auditor gets: log, checkpoint, signers, three receipts, a bag; all in one folder.
struct Case(PathBuf);

const KINDS: [&str; 3] = ["received", "released", "delivered"];

/// A zone in which two datasets were delivered; the auditor's case about the first, and a receipt of the other.
fn audited() -> (Zone, Case, PathBuf) {
    audited_with("100%.csv")
}

/// The same with a file of this name in its dataset.
fn audited_with(name: &str) -> (Zone, Case, PathBuf) {
    let zone = Zone::start();
    let source = zone.source("lab");
    let tree = zone.folder.path().join("extract");
    fs::create_dir_all(tree.join("b")).unwrap();
    fs::write(tree.join("a.csv"), data::csv(1, 5000)).unwrap();
    fs::write(tree.join("b").join(name), data::csv(2, 10)).unwrap();
    let transfer = source.deliver(&tree, "lab");
    let other = source.deliver(&tree, "again");
    let case = zone.folder.path().join("case");
    fs::create_dir(&case).unwrap();
    fs::copy(zone.signers(), case.join("allowed_signers")).unwrap();
    zone.operate(&["audit", "export", text(&case.join("log.jsonl"))]).expect(0);
    for kind in KINDS {
        for end in ["json", "json.sig"] {
            let name = format!("{kind}.{end}");
            fs::copy(source.receipts(&transfer).join(&name), case.join(name)).unwrap();
        }
    }
    let room = zone.room().join("lab");
    copy(&room.join(&transfer), &case.join(&transfer));
    let receipts = format!("{transfer}.receipts");
    copy(&room.join(&receipts), &case.join(&receipts));
    let other = source.receipts(&other);
    (zone, Case(case), other)
}

fn copy(from: &Path, to: &Path) {
    program("cp", &[&"-a", &from, &to], Path::new("/"), b"").expect(0);
}

impl Case {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn bag(&self) -> PathBuf {
        let folders = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        folders.into_iter().find(|path| path.join("bagit.txt").exists()).expect("a bag")
    }

    fn check(&self) -> Ended {
        let (script, bag) = (format!("{SCRIPTS}/check.py"), self.bag());
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![
            &script,
            &"--signers",
            &"allowed_signers",
            &"--zone",
            &"sluse",
            &"--log",
            &"log.jsonl",
            &"--bag",
            &bag,
        ];
        for receipt in ["received.json", "released.json", "delivered.json"].iter() {
            words.extend([&"--receipt" as &dyn AsRef<std::ffi::OsStr>, receipt]);
        }
        program("python3", &words, &self.0, b"")
    }

    fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.file(name);
        let before = fs::read_to_string(&path).unwrap();
        let after = change(before.clone());
        assert_ne!(before, after, "{name} was to be changed");
        fs::write(path, after).unwrap();
    }

    fn edit_lines(&self, change: impl FnOnce(&mut Vec<String>)) {
        self.edit("log.jsonl", |log| {
            let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
            change(&mut lines);
            lines.join("\n") + "\n"
        });
    }
}

/// The log with an entry that says something else, and everything after it made to follow: what whoever has the database
/// can do.
fn rewrite(lines: &mut [String]) {
    let mut tree = Tree::new();
    for line in lines {
        let mut entry: Entry = serde_json::from_str(line).unwrap();
        entry.before = tree.position().root;
        if entry.number == 2 {
            entry.actor = "operator somebody-else".into();
        }
        *line = entry.to_line();
        tree.append(line.as_bytes());
    }
}

/// Changes a file of a bag and covers it up in every list of the bag.
fn forge(bag: &Path, file: &str, content: &str) {
    fs::write(bag.join(file), content).unwrap();
    for list in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        let lines = fs::read_to_string(bag.join(list)).unwrap();
        let relist = |line: &str| {
            let path = line.split_once("  ").unwrap().1;
            let digest = program("sha256sum", &[&path.replace("%25", "%")], bag, b"").expect(0).stdout;
            format!("{}  {path}\n", digest.trim_start_matches('\\').split_once(' ').unwrap().0)
        };
        fs::write(bag.join(list), lines.lines().map(relist).collect::<String>()).unwrap();
    }
}

#[test]
fn an_independent_check_passes_on_a_real_run_and_notices_each_planted_change() {
    let (zone, good, other) = audited();
    let checked = good.check().expect(0);
    assert_eq!(checked.stdout, "OK\n");
    type Change<'a> = Box<dyn Fn(&Case) + 'a>;
    let changes: Vec<(&str, &str, Change<'_>)> = vec![
        (
            "an entry changed",
            "does not follow",
            Box::new(|case| {
                case.edit_lines(|lines| lines[2] = lines[2].replace("\"time\":\"2", "\"time\":\"1"));
            }),
        ),
        ("an entry removed", "has another number", Box::new(|case| case.edit_lines(|lines| drop(lines.remove(3))))),
        ("two entries swapped", "has another number", Box::new(|case| case.edit_lines(|lines| lines.swap(2, 3)))),
        ("the tail cut", "its checkpoint attests", Box::new(|case| case.edit_lines(|lines| drop(lines.pop())))),
        ("the log replaced", "is not the received receipt", Box::new(|case| case.edit_lines(|lines| rewrite(lines)))),
        (
            "the checkpoint changed",
            "signature is not good",
            Box::new(|case| {
                case.edit("log.jsonl.checkpoint", |text| text.replacen("\n2", "\n3", 1).replacen("\n1", "\n2", 1));
            }),
        ),
        (
            "a receipt changed",
            "signature is not good",
            Box::new(|case| {
                case.edit("released.json", |text| text.replace("automatic", "operator"));
            }),
        ),
        (
            "another transfer's receipt",
            "different transfers",
            Box::new(|case| {
                for end in ["json", "json.sig"] {
                    fs::copy(other.join(format!("released.{end}")), case.file(&format!("released.{end}"))).unwrap();
                }
            }),
        ),
        (
            "a receipt under another's name",
            "it is a received receipt",
            Box::new(|case| {
                for end in ["json", "json.sig"] {
                    fs::copy(case.file(&format!("received.{end}")), case.file(&format!("delivered.{end}"))).unwrap();
                }
            }),
        ),
        (
            "another signer",
            "signature is not good",
            Box::new(|case| {
                let words: &[&dyn AsRef<std::ffi::OsStr>] = &[&"-q", &"-t", &"ed25519", &"-N", &"", &"-f", &"forger"];
                program("ssh-keygen", words, &case.0, b"").expect(0);
                fs::remove_file(case.file("delivered.json.sig")).unwrap();
                let words: &[&dyn AsRef<std::ffi::OsStr>] =
                    &[&"-Y", &"sign", &"-f", &"forger", &"-n", &"sluse-receipt", &"delivered.json"];
                program("ssh-keygen", words, &case.0, b"").expect(0);
            }),
        ),
        (
            "a file of the bag changed",
            "sha256sum finds",
            Box::new(|case| {
                fs::write(case.bag().join("data/a.csv"), "a;b\n1;2\n").unwrap();
            }),
        ),
        (
            "a file added to the bag",
            "exactly the files",
            Box::new(|case| {
                fs::write(case.bag().join("data/more.csv"), "a;b\n1;2\n").unwrap();
            }),
        ),
        ("the bag forged whole", "source manifest", Box::new(|case| forge(&case.bag(), "data/a.csv", "a;b\n1;2\n"))),
    ];
    for (number, (name, expected, change)) in changes.iter().enumerate() {
        let case = Case(zone.folder.path().join(format!("case-{number}")));
        copy(&good.0, &case.0);
        change(&case);
        let checked = case.check().expect(1);
        assert!(checked.stdout.contains(expected), "{name}: {}", checked.stdout);
    }
    assert!(good.check().code == 0, "the original was left alone");
}

#[test]
fn an_exported_log_verifies_offline_by_its_signer_alone_and_no_other_end_does() {
    let (_zone, case, _) = audited();
    let log = case.file("log.jsonl");
    let verify = || {
        let signers = case.file("allowed_signers");
        run(sluse(&["audit", "verify", text(&log), "--signer", text(&signers)]))
    };
    verify().expect(0);
    let whole = fs::read_to_string(&log).unwrap();
    let end = whole.trim_end().rfind('\n').unwrap() + 1;
    fs::write(&log, &whole[..end]).unwrap();
    assert!(verify().expect(5).stderr.contains("tail was cut off"));
    fs::write(&log, &whole).unwrap();
    let checkpoint = case.file("log.jsonl.checkpoint");
    fs::rename(&checkpoint, case.file("aside")).unwrap();
    assert!(verify().expect(2).stderr.contains("log.jsonl.checkpoint"));
    // A log that goes on after its checkpoint.
    let lines: Vec<&str> = whole.lines().collect();
    let mut tree = Tree::new();
    lines.iter().for_each(|line| tree.append(line.as_bytes()));
    let mut entry: Entry = serde_json::from_str(lines[lines.len() - 1]).unwrap();
    (entry.number, entry.before) = (tree.position().size, tree.position().root);
    fs::rename(case.file("aside"), &checkpoint).unwrap();
    fs::write(&log, whole + &entry.to_line() + "\n").unwrap();
    assert!(verify().expect(5).stderr.contains("has entries after"));
}

#[test]
fn a_witness_sees_by_files_alone_that_a_newer_checkpoint_goes_on_from_the_older_one() {
    let zone = Zone::start();
    let file = |name: &str| zone.folder.path().join(name);
    zone.operate(&["audit", "checkpoint", text(&file("old"))]).expect(0);
    for source in ["lab", "epic", "pacs"] {
        zone.source(source);
    }
    zone.operate(&["audit", "checkpoint", text(&file("new")), "--since", text(&file("old"))]).expect(0);
    let signers = zone.signers();
    let ours = || run(sluse(&["audit", "extends", text(&file("old")), text(&file("new")), "--signer", text(&signers)]));
    let script = format!("{SCRIPTS}/check.py");
    let words: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&script, &"--signers", &signers, &"--zone", &"sluse", &"--extends", &"old", &"new"];
    let theirs = || program("python3", words, zone.folder.path(), b"");
    ours().expect(0);
    theirs().expect(0);
    let proof = fs::read_to_string(file("new.consistency")).unwrap();
    let cut = proof.trim_end().rfind('\n').unwrap() + 1;
    fs::write(file("new.consistency"), &proof[..cut]).unwrap();
    assert!(ours().expect(5).stderr.contains("does not begin with the earlier"));
    assert!(theirs().expect(1).stdout.contains("does not begin with the earlier"));
}

#[test]
fn a_zone_whose_database_was_put_back_does_not_start_until_an_operator_gives_the_checkpoint_up() {
    let mut zone = Zone::start();
    assert_eq!(zone.stop(), Some(0));
    let control = zone.root().join("control");
    let yesterday = zone.folder.path().join("yesterday.db");
    fs::copy(control.join("state.db"), &yesterday).unwrap();
    zone.run();
    zone.source("lab");
    assert_eq!(zone.stop(), Some(0));
    fs::copy(&yesterday, control.join("state.db")).unwrap();
    for end in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(control.join(format!("state.{end}")));
    }
    assert_eq!(zone.run_to_end(), Some(4));
    assert!(zone.log().contains("last checkpoint") && zone.log().contains("older copy"), "{}", zone.log());
    fs::rename(control.join("checkpoint"), control.join("checkpoint.lost")).unwrap();
    zone.run();
    zone.operate(&["audit", "verify"]).expect(0);
    let log = zone.folder.path().join("log.jsonl");
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    assert!(fs::read_to_string(&log).unwrap().contains("checkpoint-lost"));
}

#[test]
fn a_decision_forged_in_a_bag_with_all_of_its_lists_is_not_the_bag_that_was_delivered() {
    let (_zone, case, _) = audited();
    let (bag, signers) = (case.bag(), case.file("allowed_signers"));
    let verify = || run(sluse(&["bag", "verify", text(&bag), "--signer", text(&signers)]));
    verify().expect(0);
    forge(&bag, "decision.json", r#"{"rule":"operator","by":"ola","reason":"seen"}"#);
    assert!(verify().expect(5).stderr.contains("not the one that was delivered"));
    assert!(case.check().expect(1).stdout.contains("not the bag that was delivered"));
}

#[test]
fn bagit_validates_a_delivered_bag_and_rocrate_reads_its_crate() {
    let python =
        std::env::var_os("SLUSE_PYTHON").expect("tests/run makes a Python with bagit and rocrate, and names it");
    let python = python.to_str().expect("its path is UTF-8");
    // bagit 1.9.0 does not read the `%25` that RFC 8493 wants for a percent sign.
    let (_zone, case, _) = audited_with("blåbær é.csv");
    let bag = case.bag();
    let read = |bag: &Path| program(python, &[&format!("{SCRIPTS}/foreign.py"), &bag], &case.0, b"");
    let told = read(&bag).expect(0).json();
    assert_eq!((&told["files"], &told["crate"]), (&2.into(), &"lab".into()));
    fs::write(bag.join("data/a.csv"), "a;b\n1;2\n").unwrap();
    assert_ne!(read(&bag).code, 0, "bagit must see a changed file");
}

#[test]
fn the_example_in_the_formats_specification_is_what_it_says() {
    let page = include_str!("../../docs/audit-format.md");
    let block = |begin: &str| page.split_once(begin).and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let lines: Vec<&str> = block("```jsonl\n").lines().collect();
    let (mut verifier, mut tree, mut leaves) = (Verifier::new(Vec::new()), Tree::new(), Leaves::default());
    for line in &lines {
        let entry = verifier.entry(line).expect("it follows");
        assert_eq!(entry.to_line(), *line, "the zone writes it so");
        if entry.number == 3 {
            let path = tree.path_of_next();
            let printed = path.iter().map(|hash| format!("    {hash}\n")).collect::<String>();
            assert!(page.contains(&printed), "the path of entry 3");
            let position = {
                leaves.append(line.as_bytes());
                leaves.position(4).expect("four")
            };
            let proof = Inclusion { entry: (*line).to_owned(), path };
            assert!(proof.check(&position).is_ok() && page.contains(&position.root.to_string()));
        } else {
            leaves.append(line.as_bytes());
        }
        tree.append(line.as_bytes());
    }
    let words = page.split_once("    midt  ").expect("the checkpoint").1.lines().skip(1).take(2);
    let words: Vec<&str> = words.map(|line| line.split_whitespace().next().expect("a word")).collect();
    let text = format!("midt\n{}\n{}\n", words[0], words[1]);
    assert_eq!(parse_checkpoint(&text), Some(("midt", verifier.finish().expect("whole"))));
    let keys = PublicKey::find_allowed(page, Some("midt"), NAMESPACE_CHECKPOINT);
    let signature = block("```text\n-----BEGIN").to_owned();
    sshsig::verify(&keys[0], NAMESPACE_CHECKPOINT, text.as_bytes(), &format!("-----BEGIN{signature}")).expect("good");
    assert_eq!(block("```text\nold"), &consistency_text(3, &leaves.consistency(3).expect("three"))["old".len()..]);
}
