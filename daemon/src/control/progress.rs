//! How many chunks of each receiving transfer are durable. It changes several times a second, so it is kept in memory and
//! written to the database by the timer: what a crash loses, `receive` tells again.

use super::failure::Failure;
use super::store::{Store, transfers};
use sluse_protocol::ids::TransferId;
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct Progress(Mutex<HashMap<TransferId, Noted>>);

#[derive(Debug, Clone, Copy)]
struct Noted {
    durable: u32,
    at: Timestamp,
    written: bool,
}

impl Progress {
    /// So many chunks are durable now.
    pub fn note(&self, transfer: &TransferId, durable: u32, now: Timestamp) {
        let mut all = self.lock();
        if all.get(transfer).is_none_or(|noted| noted.durable != durable) {
            all.insert(transfer.clone(), Noted { durable, at: now, written: false });
        }
    }

    /// How many chunks are durable, as last noted.
    pub fn of(&self, transfer: &transfers::Transfer) -> u32 {
        self.lock().get(&transfer.id).map_or(transfer.durable, |noted| noted.durable)
    }

    /// Writes what is new to the database, and forgets transfers that no longer receive.
    ///
    /// # Errors
    /// When the database fails.
    pub fn flush(&self, store: &Store) -> Result<(), Failure> {
        let new: Vec<_> =
            self.lock().iter().filter(|(_, noted)| !noted.written).map(|(id, noted)| (id.clone(), *noted)).collect();
        if !new.is_empty() {
            store.write(|write| {
                new.iter().try_for_each(|(id, noted)| transfers::set_progress(write, id, noted.durable, noted.at))
            })?;
        }
        let receiving = store.read(|sql| transfers::all_in(sql, &[sluse_protocol::transfer::State::Receiving]))?;
        let mut all = self.lock();
        for (id, written) in new {
            if let Some(noted) = all.get_mut(&id) {
                noted.written |= noted.durable == written.durable;
            }
        }
        all.retain(|id, _| receiving.iter().any(|transfer| transfer.id == *id));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TransferId, Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
