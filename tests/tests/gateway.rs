//! The gateway: what foreign software hands to it arrives in the room, once, whoever is killed meanwhile.

use sluse_tests::command::{program, run, sluse};
use sluse_tests::dicom;
use sluse_tests::gateway::Gateway;
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::zone::{Zone, text};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn zone() -> (Zone, Source) {
    let zone = Zone::start();
    // These images say nothing of de-identification, as foreign ones do: what is found in them is no matter here.
    let allowed = "malformed = \"allow\"\nnot-deidentified = \"allow\"\ntype-unknown";
    zone.agree("pacs", "pacs", |text| text.replace("type-unknown", allowed)).expect(0);
    let source = zone.enrol("pacs");
    (zone, source)
}

/// The bags in the room, by transfer.
fn bags(zone: &Zone) -> BTreeMap<String, PathBuf> {
    let datasets = fs::read_dir(zone.room()).into_iter().flatten().flatten();
    // What is on its way lies in a hidden folder.
    let datasets = datasets.filter(|dataset| !dataset.file_name().to_string_lossy().starts_with('.'));
    let bags = datasets.flat_map(|dataset| fs::read_dir(dataset.path()).into_iter().flatten().flatten());
    let whole = bags.filter(|bag| bag.path().join("bagit.txt").exists());
    whole.map(|bag| (bag.file_name().to_string_lossy().into_owned(), bag.path())).collect()
}

/// The data sets in a bag, by the instance that its file is named after.
fn images(bag: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for series in fs::read_dir(bag.join("data")).unwrap().flatten() {
        for image in fs::read_dir(series.path()).unwrap().flatten() {
            let name = image.file_name().to_string_lossy().trim_end_matches(".dcm").to_owned();
            found.insert(name, dicom::data_set(&fs::read(image.path()).unwrap()).to_vec());
        }
    }
    found
}

/// The same of files as they lay at the scanner.
fn sent(files: &[PathBuf], study: &str) -> BTreeMap<String, Vec<u8>> {
    let instance = |number: usize| format!("{study}.{}.{}", number / 100 + 1, number + 1);
    let image =
        |(number, path): (usize, &PathBuf)| (instance(number), dicom::data_set(&fs::read(path).unwrap()).to_vec());
    files.iter().enumerate().map(image).collect()
}

/// What a program printed, without spaces: versions of dcmtk differ in them.
fn said(ended: &sluse_tests::command::Ended) -> String {
    [&*ended.stdout, &*ended.stderr].concat().replace(' ', "")
}

fn paths(files: &[PathBuf]) -> Vec<&Path> {
    files.iter().map(PathBuf::as_path).collect()
}

#[test]
fn a_study_that_storescu_sends_is_one_dataset_in_the_room_with_its_receipts_and_leaves_the_spool_empty() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    gateway.run();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.1", 120, 2000);
    gateway.storescu(&[], &paths(&files)).expect(0);
    let transfer = gateway.wait_for_delivered(1).remove(0);
    let bags = bags(&zone);
    assert_eq!(bags.keys().collect::<Vec<_>>(), [&transfer]);
    assert_eq!(images(&bags[&transfer]), sent(&files, "1.2.40.1"));
    run(sluse(&["bag", "verify", text(&bags[&transfer]), "--signer", text(&zone.signers())])).expect(0);
    gateway.wait_until_empty();
    let receipt = source.receipts(&transfer).join("delivered.json");
    run(sluse(&["receipt", "verify", text(&receipt), "--signer", text(&zone.signers())])).expect(0);
    assert!(!gateway.log().contains("1.2.40.1"), "a study's number is no matter for the log\n{}", gateway.log());
}

#[test]
fn echoscu_is_answered_and_strangers_are_not() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    gateway.run_intake();
    gateway.echoscu(&["-aet", "PACS", "-aec", "SLUSE"]).expect(0);
    for (calling, called) in [("OTHER", "SLUSE"), ("PACS", "OTHER")] {
        let refused = gateway.echoscu(&["-aet", calling, "-aec", called]);
        assert!(refused.code != 0 && refused.stderr.contains("Not Recognized"), "{refused:?}");
    }
}

