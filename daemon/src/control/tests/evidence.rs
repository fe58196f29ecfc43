//! Receipts with their proofs to the end of a transfer's life, and a database that is put back to an older copy.

use crate::control::testing::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::roles::{InspectReply, InspectRequest, ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;
use sluse_protocol::update::{Kind, Step};
use std::fs;

fn receipt(bench: &Bench, transfer: &TransferId, kind: ReceiptKind) -> (Vec<u8>, String) {
    let ask = ReceiveRequest::Receipt { source: lab(), transfer: transfer.clone(), kind };
    match bench.ask(ask) {
        (ReceiveReply::Receipt { signature }, statement) => (statement, signature),
        other => panic!("{other:?}"),
    }
}

fn purge(bench: &Bench, transfer: &TransferId) {
    bench.wait(31 * DAY);
    assert_eq!(bench.inspect(InspectRequest::Purged { transfer: transfer.clone() }, &[]), InspectReply::Done);
    assert_eq!(bench.state(transfer), State::Purged);
}

#[test]
fn receipts_up_to_the_purge_name_the_one_before_prove_their_entry_and_come_back_the_same() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    purge(&bench, &transfer);
    let kinds = [ReceiptKind::Received, ReceiptKind::Released, ReceiptKind::Delivered, ReceiptKind::Purged];
    assert_eq!(bench.show(&transfer).info.status.receipts, kinds);
    let first: Vec<_> = kinds.iter().map(|kind| receipt(&bench, &transfer, *kind)).collect();
    let mut previous = None;
    for (kind, (statement, _)) in kinds.iter().zip(&first) {
        let read: Receipt = serde_json::from_slice(statement).unwrap();
        assert_eq!((read.kind, read.previous), (*kind, previous));
        assert_eq!(read.check_inclusion(), Ok(true), "{kind}");
        let forged = Receipt { kind: ReceiptKind::Rejected, ..read.clone() };
        assert!(forged.check_inclusion().is_err(), "the entry says something else");
        let entry = read.inclusion.unwrap().entry;
        assert!(entry.contains(&format!("transfer-{kind}")) && entry.contains(transfer.as_str()), "{entry}");
        previous = Some(Sha256::of(statement));
    }
    let bench = bench.restart();
    let again: Vec<_> = kinds.iter().map(|kind| receipt(&bench, &transfer, *kind)).collect();
    assert_eq!(again, first);
}

#[test]
fn what_never_arrived_whole_is_purged_without_a_receipt_but_not_without_an_entry() {
    let bench = Bench::new();
    let transfer = bench.accepted(&Dataset::default());
    bench.operate(OperatorRequest::Cancel { transfer: transfer.clone(), reason: "no longer needed".into() });
    purge(&bench, &transfer);
    assert!(bench.show(&transfer).info.status.receipts.is_empty());
    assert!(bench.acts().contains(&"transfer-purged".to_owned()));
}

/// The error of the next start.
fn refusal(root: &std::path::Path) -> String {
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(START));
    open(root, &clock).err().expect("it must not start").to_string()
}

/// A zone that was stopped: its database as it was some acts ago, and what the log attested last.
fn rolled_back() -> (tempfile::TempDir, u64) {
    let bench = Bench::new();
    let layout = bench.layout();
    bench.control.store.forget_deleted().unwrap();
    let old = fs::read(layout.database()).unwrap();
    bench.accepted(&Dataset::default());
    let end = bench.control.last_checkpoint.write(&bench.control.store).unwrap();
    let folder = bench.stop();
    fs::write(layout.database(), old).unwrap();
    let _ = fs::remove_file(layout.database().with_extension("db-wal"));
    let _ = fs::remove_file(layout.database().with_extension("db-shm"));
    (folder, end.size)
}

#[test]
fn a_database_that_was_put_back_to_an_older_copy_is_named_and_keeps_control_from_starting() {
    let (folder, size) = rolled_back();
    let error = refusal(folder.path());
    assert!(error.contains("last checkpoint") && error.contains(&format!("attests {size} entries")), "{error}");
    fs::remove_file(sluse_host::layout::Layout::new(folder.path()).database()).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("the log ends at 0"), "{error}");
}

#[test]
fn an_operator_who_gives_the_checkpoint_up_goes_on_and_the_log_says_what_was_lost() {
    let (folder, size) = rolled_back();
    let layout = sluse_host::layout::Layout::new(folder.path());
    fs::rename(layout.checkpoint(), layout.lost_checkpoint()).unwrap();
    let bench = Bench::reopen(folder).unwrap();
    let entry = bench.audit().pop().unwrap();
    assert_eq!((entry.act.as_str(), &entry.details["size"]), ("checkpoint-lost", &size.into()));
    assert!(!layout.lost_checkpoint().exists() && layout.checkpoint().exists());
    let entries = bench.audit().len();
    assert_eq!(bench.restart().audit().len(), entries, "it is told once");
}

