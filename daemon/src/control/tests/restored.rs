//! The first start after a restore: said once in the log, and every transfer without bytes given up.

use crate::control::failure::Failure;
use crate::control::testing::*;
use sluse_host::layout::Layout;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::restored::{RESTORED, Restored};
use sluse_protocol::roles::ReceiveReply;
use sluse_protocol::transfer::State;
use std::fs;

fn note(layout: &Layout, bench_end: sluse_protocol::audit::Position, newer: Vec<TransferId>) -> Vec<u8> {
    let note = Restored { by: "kari".into(), backup: bench_end, attested: None, newer };
    let text = serde_json::to_vec(&note).unwrap();
    fs::write(layout.restored(), &text).unwrap();
    text
}

#[test]
fn what_was_in_quarantine_is_given_up_whatever_its_state_and_its_source_may_offer_it_again() {
    let bench = Bench::new();
    let of = |key| Dataset { key, ..Dataset::default() };
    let settled = bench.delivered(&of(1));
    let waiting = [
        bench.delivering(&of(2)),
        bench.held(&of(3)),
        bench.released(&of(4)),
        bench.received(&of(5)),
        bench.accepted(&of(6)),
    ];
    let (layout, end) = (bench.layout(), bench.control.store.audit_position());
    let folder = bench.stop();
    let text = note(&layout, end, vec![waiting[0].clone()]);
    let bench = Bench::reopen(folder).unwrap();
    assert!(!layout.restored().exists());
    assert_eq!(bench.state(&settled), State::Delivered);
    for transfer in &waiting {
        let details = bench.show(transfer);
        assert!(matches!(details.info.status.state, State::Cancelled | State::Failed), "{details:?}");
        assert_eq!(details.info.status.reason.unwrap().code, Code::Cancelled);
    }
    let acts: Vec<_> = bench.audit().into_iter().map(|entry| (entry.act, entry.actor)).collect();
    let at = usize::try_from(end.size).unwrap();
    assert_eq!(acts[at], (RESTORED.to_owned(), "operator kari".to_owned()));
    // What may stand in its room is not taken twice; what cannot is a new transfer.
    assert!(matches!(bench.offer(&of(2)), ReceiveReply::Accepted { state: State::Failed, .. }));
    let again = bench.accepted(&of(3));
    assert!(!waiting.contains(&again));
    // A crash before the note was removed: it is not done twice.
    let folder = bench.stop();
    fs::write(layout.restored(), text).unwrap();
    let bench = Bench::reopen(folder).unwrap();
    assert_eq!(bench.acts().iter().filter(|act| *act == RESTORED).count(), 1);
    assert_eq!(bench.state(&again), State::Receiving);
}

#[test]
fn while_the_database_is_copied_others_write_the_timer_goes_on_and_the_copy_is_of_before() {
    let bench = Bench::new();
    let settled = bench.delivered(&Dataset::default());
    let (end, path) = (bench.control.store.audit_position(), bench.folder.path().join("copy.db"));
    let mut key = 1;
    let copied = bench.control.store.copy_to(&path, || {
        key += 1;
        bench.accepted(&Dataset { key, ..Dataset::default() });
        crate::control::deadlines::tick(&bench.control).unwrap();
        // What would change the file waits: a purge, and another copy.
        let busy =
            |answer: Result<(), Failure>| assert!(matches!(answer, Err(Failure::Refused(it)) if it.code == Code::Busy));
        busy(bench.control.store.forget_deleted());
        busy(bench.control.store.copy_to(&path, || {}).map(drop));
    });
    assert_eq!(copied.unwrap(), end);
    assert!(key > 2, "something was written before the last piece was read");
    let sql = rusqlite::Connection::open(&path).unwrap();
    let transfers: Vec<String> = sql
        .prepare("SELECT id FROM transfers")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(transfers, [settled.to_string()]);
    assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    // Afterwards commits empty the log again, and what was written meanwhile is there.
    bench.control.store.forget_deleted().unwrap();
    let pages =
        |sql: &rusqlite::Connection| Ok(sql.query_row("PRAGMA wal_autocheckpoint", [], |row| row.get::<_, i64>(0))?);
    assert_eq!(bench.control.store.read(pages).unwrap(), 1000);
    let bench = Bench::reopen(bench.stop()).unwrap();
    assert_eq!(bench.control.store.read(crate::control::store::transfers::counts).unwrap().len(), 2);
}

#[test]
fn invites_that_were_not_used_are_taken_back_by_a_restore() {
    let bench = Bench::new();
    let invited = bench.operate(OperatorRequest::SourceInvite { name: "new".parse().unwrap(), hours: 24, room: None });
    assert!(matches!(invited, OperatorReply::Invite { .. }), "{invited:?}");
    let (layout, end) = (bench.layout(), bench.control.store.audit_position());
    let folder = bench.stop();
    note(&layout, end, Vec::new());
    let bench = Bench::reopen(folder).unwrap();
    let sources = bench.control.store.read(crate::control::store::sources::all).unwrap();
    let status = |name: &str| sources.iter().find(|source| source.name.as_str() == name).unwrap().status.clone();
    assert_eq!(status("new"), "revoked");
    assert!(sources.iter().any(|source| source.status == "enrolled"), "who is enrolled stays");
    let entry = bench.audit().into_iter().find(|entry| entry.act == RESTORED).unwrap();
    assert_eq!(entry.details["invites"], 1);
}

#[test]
fn a_copy_of_the_database_has_no_identity_comes_whole_and_is_removed_when_it_was_read() {
    let bench = Bench::new();
    bench.delivering(&Dataset::default());
    let (reply, checkpoint) = bench.ask_operator(OperatorRequest::Snapshot, &[]);
    let OperatorReply::Snapshot { bytes, sha256, .. } = reply else { panic!("{reply:?}") };
    assert!(checkpoint.starts_with(b"zone\n"));
    let mut copy = Vec::new();
    loop {
        let (_, step) = bench.ask_operator(OperatorRequest::SnapshotBytes { offset: copy.len() as u64 }, &[]);
        if step.is_empty() {
            break;
        }
        copy.extend(step);
    }
    assert_eq!((copy.len() as u64, sluse_protocol::digest::Sha256::of(&copy)), (bytes, sha256));
    let path = bench.folder.path().join("copy.db");
    fs::write(&path, copy).unwrap();
    let sql = rusqlite::Connection::open(&path).unwrap();
    let count = |question: &str| sql.query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM transfers WHERE wrapped IS NULL AND wrapped_to IS NULL"), 1);
    assert_eq!(count("SELECT count(*) FROM identities WHERE transfer IS NULL"), 0);
    assert_eq!(bench.control.store.read(crate::control::store::identities::unused).unwrap(), 39);
    assert!(!bench.layout().snapshot().exists());
    let gone = bench.operate(OperatorRequest::SnapshotBytes { offset: 0 });
    assert_operator_refused(&gone, Code::WrongState);
    assert_eq!(bench.acts().last().unwrap(), "zone-copied");
}