#[test]
fn nothing_in_the_spool_can_be_read_without_the_private_key() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    fs::rename(gateway.folder.join("spool.key"), gateway.folder.join("elsewhere.key")).unwrap();
    gateway.run_intake();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.2", 3, 2000);
    gateway.storescu(&[], &paths(&files)).expect(0);
    let parcels: Vec<_> = fs::read_dir(gateway.spool().join("arrived")).unwrap().flatten().collect();
    assert_eq!(parcels.len(), 3);
    for parcel in &parcels {
        let sealed = fs::read(parcel.path()).unwrap();
        assert!(!sealed.windows(8).any(|bytes| bytes == b"1.2.40.2"), "no name in the clear");
        let opened = program("age", &[&"-d", &"-i", &"elsewhere.key", &parcel.path()], &gateway.folder, b"");
        assert!(opened.expect(0).stdout.contains("1.2.40.2"), "stock age opens it");
    }
}

/// What dcmtk's own receiver writes when it is sent the same, bit by bit.
fn received_by_storescp(folder: &Path, option: &str, image: &Path) -> Vec<u8> {
    fs::create_dir_all(folder).unwrap();
    let port = sluse_tests::gateway::free_port().port().to_string();
    let mut command = std::process::Command::new("storescp");
    command.args(["+xa", "+B", "-aet", "SLUSE", "-od"]).arg(folder).arg(&port);
    let mut storescp = command.spawn().expect("storescp (tests/run installs dcmtk)");
    sluse_tests::zone::eventually("storescp listens", sluse_tests::zone::PATIENCE, String::new, || {
        let sent = program("storescu", &[&"-aec", &"SLUSE", &option, &"127.0.0.1", &port, &image], folder, b"");
        (sent.code == 0).then_some(())
    });
    storescp.kill().unwrap();
    storescp.wait().unwrap();
    let written: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
    assert_eq!(written.len(), 1);
    fs::read(written[0].path()).unwrap()
}

#[test]
fn every_transfer_syntax_arrives_bit_by_bit_as_dcmtks_receiver_gets_it() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "1s");
    gateway.run();
    let samples = PathBuf::from(std::env::var_os("SLUSE_SAMPLES").expect("tests/run sets it"));
    let samples = samples.join("pydicom/data/test_files");
    // What storescu must be told so that it offers what the file has.
    let cases = [
        ("CT_small.dcm", "-xe", ".1"),
        ("MR_small_implicit.dcm", "-xi", ""),
        ("MR_small_bigendian.dcm", "-xb", ".2"),
        ("CT_small.dcm", "-xd", ".1.99"),
        ("MR_small_RLE.dcm", "-xr", ".5"),
        ("SC_rgb_jpeg_dcmtk.dcm", "-xy", ".4.50"),
        ("MR_small_jp2klossless.dcm", "-xv", ".4.90"),
        ("JPEG2000.dcm", "-xw", ".4.91"),
        ("MR_small_jpeg_ls_lossless.dcm", "-xt", ".4.80"),
    ];
    for (number, (name, option, syntax)) in cases.into_iter().enumerate() {
        let path = samples.join(name);
        gateway.storescu(&[option], &[&path]).expect(0);
        let transfer = gateway.wait_for_delivered(number + 1).remove(number);
        let mut arrived = Vec::new();
        for series in fs::read_dir(bags(&zone)[&transfer].join("data")).unwrap().flatten() {
            arrived.extend(fs::read_dir(series.path()).unwrap().flatten().map(|image| fs::read(image.path()).unwrap()));
        }
        assert_eq!(arrived.len(), 1, "{name}");
        let wanted = received_by_storescp(&gateway.folder.join(format!("storescp-{number}")), option, &path);
        assert_eq!(dicom::syntax(&arrived[0]), format!("1.2.840.10008.1.2{syntax}"), "{name}");
        assert!(dicom::data_set(&arrived[0]) == dicom::data_set(&wanted), "{name} is not what was sent");
    }
}

