//! What hostile, broken and personal content comes to, whatever it is packed in: through the built binaries, with archives that
//! other programs made.

use sluse_tests::command::program;
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::Zone;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Makes the files of `vectors.py` below `folder`; the numbers of persons that stand in them.
fn vectors(folder: &Path) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("content/vectors.py");
    let made = program("python3", &[&script, &folder], folder, &data::eicar()).expect(0);
    made.stdout.lines().map(str::to_owned).collect()
}

/// The classes that were found in each file, by its path.
fn found(zone: &Zone, transfer: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for finding in zone.show(transfer)["findings"].as_array().unwrap() {
        let (file, class) = (finding["file"].as_str().unwrap(), finding["class"].as_str().unwrap());
        found.entry(file.into()).or_default().insert(class.into());
    }
    found
}

/// Sends a folder or file and waits until it is decided; the transfer and its state.
fn decided(zone: &Zone, source: &Source, path: &Path) -> (String, String) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let sent = source.send(path, name, "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    let state = zone.eventually("it is decided", || {
        let state = zone.show(&transfer)["info"]["status"]["state"].as_str().unwrap().to_owned();
        ["held", "rejected", "delivered"].contains(&state.as_str()).then_some(state)
    });
    (transfer, state)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A zone, a source, and the vectors.
fn prepared() -> (Zone, Source, PathBuf, Vec<String>) {
    let zone = Zone::start();
    let source = zone.source("lab");
    let folder = zone.folder.path().join("vectors");
    fs::create_dir(&folder).unwrap();
    let numbers = vectors(&folder);
    (zone, source, folder, numbers)
}

#[test]
fn what_is_packed_broken_or_personal_is_found_and_no_number_is_written_anywhere() {
    let (zone, source, folder, numbers) = prepared();
    malware_is_found_in_every_packing(&zone, &source, &folder.join("malware"));
    what_is_forged_is_held_by_its_class(&zone, &source, &folder.join("forged"));
    persons_are_found_in_every_format(&zone, &source, &folder.join("persons"));
    an_export_is_compared_with_its_manifest(&zone, &source, &folder.join("export"));
    assert!(numbers.len() > 10);
    fs::remove_dir_all(&folder).unwrap();
    no_number_is_written(&zone, &numbers);
}

fn malware_is_found_in_every_packing(zone: &Zone, source: &Source, folder: &Path) {
    let (transfer, state) = decided(zone, source, folder);
    assert_eq!(state, "rejected");
    let found = found(zone, &transfer);
    for name in names(folder) {
        assert!(found.get(&name).is_some_and(|classes| classes.contains("malware")), "{name}: {found:#?}");
    }
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    let deep = r#"malware (signatures): nested.tar.gz: within … > "inner.tar.gz" > "inner.tar" > "virus.com": signature Eicar"#;
    assert!(shown.contains(deep), "{shown}");
}

fn what_is_forged_is_held_by_its_class(zone: &Zone, source: &Source, folder: &Path) {
    let (transfer, state) = decided(zone, source, folder);
    assert_eq!(state, "rejected", "programs and macros are in it");
    let found = found(zone, &transfer);
    let expected = [
        ("overlap.zip", "bomb"),
        ("many.zip", "bomb"),
        ("zeros.gz", "bomb"),
        ("locked.zip", "encrypted"),
        ("locked.7z", "encrypted"),
        ("locked-names.7z", "encrypted"),
        ("deep.zip", "bomb"),
        ("t\u{202e}vsc.csv", "path"),
        ("climb.zip", "path"),
        ("climb.tar", "path"),
        ("absolute.zip", "path"),
        ("absolute.tar", "path"),
        ("turned.zip", "path"),
        ("turned.tar", "path"),
        ("escape.zip", "path"),
        ("escape.tar", "path"),
        ("preamble.dcm", "polyglot"),
        ("cut.ndjson", "malformed"),
        ("cut.parquet", "malformed"),
        ("cut.bam", "malformed"),
        ("nul.csv", "malformed"),
        ("delimiter.csv", "malformed"),
        ("grows.xml", "malformed"),
        ("reads.xml", "malformed"),
        ("old.rar", "not-inspected"),
        ("names.cpio", "not-inspected"),
        ("frame.lz4", "not-inspected"),
        ("files.cab", "not-inspected"),
        ("cut.cram", "malformed"),
        ("tool.zip", "executable"),
        ("macros.zip", "executable"),
        ("acts.svg.gz", "active-content"),
        ("acts.pdf", "active-content"),
    ];
    for (name, class) in expected {
        assert!(found.get(name).is_some_and(|classes| classes.contains(class)), "{name} {class}: {found:#?}");
    }
    assert_eq!(names(folder).len(), expected.len(), "each vector is expected to be something");
    // Names do nothing to a terminal, nor to the eye.
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
}

