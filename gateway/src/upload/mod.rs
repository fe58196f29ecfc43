//! Uploads by HTTPS that can be resumed: tus 1.0 (core, creation, creation-with-upload, termination, checksum, expiration), and a
//! word of ours that says when a dataset is complete. docs/gateway.md tells it to whoever writes a client.
//!
//! `connections` accepts and speaks TLS (`tls`); `account` finds out who asks; `service` answers one request, whose headers `words`
//! reads; `body` takes bytes into parcels. What an upload is stands in its address, sealed (`ticket`), so that no name is in the
//! clear on disk; `uploads` remembers how much of each is durable.

mod account;
mod answer;
mod body;
mod connections;
mod service;
mod ticket;
mod tls;
mod uploads;
mod words;

use crate::places::Door;
use crate::settings::Https;
use crate::spool::Inlet;
use crate::{Error, system};
use service::Service;
use std::net::TcpListener;
use std::sync::Arc;
use uploads::Uploads;

/// Threads that serve all connections; what waits for the disk has threads of its own.
const WORKERS: usize = 2;

/// Threads that wait for the disk, besides one for each connection.
const SPARE: usize = 16;

/// Listens, and serves whoever may upload.
///
/// # Errors
/// When the address, the certificate or the spool cannot be used.
pub fn start(settings: Https, inlet: Arc<Inlet>, expire: std::time::Duration) -> Result<(), Error> {
    let tls = tls::acceptor(&settings)?;
    let uploads = Uploads::open(inlet.spool().uploads(), settings.uploads, expire)?;
    let what = format!("listening on {}", settings.listen);
    let listener = TcpListener::bind(settings.listen).map_err(Error::fault(what.clone()))?;
    listener.set_nonblocking(true).map_err(Error::fault(what))?;
    tracing::info!(address = %settings.listen, encrypted = tls.is_some(), "uploads");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Each connection stores on a thread of its own; what else waits for the disk must not wait for those.
    runtime.worker_threads(WORKERS).max_blocking_threads(settings.connections + SPARE).enable_all();
    let runtime = runtime.build();
    let runtime = runtime.map_err(Error::fault("starting the threads of uploads"))?;
    let shares = settings.accounts.iter().map(|account| account.connections).collect();
    let (door, idle) = (Door::new(settings.connections, shares), settings.idle);
    let service = Arc::new(Service::new(settings, inlet, uploads));
    system::thread("uploads", move || {
        runtime.block_on(async {
            tokio::spawn(Arc::clone(&service).sweep());
            connections::accept(listener, tls, door, idle, service).await;
        });
    })
}
