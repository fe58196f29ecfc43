//! SFTP: an inbox for each account, into which its clients write as into a folder, and out of which nobody reads.
//!
//! One thread for each connection, as many as are configured, and as many of whoever has not logged in yet. [`ssh`] is what is
//! beneath: who calls, and that nobody listens. `packet` are requests and answers, `path` what clients call things,
//! `session` answers one client, `writing` takes in one file, [`inbox`] is what all clients of an account see.

pub mod inbox;
mod packet;
mod path;
mod session;
pub mod ssh;
mod writing;

use crate::places::{Door, Place};
use crate::settings::Sftp;
use crate::spool::{Inlet, Spool};
use crate::{Error, keys, system};
use inbox::{Inbox, Rules};
use session::Session;
use ssh::{Broken, ClientKey, HostKey, Transport};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a caller may take until it has logged in.
const GREETING: Duration = Duration::from_secs(30);

/// How long nothing is accepted after that failed, for example since there are no descriptors left.
const REST: Duration = Duration::from_millis(200);

/// Threads for each connection that may be served: its own, a guest's, and that of one that was hung up on.
const THREADS: usize = 3;

/// How often it is looked whether entries are whole.
const LOOK: Duration = Duration::from_millis(250);

struct Server {
    settings: Sftp,
    door: Door<TcpStream>,
    /// Threads of connections: those of places, and as many that were hung up on and are about to end.
    threads: Arc<AtomicUsize>,
    host_key: Arc<HostKey>,
    /// In the order of the accounts.
    inboxes: Vec<Arc<Inbox>>,
}

/// Opens the inboxes, listens, and serves whoever may call. Entries that wait for longer than `waiting` are told of in the log.
///
/// # Errors
/// When the keys, the inboxes or the address cannot be used.
pub fn start(settings: Sftp, inlet: &Arc<Inlet>, spool: &Spool, waiting: Duration) -> Result<(), Error> {
    let host_key = Arc::new(keys::host(&settings.host_key)?);
    let identity = keys::inbox(&settings.inbox_key)?;
    let mut inboxes = Vec::with_capacity(settings.accounts.len());
    for account in &settings.accounts {
        let rules = Rules { complete: account.complete.clone(), unfinished: account.unfinished.clone() };
        let (name, flow) = (account.name.as_str(), account.flow.clone());
        let inbox = Inbox::open(name, flow, rules, account.max_bytes, Arc::clone(inlet), spool, identity.clone())?;
        inboxes.push(Arc::new(inbox));
    }
    let what = format!("listening on {}", settings.listen);
    let listener = TcpListener::bind(settings.listen).map_err(Error::fault(what))?;
    tracing::info!(address = %settings.listen, host_key = host_key.line(), "SFTP");
    let looked_at = inboxes.clone();
    system::thread("inboxes", move || look(&looked_at, waiting))?;
    let door = Door::new(settings.connections, settings.accounts.iter().map(|account| account.connections).collect());
    let server = Arc::new(Server { settings, door, threads: Arc::default(), host_key, inboxes });
    system::thread("sftp", move || accept(&listener, &server))
}

fn look(inboxes: &[Arc<Inbox>], waiting: Duration) {
    let mut told = Instant::now();
    loop {
        std::thread::sleep(LOOK);
        inboxes.iter().for_each(|inbox| inbox.hand_over_whole());
        if told.elapsed() >= waiting {
            told = Instant::now();
            for inbox in inboxes {
                let entries = inbox.waiting(waiting);
                if entries > 0 {
                    tracing::warn!(account = inbox.account(), entries, "what was begun long ago is still not whole");
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, server: &Arc<Server>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => begin(stream, server),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                std::thread::sleep(REST);
            }
        }
    }
}

/// A thread of a connection, for as long as it lives.
struct Thread(Arc<AtomicUsize>);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn begin(stream: TcpStream, server: &Arc<Server>) {
    let Ok(peer) = stream.peer_addr().map(|peer| peer.ip()) else { return };
    if !server.settings.accounts.iter().any(|account| account.is_called_from(peer)) {
        tracing::warn!(%peer, "may not call: hung up");
        return;
    }
    let thread = Thread(Arc::clone(&server.threads));
    if server.threads.fetch_add(1, Ordering::SeqCst) >= server.settings.connections * THREADS {
        tracing::warn!(%peer, "too many connections: hung up");
        return;
    }
    let Ok(hang_up) = stream.try_clone() else { return };
    let (place, gives_way) = server.door.enter(peer, hang_up);
    if let Some(other) = gives_way {
        tracing::warn!(%peer, "too many connections that nobody logged in by: hung up on one");
        // Whoever is gone already needs no hanging up on.
        let _ = other.shutdown(Shutdown::Both);
    }
    let server = Arc::clone(server);
    let started = system::thread("connection", move || {
        let _thread = thread;
        match server.serve(stream, peer, &place) {
            Ok(account) => tracing::info!(%peer, account, "hung up"),
            Err(error) => tracing::info!(%peer, "a connection ended: {error}"),
        }
    });
    if let Err(error) = started {
        tracing::warn!("{error}");
    }
}

impl Server {
    /// Serves a connection to its end: whose it was.
    fn serve(&self, stream: TcpStream, peer: IpAddr, place: &Place<TcpStream>) -> Result<&str, Broken> {
        let mut transport = Transport::open(stream, Arc::clone(&self.host_key), GREETING, self.settings.idle)?;
        let who = ssh::login(&mut transport, |name| self.keys(name, peer));
        let who = who.inspect_err(|_| tracing::warn!(%peer, "nobody logged in"))?;
        let inbox = &self.inboxes[who];
        if let Err(why) = place.admit(who) {
            tracing::warn!(%peer, account = inbox.account(), "logged in and sent away: {why}");
            transport.goodbye(&why.to_string());
            return Ok(inbox.account());
        }
        tracing::info!(%peer, account = inbox.account(), "logged in");
        ssh::serve(&mut transport, || Session::new(Arc::clone(inbox)))?;
        Ok(inbox.account())
    }

    fn keys(&self, name: &str, peer: IpAddr) -> Option<(usize, &[ClientKey])> {
        let accounts = &self.settings.accounts;
        let who = accounts.iter().position(|account| account.name.as_str() == name && account.is_called_from(peer))?;
        Some((who, &accounts[who].keys))
    }
}
