//! What all connections share.

use super::bounds;
use super::client_certificates::ClientCertificates;
use super::commit::Committer;
use super::control::Control;
use super::documents::Documents;
use super::pool::{Buffers, Pool, lock};
use super::refusals::{no_space, storage};
use super::registry::Registry;
use super::session::Session;
use super::turns::Turns;
use super::{folder, windows::Windows};
use sluse_host::config::Zone;
use sluse_protocol::ids::SourceName;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};

/// What all connections share.
#[derive(Debug)]
pub struct Intake {
    /// The zone.
    pub zone: Zone,
    /// The link to `control`.
    pub control: Arc<Control>,
    /// Threads that hash, encrypt and write.
    pub pool: Arc<Pool>,
    /// Buffers for them.
    pub buffers: Arc<Buffers>,
    /// The thread that makes chunks durable.
    pub committer: Arc<Committer>,
    /// Which connection receives which transfer.
    pub registry: Arc<Registry>,
    /// Flow-control windows to be given away.
    pub windows: Arc<Windows>,
    /// What keeps to the bound on bytes a second.
    pub turns: Turns,
    /// What checks peers' certificates.
    pub certificates: Arc<ClientCertificates>,
    /// What arrives for `control`, by source.
    pub documents: Arc<Documents>,
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    left: Notify,
    stopping: watch::Sender<bool>,
}

impl Intake {
    /// Starts the threads.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(zone: Zone, control: Control, certificates: Arc<ClientCertificates>) -> io::Result<Arc<Self>> {
        let network = &zone.settings.network;
        Ok(Arc::new(Self {
            windows: Arc::new(Windows::new(bounds::WINDOWS_BYTES, network.connection_window_bytes)),
            turns: Turns::new(network.limiter()),
            zone,
            control: Arc::new(control),
            pool: Pool::start()?,
            buffers: Buffers::new(),
            committer: Committer::start()?,
            registry: Arc::default(),
            certificates,
            documents: Arc::default(),
            sessions: Mutex::default(),
            left: Notify::new(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Begins to stop: every connection ends as soon as its chunks in flight are durable.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns when the role is stopping.
    pub async fn stopping(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Takes a connection in, for as long as the guard lives, unless its source has too many.
    ///
    /// # Errors
    /// When it has.
    pub fn enter(self: &Arc<Self>, session: &Arc<Session>) -> Result<Entered, Refusal> {
        let mut sessions = lock(&self.sessions);
        let others = sessions.values().filter(|other| other.source() == session.source()).count();
        if others >= self.zone.settings.receive.max_connections_per_source as usize {
            return Err(Refusal::new(Code::Busy, "the source has too many connections"));
        }
        sessions.insert(session.id(), Arc::clone(session));
        Ok(Entered { intake: Arc::clone(self), id: session.id() })
    }

    /// Returns when there are no connections of sources.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Whoever leaves from here on wakes us.
            left.as_mut().enable();
            if lock(&self.sessions).is_empty() {
                return;
            }
            left.await;
        }
    }

    /// The connections of a source.
    pub fn sessions_of(&self, source: &SourceName) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().filter(|session| session.source() == source).cloned().collect()
    }

    /// The connections of all sources.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// Whether a chunk of `bytes` may be written. Blocks.
    ///
    /// # Errors
    /// When less than the configured reserve would stay free.
    pub fn check_room(&self, bytes: u64) -> Result<(), Refusal> {
        let free = folder::free_bytes(&self.zone).map_err(|error| storage("ask for free space", &error))?;
        let needed = self.zone.settings.receive.keep_free_bytes.saturating_add(bytes);
        if free < needed { Err(no_space()) } else { Ok(()) }
    }
}

/// A connection of a source is in.
#[derive(Debug)]
pub struct Entered {
    intake: Arc<Intake>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.intake.sessions).remove(&self.id);
        self.intake.left.notify_waiters();
    }
}
