//! Partial release, at the room's end.

use super::*;
use crate::deliver::bag::Documents;
use sluse_protocol::document::{Header, Totals};
use sluse_protocol::part::Part;

/// Plays `control` with this list of what is released, of a dataset out of which two files were left.
fn deliver_part(zone: &TestZone, transfer: &TestTransfer, list: &str, part: Part) -> DeliverOutcome {
    let (statement, documents) = (statement(zone, transfer, NameRule::Posix), MemoryDocuments::of(list));
    let (grant, signature) = ReleaseGrant::sign(&transfer.cleared_part(Some(part)), statement, &signer());
    let grant = ReleaseGrant::verify(&grant, &signature, &signer().public()).unwrap();
    let rooms = Place::root(&zone.zone.rooms()).unwrap();
    let delivered =
        delivery::deliver(&Attempt::default(), &rooms, &transfer.folder, &grant, &transfer.identity, &documents);
    match delivered {
        Ok(visible) => DeliverOutcome::Visible { bag: visible.bag, tagmanifest: visible.tagmanifest, stored: None },
        Err(DeliverError::Integrity(reason)) => DeliverOutcome::Integrity { reason },
        Err(error) => DeliverOutcome::Fault { reason: error.to_string() },
    }
}

/// Gives one long document, in small steps.
struct MemoryDocuments {
    names: Vec<String>,
    list: Vec<u8>,
}

impl MemoryDocuments {
    fn of(list: &str) -> Self {
        Self { names: vec!["released-manifest.jsonl".into()], list: list.as_bytes().to_vec() }
    }
}

impl Documents for MemoryDocuments {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn bytes(&self, name: &str, offset: u64) -> Result<Vec<u8>, DeliverError> {
        assert_eq!(name, "released-manifest.jsonl");
        Ok(self.list[offset as usize..].iter().copied().take(100).collect())
    }

    fn sign(&self, _: &Sha256) -> Result<(String, String), DeliverError> {
        panic!("nothing is archived")
    }
}

/// The list of what is left of [`dataset`] without its first file and its folder `b/deep`, and what it says.
fn part_of(zone: &TestZone, transfer: &TestTransfer) -> (String, Part) {
    let text = transfer.manifest_text();
    let mut kept: Vec<&str> = text.lines().skip(1).collect();
    kept.retain(|line| !line.contains("\"a.bin\"") && !line.contains("b/deep/"));
    let totals = Totals { files: 3, folders: 1, bytes: 10 + 99_999 };
    let left_out = Totals { files: 2, folders: 0, bytes: 350_000 + 4 };
    let granted = statement(zone, transfer, NameRule::Posix);
    let header = Header::Part {
        transfer: transfer.id.clone(),
        source: granted.source,
        agreement: granted.agreement,
        dataset: granted.dataset,
        manifest: transfer.manifest,
        totals,
        left_out,
    };
    let list = header.to_line() + &kept.iter().map(|line| format!("{line}\n")).collect::<String>();
    let part = Part { manifest_sha256: Sha256::of(list.as_bytes()), totals, left_out };
    (list, part)
}

#[test]
fn of_a_part_nothing_is_written_that_its_list_does_not_have() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let (list, part) = part_of(&zone, &transfer);
    let outcome = deliver_part(&zone, &transfer, &list, part);
    assert!(matches!(outcome, DeliverOutcome::Visible { .. }), "{outcome:?}");
    assert_digests(&bag(&zone), "manifest-sha256.txt");
    assert_digests(&bag(&zone), "tagmanifest-sha256.txt");
    let delivered = tree(&bag(&zone).join("data"));
    let mut expected = dataset();
    expected.retain(|sent| sent.path != "a.bin" && !sent.path.starts_with("b/deep"));
    assert_eq!(delivered.len(), expected.len() + 1, "and the folder b: {:?}", delivered.keys());
    for sent in expected {
        assert_eq!(delivered[Path::new(&sent.path)], sent.bytes, "{}", sent.path);
    }
    let names = fs::read_dir(bag(&zone)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("source-manifest")), "it names what was left out");
    assert_eq!(fs::read_to_string(bag(&zone).join("released-manifest.jsonl")).unwrap(), list);
    let info = fs::read_to_string(bag(&zone).join("bag-info.txt")).unwrap();
    assert!(
        info.contains("Payload-Oxum: 100009.3\n") && info.contains("Sluse-Left-Out: 2 files, 0 folders, "),
        "{info}"
    );
    // Told once more, it is the same.
    assert_eq!(deliver_part(&zone, &transfer, &list, part), outcome);
}

#[test]
fn a_list_that_is_not_the_granted_one_delivers_nothing() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let (list, part) = part_of(&zone, &transfer);
    let whole = transfer.manifest_text();
    let a_line = whole.lines().find(|line| line.contains("a.bin")).unwrap();
    let (header, rest) = list.split_once('\n').unwrap();
    let longer = format!("{header}\n{a_line}\n{rest}");
    let shorter = format!("{header}\n{}", rest.split_once('\n').unwrap().1);
    let other_file = list.replacen("\"c\"", "\"d\"", 1);
    let other_header = list.replacen("lab-system", "lab-sys", 1);
    for wrong in [longer.as_str(), &shorter, &other_file, &other_header, &whole, "", "{}\n"] {
        let outcome = deliver_part(&zone, &transfer, wrong, part);
        let DeliverOutcome::Fault { reason } = &outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("not the one that the grant names"), "{reason}");
        assert!(!room(&zone).join("extract").exists());
        // Nor if the grant has the digest of the wrong list: its sums or its files are others.
        let lying = Part { manifest_sha256: Sha256::of(wrong.as_bytes()), ..part };
        assert!(matches!(deliver_part(&zone, &transfer, wrong, lying), DeliverOutcome::Fault { .. }));
        assert!(!room(&zone).join("extract").exists());
    }
}
