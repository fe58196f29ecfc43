//! What is asked for at the same time stands or falls together at the commit, and what is wrong by itself falls alone.

use super::*;
use crate::control::failure::refuse;
use crate::control::store::Who;
use crate::control::store::tests::{audited, open};
use serde_json::json;
use sluse_protocol::refusal::Code;
use std::thread;
use tempfile::TempDir;

/// How two changes ended that were asked for before either was committed, and the store that they were made in.
struct Both {
    first: Result<(), Failure>,
    second: thread::Result<Result<(), Failure>>,
    store: Store,
    _folder: TempDir,
}

/// Makes `first`, and `second` in the same transaction.
fn both(
    first: impl FnOnce(&mut Write<'_>) -> Result<(), Failure> + Send,
    second: impl FnOnce(&mut Write<'_>) -> Result<(), Failure> + Send,
) -> Both {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db")).unwrap();
    let (first, second) = thread::scope(|scope| {
        let store = &store;
        let (began, has_begun) = std::sync::mpsc::channel();
        let first = scope.spawn(move || {
            store.write(|write| {
                began.send(()).unwrap();
                while store.is_nobody_coming() {
                    thread::yield_now();
                }
                first(write)
            })
        });
        has_begun.recv().unwrap();
        let second = scope.spawn(move || store.write(second)).join();
        (first.join().unwrap(), second)
    });
    Both { first, second, store, _folder: folder }
}

fn note(write: &mut Write<'_>, act: &str) -> Result<(), Failure> {
    write.record(&Who::Control, act, None, json!({})).map(drop)
}

fn first(write: &mut Write<'_>) -> Result<(), Failure> {
    note(write, "first")
}

/// What only the commit finds wrong.
fn break_the_commit(write: &Write<'_>) -> Result<(), Failure> {
    write.sql.pragma_update(None, "defer_foreign_keys", true)?;
    write.sql.execute("INSERT INTO certificates (sha256, source, expires) VALUES ('a', 'nobody', 0)", [])?;
    Ok(())
}

impl Both {
    /// Goes on, and reads the log from the disk again.
    #[track_caller]
    fn check(self, acts: &[&str]) {
        let Both { store, _folder: folder, .. } = self;
        assert_eq!(audited(&store), acts);
        store.write(|write| note(write, "later")).unwrap();
        drop(store);
        assert_eq!(open(&folder.path().join("state.db")).unwrap().audit_position().size, acts.len() as u64 + 1);
    }
}

#[test]
fn changes_that_are_asked_for_together_are_both_made() {
    let both = both(first, |write| note(write, "second"));
    assert!(both.first.is_ok() && matches!(both.second, Ok(Ok(()))));
    both.check(&["first", "second"]);
}

#[test]
fn a_commit_that_fails_fails_all_that_is_in_it() {
    let both = both(first, |write| {
        note(write, "second")?;
        break_the_commit(write)
    });
    assert!(matches!(&both.first, Err(Failure::Fault(Fault::Commit(_)))), "{:?}", both.first);
    assert!(matches!(&both.second, Ok(Err(Failure::Fault(Fault::Commit(_))))));
    both.check(&[]);
}

#[test]
fn a_change_that_is_refused_takes_none_with_it() {
    let both = both(first, |write| {
        note(write, "second")?;
        refuse(Code::Invalid, "no")
    });
    assert!(both.first.is_ok() && matches!(&both.second, Ok(Err(Failure::Refused(_)))));
    both.check(&["first"]);
}

#[test]
fn a_refusal_is_not_said_where_what_it_may_rest_on_does_not_stand() {
    let both = both(
        |write| {
            note(write, "first")?;
            break_the_commit(write)
        },
        |_| refuse(Code::NameTaken, "the first has it"),
    );
    assert!(matches!(&both.first, Err(Failure::Fault(Fault::Commit(_)))), "{:?}", both.first);
    assert!(matches!(&both.second, Ok(Err(Failure::Fault(Fault::Commit(_))))), "{:?}", both.second);
    both.check(&[]);
}

#[test]
fn what_cannot_be_taken_back_by_itself_takes_all_with_it() {
    let both = both(first, |write| {
        note(write, "second")?;
        // As the database does when the disk fails under it.
        write.sql.execute_batch("ROLLBACK")?;
        refuse(Code::Invalid, "no")
    });
    assert!(matches!(&both.first, Err(Failure::Fault(Fault::Commit(_)))), "{:?}", both.first);
    assert!(matches!(&both.second, Ok(Err(Failure::Fault(Fault::Commit(_))))), "{:?}", both.second);
    both.check(&[]);
}

#[test]
fn a_change_that_panics_takes_none_with_it() {
    let both = both(first, |write| {
        note(write, "second")?;
        panic!("on purpose")
    });
    assert!(both.first.is_ok() && both.second.is_err());
    both.check(&["first"]);
}

#[test]
fn nothing_is_read_before_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db")).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                assert!(!audited(&store).contains(&"never".to_owned()));
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let failed = store.write(|write| {
                            note(write, "never")?;
                            break_the_commit(write)
                        });
                        assert!(failed.is_err());
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn who_reads_waits_for_one_commit_however_many_follow() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db")).unwrap();
    // Somebody is always coming, so that a reader never finds the store at rest.
    store.queue.coming.fetch_add(1, Ordering::SeqCst);
    thread::scope(|scope| {
        let reader = scope.spawn(|| store.read(|_| Ok(())));
        while !reader.is_finished() {
            let mut inner = store.inner.lock().unwrap();
            store.commit_group(&mut inner);
            assert!(store.make(&mut inner, first).is_ok());
            drop(inner);
            // A lock is not fair to who waits for it.
            thread::sleep(std::time::Duration::from_millis(1));
        }
        reader.join().unwrap().unwrap();
    });
}
