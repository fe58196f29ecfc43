//! A source that says exactly what a test wants it to say.

use crate::zone::{Credentials, TestZone};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sluse_host::config::KeyExchange;
use sluse_host::{clock, quic};
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::document::Totals;
use sluse_protocol::frame::{self, Lengths};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{ALPN, ChunkHeader, DurableRecord, Reply, Request, VERSIONS, ZONE_HOST};
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

pub struct Source {
    pub connection: Connection,
    pub outgoing: SendStream,
    pub incoming: RecvStream,
    pub durable: BTreeSet<u32>,
    _endpoint: Endpoint,
}

/// A connection, handshake done as far as the client sees.
pub async fn connect(
    zone: &TestZone,
    credentials: Option<&Credentials>,
) -> Result<(Endpoint, Connection), ConnectionError> {
    connect_by(zone, credentials, quic::crypto_provider(KeyExchange::HybridRequired)).await
}

/// A provider that offers X25519 alone.
pub fn classic() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() })
}

/// The same with a provider of the test's choice.
pub async fn connect_by(
    zone: &TestZone,
    credentials: Option<&Credentials>,
    provider: Arc<CryptoProvider>,
) -> Result<(Endpoint, Connection), ConnectionError> {
    let (endpoint, config) = client(zone, credentials, provider);
    let connection = endpoint.connect_with(config, zone.address, ZONE_HOST).unwrap().await?;
    Ok((endpoint, connection))
}

