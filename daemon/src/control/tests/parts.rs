//! Partial release: files that reviewers refuse never leave, and those that chose differently release nothing.

use super::reviews::{ONE_MORE, bench, choose};
use crate::control::documents::Which;
use crate::control::store::{reviews, transfers};
use crate::control::testing::*;
use proptest::prelude::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::finding::{Class, Finding};
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, ReviewInfo};
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Code;
use sluse_protocol::register::Filter;
use sluse_protocol::register::{Record, Registered};
use sluse_protocol::review::Choice;
use sluse_protocol::roles::{DeliverReply, DeliverRequest, InspectReply};
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT};
use sluse_protocol::transfer::State;
use std::collections::{BTreeMap, BTreeSet};

const FILES: [&str; 4] = ["a.csv", "b/c.csv", "b/d.csv", "e.csv"];

fn dataset() -> Dataset {
    Dataset { files: FILES.iter().zip([10, 5, 7, 1]).map(|(path, size)| (*path, size)).collect(), ..Dataset::default() }
}

/// A transfer that is held, with a finding in its first file.
fn waiting(bench: &Bench) -> TransferId {
    let transfer = bench.inspecting(&dataset());
    assert_eq!(bench.inspected(&dataset(), &transfer, &[Class::IdentifierReview]), InspectReply::Done);
    transfer
}

fn release(bench: &Bench, name: &str, transfer: &TransferId, without: &[&str]) -> OperatorReply {
    let request = OperatorRequest::Release { transfer: transfer.clone(), reason: format!("{name} looked") };
    bench.ask_as(name, request, without.join("\n").as_bytes()).0
}

/// What leaves the quarantine by the grant that is signed next.
fn granted(bench: &Bench, transfer: &TransferId) -> GrantStatement {
    let signer = &bench.control.store.signer;
    let granted = bench.control.store.read(|sql| {
        let transfer = transfers::get(sql, transfer)?;
        crate::control::releases::grant(&bench.control, sql, &transfer, bench.control.store.now())
    });
    let (statement, signature) = granted.unwrap();
    ReleaseGrant::verify(&statement, &signature, &signer.key.public()).unwrap().statement().clone()
}

/// The paths of the list that a grant names.
fn listed(bench: &Bench, transfer: &TransferId) -> BTreeSet<String> {
    let grant = granted(bench, transfer);
    let which = if grant.part.is_some() { Which::Part } else { Which::Manifest };
    let (mut entries, mut paths) = (bench.control.documents.entries(transfer, which).unwrap(), BTreeSet::new());
    while let Some(entry) = entries.next().unwrap() {
        paths.insert(entry.path.as_str().to_owned());
    }
    let ended = entries.finish().unwrap();
    assert_eq!((ended.sha256, *ended.header.totals()), (grant.released_manifest(), grant.released_totals()));
    paths
}

fn receipt(bench: &Bench, transfer: &TransferId, kind: ReceiptKind) -> Receipt {
    let (reply, statement) = bench.ask_operator(OperatorRequest::Receipt { transfer: transfer.clone(), kind }, &[]);
    assert!(matches!(reply, OperatorReply::Receipt { .. }), "{reply:?}");
    serde_json::from_slice(&statement).unwrap()
}

