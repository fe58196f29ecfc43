//! Changes that are asked for at the same time are committed together: a commit waits for the disk, and one wait is enough for all.
//!
//! Each change is a savepoint in the transaction that is open. Who has made a change and sees nobody behind it commits for all of
//! them; who sees somebody leaves that to those. So a change that is alone is committed at once, and nothing waits but for changes that
//! were asked for while the disk was busy. What is not committed is seen by other changes, which stand or fall with it, refusals that may
//! rest on it included, and by nobody else: reading waits for the commit.

use super::audit::stored_end;
use super::{Announced, Inner, Store, Write};
use crate::control::failure::{Failure, Fault};
use rusqlite::Connection;
use sluse_host::files;
use sluse_protocol::audit::Tree;
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, MutexGuard, OnceLock, PoisonError};

/// Changes that are asked for together and share a commit, at most: the first of them waits for the last.
const MOST: usize = 16;

/// Who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Changes that are about to be made.
    coming: AtomicUsize,
    /// Told at each commit.
    committed: Condvar,
}

/// How the commit of a group went, once it did.
type Outcome = OnceLock<Result<(), Arc<Fault>>>;

/// The changes of the transaction that is open.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Those that were tried.
    tried: usize,
    /// Whether one of them was made.
    changed: bool,
    /// The log with all that were made.
    tree: Tree,
    /// Folders that must be durable first.
    folders: BTreeSet<PathBuf>,
    /// Why nothing of it can be committed: one of them could be neither kept nor taken back whole.
    spoilt: Option<rusqlite::Error>,
    outcome: Arc<Outcome>,
}

/// Why a change was not made.
enum Unmade {
    Failed(Failure),
    Panicked(Box<dyn Any + Send>),
}

impl From<rusqlite::Error> for Unmade {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Store {
    /// Makes a change, and waits until it is committed.
    pub(super) fn commit<T>(
        &self,
        change: impl FnOnce(&mut Write<'_>) -> Result<T, Failure>,
    ) -> Result<(T, Vec<Announced>), Failure> {
        self.queue.coming.fetch_add(1, Ordering::SeqCst);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.coming.fetch_sub(1, Ordering::SeqCst);
        let made = self.make(&mut inner, change);
        let outcome = inner.group.as_ref().map(|group| Arc::clone(&group.outcome));
        if inner.is_full() || self.is_nobody_coming() {
            self.commit_group(&mut inner);
        }
        let made = match made {
            Err(Unmade::Panicked(panic)) => {
                drop(inner);
                resume_unwind(panic)
            }
            Err(Unmade::Failed(Failure::Fault(fault))) => return Err(fault.into()),
            // A refusal may follow from what others changed: it is said when that stands.
            Err(Unmade::Failed(refused)) => Err(refused),
            Ok(made) => Ok(made),
        };
        let outcome = outcome.ok_or_else(|| Failure::broken("a change was made in no transaction"))?;
        while outcome.get().is_none() {
            inner = self.queue.committed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        match outcome.get() {
            Some(Err(fault)) => Err(Fault::Commit(Arc::clone(fault)).into()),
            _ => made,
        }
    }

    /// Makes a change in the transaction that is open, or in a new one.
    fn make<T>(
        &self,
        inner: &mut Inner,
        change: impl FnOnce(&mut Write<'_>) -> Result<T, Failure>,
    ) -> Result<(T, Vec<Announced>), Unmade> {
        let Inner { sql, tree, group } = inner;
        let group = match group {
            Some(group) => group,
            None => {
                sql.execute_batch("BEGIN IMMEDIATE")?;
                group.insert(Group { tree: tree.clone(), ..Group::default() })
            }
        };
        group.tried += 1;
        let mut write = Write {
            sql: sql.savepoint()?,
            now: self.now(),
            tree: group.tree.clone(),
            signer: &self.signer,
            folders: Vec::new(),
            announced: Vec::new(),
        };
        let made = catch_unwind(AssertUnwindSafe(|| change(&mut write)));
        let Write { sql, tree, folders, announced, .. } = write;
        // Without a change that was made, finishing takes it back.
        let ended = if matches!(made, Ok(Ok(_))) { sql.commit() } else { sql.finish() };
        if let Err(error) = ended {
            group.spoilt = Some(error);
        }
        let done = made.map_err(Unmade::Panicked)?.map_err(Unmade::Failed)?;
        group.tree = tree;
        group.folders.extend(folders);
        group.changed = true;
        Ok((done, announced))
    }

    fn is_nobody_coming(&self) -> bool {
        self.queue.coming.load(Ordering::SeqCst) == 0
    }

    /// What is committed, while nothing else is open.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in another thread leaves nothing half-done behind this lock: its change was taken back.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.group.is_some() {
            // Those who are coming commit it.
            inner = self.queue.committed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.group.is_some() {
            // The next one already: who reads waits for one only, however many changes are asked for.
            self.commit_group(&mut inner);
        }
        inner
    }

    /// Commits what is open, and lets those know who wait for it.
    fn commit_group(&self, inner: &mut Inner) {
        inner.commit_group();
        self.queue.committed.notify_all();
    }
}

impl Inner {
    /// Whether nothing more is to be added to what is open.
    fn is_full(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.tried >= MOST || group.spoilt.is_some())
    }

    fn commit_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        let committed = match group.spoilt {
            Some(error) => Err(error.into()),
            None if group.changed => self.commit_after(&group.folders),
            None => Ok(()),
        };
        // Else the database ended it itself.
        if !self.sql.is_autocommit()
            && let Err(error) = self.sql.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        let settled = match committed {
            Ok(()) => {
                self.tree = group.tree;
                Ok(())
            }
            Err(error) => settle(&self.sql, &mut self.tree, group.tree, error),
        };
        // Nobody else sets it: the group was taken out.
        let _ = group.outcome.set(settled.map_err(|failure| Arc::new(failure.into_fault())));
    }

    fn commit_after(&self, folders: &BTreeSet<PathBuf>) -> Result<(), Failure> {
        folders.iter().try_for_each(|folder| files::sync_folder(folder)).map_err(Failure::io("syncing a folder"))?;
        Ok(self.sql.execute_batch("COMMIT")?)
    }
}

/// A commit that failed may yet have happened (its last sync failed): what the log in the database says is what holds. Of changes without an
/// entry it says nothing: those failed, and are asked for again.
fn settle(sql: &Connection, tree: &mut Tree, grown: Tree, error: Failure) -> Result<(), Failure> {
    let end = stored_end(sql)?;
    if end == tree.position() {
        return Err(error);
    }
    if end == grown.position() {
        tracing::warn!(%error, "a commit reported an error and stands all the same");
        *tree = grown;
        return Ok(());
    }
    Err(Fault::Broken("after a failed commit the audit log ends elsewhere".into()).into())
}

#[cfg(test)]
mod tests;
