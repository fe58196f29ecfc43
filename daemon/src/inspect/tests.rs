use super::*;
use crate::inspect::engines::signatures::eicar;
use crate::quarantine::testing::{CHUNK, TestFile, TestTransfer, TestZone, file, folder, noise};
use sluse_host::rpc;
use sluse_protocol::finding::{Class, Finding, Report};
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::path::NameRule;
use sluse_protocol::sshsig::SigningKey;
use sluse_protocol::time::Timestamp;
use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const ID: &str = "20261122-101500-7f3k9a2m";

/// Plays `control`: hands out what is put into `tasks`, and passes on what it is told.
struct Control {
    tasks: Sender<InspectReply>,
    told: Receiver<(InspectRequest, Vec<u8>)>,
}

/// Runs the role against a `control` of the test's.
fn begin(zone: &TestZone) -> Control {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (tasks, waiting) = channel();
    let (tell, told) = channel();
    let waiting = Mutex::new(waiting);
    let answer = move |request, body| {
        let reply = match request {
            InspectRequest::Next => {
                let task = waiting.lock().unwrap().recv_timeout(Duration::from_millis(200));
                task.unwrap_or(InspectReply::Idle)
            }
            other => {
                tell.send((other, body)).unwrap();
                InspectReply::Done
            }
        };
        (reply, Vec::new())
    };
    std::thread::spawn(move || rpc::serve(ours, answer));
    let zone = zone.zone.clone();
    let held = Held::load(&zone, jail::testing::jail(), Leases::open(&zone, None).unwrap()).unwrap();
    std::thread::spawn(move || work(zone, held, theirs));
    Control { tasks, told }
}

impl Control {
    fn told(&self) -> (InspectRequest, Vec<u8>) {
        self.told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn inspect(&self, transfer: &TestTransfer, content: Content) -> (InspectOutcome, Vec<Finding>) {
        let (recipient, manifest_sha256) = (transfer.recipient(), transfer.manifest);
        let (transfer, content) = (transfer.id.clone(), Box::new(content));
        self.tasks.send(InspectReply::Inspect { transfer, recipient, manifest_sha256, content, base: None }).unwrap();
        let (InspectRequest::Inspected { outcome, .. }, body) = self.told() else { panic!() };
        let findings = if body.is_empty() { Vec::new() } else { serde_json::from_slice(&body).unwrap() };
        (outcome, findings)
    }
}

fn report(outcome: InspectOutcome) -> Report {
    let InspectOutcome::Report { report } = outcome else { panic!("{outcome:?}") };
    report
}

fn dataset() -> Vec<TestFile> {
    // The test file lies across the border of two chunks.
    let mut hidden = noise(4 * CHUNK as usize - 350_000 - 30, 3);
    hidden.extend(eicar::bytes());
    vec![
        file("a/big.dcm", noise(350_000, 1)),
        file("a/empty.csv", b""),
        folder("b"),
        file("c/hidden", &hidden),
        file("c/table.csv", b"a;b\n1;2\n"),
    ]
}

#[test]
fn every_file_is_read_by_every_engine_and_the_test_file_is_found_across_a_chunk_border() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone);
    let (InspectRequest::Engines { engines, failing, full_malware_engine, .. }, _) = control.told() else { panic!() };
    let names: Vec<_> = engines.iter().map(|engine| engine.engine.as_str()).collect();
    assert_eq!((names, failing.len(), full_malware_engine), (vec!["signatures", "file-type"], 0, false));
    let (outcome, findings) = control.inspect(&transfer, Content::default());
    let report = report(outcome);
    assert_eq!((report.files, report.manifest), (4, transfer.manifest));
    assert!(report.engines.iter().all(|engine| engine.files == 4));
    assert_eq!((report.counts[&Class::Malware], report.findings.len()), (1, 0));
    assert_eq!((findings[0].class, findings[0].engine.as_str()), (Class::Malware, "signatures"));
    assert_eq!(findings[0].file.as_ref().unwrap().as_str(), "c/hidden");
}

