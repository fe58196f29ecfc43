//! The `receive` role: faces the network. It can write to transfers that are not sealed, and read nothing back.
//!
//! ```text
//! door ─ handshakes, bounded ─▶ greet ─ hello, whose certificate ─▶ session ─ requests, one after another
//!                                                                      │         offer · seal · asks
//!                              chunks, a stream each ◀─────────────────┤
//!   records (pool::Buffers) ─▶ BLAKE3, age, write (pool, stored) ─▶ rename ─▶ commit: data, folder, index ─▶ Durable
//! ```
//!
//! [`session`] is a connection's life, [`chunks`] a chunk's. [`registry`] knows which connection receives which transfer
//! ([`transfer`]), [`folder`] what stands on disk (`docs/storage.md`), [`control`] how `control` is asked, [`changes`] what it
//! tells on its own. `docs/protocol.md` is what peers see.
//!
//! # Threads
//!
//! The network's few (tokio), one that hashes, encrypts and writes for each core, one that makes durable, and some for
//! requests to `control` and for opening and sealing folders. A panic in a chunk's work ends that connection.
//!
//! # Memory
//!
//! It does not grow with a transfer but for its chunk index: 44 bytes a chunk, 11 KiB for a GiB. At most:
//!
//! - [`bounds::RECORDS`] buffers of [`bounds::RECORD_BYTES`]: 64 MiB, whatever the number of connections and streams;
//! - flow-control windows, what peers sent and nobody read: [`bounds::WINDOWS_BYTES`] and [`bounds::FIRST_WINDOW_BYTES`] a
//!   connection: 96 MiB and 512 KiB × connections ([`windows`]);
//! - a frame being read, [`bounds::SEND_WINDOW_BYTES`] of answers, and age's records of the open chunk streams: 2.5 MiB ×
//!   connections;
//! - handshakes: [`bounds::HANDSHAKES`] × 100 KiB, and 2 MiB of packets that wait.
//!
//! So one source that does its worst reaches some 220 MiB, and 256 connections that all do, near a GiB; a fast honest
//! transfer some 40 MiB.

mod asks;
mod bounds;
mod changes;
mod chunks;
mod client_certificates;
mod commit;
mod control;
mod documents;
mod door;
mod folder;
mod frames;
mod greet;
mod hours;
mod intake;
mod offer;
mod pool;
mod refusals;
mod registry;
mod seal;
mod session;
mod share;
mod stored;
mod tls;
mod transfer;
mod turns;
mod windows;

use crate::{RoleError, confine};
use control::Control;
use intake::Intake;
use quinn::{Endpoint, EndpointConfig, ServerConfig};
use sluse_host::config::Zone;
use sluse_host::rpc::{CallError, Client};
use sluse_host::udp::Prepared;
use sluse_host::{keys, reset};
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tls::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Runs the role on `socket` until SIGTERM, or until the link to `control` is lost.
///
/// # Errors
/// When keys cannot be used, or the link to `control` is lost.
pub fn run(zone: Zone, control: UnixStream, socket: UdpSocket) -> Result<(), RoleError> {
    let front = Front::prepare(&zone, socket)?;
    confine::apply(Role::Receive, &zone)?;
    front.serve(zone, control, async {
        let mut terminated = signal(SignalKind::terminate()).map_err(RoleError::io("wait for SIGTERM"))?;
        terminated.recv().await;
        Ok(())
    })
}

/// Runs the role until `stop`, or until the link to `control` is lost; unconfined, in a process that does other things
/// besides, as tests do.
///
/// # Errors
/// When keys cannot be used, or the link to `control` is lost.
pub fn run_until(
    zone: Zone,
    control: UnixStream,
    socket: UdpSocket,
    stop: impl Future<Output = Result<(), RoleError>>,
) -> Result<(), RoleError> {
    Front::prepare(&zone, socket)?.serve(zone, control, stop)
}

/// What is read and asked of the system before confinement.
struct Front {
    endpoint: EndpointConfig,
    server: ServerConfig,
    tls: Tls,
    socket: Prepared,
}

impl Front {
    fn prepare(zone: &Zone, socket: UdpSocket) -> Result<Self, RoleError> {
        let tls = Tls::read(zone)?;
        let server = tls.config()?;
        let secret = keys::read_secret(&zone.layout.reset_key())?;
        let endpoint = reset::endpoint_config(&secret).map_err(RoleError::io("random bytes"))?;
        let socket = Prepared::new(&zone.settings.network, socket).map_err(RoleError::io("use the network socket"))?;
        Ok(Self { endpoint, server, tls, socket })
    }

    fn serve(
        self,
        zone: Zone,
        control: UnixStream,
        stop: impl Future<Output = Result<(), RoleError>>,
    ) -> Result<(), RoleError> {
        let client = Client::new(control).map_err(RoleError::io("use the link to control"))?;
        let intake = Intake::start(zone, Control::new(client), self.tls.clients());
        let intake = intake.map_err(RoleError::io("start threads"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers())
            .max_blocking_threads(bounds::BLOCKING)
            .thread_name("network")
            .enable_all()
            .build()
            .map_err(RoleError::io("start the network's threads"))?;
        let ended = runtime.block_on(serve(&intake, self, stop));
        // What is still running has been closed; a poll that waits must not hold us up.
        runtime.shutdown_background();
        ended
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, bounds::WORKERS)
}

async fn serve(
    intake: &Arc<Intake>,
    front: Front,
    stop: impl Future<Output = Result<(), RoleError>>,
) -> Result<(), RoleError> {
    let endpoint = front.socket.endpoint(front.endpoint, Some(front.server));
    let endpoint = endpoint.map_err(RoleError::io("use the network socket"))?;
    let address = endpoint.local_addr().map_err(RoleError::io("use the network socket"))?;
    tracing::info!(%address, "receiving");
    let tasks = [
        tokio::spawn(door::open(Arc::clone(intake), endpoint.clone())),
        tokio::spawn(tls::keep_current(Arc::clone(intake), endpoint.clone(), front.tls)),
        tokio::spawn(changes::follow(Arc::clone(intake))),
        tokio::spawn(changes::report(Arc::clone(intake))),
        tokio::spawn(client_certificates::follow(Arc::clone(intake))),
        tokio::spawn(turns::serve(Arc::clone(intake))),
        tokio::spawn(hours::keep(Arc::clone(intake))),
    ];
    let ended = tokio::select! {
        stopped = stop => stopped,
        () = intake.control.lost() => Err(RoleError::Link(CallError::Lost)),
    };
    tracing::info!("stopping");
    close(intake, &endpoint).await;
    for task in tasks {
        task.abort();
    }
    ended
}

/// Takes no more connections, lets those there are settle, and closes.
async fn close(intake: &Intake, endpoint: &Endpoint) {
    endpoint.set_server_config(None);
    intake.stop();
    let settled = timeout(bounds::SETTLE + bounds::LINGER * 2, intake.empty()).await;
    if settled.is_err() {
        tracing::warn!("connections were cut before their chunks had settled");
    }
    endpoint.close((Exit::Temporary as u32).into(), b"unavailable");
    // The closes themselves need a moment to leave.
    let _ = timeout(bounds::LINGER, endpoint.wait_idle()).await;
}