#[test]
fn the_same_study_sent_twice_is_delivered_once_and_one_more_image_makes_another_version() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "1s");
    gateway.run();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.3", 10, 2000);
    gateway.storescu(&[], &paths(&files)).expect(0);
    // While it is gathered.
    gateway.storescu(&[], &paths(&files)).expect(0);
    gateway.wait_for_delivered(1);
    gateway.wait_until_empty();
    // After it was delivered, also by a gateway that was started again.
    gateway.kill_forward();
    gateway.run_forward();
    gateway.storescu(&[], &paths(&files)).expect(0);
    gateway.eventually("it is known", || gateway.log().contains("was sent before").then_some(()));
    gateway.wait_until_empty();
    assert_eq!(bags(&zone).len(), 1);
    let more = dicom::study(&zone.folder.path().join("images"), "1.2.40.3", 11, 2000);
    gateway.storescu(&[], &paths(&more[10..])).expect(0);
    gateway.wait_for_delivered(2);
    let bags = bags(&zone);
    let datasets: BTreeSet<_> = bags.values().map(|bag| bag.parent()).collect();
    assert_eq!((bags.len(), datasets.len()), (2, 1), "another version of the same dataset");
}

#[test]
fn an_image_that_names_no_study_or_is_not_what_was_announced_is_refused_and_the_next_is_taken() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    gateway.run_intake();
    let folder = zone.folder.path().join("images");
    let good = dicom::study(&folder, "1.2.40.4", 1, 2000);
    let bad = folder.join("bad.dcm");
    let file = dicom::file("", "1.2.40.4.1", "1.2.40.4.1.9", &[0; 100]);
    fs::write(&bad, file).unwrap();
    let refused = gateway.storescu(&["-nh", "-v"], &[&bad, &good[0]]);
    assert!(said(&refused).contains("CannotUnderstand"), "{refused:?}");
    assert_eq!(fs::read_dir(gateway.spool().join("arrived")).unwrap().count(), 1);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_an_image_leaves_nothing_and_what_it_was_told_is_kept() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "600s");
    gateway.run_intake();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.5", 400, 200_000);
    let mut sending = gateway.storescu_command(&[], &paths(&files)).spawn().unwrap();
    let arrived = || fs::read_dir(gateway.spool().join("arrived")).unwrap().count();
    gateway.eventually("some arrived", || (arrived() > 5).then_some(()));
    sending.kill().unwrap();
    sending.wait().unwrap();
    gateway.eventually("nothing is left of the rest", || {
        (fs::read_dir(gateway.spool().join("partial")).unwrap().count() == 0).then_some(())
    });
    assert!((6..400).contains(&arrived()), "{}", arrived());
    gateway.echoscu(&["-aet", "PACS", "-aec", "SLUSE"]).expect(0);
}

#[test]
fn whoever_is_killed_and_however_often_what_was_acknowledged_is_delivered_once() {
    let (mut zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "3s");
    gateway.run();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.6", 200, 20_000);
    let arrived = |gateway: &Gateway| fs::read_dir(gateway.spool().join("arrived")).map_or(0, |found| found.count());
    // intake in the middle: the client starts over, as a PACS does.
    let mut sending = gateway.storescu_command(&[], &paths(&files)).spawn().unwrap();
    gateway.eventually("some arrived", || (arrived(&gateway) > 20).then_some(()));
    gateway.kill_intake();
    assert!(!sending.wait().unwrap().success());
    gateway.kill_forward();
    gateway.run_intake();
    gateway.storescu(&[], &paths(&files)).expect(0);
    // The zone is away; forward is killed again and again while it gathers, closes and tries to send.
    zone.crash();
    for milliseconds in [0, 20, 50, 100, 200, 400, 800, 1600, 3100, 3300, 3600, 4000] {
        gateway.run_forward();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        gateway.kill_forward();
    }
    gateway.run_forward();
    zone.run();
    // And once more while it is sent.
    gateway.eventually("accepted", || gateway.events().iter().any(|told| told["event"] == "accepted").then_some(()));
    gateway.kill_forward();
    gateway.run_forward();
    gateway.wait_until_empty();
    let bags = bags(&zone);
    let mut all = BTreeMap::new();
    for bag in bags.values() {
        for (instance, bytes) in images(bag) {
            assert!(all.insert(instance.clone(), bytes).is_none(), "{instance} was delivered twice");
        }
    }
    assert_eq!(all, sent(&files, "1.2.40.6"));
}

