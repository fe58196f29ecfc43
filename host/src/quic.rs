//! QUIC and TLS as both ends of a transfer use them: TLS 1.3 alone, hybrid key exchange, bounded windows.

use crate::config::KeyExchange;
use crate::network::Network;
use crate::udp::Prepared;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sluse_protocol::{limits, wire};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// Bytes of the largest UDP payload that we send or take. Each connection finds out by itself how much its path carries
/// (RFC 8899); on loopback and where frames are jumbo, fewer and larger packets cost less: decision 7 has figures. Ten packets,
/// which quinn hands to the kernel at once, must stay under the 65,507 bytes that one call may send.
pub(crate) const MAX_UDP_PAYLOAD: u16 = 6500;

/// The one crypto provider, with the key exchanges that `exchange` allows.
pub fn crypto_provider(exchange: KeyExchange) -> Arc<CryptoProvider> {
    let mut kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    if exchange == KeyExchange::AllowX25519 {
        kx_groups.push(aws_lc_rs::kx_group::X25519);
    }
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// Windows, time-outs and stream counts; `incoming_chunks` is how many unidirectional streams the peer may open.
pub fn transport(network: &Network, incoming_chunks: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    // Who takes chunks sends little, and need not know how large packets may be: finding out takes some 50 kB.
    let discovery = (incoming_chunks == 0).then(|| {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MAX_UDP_PAYLOAD);
        discovery
    });
    let idle = IdleTimeout::try_from(limits::IDLE_TIMEOUT).ok();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(incoming_chunks))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle)
        .mtu_discovery_config(discovery)
        .keep_alive_interval(Some(limits::KEEP_ALIVE));
    network.apply(&mut transport);
    transport
}

/// The same for a source that has little to send: it does not find out how large packets may be.
pub fn brief_transport(network: &Network) -> TransportConfig {
    let mut transport = transport(network, 0);
    transport.mtu_discovery_config(None);
    transport
}

/// Enlarges a UDP socket's buffers as far as the kernel lets us, and makes it an endpoint.
///
/// # Errors
/// When the socket cannot be used by the runtime.
pub fn endpoint(
    network: &Network,
    socket: UdpSocket,
    server: Option<quinn::ServerConfig>,
) -> io::Result<quinn::Endpoint> {
    Prepared::new(network, socket)?.endpoint(EndpointConfig::default(), server)
}

/// Certificates or a key that TLS cannot use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not what it should be.
    #[error("{what} is not valid PEM")]
    Pem {
        /// What was read.
        what: &'static str,
    },
    /// Certificate, key and authority do not make a configuration.
    #[error("certificate and key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// The provider lacks the cipher that QUIC begins with.
    #[error("no cipher suite for QUIC: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// How a source connects: it trusts the one authority of `authority` (PEM), and shows `certificate` (PEM) with `key` (PEM).
/// Every connection is a full handshake, so that a revoked certificate is noticed each time.
///
/// # Errors
/// When one of the texts is not PEM, or key and certificate do not belong together.
pub fn client_config(
    exchange: KeyExchange,
    network: &Network,
    authority: &[u8],
    certificate: &[u8],
    key: &[u8],
) -> Result<quinn::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates(authority, "the zone's authority certificate")? {
        roots.add(root)?;
    }
    let chain = certificates(certificate, "the certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem { what: "the TLS key" })?;
    let mut tls = rustls::ClientConfig::builder_with_provider(crypto_provider(exchange))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = transport(network, 0);
    // Chunks one after the other, not interleaved: the zone has fewer of them half-read.
    transport.send_fairness(false);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|read| !read.is_empty()).ok_or(TlsError::Pem { what })
}
