//! Connections of clients: as many as are configured, and as many of whoever has not shown yet who he is; each with deadlines for its greeting and for every head of a request.

use super::service::Service;
use crate::places::{Door, Place};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluse_protocol::digest::Sha256;
use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// How long a client may take to agree on encryption, and to send the head of a request.
const GREETING: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(20);

/// Bytes of the longest head of a request, which has an address with a sealed ticket, and metadata. What comes with the last of them in
/// one read may be as many again.
const MAX_HEAD: usize = 32 * 1024;

/// How long nothing is accepted after that failed, for example since there are no descriptors left.
const REST: Duration = Duration::from_millis(200);

/// A connection's place: it is hung up on by a word to who serves it.
pub type Seat = Place<oneshot::Sender<()>>;

/// Accepts connections for ever.
pub async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    door: Door<oneshot::Sender<()>>,
    idle: Duration,
    service: Arc<Service>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("no uploads are taken: {error}"),
    };
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let (hang_up, hung_up_on) = oneshot::channel();
        let (seat, gives_way) = door.enter(peer, hang_up);
        if let Some(other) = gives_way {
            tracing::warn!(%peer, "too many connections without a token or certificate that is known: hung up on one");
            // Whoever is gone already needs no hanging up on.
            let _ = other.send(());
        }
        let (tls, service) = (tls.clone(), Arc::clone(&service));
        tokio::spawn(async move {
            tokio::select! {
                () = greet(stream, peer, tls, idle, service, Arc::new(seat)) => {}
                // Who is known is not hung up on: then nobody can say this word any more.
                Ok(()) = hung_up_on => {}
            }
        });
    }
}

async fn greet(
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<TlsAcceptor>,
    idle: Duration,
    service: Arc<Service>,
    seat: Arc<Seat>,
) {
    let Some(tls) = tls else { return serve(stream, peer, None, idle, service, seat).await };
    match tokio::time::timeout(GREETING, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown.map(|certificate| Sha256::of(certificate));
            serve(stream, peer, certificate, idle, service, seat).await;
        }
        Ok(Err(error)) => tracing::info!(%peer, "no encrypted connection: {error}"),
        Err(_) => tracing::info!(%peer, "took too long to agree on encryption: hung up"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: IpAddr,
    certificate: Option<Sha256>,
    idle: Duration,
    service: Arc<Service>,
    seat: Arc<Seat>,
) {
    let answer = service_fn(|request| {
        let (service, seat) = (Arc::clone(&service), Arc::clone(&seat));
        async move { Ok::<_, Infallible>(service.answer(request, peer, certificate, idle, &seat).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%peer, "a connection ended early: {error}");
    }
}
