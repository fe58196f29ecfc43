//! A landing zone in memory, which checks what a real one would and breaks when it is told to.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails the test")]

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::pki_types::PrivateKeyDer;
use sluse_protocol::audit::Position;
use sluse_protocol::digest::{ChunkDigest, Sha256, chunk_list_digest};
use sluse_protocol::document::{Entry, Header, Invalid, Kind, Reader, Totals};
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::invite;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::receipt::{Algorithms, Receipt, ReceiptFormat, ReceiptKind};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::sshsig::{self, PublicKey, SigningKey};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{self, ChunkHeader, DurableRecord, Reply, Request, TransferStatus};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the zone knows, and how it is to misbehave.
#[derive(Default)]
pub struct Inner {
    pub transfers: BTreeMap<Sha256, Transfer>,
    pub identity: Option<PublicKey>,
    /// Chunks that arrived, durable or not.
    pub chunks_received: usize,
    /// After so many further chunks the connection is closed, each time again.
    pub cut_every: Option<usize>,
    /// The next offers are answered with these.
    pub refuse_offers: Vec<Refusal>,
    /// The next chunk is answered with this.
    pub refuse_chunk: Option<Refusal>,
    /// Receipts are signed with another key.
    pub forge: bool,
    /// Receipts state another list of chunks.
    pub lie: bool,
    /// The answer to the next seals is lost.
    pub lose_seals: usize,
    since_cut: usize,
}

pub struct Transfer {
    pub id: TransferId,
    pub dataset: DatasetName,
    pub agreement: AgreementId,
    pub plan: Vec<Entry>,
    pub plan_sha256: Sha256,
    pub totals: Totals,
    pub state: State,
    pub chunks: BTreeMap<u32, Vec<u8>>,
    pub manifest: Vec<Entry>,
    pub manifest_sha256: Option<Sha256>,
    pub receipts: BTreeMap<ReceiptKind, (String, String)>,
}

pub struct Zone {
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    certificate: String,
    key: String,
    ca: String,
    _runtime: tokio::runtime::Runtime,
}

