//! What is true of now and forgotten at the end: which roles are connected, which engines are there.

use sluse_protocol::finding::EngineReport;
use sluse_protocol::roles::{EngineFailure, Role};
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A connection of a role, numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// What `inspect` said of its engines.
#[derive(Debug, Clone, Default)]
pub struct Engines {
    /// Those that passed their self-test.
    pub there: Vec<EngineReport>,
    /// Those that did not.
    pub failing: Vec<EngineFailure>,
    /// When the signatures of each that grows old were made, where it says so.
    pub dated: BTreeMap<String, Timestamp>,
    /// Whether one of them is a full malware engine; unknown until `inspect` was there.
    pub full_malware_engine: Option<bool>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Live(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    links: u64,
    connected: BTreeMap<LinkId, Role>,
    engines: Engines,
    free_bytes: Option<u64>,
}

impl Live {
    /// A role connected.
    pub fn connect(&self, role: Role) -> LinkId {
        let mut inner = self.lock();
        inner.links += 1;
        let link = LinkId(inner.links);
        inner.connected.insert(link, role);
        link
    }

    /// A connection ended.
    pub fn disconnect(&self, link: LinkId) {
        let mut inner = self.lock();
        if inner.connected.remove(&link) == Some(Role::Inspect)
            && !inner.connected.values().any(|r| *r == Role::Inspect)
        {
            inner.engines = Engines::default();
        }
    }

    /// The roles that are there, `control` itself among them.
    pub fn roles(&self) -> Vec<Role> {
        let inner = self.lock();
        let connected = |role: &Role| *role == Role::Control || inner.connected.values().any(|other| other == role);
        Role::ALL.iter().copied().filter(connected).collect()
    }

    /// Notes what `inspect` says of its engines.
    pub fn set_engines(&self, engines: Engines) {
        self.lock().engines = engines;
    }

    /// What `inspect` said last.
    pub fn engines(&self) -> Engines {
        self.lock().engines.clone()
    }

    /// Notes the quarantine's free bytes.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.lock().free_bytes = Some(bytes);
    }

    /// The quarantine's free bytes at the last offer.
    pub fn free_bytes(&self) -> Option<u64> {
        self.lock().free_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
