//! What is not committed leaves no trace; what is committed is verified when it is read back.

use super::*;
use crate::control::failure::refuse;
use serde_json::json;
use sluse_protocol::key_statement::Chain;
use sluse_protocol::refusal::Code;
use std::path::PathBuf;

fn signer() -> Signer {
    let (zone, key) = ("zone".parse().unwrap(), SigningKey::from_seed(&[1; 32]).unwrap());
    let chain = Chain::in_force(&zone, key.public(), &[]).unwrap();
    Signer { zone, key, chain }
}

pub fn open(path: &Path) -> Result<Store, RoleError> {
    Store::open(path, signer(), Box::new(|| Timestamp::from_unix(1_800_000_000)), None)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    (folder, path)
}

fn record(store: &Store, act: &str) {
    store.write(|write| write.record(&Who::Control, act, None, json!({"n": 1})).map(drop)).unwrap();
}

/// The acts in the log.
pub fn audited(store: &Store) -> Vec<String> {
    let (_, text) = store.read(|sql| audit::lines(sql, 0, 100_000)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["act"].as_str().unwrap().to_owned())
        .collect()
}

fn rows(store: &Store) -> i64 {
    store.read(|sql| Ok(sql.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?)).unwrap()
}

#[test]
fn a_transaction_that_fails_leaves_neither_row_nor_leaf() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    record(&store, "first");
    let before = store.audit_position();
    let failed: Result<(), _> = store.write(|write| {
        write.record(&Who::Control, "second", None, json!({}))?;
        refuse(Code::Invalid, "no")
    });
    assert!(failed.is_err());
    assert_eq!((store.audit_position(), rows(&store)), (before, 1));
    record(&store, "third");
    drop(store);
    assert_eq!(open(&path).unwrap().audit_position().size, 2);
}

#[test]
fn a_commit_that_fails_leaves_neither_row_nor_leaf() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    record(&store, "first");
    let before = store.audit_position();
    let failed = store.write(|write| {
        write.record(&Who::Control, "second", None, json!({}))?;
        // A broken reference that only the commit notices.
        write.sql.pragma_update(None, "defer_foreign_keys", true)?;
        write.sql.execute("INSERT INTO certificates (sha256, source, expires) VALUES ('a', 'nobody', 0)", [])?;
        Ok(())
    });
    assert!(matches!(failed, Err(Failure::Fault(Fault::Commit(_)))));
    assert_eq!((store.audit_position(), rows(&store)), (before, 1));
    record(&store, "third");
    drop(store);
    assert_eq!(open(&path).unwrap().audit_position().size, 2);
}

#[test]
fn a_commit_that_fails_is_an_error_also_where_nothing_was_recorded() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    let failed = store.write(|write| {
        write.sql.pragma_update(None, "defer_foreign_keys", true)?;
        write.sql.execute("INSERT INTO certificates (sha256, source, expires) VALUES ('a', 'nobody', 0)", [])?;
        Ok(())
    });
    assert!(matches!(failed, Err(Failure::Fault(Fault::Commit(_)))), "{failed:?}");
    record(&store, "first");
}

#[test]
fn a_panic_in_a_transaction_rolls_it_back_and_harms_no_other() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    record(&store, "first");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _: Result<(), _> = store.write(|write| {
            write.record(&Who::Control, "second", None, json!({}))?;
            panic!("on purpose")
        });
    }));
    assert!(panicked.is_err());
    record(&store, "third");
    drop(store);
    assert_eq!(open(&path).unwrap().audit_position().size, 2);
}

#[test]
fn a_log_that_was_changed_or_cut_stops_the_start() {
    for change in [
        "UPDATE audit SET line = replace(line, 'second', 'seconds') WHERE number = 1",
        "DELETE FROM audit WHERE number = 2",
        "DELETE FROM audit WHERE number = 0",
        "UPDATE audit SET line = '{}' WHERE number = 0",
        "UPDATE audit_end SET size = 2",
        "DELETE FROM audit_end",
    ] {
        let (_folder, path) = folder();
        let store = open(&path).unwrap();
        ["first", "second", "third"].iter().for_each(|act| record(&store, act));
        drop(store);
        let sql = Connection::open(&path).unwrap();
        assert!(sql.execute(change, []).is_err() || change.contains("audit_end"), "the table refuses: {change}");
        sql.execute_batch(&format!("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut; {change}"))
            .unwrap();
        drop(sql);
        let error = open(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("audit log is broken"), "{change}: {error}");
    }
}

#[test]
fn one_process_has_the_database() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    record(&store, "first");
    let error = open(&path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("locked"), "{error}");
    drop(store);
    open(&path).unwrap();
}

#[test]
fn long_logs_are_told_in_pieces() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    (0..10).for_each(|number| record(&store, &format!("act-{number}")));
    let (count, text) = store.read(|sql| audit::lines(sql, 0, 1000)).unwrap();
    assert!(count < 10 && text.len() <= 1000 && text.lines().count() as u64 == count);
    let (rest, _) = store.read(|sql| audit::lines(sql, count, 100_000)).unwrap();
    assert_eq!(count + rest, 10);
    assert_eq!(store.read(|sql| audit::lines(sql, 10, 1000)).unwrap(), (0, String::new()));
}