#[test]
fn what_two_persons_leave_out_alike_stays_and_every_document_says_so() {
    let bench = bench();
    let transfer = waiting(&bench);
    assert_eq!(release(&bench, "rita", &transfer, &["b", "a.csv"]), ONE_MORE);
    let bench = bench.restart();
    assert_eq!(release(&bench, "roar", &transfer, &["a.csv", "b/c.csv", "b/d.csv"]), OperatorReply::Done);
    assert_eq!(listed(&bench, &transfer), BTreeSet::from(["e.csv".to_owned()]));
    let (totals, left_out) = (Totals { files: 1, folders: 0, bytes: 1 }, Totals { files: 3, folders: 0, bytes: 22 });
    let whole = bench.show(&transfer).manifest_sha256.unwrap();
    let part = bench.show(&transfer).part.unwrap();
    assert_eq!((part.totals, part.left_out), (totals, left_out));

    let released = receipt(&bench, &transfer, ReceiptKind::Released);
    assert_eq!((released.totals, released.manifest_sha256), (totals, part.manifest_sha256));
    assert_eq!((released.sealed_manifest(), released.sealed_totals()), (whole, Some(dataset().totals())));
    let (_, records) = bench.ask_operator(OperatorRequest::Register { after: 0, filter: Filter::default() }, &[]);
    let registered: Registered = serde_json::from_slice(&records).unwrap();
    let record: Record = registered.record().unwrap();
    assert_eq!(
        (record.totals, record.manifest_sha256, record.part_of),
        (totals, part.manifest_sha256, released.part_of)
    );
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == "transfer-released").unwrap();
    assert_eq!(entry.details["part"]["left_out"]["files"], 3);

    bench.wrap(&transfer);
    let (DeliverReply::Deliver { documents, .. }, _) = bench.deliver(DeliverRequest::Next) else { panic!() };
    let fetch = |name: &str| {
        let request = DeliverRequest::Document { transfer: transfer.clone(), name: name.into(), offset: 0 };
        bench.deliver(request)
    };
    let names: Vec<&str> = documents.iter().map(String::as_str).collect();
    assert!(
        names.contains(&"released-manifest.jsonl") && !names.iter().any(|name| name.starts_with("source-manifest"))
    );
    let (list, signature) = (fetch("released-manifest.jsonl").1, fetch("released-manifest.jsonl.sig").1);
    assert_eq!(Sha256::of(&list), part.manifest_sha256);
    let signer = bench.control.store.signer.key.public();
    sshsig::verify(&signer, NAMESPACE_RECEIPT, &list, &String::from_utf8(signature).unwrap()).unwrap();
    // What names a file that was left out does not go along.
    assert!(matches!(fetch("source-manifest.jsonl").0, DeliverReply::Refused(_)));
    let findings: Vec<Finding> = serde_json::from_slice(&fetch("findings.json").1).unwrap();
    assert!(findings.is_empty(), "the only one was in a.csv");
    for name in names {
        let (reply, bytes) = fetch(name);
        assert_eq!(reply, DeliverReply::Document, "{name}");
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("a.csv") && !text.contains("b/c.csv"), "{name}: {text}");
    }
    bench.visible(&transfer);
    let delivered = receipt(&bench, &transfer, ReceiptKind::Delivered);
    assert_eq!((delivered.totals, delivered.part_of), (totals, released.part_of));
}

#[test]
fn persons_who_leave_out_different_files_are_asked_anew_and_see_what_the_other_chose() {
    let bench = bench();
    let transfer = waiting(&bench);
    assert_eq!(release(&bench, "rita", &transfer, &["a.csv"]), ONE_MORE);
    assert_eq!(release(&bench, "roar", &transfer, &[]), OperatorReply::Differing);
    assert_eq!(bench.state(&transfer), State::Held);
    let bench = bench.restart();
    let seen = |name: &str| -> Vec<ReviewInfo> {
        match bench.ask_as(name, OperatorRequest::Show { transfer: transfer.clone() }, &[]).0 {
            OperatorReply::Transfer(details) => details.reviews,
            other => panic!("{other:?}"),
        }
    };
    let chose = |reviews: Vec<ReviewInfo>| -> Vec<_> {
        reviews.into_iter().map(|review| (review.choice, review.part.map(|part| part.left_out.files))).collect()
    };
    let both = vec![(Some(Choice::Release), Some(1)), (Some(Choice::Release), None)];
    assert_eq!((chose(seen("rita")), chose(seen("roar"))), (both.clone(), both));
    assert_eq!(chose(seen("rune")), [(None, None), (None, None)], "who may still be asked is not led");
    // Now they agree; and the first of them is unseen again until the other has chosen.
    assert_eq!(release(&bench, "roar", &transfer, &["a.csv"]), ONE_MORE);
    assert_eq!(chose(seen("rita"))[2], (None, None));
    assert_eq!(release(&bench, "rita", &transfer, &["a.csv"]), OperatorReply::Done);
    assert_eq!(listed(&bench, &transfer).len(), 3);
}