#[test]
fn a_full_spool_is_told_to_the_client_and_heals_when_there_is_room() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "1s");
    let _small = SmallDisk::mount(gateway.spool(), 6 << 20);
    let config = fs::read_to_string(gateway.config()).unwrap();
    fs::write(gateway.config(), config.replace("keep_free_bytes = 0", "keep_free_bytes = 1000000")).unwrap();
    gateway.run_intake();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.7", 40, 300_000);
    let refused = gateway.storescu(&["-nh", "-v"], &paths(&files));
    assert!(said(&refused).contains("OutOfResources"), "{refused:?}");
    let kept = fs::read_dir(gateway.spool().join("arrived")).unwrap().count();
    assert!((1..40).contains(&kept), "{kept}");
    gateway.run_forward();
    gateway.wait_until_empty();
    let delivered: usize = bags(&zone).values().map(|bag| images(bag).len()).sum();
    assert_eq!(delivered, kept, "what was acknowledged, and nothing else");
    gateway.storescu(&[], &paths(&files[39..])).expect(0);
    gateway.wait_for_delivered(2);
}

/// A running Orthanc, a PACS that we did not write.
struct Orthanc {
    child: std::process::Child,
    folder: PathBuf,
    http: std::net::SocketAddr,
}

impl Orthanc {
    fn start(gateway: &Gateway) -> Self {
        let folder = gateway.folder.join("orthanc");
        fs::create_dir_all(&folder).unwrap();
        let (http, dicom) = (sluse_tests::gateway::free_port(), sluse_tests::gateway::free_port());
        let settings = serde_json::json!({
            "Name": "pacs", "StorageDirectory": text(&folder.join("store")), "IndexDirectory": text(&folder.join("store")),
            "HttpPort": http.port(), "DicomPort": dicom.port(), "DicomAet": "PACS", "AuthenticationEnabled": false,
            "Plugins": [], "DicomModalities": {"sluse": ["SLUSE", "127.0.0.1", gateway.dicom.port()]},
        });
        fs::write(folder.join("orthanc.json"), settings.to_string()).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = std::process::Command::new("Orthanc");
        command.arg(folder.join("orthanc.json")).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("Orthanc (tests/run installs it)");
        let orthanc = Self { child, folder, http };
        gateway.eventually("Orthanc answers", || (orthanc.ask(&["-f"], "system").code == 0).then_some(()));
        orthanc
    }

    fn ask(&self, words: &[&str], path: &str) -> sluse_tests::command::Ended {
        let url = format!("http://{}/{path}", self.http);
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-sS"];
        all.extend(words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
        all.push(&url);
        program("curl", &all, &self.folder, b"")
    }
}

impl Drop for Orthanc {
    fn drop(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

#[test]
fn orthanc_echoes_and_sends_a_study_that_arrives_as_it_was() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    gateway.run();
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.8", 15, 5000);
    let orthanc = Orthanc::start(&gateway);
    for file in &files {
        let body = format!("@{}", text(file));
        orthanc.ask(&["-f", "-X", "POST", "--data-binary", &body], "instances").expect(0);
    }
    orthanc.ask(&["-f", "-X", "POST", "-d", "{}"], "modalities/sluse/echo").expect(0);
    let studies = orthanc.ask(&["-f"], "studies").expect(0).json();
    let sending = orthanc.ask(&["-f", "-X", "POST", "-d", &studies.to_string()], "modalities/sluse/store").expect(0);
    assert_eq!(sending.json()["FailedInstancesCount"], 0, "{sending:?}");
    let transfer = gateway.wait_for_delivered(1).remove(0);
    assert_eq!(images(&bags(&zone)[&transfer]), sent(&files, "1.2.40.8"));
    gateway.wait_until_empty();
}

#[test]
fn the_shipped_configuration_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/gateway.toml");
    fs::copy(shipped, folder.path().join("gateway.toml")).unwrap();
    let config = folder.path().join("gateway.toml");
    run(sluse(&["gateway", "--check", "--config", text(&config)])).expect(0);
    fs::write(&config, "[gateway]\nspol = \"x\"\n").unwrap();
    let wrong = run(sluse(&["gateway", "--check", "--config", text(&config)])).expect(3);
    assert!(wrong.stderr.contains("did you mean `spool`?"), "{}", wrong.stderr);
}

/// The child of a process whose first word is `word`.
fn child_of(parent: u32, word: &str) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_ascii_whitespace().find_map(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (command.split(|byte| *byte == 0).nth(1)? == word.as_bytes()).then(|| pid.parse().ok())?
    })
}

