mod archives;
mod deliveries;
mod elsewhere;
mod part;

use super::*;
use crate::quarantine::testing::{TestFile, TestTransfer, TestZone, file, folder, noise};
use sluse_host::rpc;
use sluse_protocol::agreement::Delivery;
use sluse_protocol::archive::{ArchiveFormat, ArchiveStatement, Fixity, SIGNED};
use sluse_protocol::audit::{Entry, Inclusion, Tree};
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::path::NameRule;
use sluse_protocol::roles::{RemoveOutcome, WithdrawOutcome};
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const ID: &str = "20261122-101500-7f3k9a2m";

const STATEMENT: &[u8] = b"{\"kind\": \"delivered\"}\n";

/// Plays `control`.
struct Control {
    tasks: Sender<(DeliverReply, Vec<u8>)>,
    told: Receiver<DeliverRequest>,
}

/// Runs the role; what it is told of a visible bag is answered with a receipt that `key` signed.
fn begin(zone: &TestZone, key: SigningKey) -> Control {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (tasks, waiting) = channel();
    let (tell, told) = channel();
    let waiting = Mutex::new(waiting);
    let answer = move |request, _| match request {
        DeliverRequest::Next => {
            let task = waiting.lock().unwrap().recv_timeout(Duration::from_millis(100));
            task.unwrap_or((DeliverReply::Idle, Vec::new()))
        }
        DeliverRequest::Document { name, offset, .. } => {
            let text = format!("the document {name}").repeat(40_000);
            let rest = text.as_bytes().get(offset as usize..).unwrap_or_default();
            (DeliverReply::Document, rest[..rest.len().min(512 * 1024)].to_vec())
        }
        DeliverRequest::Sign { transfer, tagmanifest } => {
            let statement = archives::archived(&transfer, tagmanifest).to_statement();
            (DeliverReply::Signed { signature: key.sign(NAMESPACE_RECEIPT, statement.as_bytes()) }, statement.into())
        }
        other => {
            let visible = matches!(&other, DeliverRequest::Delivered { outcome: DeliverOutcome::Visible { .. }, .. });
            tell.send(other).unwrap();
            if visible {
                let signature = key.sign(NAMESPACE_RECEIPT, STATEMENT);
                (DeliverReply::Receipt { signature }, STATEMENT.to_vec())
            } else {
                (DeliverReply::Done, Vec::new())
            }
        }
    };
    std::thread::spawn(move || rpc::serve(ours, answer));
    let zone = zone.zone.clone();
    let held = Held::load(&zone).unwrap();
    std::thread::spawn(move || work(zone, held, theirs));
    let control = Control { tasks, told };
    assert!(matches!(control.told(), DeliverRequest::Recipient { .. }));
    control
}

fn signer() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

impl Control {
    fn told(&self) -> DeliverRequest {
        self.told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn deliver(&self, zone: &TestZone, transfer: &TestTransfer, names: NameRule) -> DeliverOutcome {
        self.tasks.send(task(zone, transfer, names, &signer())).unwrap();
        let DeliverRequest::Delivered { transfer: named, outcome } = self.told() else { panic!() };
        assert_eq!(named, transfer.id);
        outcome
    }
}

fn statement(zone: &TestZone, transfer: &TestTransfer, room_names: NameRule) -> GrantStatement {
    GrantStatement {
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
        room_names,
        room_recipient: None,
        elsewhere: false,
        delivery: Delivery::Bag,
        deliver: zone.deliver.to_public().to_string(),
    }
}

/// A grant of nothing that is there.
pub fn some_grant() -> GrantStatement {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    statement(&zone, &transfer, NameRule::Posix)
}

fn task(zone: &TestZone, transfer: &TestTransfer, names: NameRule, key: &SigningKey) -> (DeliverReply, Vec<u8>) {
    let cleared = transfer.cleared();
    let (grant, signature) = ReleaseGrant::sign(&cleared, statement(zone, transfer, names), key);
    let documents = ["receipts/received.json", "findings.json", "source-manifest.jsonl"].map(String::from).to_vec();
    let wrapped = identity::wrap(&transfer.identity, &zone.deliver.to_public()).unwrap();
    (
        DeliverReply::Deliver {
            transfer: transfer.id.clone(),
            grant,
            signature,
            documents,
            version: false,
            elsewhere: false,
        },
        wrapped,
    )
}

/// The same into a room that has a recipient.
fn task_to(zone: &TestZone, transfer: &TestTransfer, room_recipient: Option<String>) -> (DeliverReply, Vec<u8>) {
    let (_, wrapped) = task(zone, transfer, NameRule::Posix, &signer());
    let statement = GrantStatement { room_recipient, ..statement(zone, transfer, NameRule::Posix) };
    let (grant, signature) = ReleaseGrant::sign(&transfer.cleared(), statement, &signer());
    let documents = vec!["findings.json".to_owned(), "source-manifest.jsonl".to_owned()];
    (
        DeliverReply::Deliver {
            transfer: transfer.id.clone(),
            grant,
            signature,
            documents,
            version: false,
            elsewhere: false,
        },
        wrapped,
    )
}

fn dataset() -> Vec<TestFile> {
    let mut tool = file("b/run me.sh", b"#!/bin/sh\n");
    tool.executable = true;
    vec![
        file("a.bin", noise(350_000, 1)),
        file("b/deep/er/æ ø.csv", b"a;b\n"),
        file("b/empty", b""),
        folder("b/nothing"),
        tool,
        file("c", noise(99_999, 2)),
    ]
}

fn room(zone: &TestZone) -> PathBuf {
    zone.zone.rooms().join("lab")
}

fn bag(zone: &TestZone) -> PathBuf {
    room(zone).join("extract").join(ID)
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(here) = left.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, None);
                left.push(path);
            } else {
                found.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    found
}

fn assert_digests(bag: &Path, list: &str) {
    let checked = Command::new("sha256sum").args(["--quiet", "-c", list]).current_dir(bag).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