/// An endpoint and what to connect with.
pub fn client(
    zone: &TestZone,
    credentials: Option<&Credentials>,
    provider: Arc<CryptoProvider>,
) -> (Endpoint, ClientConfig) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(zone.authority_pem.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match credentials {
        Some(credentials) => {
            let certificate = CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap();
            tls.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => tls.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(quic::transport(&sluse_host::network::Network::default(), 0)));
    (
        quic::endpoint(&sluse_host::network::Network::default(), UdpSocket::bind("127.0.0.1:0").unwrap(), None)
            .unwrap(),
        config,
    )
}

/// The bytes of chunk `index` of `seed`'s dataset.
pub fn chunk(seed: u8, index: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).update(&index.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn header(transfer: &TransferId, index: u32, bytes: &[u8]) -> ChunkHeader {
    ChunkHeader { transfer: transfer.clone(), index, length: bytes.len() as u32, digest: ChunkDigest::of(bytes) }
}

impl Source {
    /// Connected, but nothing said.
    pub async fn silent(zone: &TestZone, credentials: &Credentials) -> Self {
        let (endpoint, connection) = connect(zone, Some(credentials)).await.unwrap();
        let (outgoing, incoming) = connection.open_bi().await.unwrap();
        Self { connection, outgoing, incoming, durable: BTreeSet::new(), _endpoint: endpoint }
    }

    /// Connected and welcome.
    pub async fn welcome(zone: &TestZone, credentials: &Credentials) -> Self {
        let mut source = Self::silent(zone, credentials).await;
        source.hello().await;
        assert!(matches!(source.reply().await.0, Reply::Welcome { version, .. } if Some(&version) == VERSIONS.last()));
        source
    }

    pub async fn hello(&mut self) {
        let hello = Request::Hello { versions: VERSIONS.to_vec(), agent: "test".into(), clock: clock::now() };
        self.ask(&hello, &[]).await;
    }

    pub async fn ask(&mut self, request: &Request, body: &[u8]) {
        self.outgoing.write_all(&frame::encode(request, body).unwrap()).await.unwrap();
    }

    pub fn offer_of(seed: u8, bytes: u64) -> (Request, Vec<u8>) {
        let plan = format!("plan {seed}\n").into_bytes();
        let offer = Request::Offer {
            agreement: "agreement".parse().unwrap(),
            dataset: "dataset".parse().unwrap(),
            key: Sha256::of(&[seed]),
            totals: Totals { files: 1, folders: 0, bytes },
            plan_bytes: plan.len() as u64,
            plan_sha256: Sha256::of(&plan),
            delta: None,
        };
        (offer, plan)
    }

    /// Offers `bytes` bytes, and returns the transfer and what is durable of it.
    pub async fn offer(&mut self, seed: u8, bytes: u64) -> (TransferId, Vec<DurableRecord>) {
        let (offer, plan) = Self::offer_of(seed, bytes);
        self.ask(&offer, &[]).await;
        self.ask(&Request::Part, &plan).await;
        self.accepted().await
    }

    pub async fn accepted(&mut self) -> (TransferId, Vec<DurableRecord>) {
        let (reply, _) = self.reply().await;
        let Reply::Accepted { transfer, state: State::Receiving, chunk_bytes, durable } = reply else {
            panic!("not accepted: {reply:?}");
        };
        assert_eq!(chunk_bytes, CHUNK_BYTES);
        let mut records = Vec::new();
        loop {
            let (part, body) = self.reply().await;
            assert_eq!(part, Reply::Part);
            if body.is_empty() {
                break;
            }
            records.extend(body.as_chunks().0.iter().map(DurableRecord::decode));
        }
        assert_eq!(records.len(), durable as usize);
        (transfer, records)
    }

    /// The next frame, whatever it is.
    pub async fn frame(&mut self) -> Result<(Reply, Vec<u8>), quinn::ReadExactError> {
        let mut prefix = [0; 8];
        self.incoming.read_exact(&mut prefix).await?;
        let lengths = Lengths::parse(prefix).unwrap();
        let mut head = vec![0; lengths.head];
        self.incoming.read_exact(&mut head).await?;
        let mut body = vec![0; lengths.body];
        self.incoming.read_exact(&mut body).await?;
        Ok((frame::decode_head(&head).unwrap(), body))
    }

    /// The next answer; acknowledgements are noted.
    pub async fn reply(&mut self) -> (Reply, Vec<u8>) {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(20), self.frame());
            match frame.await.expect("no answer in time").expect("the connection ended") {
                (Reply::Durable { .. }, body) => {
                    self.durable.extend(body.as_chunks().0.iter().map(|index| u32::from_be_bytes(*index)));
                }
                other => return other,
            }
        }
    }

    /// Waits until these chunks are acknowledged.
    pub async fn wait_durable(&mut self, chunks: &[u32]) {
        while !chunks.iter().all(|chunk| self.durable.contains(chunk)) {
            let frame = tokio::time::timeout(Duration::from_secs(20), self.frame());
            match frame.await.expect("no acknowledgement in time").expect("the connection ended") {
                (Reply::Durable { .. }, body) => {
                    self.durable.extend(body.as_chunks().0.iter().map(|index| u32::from_be_bytes(*index)));
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    /// The refusal that comes next.
    pub async fn refused(&mut self) -> Code {
        match self.reply().await.0 {
            Reply::Refused(refusal) => refusal.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The refusal that comes next, and the connection's end with its code.
    pub async fn refused_and_closed(&mut self) -> Code {
        let code = self.refused().await;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.connection.closed()).await;
        let ConnectionError::ApplicationClosed(closed) = ended.expect("not closed") else { panic!("not closed so") };
        assert_eq!(closed.reason, code.as_str().as_bytes());
        assert_eq!(u64::from(closed.error_code), code.exit() as u64);
        code
    }

    /// Sends a chunk as it should be sent.
    pub async fn send_chunk(&self, transfer: &TransferId, index: u32, bytes: &[u8]) {
        self.send_stream(&header(transfer, index, bytes), bytes).await;
    }

    /// Sends any header and any bytes on a stream, and ends it.
    pub async fn send_stream(&self, header: &ChunkHeader, bytes: &[u8]) {
        let mut stream = self.begin_stream(header, bytes).await;
        let _ = stream.finish();
    }

    /// The same without an end.
    pub async fn begin_stream(&self, header: &ChunkHeader, bytes: &[u8]) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        // The zone may stop reading at any time.
        let _ = stream.write_all(&header.encode()).await;
        let _ = stream.write_all(bytes).await;
        stream
    }

    pub async fn seal(&mut self, transfer: &TransferId, manifest: &[u8]) {
        let seal = Request::Seal {
            transfer: transfer.clone(),
            manifest_bytes: manifest.len() as u64,
            manifest_sha256: Sha256::of(manifest),
            signature: "a signature".into(),
        };
        self.ask(&seal, &[]).await;
        for part in manifest.chunks(1000) {
            self.ask(&Request::Part, part).await;
        }
    }
}
