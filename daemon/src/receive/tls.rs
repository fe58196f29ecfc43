//! The role's TLS 1.3: its key and certificate, and whose certificates it takes.
//!
//! The certificate on the disk is good for as long as the zone's authority, for years. In the last third of its life the role asks `control`
//! for another one of the same key, good for months, and so on from then on. Those are kept in memory: the role cannot write where
//! its keys lie, and asks again after each start.

use super::bounds;
use super::client_certificates::ClientCertificates;
use super::control::unexpected;
use super::intake::Intake;
use crate::RoleError;
use crate::outside::Outside;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig, VarInt};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sluse_host::config::{KeyExchange, Zone};
use sluse_host::network::Network;
use sluse_host::{clock, files, quic};
use sluse_protocol::limits::MAX_CHUNK_STREAMS;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::ALPN;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Bytes of a certificate file.
const CERTIFICATE_BYTES: u64 = 64 * 1024;

/// How often the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// What the endpoint's settings are made of.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    clients: Arc<ClientCertificates>,
    key: PrivateKeyDer<'static>,
    /// The certificate that lies on the disk.
    certificate: CertificateDer<'static>,
    network: Network,
}

impl Tls {
    /// Reads the zone's TLS key and certificates.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it must be.
    pub fn read(zone: &Zone) -> Result<Self, RoleError> {
        let exchange = zone.settings.receive.key_exchange;
        if exchange == KeyExchange::AllowX25519 {
            tracing::warn!(
                "key_exchange = \"allow-x25519\": what is recorded on the network today may be read by a quantum \
                 computer later; remove the setting when every source takes X25519MLKEM768"
            );
        }
        let provider = quic::crypto_provider(exchange);
        let clients = Arc::new(client_certificates(zone, &provider)?);
        let key_file = zone.layout.tls_key();
        let key = files::read_private(&key_file).map_err(RoleError::io(format!("read {}", key_file.display())))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(&key_file, &error))?;
        let certificate = own_certificate(zone, &provider, &key)?;
        Ok(Self { provider, clients, key, certificate, network: zone.settings.network.clone() })
    }

    /// What checks peers' certificates.
    pub fn clients(&self) -> Arc<ClientCertificates> {
        Arc::clone(&self.clients)
    }

    /// The endpoint's settings with the certificate on the disk.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn config(&self) -> Result<ServerConfig, RoleError> {
        self.config_with(self.certificate.clone())
            .map_err(|error| RoleError::State(format!("the TLS certificate: {error}")))
    }

    fn config_with(&self, certificate: CertificateDer<'static>) -> Result<ServerConfig, rustls::Error> {
        let clients = Arc::clone(&self.clients);
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], self.key.clone_key())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        // Every connection shows its certificate: nothing is resumed.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        let tls = QuicServerConfig::try_from(tls).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(bounded(&self.network, ServerConfig::with_crypto(Arc::new(tls))))
    }
}

/// Shows another certificate whenever the life of the one that is shown comes to its end.
pub async fn keep_current(intake: Arc<Intake>, endpoint: Endpoint, tls: Tls) {
    let mut shown = tls.certificate.clone();
    loop {
        if is_due(&shown, clock::now()) {
            match renew(&intake, &tls).await {
                Ok((certificate, config)) => {
                    endpoint.set_server_config(Some(config));
                    shown = certificate;
                    tracing::info!("the TLS certificate was renewed");
                }
                Err(refusal) => tracing::error!(code = %refusal.code, "the TLS certificate: {}", refusal.message),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = intake.stopping() => return,
        }
    }
}

async fn renew(intake: &Intake, tls: &Tls) -> Result<(CertificateDer<'static>, ServerConfig), Refusal> {
    let bad = |error: &dyn std::fmt::Display| Refusal::new(Code::Internal, error.to_string());
    let pem = match intake.control.ask(ReceiveRequest::Certify, tls.certificate.to_vec()).await? {
        (ReceiveReply::Renewed { certificate }, _) => certificate,
        (other, _) => return Err(unexpected(&other)),
    };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| bad(&error))?;
    let config = tls.config_with(certificate.clone()).map_err(|error| bad(&error))?;
    Ok((certificate, config))
}

/// Whether it is time to ask for another certificate.
fn is_due(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else { return true };
    let validity = read.validity();
    in_last_third((validity.not_before.timestamp(), validity.not_after.timestamp()), now.unix())
}

/// Whether less than a third of what lasts from one time until another is left.
fn in_last_third((from, until): (i64, i64), now: i64) -> bool {
    now >= until.saturating_sub(until.saturating_sub(from) / 3)
}

/// The certificate that goes with the key: while both are exchanged, the file has the old one and the new one.
fn own_certificate(
    zone: &Zone,
    provider: &CryptoProvider,
    key: &PrivateKeyDer<'static>,
) -> Result<CertificateDer<'static>, RoleError> {
    let file = zone.layout.tls_certificate();
    let key = provider.key_provider.load_private_key(key.clone_key());
    let key = key.map_err(|error| unusable(&zone.layout.tls_key(), &error))?;
    let goes = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key)).keys_match().is_ok()
    };
    let found = certificates(&file)?.into_iter().find(goes);
    found.ok_or_else(|| RoleError::State(format!("{}: no certificate goes with tls.key", file.display())))
}

fn client_certificates(zone: &Zone, provider: &Arc<CryptoProvider>) -> Result<ClientCertificates, RoleError> {
    let file = zone.layout.ca_certificate();
    let (mut roots, mut name) = (rustls::RootCertStore::empty(), Vec::new());
    for authority in certificates(&file)? {
        let (_, read) = X509Certificate::from_der(&authority).map_err(|error| unusable(&file, &error))?;
        name = read.subject().as_raw().to_vec();
        roots.add(authority).map_err(|error| unusable(&file, &error))?;
    }
    let own = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let own = own.build().map_err(|error| unusable(&file, &error))?;
    Ok(ClientCertificates::new(own, name, Outside::new(zone)))
}

fn bounded(network: &Network, mut config: ServerConfig) -> ServerConfig {
    let mut transport = quic::transport(network, MAX_CHUNK_STREAMS);
    transport.receive_window(VarInt::from_u32(bounds::FIRST_WINDOW_BYTES)).send_window(bounds::SEND_WINDOW_BYTES);
    config
        .transport_config(Arc::new(transport))
        .max_incoming(bounds::WAITING)
        .incoming_buffer_size(bounds::WAITING_BYTES_EACH)
        .incoming_buffer_size_total(bounds::WAITING_BYTES);
    config.validation_token.sent(0);
    config
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, RoleError> {
    let bytes = files::read_bounded(file, CERTIFICATE_BYTES);
    let bytes = bytes.map_err(RoleError::io(format!("read {}", file.display())))?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unusable(file, &error))?;
    if certificates.is_empty() {
        return Err(RoleError::State(format!("{}: no certificate", file.display())));
    }
    Ok(certificates)
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> RoleError {
    RoleError::State(format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_in_the_last_third() {
        assert!(!in_last_third((0, 300), 199) && in_last_third((0, 300), 200) && in_last_third((0, 300), 400));
    }
}