#[test]
fn a_checkpoint_that_is_missing_changed_or_anothers_keeps_control_from_starting() {
    let folder = Bench::new().stop();
    let layout = sluse_host::layout::Layout::new(folder.path());
    let good = fs::read_to_string(layout.checkpoint()).unwrap();
    fs::remove_file(layout.checkpoint()).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("checkpoint is missing") && error.contains("checkpoint.lost"), "{error}");
    for changed in [good.replace("zone\n", "zone2\n"), good.replacen("\n0\n", "\n1\n", 1), String::new()] {
        assert_ne!(changed, good);
        fs::write(layout.checkpoint(), changed).unwrap();
        let error = refusal(folder.path());
        assert!(error.contains("is not a checkpoint that this zone signed"), "{error}");
    }
    // A checkpoint that is behind the log is what a power cut leaves.
    fs::write(layout.checkpoint(), good).unwrap();
    Bench::reopen(folder).unwrap();
}

#[test]
fn a_row_that_says_something_else_than_the_log_is_named_and_keeps_control_from_starting() {
    let bench = Bench::new();
    let rejected = bench.held(&Dataset::default());
    bench.operate(OperatorRequest::Reject { transfer: rejected.clone(), reason: "no".into() });
    bench.enrol("epic");
    bench.operate(OperatorRequest::SourceRevoke { name: "epic".parse().unwrap(), reason: "stolen".into() });
    let key = Some(identity_key().public().to_openssh());
    let change = OperatorRequest::RoomChange {
        name: "room".parse().unwrap(),
        key,
        recipient: None,
        until: None,
        reason: "its own".into(),
    };
    assert_eq!(bench.operate(change), OperatorReply::Done);
    let (kind, bundle, key) = (Kind::Yara, Sha256::of(b"bundle"), identity_key().public().to_openssh());
    let step = Step::Admit { kind, number: 7, bundle, key };
    assert_eq!(bench.operate(OperatorRequest::Update { step }), OperatorReply::Done);
    let (layout, mut folder) = (bench.layout(), bench.stop());
    let path = layout.database();
    let certificate = "0".repeat(64);
    let changes = [
        ("UPDATE transfers SET state = 'released'".to_owned(), format!("transfer {rejected}")),
        ("DELETE FROM history; DELETE FROM receipts; DELETE FROM transfers".into(), "1 transfers that are gone".into()),
        (
            "UPDATE agreements SET checked = replace(checked, 'automatic', 'one-reviewer')".into(),
            "agreement lab".into(),
        ),
        ("UPDATE agreements SET text = replace(text, 'testing', 'tasting')".into(), "agreement lab".into()),
        (
            "UPDATE agreements SET suspended = '{\"since\":\"2026-11-22T00:00:00Z\",\"by\":\"kari\",\"reason\":\"x\"}'"
                .into(),
            "agreement".into(),
        ),
        ("UPDATE sources SET revoked = NULL WHERE name = 'epic'".into(), "source epic".into()),
        ("UPDATE sources SET identity = 'another' WHERE name = 'lab'".into(), "source lab".into()),
        (
            format!("INSERT INTO certificates (sha256, source, expires) VALUES ('{certificate}', 'lab', 4000000000)"),
            "a certificate of source lab".into(),
        ),
        ("UPDATE updates SET number = 6".into(), "update yara".into()),
        ("UPDATE updates SET applied = 1".into(), "update yara".into()),
        ("DELETE FROM updates".into(), "update yara".into()),
        ("UPDATE rooms SET folder = 'elsewhere'".into(), "room room".into()),
        ("UPDATE rooms SET key = NULL".into(), "room room".into()),
        (format!("UPDATE rooms SET recipient = '{}'", recipient(7)), "room room".into()),
        (
            "INSERT INTO rooms (name, folder, names, added) VALUES ('mine', 'mine', '\"posix\"', 1)".into(),
            "room mine".into(),
        ),
    ];
    for (change, named) in changes {
        folder = Bench::reopen(folder).expect("it is as it was").stop();
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.pragma_update(None, "foreign_keys", false).unwrap();
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let good = fs::read(&path).unwrap();
        sql.execute_batch(&change).unwrap();
        assert!(sql.total_changes() > 0, "{change}");
        drop(sql);
        let error = refusal(folder.path());
        assert!(error.contains("something else than its audit log") && error.contains(&named), "{change}: {error}");
        fs::write(&path, good).unwrap();
    }
}
