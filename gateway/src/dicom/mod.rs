//! DICOM: a receiver of images (C-STORE, PS3.4 annex B) and of C-ECHO.
//!
//! One thread for each association, as many as are configured; each waits with a deadline. `wire` reads and writes PDUs, `documents` are those that are not data,
//! `negotiation` answers who calls, `association` serves one, `command` is what is asked, `store` takes in an image as it comes,
//! `study` finds out where it belongs. The data set's bytes are stored as they came, in whatever transfer syntax, behind a file
//! header of our own (`part10`); an image is never held in memory.

mod association;
mod command;
mod documents;
mod negotiation;
mod part10;
mod store;
mod study;
mod wire;

use crate::settings::Dicom;
use crate::spool::Inlet;
use crate::{Error, system};
use association::Association;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long nothing is accepted after that failed, for example since there are no descriptors left.
const REST: Duration = Duration::from_millis(200);

/// Listens, and serves whoever may call.
///
/// # Errors
/// When the address cannot be used.
pub fn start(settings: Dicom, inlet: Arc<Inlet>) -> Result<(), Error> {
    let what = format!("listening on {}", settings.listen);
    let listener = TcpListener::bind(settings.listen).map_err(Error::fault(what))?;
    tracing::info!(address = %settings.listen, "DICOM");
    let settings = Arc::new(settings);
    system::thread("dicom", move || accept(&listener, &settings, &inlet))
}

fn accept(listener: &TcpListener, settings: &Arc<Dicom>, inlet: &Arc<Inlet>) {
    let serving = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept() {
            Ok((stream, _)) => begin(stream, settings, inlet, &serving),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                std::thread::sleep(REST);
            }
        }
    }
}

/// One of the associations that are served, for as long as it lives.
struct Served(Arc<AtomicUsize>);

impl Served {
    fn begin(serving: &Arc<AtomicUsize>) -> (Self, usize) {
        (Self(Arc::clone(serving)), serving.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn begin(stream: TcpStream, settings: &Arc<Dicom>, inlet: &Arc<Inlet>, serving: &Arc<AtomicUsize>) {
    let Ok(peer) = stream.peer_addr() else { return };
    let allowed = |entity: &crate::settings::Entity| entity.peers.iter().any(|peers| peers.contains(peer.ip()));
    if !settings.entities.iter().any(allowed) {
        tracing::warn!(peer = %peer.ip(), "may not call: hung up");
        return;
    }
    let (served, now) = Served::begin(serving);
    // As many again may wait for a word of why not; more are hung up on.
    if now > settings.associations * 2 {
        tracing::warn!(peer = %peer.ip(), "too many connections: hung up");
        return;
    }
    let full = now > settings.associations;
    let (settings, inlet) = (Arc::clone(settings), Arc::clone(inlet));
    let started = system::thread("association", move || {
        let _served = served;
        match Association::open(stream, peer.ip(), &settings, full) {
            Ok(Some(association)) => association.serve(&inlet),
            Ok(None) => {}
            Err(error) => tracing::info!(peer = %peer.ip(), "no association: {error}"),
        }
    });
    if let Err(error) = started {
        tracing::warn!("{error}");
    }
}