#[test]
fn names_in_vain_everything_and_nonsense_are_refused_and_change_nothing() {
    let bench = bench();
    let transfer = waiting(&bench);
    for without in [&["b/x.csv"][..], &["a.csv", "b", "e.csv"], &["../a.csv"], &["a.csv", "", "e.csv"]] {
        assert_operator_refused(&release(&bench, "rita", &transfer, without), Code::Invalid);
    }
    let bytes = OperatorRequest::Release { transfer: transfer.clone(), reason: "x".into() };
    assert_operator_refused(&bench.ask_as("rita", bytes, b"\xff").0, Code::Invalid);
    assert!(bench.show(&transfer).reviews.is_empty());
    let left: Vec<_> = std::fs::read_dir(bench.layout().role(sluse_protocol::roles::Role::Control).join("arriving"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_part_that_was_released_and_held_again_is_decided_anew() {
    let bench = bench();
    let transfer = waiting(&bench);
    release(&bench, "rita", &transfer, &["a.csv"]);
    release(&bench, "roar", &transfer, &["a.csv"]);
    // Suspended and resumed, the decision stands.
    let id = || "lab".parse().unwrap();
    bench.ask_as("olga", OperatorRequest::AgreementSuspend { id: id(), reason: "REK asks".into() }, &[]);
    bench.ask_as("ole", OperatorRequest::AgreementResume { id: id(), reason: "content".into() }, &[]);
    assert_eq!((bench.state(&transfer), listed(&bench, &transfer).len()), (State::Released, 3));
    // Under another version it does not, and the whole is released if that is what they choose now.
    let text = agreement("lab").replace("automatic", "two-reviewers").replace("Test", "Other");
    bench.ask_as("olga", OperatorRequest::AgreementChange { reason: "renamed".into() }, text.as_bytes());
    let activate = OperatorRequest::AgreementActivate { id: id(), version: 3, reason: "read it".into() };
    assert_eq!(bench.ask_as("ole", activate, &[]).0, OperatorReply::Done);
    assert_eq!(bench.state(&transfer), State::Held);
    release(&bench, "rita", &transfer, &[]);
    release(&bench, "roar", &transfer, &[]);
    assert_eq!((listed(&bench, &transfer).len(), bench.show(&transfer).part), (4, None));
    assert_eq!(receipt(&bench, &transfer, ReceiptKind::Released).part_of, None);
}

/// What may happen around a held transfer.
#[derive(Debug, Clone)]
enum Happening {
    Release(usize, BTreeSet<usize>),
    Reject(usize),
    Suspend,
    Resume,
    InspectAgain,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    let person = 3..PEOPLE.len();
    let files = proptest::collection::btree_set(0..FILES.len(), 0..2);
    prop_oneof![
        8 => (person.clone(), files).prop_map(|(person, files)| Happening::Release(person, files)),
        1 => person.prop_map(Happening::Reject),
        1 => Just(Happening::Suspend),
        2 => Just(Happening::Resume),
        1 => Just(Happening::InspectAgain),
        1 => Just(Happening::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_sequence_of_events_releases_a_file_that_somebody_refused(
        happenings in proptest::collection::vec(happening(), 1..25)
    ) {
        let mut bench = bench();
        let transfer = waiting(&bench);
        // By user id: what each person's last choice left out.
        let mut refused: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for happening in happenings {
            match happening {
                Happening::Release(person, files) => {
                    let without: BTreeSet<&str> = files.iter().map(|file| FILES[*file]).collect();
                    let names: Vec<&str> = without.iter().copied().collect();
                    if !matches!(release(&bench, PEOPLE[person].0, &transfer, &names), OperatorReply::Refused(_)) {
                        refused.insert(PEOPLE[person].1, without);
                    }
                }
                Happening::Reject(person) => drop(choose(&bench, PEOPLE[person].0, &transfer, Choice::Reject)),
                Happening::Suspend => {
                    let (id, reason) = ("lab".parse().unwrap(), "x".into());
                    bench.ask_operator(OperatorRequest::AgreementSuspend { id, reason }, &[]);
                }
                Happening::Resume => {
                    let (id, reason) = ("lab".parse().unwrap(), "x".into());
                    bench.ask_operator(OperatorRequest::AgreementResume { id, reason }, &[]);
                }
                Happening::InspectAgain => {
                    let request = OperatorRequest::InspectAgain { transfer: transfer.clone(), reason: "x".into() };
                    if bench.ask_operator(request, &[]).0 == OperatorReply::Done {
                        bench.next_task();
                        bench.inspected(&dataset(), &transfer, &[]);
                    }
                }
                Happening::Restart => bench = bench.restart(),
            }
            if bench.state(&transfer) == State::Released {
                let made = bench.control.store.read(|sql| reviews::standing(sql, &transfer)).unwrap();
                let leaves = listed(&bench, &transfer);
                prop_assert!(made.len() >= 2);
                for person in made {
                    let theirs = &refused[&person.by.uid];
                    prop_assert!(theirs.iter().all(|file| !leaves.contains(*file)), "{:?} {:?}", theirs, leaves);
                    prop_assert_eq!(leaves.len() + theirs.len(), FILES.len());
                }
            }
        }
    }
}
