//! What `receive` must hear of while connections are open: sources shut out, transfers ended.

use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::roles::ReceiveReply;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Changes that are kept for a `receive` that is slow to ask. What it must hear of at once is enforced here besides: a
/// source that is shut out gets no answer any more.
const KEPT: usize = 10_000;

/// Changes of one answer: a few hundred names are far below the bound of a frame's head.
const AT_ONCE: usize = 500;

/// The latest changes, numbered from 1 since `control` was started.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    forgotten: u64,
    kept: VecDeque<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Revoked(SourceName),
    Ended(TransferId),
}

impl Changes {
    /// A source was shut out.
    pub fn revoked(&self, source: SourceName) {
        self.push(Change::Revoked(source));
    }

    /// A transfer no longer receives.
    pub fn ended(&self, transfer: TransferId) {
        self.push(Change::Ended(transfer));
    }

    /// The number of the latest change.
    pub fn latest(&self) -> u64 {
        let inner = self.lock();
        inner.forgotten + inner.kept.len() as u64
    }

    /// What changed after number `after`; `None` when nothing did.
    pub fn since(&self, after: u64) -> Option<ReceiveReply> {
        let inner = self.lock();
        let skip = usize::try_from(after.saturating_sub(inner.forgotten)).unwrap_or(usize::MAX);
        let (mut revoked, mut ended) = (Vec::new(), Vec::new());
        for change in inner.kept.iter().skip(skip).take(AT_ONCE) {
            match change {
                Change::Revoked(source) => revoked.push(source.clone()),
                Change::Ended(transfer) => ended.push(transfer.clone()),
            }
        }
        let count = (revoked.len() + ended.len()) as u64;
        (count > 0).then(|| ReceiveReply::Changes { upto: after.max(inner.forgotten) + count, revoked, ended })
    }

    fn push(&self, change: Change) {
        let mut inner = self.lock();
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
            inner.forgotten += 1;
        }
        inner.kept.push_back(change);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> SourceName {
        format!("s{number}").parse().unwrap()
    }

    #[test]
    fn every_change_is_told_once_in_answers_of_bounded_size() {
        let changes = Changes::default();
        assert_eq!(changes.since(0), None);
        (0..700).for_each(|number| changes.revoked(name(number)));
        let Some(ReceiveReply::Changes { upto, revoked, .. }) = changes.since(0) else { panic!() };
        assert_eq!((upto, revoked.len()), (500, 500));
        let Some(ReceiveReply::Changes { upto, revoked, .. }) = changes.since(upto) else { panic!() };
        assert_eq!((upto, revoked.len(), revoked.last()), (700, 200, Some(&name(699))));
        assert_eq!(changes.since(upto), None);
    }

    #[test]
    fn old_changes_are_forgotten_and_numbers_go_on() {
        let changes = Changes::default();
        (0..KEPT + 3).for_each(|number| changes.revoked(name(number)));
        let Some(ReceiveReply::Changes { upto, revoked, .. }) = changes.since(0) else { panic!() };
        assert_eq!((upto, revoked.first()), (503, Some(&name(3))));
    }
}
