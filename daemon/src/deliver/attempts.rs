//! Attempts at deliveries that are being made, and how one ends early: when its agreement was suspended, or it is to be taken back.
//!
//! An attempt looks between the steps of what it does whether it goes on. What waits for a courier, and with it for a target that may hang,
//! is ended by closing the connection: the courier lets go of the target then.

use super::bag::Content;
use super::error::DeliverError;
use super::payload::Finished;
use crate::quarantine::dataset::Visitor;
use sluse_protocol::document::Entry;
use sluse_protocol::ids::TransferId;
use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are being made, or wait for a thread.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<TransferId, Arc<Attempt>>>);

/// One of them.
#[derive(Debug, Default)]
pub struct Attempt {
    stopped: AtomicBool,
    courier: Mutex<Option<UnixStream>>,
}

impl Attempts {
    /// One begins.
    pub fn begin(&self, transfer: &TransferId) -> Arc<Attempt> {
        let attempt = Arc::<Attempt>::default();
        lock(&self.0).insert(transfer.clone(), Arc::clone(&attempt));
        attempt
    }

    /// It came to its end. One that began after it stays.
    pub fn end(&self, transfer: &TransferId, attempt: &Arc<Attempt>) {
        let mut all = lock(&self.0);
        if all.get(transfer).is_some_and(|other| Arc::ptr_eq(other, attempt)) {
            all.remove(transfer);
        }
    }

    /// Ends the attempt at a delivery, if one is being made.
    pub fn stop(&self, transfer: &TransferId) {
        let attempt = lock(&self.0).get(transfer).cloned();
        if let Some(attempt) = attempt {
            attempt.stop();
        }
    }
}

impl Attempt {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(courier) = lock(&self.courier).take() {
            // It may have ended by itself.
            let _ = courier.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether it goes on.
    ///
    /// # Errors
    /// [`DeliverError::Stopped`].
    pub fn goes_on(&self) -> Result<(), DeliverError> {
        if self.is_stopped() { Err(DeliverError::Stopped) } else { Ok(()) }
    }

    /// Has this connection closed when it is ended.
    ///
    /// # Errors
    /// [`DeliverError::Stopped`].
    pub fn bind(&self, courier: UnixStream) -> Result<(), DeliverError> {
        *lock(&self.courier) = Some(courier);
        // It may have been ended in between, when there was nothing to close.
        self.goes_on()
    }

    /// Lets `content` see a dataset for as long as the attempt goes on.
    pub fn watch<C: Content>(&self, content: C) -> Watched<'_, C> {
        Watched { attempt: self, content }
    }
}

/// See [`Attempt::watch`].
pub struct Watched<'a, C> {
    attempt: &'a Attempt,
    content: C,
}

impl<C: Content> Visitor for Watched<'_, C> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        self.attempt.goes_on()?;
        self.content.folder(entry)
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        self.attempt.goes_on()?;
        self.content.begin(entry)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
        self.attempt.goes_on()?;
        self.content.bytes(bytes)
    }

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        self.content.end(entry)
    }
}

impl<C: Content> Content for Watched<'_, C> {
    fn finish(self) -> Result<Finished, DeliverError> {
        self.attempt.goes_on()?;
        self.content.finish()
    }
}

/// Nothing is half-done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
