use super::*;
use crate::evidence::signature_of;
use sluse_protocol::audit::Tree;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header, Kind, Totals};
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::{Algorithms, Receipt, ReceiptFormat};
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::time::Timestamp;
use std::fs;

/// A good bag in a room, with its receipts, and who may sign.
struct Room {
    folder: tempfile::TempDir,
    bag: PathBuf,
    signers: PathBuf,
}

const FILES: [(&str, &str); 3] = [("a/lab.csv", "id,value\n1,2\n"), ("a/zero.csv", ""), ("100%.csv", "x\n")];

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let transfer = TransferId::new(Timestamp::from_unix(1_795_342_500), [7; 5]);
        let bag = folder.path().join(transfer.as_str());
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let signers = folder.path().join("allowed_signers");
        fs::write(&signers, key.public().to_allowed_signer("sluse", &[NAMESPACE_RECEIPT])).unwrap();
        for (path, text) in FILES {
            put(&bag, &format!("data/{path}"), text);
        }
        let manifest = source_manifest(&transfer);
        put(&bag, "source-manifest.jsonl", &manifest);
        for kind in [ReceiptKind::Received, ReceiptKind::Released] {
            sign(&bag.join(format!("receipts/{kind}.json")), &receipt(kind, &transfer, &manifest), &key);
        }
        let beside = folder.path().join(format!("{transfer}.receipts/delivered.json"));
        sign(&beside, &receipt(ReceiptKind::Delivered, &transfer, &manifest), &key);
        let room = Self { folder, bag, signers };
        put(&room.bag, "bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n");
        let bytes: usize = FILES.iter().map(|(_, text)| text.len()).sum();
        put(&room.bag, "bag-info.txt", &format!("Payload-Oxum: {bytes}.{}\n", FILES.len()));
        room.list_again();
        room
    }

    /// Writes the bag's lists of what is there now, as somebody who covers up would.
    fn list_again(&self) {
        let mut problems = Problems::default();
        let found = contents::read(&self.bag, &mut problems).unwrap();
        let list = |files: &mut dyn Iterator<Item = (&String, &Sha256)>| -> String {
            files.map(|(path, digest)| format!("{digest}  {path}\n")).collect()
        };
        put(&self.bag, "manifest-sha256.txt", &list(&mut found.payload.iter()));
        let found = contents::read(&self.bag, &mut problems).unwrap();
        let mut tags = found.tags.iter().filter(|(path, _)| *path != "tagmanifest-sha256.txt");
        put(&self.bag, "tagmanifest-sha256.txt", &list(&mut tags));
    }

    fn verify(&self) -> Result<Good, String> {
        verify(&self.bag, &Signers::read(&self.signers).unwrap()).map_err(|failure| failure.sentence())
    }

    #[track_caller]
    fn told(&self, expected: &str) {
        let told = self.verify().map(drop).unwrap_err();
        assert!(told.contains(expected), "{told}");
    }
}

fn put(bag: &Path, path: &str, text: &str) {
    let path = bag.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sign(file: &Path, receipt: &Receipt, key: &SigningKey) {
    let statement = receipt.to_statement();
    put(file.parent().unwrap(), file.file_name().unwrap().to_str().unwrap(), &statement);
    fs::write(signature_of(file), key.sign(NAMESPACE_RECEIPT, statement.as_bytes())).unwrap();
}

fn source_manifest(transfer: &TransferId) -> String {
    let mut entries: Vec<Entry> = FILES
        .iter()
        .map(|(path, text)| Entry {
            path: path.parse().unwrap(),
            kind: Kind::File,
            size: text.len() as u64,
            mtime: 0,
            mtime_ns: 0,
            executable: false,
            sha256: Some(Sha256::of(text.as_bytes())),
        })
        .collect();
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let header = Header::Manifest {
        transfer: transfer.clone(),
        source: "epic".parse().unwrap(),
        agreement: "a".parse().unwrap(),
        dataset: "d".parse().unwrap(),
        plan: Sha256::of(b""),
        totals: totals(&entries),
        chunk_bytes: 1,
        chunks: 1,
        chunk_list: Sha256::of(b""),
        delta: None,
    };
    header.to_line() + &entries.iter().map(Entry::to_line).collect::<String>()
}

fn totals(entries: &[Entry]) -> Totals {
    entries.iter().fold(Totals::default(), |sum, entry| sum.plus(entry).unwrap())
}

fn receipt(kind: ReceiptKind, transfer: &TransferId, manifest: &str) -> Receipt {
    Receipt {
        sluse: ReceiptFormat::V1,
        kind,
        zone: "sluse".parse().unwrap(),
        time: Timestamp::from_unix(1_795_342_500),
        transfer: transfer.clone(),
        source: "epic".parse().unwrap(),
        agreement: "a".parse().unwrap(),
        agreement_sha256: Sha256::of(b""),
        dataset: "d".parse().unwrap(),
        room: "room".parse().unwrap(),
        totals: Totals::default(),
        manifest_sha256: Sha256::of(manifest.as_bytes()),
        part_of: None,
        chunk_list: Sha256::of(b""),
        engines: Vec::new(),
        decision: None,
        stored: None,
        acknowledgement: None,
        previous: None,
        audit: Tree::new().position(),
        inclusion: None,
        algorithms: Algorithms::default(),
    }
}

#[test]
fn a_good_bag_is_good_with_its_receipts_inside_and_beside() {
    let good = Room::new().verify().unwrap();
    assert_eq!((good.files, good.bytes), (3, 15));
    let kinds: Vec<_> = good.receipts.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [ReceiptKind::Received, ReceiptKind::Released, ReceiptKind::Delivered]);
}