#[test]
fn a_required_engine_that_is_not_there_is_a_finding() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &[file("a.csv", b"a;b\n1;2\n")]);
    let control = begin(&zone);
    control.told();
    let content = Content { engines: vec!["clamd".into()], ..Content::default() };
    let (outcome, findings) = control.inspect(&transfer, content);
    assert_eq!(report(outcome).counts[&Class::NotInspected], 1);
    assert_eq!((findings[0].engine.as_str(), findings[0].file.as_ref()), ("clamd", None));
}

#[test]
fn whatever_is_changed_on_disk_is_noticed() {
    let damages: [fn(&TestTransfer); 6] = [
        |transfer| flip(&transfer.chunk(1), 5000),
        |transfer| fs::remove_file(transfer.chunk(1)).unwrap(),
        |transfer| flip(&transfer.folder.join("manifest.age"), 300),
        |transfer| fs::remove_file(transfer.folder.join("manifest.age")).unwrap(),
        |transfer| flip(&transfer.folder.join("chunks.index"), 60),
        |transfer| {
            let bytes = fs::read(transfer.chunk(1)).unwrap();
            fs::write(transfer.chunk(1), &bytes[..bytes.len() - 1]).unwrap();
        },
    ];
    let zone = TestZone::new();
    let control = begin(&zone);
    control.told();
    for (number, damage) in damages.into_iter().enumerate() {
        let transfer = zone.sealed(&format!("20261122-101500-7f3k9a2{number}"), &dataset());
        damage(&transfer);
        let (outcome, _) = control.inspect(&transfer, Content::default());
        assert!(matches!(outcome, InspectOutcome::Integrity { file: None, .. }), "{number}: {outcome:?}");
    }
}

#[test]
fn a_chunk_in_anothers_place_is_noticed_by_the_file_whose_bytes_it_has() {
    let damages: [fn(&TestTransfer); 3] = [
        |transfer| {
            let (one, two) = (transfer.plain(0), transfer.plain(1));
            transfer.exchange(0, &two);
            transfer.exchange(1, &one);
        },
        |transfer| transfer.exchange(1, &transfer.plain(0)),
        |transfer| transfer.exchange(1, &noise(CHUNK as usize, 9)),
    ];
    let zone = TestZone::new();
    let control = begin(&zone);
    control.told();
    for (number, damage) in damages.into_iter().enumerate() {
        let transfer = zone.sealed(&format!("20261122-101500-7f3k9a2{number}"), &dataset());
        damage(&transfer);
        let (outcome, _) = control.inspect(&transfer, Content::default());
        let InspectOutcome::Integrity { file: Some(file), .. } = outcome else { panic!("{number}: {outcome:?}") };
        assert_eq!(file.as_str(), "a/big.dcm", "{number}");
    }
}

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_manifest_that_is_not_the_one_decided_on_is_noticed() {
    let zone = TestZone::new();
    let mut transfer = zone.sealed(ID, &dataset());
    transfer.manifest = Sha256::of(b"another");
    let control = begin(&zone);
    control.told();
    let (outcome, _) = control.inspect(&transfer, Content::default());
    assert!(matches!(outcome, InspectOutcome::Integrity { .. }), "{outcome:?}");
}

#[test]
fn a_file_with_another_digest_than_declared_is_named_to_control_alone() {
    let zone = TestZone::new();
    let transfer = zone.sealed_with_wrong_digest(ID);
    let control = begin(&zone);
    control.told();
    let (outcome, _) = control.inspect(&transfer, Content::default());
    let InspectOutcome::Integrity { reason, file } = outcome else { panic!("{outcome:?}") };
    assert_eq!(file.unwrap().as_str(), "b");
    assert_eq!(reason, "a file's SHA-256 is not the one in the manifest");
}

#[test]
fn an_identity_that_is_gone_is_a_fault_and_not_a_verdict() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    fs::remove_file(zone.layout().identity(&transfer.recipient())).unwrap();
    let control = begin(&zone);
    control.told();
    let (outcome, _) = control.inspect(&transfer, Content::default());
    assert!(matches!(outcome, InspectOutcome::Fault { .. }), "{outcome:?}");
}

