//! QUIC and TLS as both ends of a transfer use them: TLS 1.3 alone, hybrid key exchange, bounded windows.

use crate::config::KeyExchange;
use crate::udp::Prepared;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use sluse_protocol::limits;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// Bytes asked for as the UDP socket's buffers; the kernel may give less.
pub(crate) const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// The one crypto provider, with the key exchanges that `exchange` allows.
pub fn crypto_provider(exchange: KeyExchange) -> Arc<CryptoProvider> {
    let mut kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    if exchange == KeyExchange::AllowX25519 {
        kx_groups.push(aws_lc_rs::kx_group::X25519);
    }
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// Windows, time-outs and stream counts; `incoming_chunks` is how many unidirectional streams the peer may open.
pub fn transport(incoming_chunks: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(limits::IDLE_TIMEOUT).ok();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(incoming_chunks))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(limits::CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle)
        .keep_alive_interval(Some(limits::KEEP_ALIVE));
    transport
}

/// Enlarges a UDP socket's buffers as far as the kernel lets us, and makes it an endpoint.
///
/// # Errors
/// When the socket cannot be used by the runtime.
pub fn endpoint(socket: UdpSocket, server: Option<quinn::ServerConfig>) -> io::Result<quinn::Endpoint> {
    Prepared::new(socket)?.endpoint(server)
}