/// `sluse gateway`, which is told to stop, and stops its children, also when a test ends early.
struct Both(std::process::Child);

impl Both {
    fn stop(&mut self) -> Option<i32> {
        use nix::sys::signal::{Signal, kill};
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        // One that has ended needs no signal.
        let _ = kill(pid, Signal::SIGTERM);
        self.0.wait().unwrap().code()
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

#[test]
fn sluse_gateway_runs_both_processes_and_starts_one_that_was_killed_again() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let (zone, source) = zone();
    let gateway = Gateway::new(&zone, &source, "1s");
    let log = fs::File::create(gateway.folder.join("gateway.log")).unwrap();
    let mut command = sluse(&["gateway", "--config", text(&gateway.config())]);
    let mut both = Both(command.stdin(std::process::Stdio::null()).stderr(log).spawn().unwrap());
    let listens = || (gateway.echoscu(&["-aet", "PACS", "-aec", "SLUSE"]).code == 0).then_some(());
    gateway.eventually("it listens", listens);
    let killed = child_of(both.0.id(), "intake").unwrap();
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    gateway.eventually("another one takes in", || child_of(both.0.id(), "intake").filter(|pid| *pid != killed));
    gateway.eventually("it listens again", listens);
    let files = dicom::study(&zone.folder.path().join("images"), "1.2.40.9", 3, 2000);
    gateway.storescu(&[], &paths(&files)).expect(0);
    let bag = gateway.eventually("it is delivered", || bags(&zone).into_values().next());
    assert_eq!(images(&bag), sent(&files, "1.2.40.9"));
    assert_eq!(both.stop(), Some(0));
    assert!(listens().is_none(), "both have stopped");
}

#[test]
fn at_whichever_step_of_storing_it_fails_or_is_killed_what_was_acknowledged_is_there_and_the_rest_is_sent_again() {
    let (zone, source) = zone();
    let mut gateway = Gateway::new(&zone, &source, "2s");
    let steps = [("fsync", 3), ("rename", 2), ("fsync", 4)];
    let cases = steps.into_iter().flat_map(|(call, nth)| [(call, nth, Fault::Error), (call, nth, Fault::Death)]);
    let mut wanted = BTreeMap::new();
    for (number, (call, nth, fault)) in cases.enumerate() {
        let study = format!("1.2.40.10.{number}");
        let files = dicom::study(&zone.folder.path().join(format!("images-{number}")), &study, 3, 2000);
        let before = fs::read_dir(gateway.spool().join("arrived")).map_or(0, |found| found.count());
        gateway.run_intake();
        // The second of three images of one association: its bytes, its name, its folder.
        let trace = Trace::attach_to(&zone, gateway.intake(), call, nth, fault);
        let sending = gateway.storescu(&["-nh", "-v"], &paths(&files));
        gateway.eventually("the fault has happened", || trace.struck().then_some(()));
        trace.detach();
        gateway.kill_intake();
        gateway.run_intake();
        let acknowledged = said(&sending).matches("StoreResponse(Success)").count();
        let stored = fs::read_dir(gateway.spool().join("arrived")).unwrap().count() - before;
        assert!((1..3).contains(&acknowledged) && acknowledged <= stored, "{acknowledged}, {stored}: {sending:?}");
        assert_eq!(fs::read_dir(gateway.spool().join("partial")).unwrap().count(), 0);
        gateway.storescu(&[], &paths(&files)).expect(0);
        gateway.kill_intake();
        wanted.extend(sent(&files, &study));
    }
    gateway.run_forward();
    gateway.wait_for_delivered(6);
    gateway.wait_until_empty();
    let bags = bags(&zone);
    assert_eq!(bags.len(), 6, "each study once");
    assert_eq!(bags.values().flat_map(|bag| images(bag)).collect::<BTreeMap<_, _>>(), wanted);
}