fn persons_are_found_in_every_format(zone: &Zone, source: &Source, folder: &Path) {
    let (transfer, state) = decided(zone, source, folder);
    assert_eq!(state, "rejected");
    let found = found(zone, &transfer);
    for picture in ["persons.png", "persons.jpeg"] {
        assert!(found[picture].contains("not-deidentified"), "{found:#?}");
    }
    for name in names(folder) {
        // A name, a letter and what stands beside a picture are no places made for numbers.
        let by_review = ["name.zip", "letter.txt", "persons.png", "persons.jpeg", "made-3.cram"];
        let class = if by_review.contains(&name.as_str()) { "identifier-review" } else { "identifier" };
        assert!(found.get(&name).is_some_and(|classes| classes.contains(class)), "{name} {class}: {found:#?}");
    }
}

fn an_export_is_compared_with_its_manifest(zone: &Zone, source: &Source, folder: &Path) {
    let (transfer, state) = decided(zone, source, folder);
    assert_eq!(state, "held");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    for told in [
        "malformed (file-type): manifest.json: of the type Encounter it names 3 resources in 1 files; 2 in 1 files came",
        "malformed (file-type): manifest.json: of the type Group it names 1 resources in 1 files; 0 in 0 files came",
        "malformed (file-type): Device.000.ndjson: 1 resources in it are not of the type Device, as its manifest says",
        "irregular (file-type): Location.000.ndjson: its manifest does not name it",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(!found(zone, &transfer).contains_key("Condition.000.ndjson"), "{shown}");
}

/// Looks through all that the zone wrote (database, log, findings, documents, receipts) and told the source.
fn no_number_is_written(zone: &Zone, numbers: &[String]) {
    let spaced = numbers.iter().map(|number| format!("{} {}", &number[..6], &number[6..]));
    let wanted: Vec<String> = numbers.iter().cloned().chain(spaced).collect();
    let holding = |wanted: &[String]| {
        let words: [&dyn AsRef<OsStr>; 7] =
            [&"-r", &"-l", &"--text", &"--fixed-strings", &"--devices=skip", &"--file=-", &"."];
        let found = program("grep", &words, zone.folder.path(), wanted.join("\n").as_bytes());
        assert!(found.code == 0 || found.code == 1, "{found:?}");
        found.stdout
    };
    assert_eq!(holding(&wanted), "");
    // It is looked for where it would be: what was found is there.
    let found = holding(&["keyed hash of the first".into()]);
    assert!(found.contains("zone/control/"), "{found}");
    let log = holding(&["transfer inspected".into()]);
    assert!(log.contains("slused.log"), "{log}");
}

#[test]
fn each_rule_of_an_agreement_leads_to_what_it_says() {
    let (zone, lab, folder, _) = prepared();
    let columns = "columns = [\"pseudonym\", \"age\"]";
    let patterns = "patterns = [{ name = \"hospital number\", pattern = \"NPR-[0-9]{8}\" }]";
    let pseudonym = "pseudonym = \"P[0-9]{3}\"";
    // The rule, what its class is to lead to, the file, and what becomes of it.
    let cases = [
        (columns, "", "good.csv", "delivered"),
        (columns, "", "columns.csv", "held"),
        (columns, "column-not-agreed = \"block\"", "columns.csv.gz", "rejected"),
        ("", "", "columns.csv", "delivered"),
        (patterns, "", "patterns.txt", "held"),
        (patterns, "named-pattern = \"warn\"", "patterns.zip", "delivered"),
        (patterns, "named-pattern = \"block\"", "patterns.zip", "rejected"),
        ("forbid_identifiers = true", "", "identifiers.csv", "rejected"),
        ("forbid_identifiers = true", "identifier = \"hold\"", "identifiers.csv", "held"),
        (pseudonym, "", "good.dcm", "delivered"),
        (pseudonym, "", "pseudonym.dcm", "held"),
        (pseudonym, "not-deidentified = \"warn\"", "pseudonym.dcm", "delivered"),
        ("private_elements = false", "", "private.dcm", "held"),
        ("private_elements = true", "", "private.dcm", "delivered"),
    ];
    for (number, (rule, action, file, expected)) in cases.into_iter().enumerate() {
        let id = format!("rule-{number}");
        let change = |text: String| {
            let text = text.replace("[content]\n", &format!("[content]\n{rule}\n"));
            text.replace("[content.actions]\n", &format!("[content.actions]\n{action}\n"))
        };
        zone.agree(&id, "lab", change).expect(0);
        let source = Source { identity: lab.identity.clone(), agreement: id };
        let (transfer, state) = decided(&zone, &source, &folder.join("rules").join(file));
        assert_eq!(state, expected, "{rule} {action} {file}: {:#?}", found(&zone, &transfer));
    }
    // Identifiable data is looked at for none of this.
    let identifiable = |text: String| text.replace("\"pseudonymised\"", "\"identifiable\"");
    zone.agree("identifiable", "lab", identifiable).expect(0);
    let source = Source { identity: lab.identity.clone(), agreement: "identifiable".into() };
    for file in ["identifiers.csv", "pseudonym.dcm", "private.dcm"] {
        assert_eq!(decided(&zone, &source, &folder.join("rules").join(file)).1, "delivered", "{file}");
    }
}

#[test]
fn a_bomb_costs_its_own_file_and_nothing_else() {
    let (zone, source, folder, _) = prepared();
    let mixed = zone.folder.path().join("mixed");
    fs::create_dir(&mixed).unwrap();
    for name in ["many.zip", "overlap.zip", "zeros.gz"] {
        fs::rename(folder.join("forged").join(name), mixed.join(name)).unwrap();
    }
    fs::write(mixed.join("a.csv"), data::csv(1, 5000)).unwrap();
    fs::write(mixed.join("z.csv"), data::csv(2, 5000)).unwrap();
    let (transfer, state) = decided(&zone, &source, &mixed);
    let found = found(&zone, &transfer);
    assert_eq!((state.as_str(), found.len()), ("held", 3), "{found:#?}");
    let engines = zone.show(&transfer)["report"]["engines"].clone();
    let all = engines.as_array().unwrap().iter().all(|engine| engine["files"] == 5);
    assert!(all, "every engine read every file: {engines}");
}

#[test]
fn malware_at_the_end_of_a_file_of_three_gigabytes_is_found() {
    let zone = Zone::start();
    let large = |text: String| text.replace("bytes = 1_000_000_000", "bytes = 4_000_000_000");
    zone.agree("lab", "lab", large).expect(0);
    let source = zone.enrol("lab");
    let path = zone.folder.path().join("large.csv");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"a;b\n1;2\n").unwrap();
    // A hole: it is sent, encrypted and read as zeros.
    let end = 3_000_000_000;
    file.seek(SeekFrom::Start(end)).unwrap();
    file.write_all(&data::eicar()).unwrap();
    drop(file);
    let (transfer, state) = decided(&zone, &source, &path);
    assert_eq!(state, "rejected");
    let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
    assert!(shown.contains(&format!("malware (signatures): large.csv at byte {end}")), "{shown}");
}
