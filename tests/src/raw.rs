//! A client of the wire protocol that follows no rules but the test's.

use crate::source::Source;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use sluse_host::config::KeyExchange;
use sluse_host::quic;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{self, Reply, Request};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection with the control stream open.
pub struct Raw {
    /// The connection.
    pub connection: quinn::Connection,
    /// Where frames are sent.
    pub send: quinn::SendStream,
    /// Where replies come from.
    pub receive: quinn::RecvStream,
    _endpoint: quinn::Endpoint,
}

/// The TLS settings of a client with a certificate and key in PEM files; `identity` names their folder.
pub fn client_tls(identity: &Path) -> rustls::ClientConfig {
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(identity.join(name))
            .expect("PEM")
            .map(|one| one.expect("a certificate"))
            .collect()
    };
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates("ca.crt") {
        roots.add(root).expect("the zone's authority");
    }
    let key = PrivateKeyDer::from_pem_file(identity.join("tls.key")).expect("the key");
    let mut tls = rustls::ClientConfig::builder_with_provider(quic::crypto_provider(KeyExchange::HybridRequired))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("tls.crt"), key)
        .expect("a certificate and its key");
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    tls
}

impl Raw {
    /// Connects as `source` and opens the control stream, saying nothing yet.
    pub async fn connect(zone: SocketAddr, source: &Source) -> Self {
        let tls = QuicClientConfig::try_from(client_tls(&source.identity)).expect("usable for QUIC");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(quic::transport(&sluse_host::network::Network::default(), 0)));
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("an endpoint");
        let connecting = endpoint.connect_with(config, zone, wire::ZONE_HOST).expect("can connect");
        let connection = connecting.await.expect("the zone answers");
        let (send, receive) = connection.open_bi().await.expect("a control stream");
        Self { connection, send, receive, _endpoint: endpoint }
    }

    /// Connects and says hello.
    pub async fn greet(zone: SocketAddr, source: &Source) -> Self {
        let mut raw = Self::connect(zone, source).await;
        let hello =
            Request::Hello { versions: vec![1], agent: "raw".into(), clock: Timestamp::from_unix(1_795_000_000) };
        raw.ask(&hello, b"").await;
        assert!(matches!(raw.reply().await, Some((Reply::Welcome { .. }, _))));
        raw
    }

    /// Sends a frame.
    pub async fn ask(&mut self, head: &impl Serialize, body: &[u8]) {
        let frame = frame::encode(head, body).expect("within bounds");
        self.bytes(&frame).await;
    }

    /// Sends bytes as they are. The zone may have closed already.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// Offers a plan's text with honest sums over its bytes.
    pub async fn offer(&mut self, agreement: &str, key: u8, totals: Totals, plan: &[u8]) -> Option<Reply> {
        let offer = Request::Offer {
            agreement: agreement.parse().expect("an id"),
            dataset: "raw".parse().expect("a name"),
            key: Sha256([key; 32]),
            totals,
            plan_bytes: plan.len() as u64,
            plan_sha256: Sha256::of(plan),
            delta: None,
        };
        self.ask(&offer, b"").await;
        for part in plan.chunks(sluse_protocol::limits::PART_BYTES) {
            self.ask(&Request::Part, part).await;
        }
        self.reply().await.map(|(reply, _)| reply)
    }

    /// The next reply that is no acknowledgement; `None` when the zone closed the connection.
    pub async fn reply(&mut self) -> Option<(Reply, Vec<u8>)> {
        loop {
            let read = tokio::time::timeout(PATIENCE, self.frame()).await.expect("a reply in time");
            if !matches!(read, Some((Reply::Durable { .. }, _))) {
                return read;
            }
        }
    }

    /// The code of the refusal that must come next; the connection's closing reason when none does.
    pub async fn refusal(&mut self) -> String {
        match self.reply().await {
            Some((Reply::Refused(refusal), _)) => refusal.code.to_string(),
            Some((other, _)) => format!("{other:?}"),
            None => format!("{}", self.connection.closed().await),
        }
    }

    async fn frame(&mut self) -> Option<(Reply, Vec<u8>)> {
        let mut prefix = [0; PREFIX_BYTES];
        self.receive.read_exact(&mut prefix).await.ok()?;
        let lengths = Lengths::parse(prefix).expect("the zone keeps the bounds");
        let mut head = vec![0; lengths.head];
        self.receive.read_exact(&mut head).await.ok()?;
        let mut body = vec![0; lengths.body];
        self.receive.read_exact(&mut body).await.ok()?;
        Some((frame::decode_head(&head).expect("the zone keeps the protocol"), body))
    }
}
