//! What lets a long poll wait until something changed.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts changes, and wakes who waits for the next one.
#[derive(Debug, Default)]
pub struct Wake {
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Wake {
    /// Something changed.
    pub fn bump(&self) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Looks, and looks again after each change and at least every `step`, until `look` finds something or `patience` is
    /// over.
    ///
    /// # Errors
    /// Those of `look`.
    pub fn wait_for<T, E>(
        &self,
        patience: Duration,
        step: Duration,
        mut look: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let end = Instant::now() + patience;
        loop {
            let seen = *self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            // Whether it was a change, the step or the end is seen by looking again.
            let _ = self.changed.wait_timeout_while(changes, left.min(step), |changes| *changes == seen);
        }
    }
}
