//! Which connection receives which transfer: one at a time. A newer connection takes a transfer over from an older one, and
//! only after everything that the older one was writing is durable or gone.

use super::pool::lock;
use super::session::Session;
use super::transfer::Transfer;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The transfers that are being received.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Mutex<HashMap<TransferId, Entry>>,
}

#[derive(Debug)]
enum Entry {
    /// Being opened, taken over or sealed by whoever holds the [`Claim`].
    Claimed,
    /// Received by a connection.
    Received(Received),
}

#[derive(Debug)]
struct Received {
    transfer: Arc<Transfer>,
    session: Arc<Session>,
}

/// The sole right to decide who receives a transfer next.
#[derive(Debug)]
pub struct Claim {
    registry: Arc<Registry>,
    transfer: TransferId,
    previous: Option<Received>,
}

impl Registry {
    /// Claims a transfer, from whoever receives it.
    ///
    /// # Errors
    /// When somebody else is just claiming it.
    pub fn claim(self: &Arc<Self>, transfer: &TransferId) -> Result<Claim, Refusal> {
        let mut entries = lock(&self.entries);
        let previous = match entries.insert(transfer.clone(), Entry::Claimed) {
            Some(Entry::Claimed) => {
                return Err(Refusal::new(Code::Busy, "the transfer is being taken over or sealed just now"));
            }
            Some(Entry::Received(received)) => Some(received),
            None => None,
        };
        Ok(Claim { registry: Arc::clone(self), transfer: transfer.clone(), previous })
    }

    /// Forgets a transfer if `transfer` is what is being received.
    pub fn forget(&self, transfer: &Arc<Transfer>) {
        let mut entries = lock(&self.entries);
        let same = matches!(entries.get(transfer.id()), Some(Entry::Received(received))
            if Arc::ptr_eq(&received.transfer, transfer));
        if same {
            entries.remove(transfer.id());
        }
    }

    /// The connection that receives a transfer.
    pub fn session_of(&self, transfer: &TransferId) -> Option<Arc<Session>> {
        match lock(&self.entries).get(transfer)? {
            Entry::Claimed => None,
            Entry::Received(received) => Some(Arc::clone(&received.session)),
        }
    }

    /// Every transfer that is being received.
    pub fn transfers(&self) -> Vec<Arc<Transfer>> {
        let entries = lock(&self.entries);
        let received = entries.values().filter_map(|entry| match entry {
            Entry::Claimed => None,
            Entry::Received(received) => Some(Arc::clone(&received.transfer)),
        });
        received.collect()
    }
}

impl Claim {
    /// Ends the connection that received the transfer so far, unless it is `heir`'s own, and waits until nothing is being
    /// written any more.
    ///
    /// # Errors
    /// When that takes too long; then nothing has changed hands.
    pub async fn take_over(&mut self, heir: &Session) -> Result<(), Refusal> {
        let Some(previous) = &self.previous else { return Ok(()) };
        previous.transfer.close();
        if previous.session.id() != heir.id() {
            tracing::info!(transfer = %self.transfer, "a newer connection takes the transfer over");
            previous.session.end(Refusal::new(Code::TakenOver, "another connection took this transfer over"));
        }
        previous.transfer.quiesce().await?;
        self.previous = None;
        Ok(())
    }

    /// From here on `session` receives `transfer`.
    pub fn settle(self, transfer: Arc<Transfer>, session: Arc<Session>) {
        let entry = Entry::Received(Received { transfer, session });
        lock(&self.registry.entries).insert(self.transfer.clone(), entry);
        // The drop finds the entry received, and leaves it.
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut entries = lock(&self.registry.entries);
        if !matches!(entries.get(&self.transfer), Some(Entry::Claimed)) {
            return;
        }
        match self.previous.take() {
            // It may still be writing: whoever comes next waits for it in turn.
            Some(previous) => entries.insert(self.transfer.clone(), Entry::Received(previous)),
            None => entries.remove(&self.transfer),
        };
    }
}