fn granted(zone: &TestZone, transfer: &TestTransfer, key: &SigningKey, deliver: &Identity) -> InspectReply {
    let statement = GrantStatement {
        zone: zone.zone.settings.zone.name.clone(),
        time: Timestamp::from_unix(1_790_000_000),
        transfer: transfer.id.clone(),
        identity: transfer.recipient(),
        source: "lab-system".parse().unwrap(),
        agreement: "a-1".parse().unwrap(),
        dataset: "extract".parse().unwrap(),
        totals: transfer.totals,
        manifest_sha256: transfer.manifest,
        part: None,
        room: "lab".parse().unwrap(),
        room_folder: "lab".into(),
        room_names: NameRule::Posix,
        room_recipient: None,
        elsewhere: false,
        delivery: Default::default(),
        deliver: deliver.to_public().to_string(),
    };
    let (grant, signature) = ReleaseGrant::sign(&transfer.cleared(), statement, key);
    InspectReply::Wrap { transfer: transfer.id.clone(), grant, signature }
}

#[test]
fn an_identity_is_handed_to_deliver_on_controls_word_alone() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone);
    control.told();
    let stranger = SigningKey::from_seed(&[8; 32]).unwrap();
    let mut of_another = granted(&zone, &transfer, &zone.signer, &zone.deliver);
    if let InspectReply::Wrap { transfer, .. } = &mut of_another {
        *transfer = "20261122-101500-7f3k9a2n".parse().unwrap();
    }
    for bad in [
        granted(&zone, &transfer, &stranger, &zone.deliver),
        granted(&zone, &transfer, &zone.signer, &Identity::generate()),
        of_another,
    ] {
        control.tasks.send(bad).unwrap();
        let (told, body) = control.told();
        let InspectRequest::NotDone { cause, .. } = told else { panic!("{told:?}") };
        assert_eq!((cause, body.len()), (FaultCause::BadGrant, 0));
    }
    control.tasks.send(granted(&zone, &transfer, &zone.signer, &zone.deliver)).unwrap();
    let (InspectRequest::Wrapped { transfer: named }, wrapped) = control.told() else { panic!() };
    assert_eq!(named, transfer.id);
    assert!(identity::unwrap(&wrapped, &zone.deliver, &transfer.recipient()).is_ok());
    assert!(control.told.recv_timeout(Duration::from_millis(300)).is_err());
}

#[test]
fn what_could_not_be_done_is_told_with_its_reason() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone);
    control.told();
    let identity = zone.layout().identity(&transfer.recipient());
    std::fs::rename(&identity, identity.with_extension("away")).unwrap();
    control.tasks.send(granted(&zone, &transfer, &zone.signer, &zone.deliver)).unwrap();
    let (told, _) = control.told();
    let InspectRequest::NotDone { task, cause, reason } = told else { panic!("{told:?}") };
    assert_eq!((task, cause), (QuickTask::Wrap { transfer: transfer.id.clone() }, FaultCause::Retrying));
    assert!(reason.contains("identity is not there"), "{reason}");
    std::fs::create_dir(&identity).unwrap();
    control.tasks.send(InspectReply::Purge { transfer: transfer.id.clone(), recipient: transfer.recipient() }).unwrap();
    let (told, _) = control.told();
    let InspectRequest::NotDone { task, cause, .. } = told else { panic!("{told:?}") };
    assert_eq!((task, cause), (QuickTask::Purge { transfer: transfer.id.clone() }, FaultCause::Retrying));
    assert!(transfer.folder.exists(), "bytes go only after the identity");
}

#[test]
fn quick_tasks_do_not_wait_behind_inspections() {
    let zone = TestZone::new();
    let control = begin(&zone);
    control.told();
    let large = zone.sealed(ID, &[file("a", noise(20_000_000, 1))]);
    for _ in 0..30 {
        let (recipient, manifest_sha256) = (large.recipient(), large.manifest);
        let (transfer, content) = (large.id.clone(), Box::default());
        control
            .tasks
            .send(InspectReply::Inspect { transfer, recipient, manifest_sha256, content, base: None })
            .unwrap();
    }
    control.tasks.send(InspectReply::Mint { count: 1 }).unwrap();
    let told: Vec<InspectRequest> = (0..31).map(|_| control.told().0).collect();
    let minted = told.iter().position(|told| matches!(told, InspectRequest::Identities { .. })).unwrap();
    assert!(minted < 20, "after {minted} inspections");
    let InspectRequest::Identities { recipients } = &told[minted] else { panic!() };
    assert!(recipients.iter().all(|recipient| zone.layout().identity(recipient).exists()));
}