struct Served {
    inner: Arc<Mutex<Inner>>,
    ca: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

fn signer(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

pub fn signer_line() -> String {
    signer(1).public().to_allowed_signer("sluse", &[sshsig::NAMESPACE_RECEIPT])
}

impl Zone {
    pub fn start() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
        let sign = |names: Vec<String>, purpose| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut parameters = rcgen::CertificateParams::new(names).unwrap();
            parameters.extended_key_usages = vec![purpose];
            (parameters.signed_by(&key, &ca).unwrap(), key)
        };
        let (server, server_key) = sign(vec![wire::ZONE_HOST.into()], rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = sign(vec![], rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        let provider = sluse_host::quic::crypto_provider(sluse_host::config::KeyExchange::HybridRequired);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![server.der().clone()], PrivateKeyDer::try_from(server_key.serialize_der()).unwrap())
            .unwrap();
        tls.alpn_protocols = vec![wire::ALPN.to_vec()];
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::new(sluse_host::quic::transport(&sluse_host::network::Network::default(), 8)));

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let ca_pem = ca.pem();
        let served = Arc::new(Served { inner: Arc::clone(&inner), ca });
        runtime.block_on(async {
            let endpoint =
                sluse_host::quic::endpoint(&sluse_host::network::Network::default(), socket, Some(config)).unwrap();
            tokio::spawn(served.accept(endpoint));
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            address,
            inner,
            certificate: client.pem(),
            key: client_key.serialize_pem(),
            ca: ca_pem,
            _runtime: runtime,
        }
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn invite(&self) -> String {
        let text = |text: &str| format!("'''\n{text}'''");
        format!(
            "zone = 'sluse'\nsource = 'lab'\naddresses = ['{}']\nexpires = '2999-01-01T00:00:00Z'\ntoken = 'once'\n\
             certificate = {}\nkey = {}\nca = {}\nsigner = {}\n",
            self.address,
            text(&self.certificate),
            text(&self.key),
            text(&self.ca),
            text(&signer_line()),
        )
    }

    /// The identity folder of an enrolled source.
    pub fn enrolled(&self) -> PathBuf {
        let folder = self.folder.path().join("identity");
        sluse_sender::enrol(&self.invite(), &folder, None).unwrap();
        folder
    }

    /// The only transfer's files, put together from its chunks.
    pub fn received(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.inner();
        assert_eq!(inner.transfers.len(), 1);
        inner.transfers.values().next().unwrap().files()
    }

    /// A transfer's files, put together from its chunks.
    pub fn received_as(&self, id: &TransferId) -> BTreeMap<String, Vec<u8>> {
        self.inner().transfers.values().find(|transfer| transfer.id == *id).unwrap().files()
    }
}

impl Transfer {
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let stream: Vec<u8> = self.chunks.values().flatten().copied().collect();
        let mut rest = &stream[..];
        let mut files = BTreeMap::new();
        for entry in self.plan.iter().filter(|entry| entry.kind == Kind::File) {
            let (bytes, tail) = rest.split_at(usize::try_from(entry.size).unwrap());
            files.insert(entry.path.as_str().to_owned(), bytes.to_vec());
            rest = tail;
        }
        assert!(rest.is_empty());
        files
    }

    fn digests(&self) -> Vec<ChunkDigest> {
        self.chunks.values().map(|chunk| ChunkDigest::of(chunk)).collect()
    }

    fn status(&self) -> TransferStatus {
        TransferStatus {
            transfer: self.id.clone(),
            agreement: self.agreement.clone(),
            dataset: self.dataset.clone(),
            state: self.state,
            since: Timestamp::from_unix(0),
            totals: self.totals,
            reason: None,
            receipts: self.receipts.keys().copied().collect(),
        }
    }

    /// Takes the transfer further, with a receipt where there is one for the state.
    pub fn advance(&mut self, state: State, forge: bool, lie: bool) {
        self.state = state;
        let kind = match state {
            State::Received => ReceiptKind::Received,
            State::Rejected => ReceiptKind::Rejected,
            State::Released => ReceiptKind::Released,
            State::Delivered => ReceiptKind::Delivered,
            State::Acknowledged => ReceiptKind::Acknowledged,
            _ => return,
        };
        let digests = if lie { Vec::new() } else { self.digests() };
        let receipt = Receipt {
            sluse: ReceiptFormat::V1,
            kind,
            zone: "sluse".parse().unwrap(),
            time: Timestamp::from_unix(0),
            transfer: self.id.clone(),
            source: "lab".parse().unwrap(),
            agreement: self.agreement.clone(),
            agreement_sha256: Sha256::of(b""),
            dataset: self.dataset.clone(),
            room: "room".parse().unwrap(),
            totals: self.totals,
            manifest_sha256: self.manifest_sha256.unwrap(),
            part_of: None,
            chunk_list: chunk_list_digest(&digests),
            engines: Vec::new(),
            decision: None,
            stored: None,
            acknowledgement: None,
            previous: None,
            audit: Position { size: 1, root: Sha256::of(b"") },
            inclusion: None,
            algorithms: Algorithms::default(),
        };
        let statement = receipt.to_statement();
        let signature = signer(if forge { 2 } else { 1 }).sign(sshsig::NAMESPACE_RECEIPT, statement.as_bytes());
        self.receipts.insert(kind, (statement, signature));
    }
}

impl Served {
    async fn accept(self: Arc<Self>, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let served = Arc::clone(&self);
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let Ok((replies, requests)) = connection.accept_bi().await else { return };
                let replies = Arc::new(tokio::sync::Mutex::new(replies));
                tokio::spawn(Arc::clone(&served).chunks(connection.clone(), Arc::clone(&replies)));
                // Whatever goes wrong ends the connection, as the sender sees it.
                if let Err(refusal) = served.converse(requests, &replies).await {
                    let _ = send(&replies, &Reply::Refused(refusal.clone()), &[]).await;
                    // As the zone does: what is said last is read before the connection ends, whose own last packet may be lost.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    connection.close(1u32.into(), refusal.code.as_str().as_bytes());
                }
            });
        }
    }

    async fn converse(
        &self,
        mut requests: RecvStream,
        replies: &tokio::sync::Mutex<SendStream>,
    ) -> Result<(), Refusal> {
        while let Some((request, _)) = next(&mut requests).await {
            let (reply, body) = match request {
                Request::Hello { .. } => {
                    let source = self.lock().identity.map(|_| "lab".parse().unwrap());
                    let clock = Timestamp::from_unix(0);
                    (Reply::Welcome { version: 1, zone: "sluse".parse().unwrap(), source, clock }, Vec::new())
                }
                Request::Enrol { invite, request, identity, proof } => {
                    (self.enrol(&invite, &request, &identity, &proof)?, Vec::new())
                }
                Request::Offer { agreement, dataset, key, totals, plan_bytes, plan_sha256, delta: None } => {
                    let plan = document(&mut requests, plan_bytes).await;
                    assert_eq!(Sha256::of(&plan), plan_sha256);
                    let records = self.offer(agreement, dataset, key, totals, &plan)?;
                    let (accepted, records) = records;
                    send(replies, &accepted, &[]).await;
                    if matches!(accepted, Reply::Accepted { state: State::Receiving, .. }) {
                        for part in records.chunks(DurableRecord::BYTES * 3) {
                            send(replies, &Reply::Part, part).await;
                        }
                        send(replies, &Reply::Part, &[]).await;
                    }
                    continue;
                }
                Request::Seal { transfer, manifest_bytes, manifest_sha256, signature } => {
                    let manifest = document(&mut requests, manifest_bytes).await;
                    assert_eq!(Sha256::of(&manifest), manifest_sha256);
                    let identity = self.lock().identity.unwrap();
                    sshsig::verify(&identity, sshsig::NAMESPACE_MANIFEST, &manifest, &signature).unwrap();
                    self.seal(&transfer, &manifest, manifest_sha256)?
                }
                Request::Status { transfer, .. } => {
                    let inner = self.lock();
                    let found = inner.transfers.values().find(|found| found.id == transfer);
                    let found = found.ok_or_else(|| Refusal::new(Code::UnknownTransfer, "no such transfer"))?;
                    (Reply::Status(found.status()), Vec::new())
                }
                Request::List { .. } => {
                    let transfers = self.lock().transfers.values().map(Transfer::status).collect();
                    (Reply::Transfers { transfers }, Vec::new())
                }
                Request::Receipt { transfer, kind } => {
                    let inner = self.lock();
                    let found = inner.transfers.values().find(|found| found.id == transfer).unwrap();
                    let (statement, signature) = found.receipts[&kind].clone();
                    (Reply::Receipt { signature }, statement.into_bytes())
                }
                Request::Keys { .. } => (Reply::Keys, Vec::new()),
                Request::Renew { .. } => return Err(Refusal::new(Code::WrongState, "not renewed here")),
                Request::Versions { .. } | Request::Offer { .. } => panic!("a zone of the first version"),
                Request::Part => panic!("a part of nothing"),
            };
            send(replies, &reply, &body).await;
        }
        Ok(())
    }

    fn enrol(&self, invite: &Sha256, request: &str, identity: &str, proof: &str) -> Result<Reply, Refusal> {
        assert!(invite::is_good(invite, &Sha256::of(b"once"), identity, request));
        let key = PublicKey::from_openssh(identity).unwrap();
        sshsig::verify(&key, sshsig::NAMESPACE_ENROL, request.as_bytes(), proof).unwrap();
        let mut inner = self.lock();
        if inner.identity.is_some() {
            return Err(Refusal::new(Code::InviteUsed, "this invite was used"));
        }
        inner.identity = Some(key);
        let parameters = rcgen::CertificateParams::default();
        let certificate = parameters.signed_by(&RequestKey::of(request), &self.ca).unwrap().pem();
        Ok(Reply::Enrolled { source: "lab".parse().unwrap(), certificate, signer: signer_line() })
    }

    fn offer(
        &self,
        agreement: AgreementId,
        dataset: DatasetName,
        key: Sha256,
        totals: Totals,
        plan: &[u8],
    ) -> Result<(Reply, Vec<u8>), Refusal> {
        let mut inner = self.lock();
        if let Some(refusal) = inner.refuse_offers.pop() {
            return Err(refusal);
        }
        let number = inner.transfers.len() as u8;
        let transfer = inner.transfers.entry(key).or_insert_with(|| Transfer {
            id: TransferId::new(Timestamp::from_unix(0), [number; 5]),
            dataset,
            agreement,
            plan: read_document(plan).1,
            plan_sha256: Sha256::of(plan),
            totals,
            state: State::Receiving,
            chunks: BTreeMap::new(),
            manifest: Vec::new(),
            manifest_sha256: None,
            receipts: BTreeMap::new(),
        });
        let records = transfer.chunks.iter();
        let records = records.map(|(index, bytes)| DurableRecord { index: *index, digest: ChunkDigest::of(bytes) });
        let records: Vec<u8> = records.flat_map(|record| record.encode()).collect();
        let durable = if transfer.state == State::Receiving { transfer.chunks.len() as u32 } else { 0 };
        let (id, state) = (transfer.id.clone(), transfer.state);
        Ok((Reply::Accepted { transfer: id, state, chunk_bytes: CHUNK_BYTES, durable }, records))
    }

    fn seal(&self, id: &TransferId, manifest: &[u8], sha256: Sha256) -> Result<(Reply, Vec<u8>), Refusal> {
        let mut inner = self.lock();
        let (forge, lie) = (inner.forge, inner.lie);
        let transfer = inner.transfers.values_mut().find(|transfer| transfer.id == *id).unwrap();
        let (header, entries) = read_document(manifest);
        let Header::Manifest { plan, chunks, chunk_list, totals, .. } = header else { panic!("not a manifest") };
        assert_eq!((plan, totals), (transfer.plan_sha256, transfer.totals));
        assert_eq!(chunks as usize, transfer.chunks.len());
        assert_eq!(chunk_list, chunk_list_digest(transfer.digests()));
        let files = transfer.files();
        for (sealed, planned) in entries.iter().zip(&transfer.plan) {
            assert!(sealed.agrees_with_plan(planned));
            assert_eq!(sealed.sha256, files.get(sealed.path.as_str()).map(|bytes| Sha256::of(bytes)));
        }
        (transfer.manifest, transfer.manifest_sha256) = (entries, Some(sha256));
        transfer.advance(State::Received, forge, lie);
        let (statement, signature) = transfer.receipts[&ReceiptKind::Received].clone();
        if inner.lose_seals > 0 {
            inner.lose_seals -= 1;
            return Err(Refusal::new(Code::Unavailable, "the zone is restarting"));
        }
        Ok((Reply::Sealed { signature }, statement.into_bytes()))
    }

    async fn chunks(self: Arc<Self>, connection: Connection, replies: Arc<tokio::sync::Mutex<SendStream>>) {
        while let Ok(mut stream) = connection.accept_uni().await {
            let (served, connection, replies) = (Arc::clone(&self), connection.clone(), Arc::clone(&replies));
            tokio::spawn(async move {
                let Ok(bytes) = stream.read_to_end(CHUNK_BYTES as usize + ChunkHeader::BYTES).await else { return };
                let (header, bytes) = bytes.split_first_chunk().unwrap();
                let header = ChunkHeader::decode(header).unwrap();
                assert_eq!(header.length as usize, bytes.len());
                assert_eq!(header.digest, ChunkDigest::of(bytes));
                let (refusal, cut) = served.chunk(&header, bytes);
                if let Some(refusal) = refusal {
                    send(&replies, &Reply::Refused(refusal.clone()), &[]).await;
                    return;
                }
                let durable = Reply::Durable { transfer: header.transfer };
                send(&replies, &durable, &header.index.to_be_bytes()).await;
                if cut {
                    connection.close(6u32.into(), b"unavailable");
                }
            });
        }
    }

    fn chunk(&self, header: &ChunkHeader, bytes: &[u8]) -> (Option<Refusal>, bool) {
        let mut inner = self.lock();
        inner.chunks_received += 1;
        if let Some(refusal) = inner.refuse_chunk.take() {
            return (Some(refusal), false);
        }
        let transfer = inner.transfers.values_mut().find(|transfer| transfer.id == header.transfer).unwrap();
        transfer.chunks.insert(header.index, bytes.to_vec());
        inner.since_cut += 1;
        let cut = inner.cut_every.is_some_and(|every| inner.since_cut >= every);
        if cut {
            inner.since_cut = 0;
        }
        (None, cut)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

fn read_document(text: &[u8]) -> (Header, Vec<Entry>) {
    let mut reader = Reader::new();
    let mut entries = Vec::new();
    let read = reader.push(text, |_, entry| {
        entries.push(entry);
        Ok::<(), Invalid>(())
    });
    read.unwrap();
    (reader.finish().unwrap(), entries)
}

async fn next(stream: &mut RecvStream) -> Option<(Request, Vec<u8>)> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.ok()?;
    let lengths = Lengths::parse(prefix).unwrap();
    let (mut head, mut body) = (vec![0; lengths.head], vec![0; lengths.body]);
    stream.read_exact(&mut head).await.ok()?;
    stream.read_exact(&mut body).await.ok()?;
    Some((frame::decode_head(&head).unwrap(), body))
}

async fn document(stream: &mut RecvStream, bytes: u64) -> Vec<u8> {
    let mut document = Vec::new();
    while (document.len() as u64) < bytes {
        let Some((Request::Part, body)) = next(stream).await else { panic!("a document was cut off") };
        assert!(!body.is_empty() && body.len() <= sluse_protocol::limits::PART_BYTES);
        document.extend_from_slice(&body);
    }
    assert_eq!(document.len() as u64, bytes);
    document
}

async fn send(stream: &tokio::sync::Mutex<SendStream>, reply: &Reply, body: &[u8]) {
    // A sender that went away is the test's intention.
    let _ = stream.lock().await.write_all(&frame::encode(reply, body).unwrap()).await;
}

/// The public key of a certificate request.
struct RequestKey(Vec<u8>);

impl RequestKey {
    fn of(request: &str) -> Self {
        use rustls::pki_types::pem::PemObject as _;
        // What precedes the key's 65 bytes: the curve's identifier and the bit string's head.
        const BEFORE: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00];
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
        let at = der.windows(BEFORE.len()).position(|window| window == BEFORE).unwrap() + BEFORE.len();
        Self(der[at..at + 65].to_vec())
    }
}

impl rcgen::PublicKeyData for RequestKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Bytes that are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