#[test]
fn a_bag_that_was_moved_away_from_its_later_receipts_is_good() {
    let mut room = Room::new();
    let moved = room.folder.path().join("elsewhere");
    fs::rename(&room.bag, &moved).unwrap();
    room.bag = moved;
    assert_eq!(room.verify().unwrap().receipts.len(), 2);
}

#[test]
fn changed_missing_and_added_files_are_named() {
    let room = Room::new();
    put(&room.bag, "data/a/lab.csv", "id,value\n1,3\n");
    room.told("data/a/lab.csv was changed: its SHA-256 is not the one in manifest-sha256.txt");
    let room = Room::new();
    fs::remove_file(room.bag.join("data/a/zero.csv")).unwrap();
    room.told("data/a/zero.csv is missing; manifest-sha256.txt lists it");
    let room = Room::new();
    put(&room.bag, "data/later.csv", "");
    room.told("data/later.csv is not listed in manifest-sha256.txt");
    let room = Room::new();
    put(&room.bag, "source-manifest.jsonl", "{}");
    room.told("source-manifest.jsonl was changed");
    let room = Room::new();
    std::os::unix::fs::symlink("/etc/passwd", room.bag.join("data/link")).unwrap();
    room.told("data/link is neither a file nor a folder");
    let room = Room::new();
    put(&room.bag, "fetch.txt", "http://elsewhere - data/x\n");
    room.told("fetch.txt names files that are elsewhere");
}

#[test]
fn a_bag_whose_lists_were_written_anew_still_differs_from_what_the_receipts_attest() {
    let room = Room::new();
    put(&room.bag, "data/a/lab.csv", "id,value\n1,3\n");
    room.list_again();
    room.told("data/a/lab.csv is not the file that the source declared");
    let room = Room::new();
    put(&room.bag, "data/later.csv", "");
    put(&room.bag, "bag-info.txt", "");
    room.list_again();
    room.told("data/later.csv is not in source-manifest.jsonl");
    let room = Room::new();
    let manifest = fs::read_to_string(room.bag.join("source-manifest.jsonl")).unwrap();
    put(&room.bag, "source-manifest.jsonl", &manifest.replace("\"mtime\":0", "\"mtime\":1"));
    room.list_again();
    room.told("source-manifest.jsonl is not the manifest that the receipts attest");
}

#[test]
fn receipts_of_others_and_changed_receipts_are_told() {
    let room = Room::new();
    let file = room.bag.join("receipts/released.json");
    let changed = fs::read_to_string(&file).unwrap().replace("\"room\": \"room\"", "\"room\": \"mine\"");
    fs::write(&file, changed).unwrap();
    room.list_again();
    room.told("released.json is not good: the signature does not verify");
    let room = Room::new();
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    fs::write(&room.signers, other.public().to_openssh()).unwrap();
    room.told("signed by another key");
    let room = Room::new();
    fs::copy(room.bag.join("receipts/received.json"), room.bag.join("receipts/released.json")).unwrap();
    fs::copy(room.bag.join("receipts/received.json.sig"), room.bag.join("receipts/released.json.sig")).unwrap();
    room.list_again();
    room.told("released.json is a received receipt");
    let room = Room::new();
    fs::remove_dir_all(room.bag.join("receipts")).unwrap();
    room.told("cannot read");
}
