//! TLS 1.3 towards clients. A client's certificate is known by its digest: nobody signs it, and removing the digest revokes it.

use crate::Error;
use crate::settings::Https;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Bytes of the longest file of certificates.
const MAX_CERTIFICATES: u64 = 256 * 1024;

const HINT: &str =
    "A PEM file of the certificate and those that signed it, and one of its key, for the service's user alone.";

/// What encrypts connections; none where the configuration has no certificate.
///
/// # Errors
/// When certificate or key cannot be used.
pub fn acceptor(settings: &Https) -> Result<Option<TlsAcceptor>, Error> {
    let Some((certificate, key)) = &settings.certificate else { return Ok(None) };
    let chain = chain(certificate)?;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("https.key"));
    let key = handed_over.filter(|path| path.exists()).unwrap_or_else(|| key.clone());
    let secret = files::read_private(&key).map_err(|error| unusable(&key, &error))?;
    let private = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| unusable(&key, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let known = settings.accounts.iter().filter_map(|account| account.certificate).collect();
    let verifier = Arc::new(Pinned { known, provider: Arc::clone(&provider) });
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| unusable(certificate, &error))?;
    let config = config.with_client_cert_verifier(verifier).with_single_cert(chain, private);
    let mut config = config.map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = files::read_bounded(path, MAX_CERTIFICATES).map_err(|error| unusable(path, &error))?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(path, &error))?;
    if chain.is_empty() { Err(unusable(path, &"no certificate in it")) } else { Ok(chain) }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Key { what: format!("{} cannot be used: {why}", path.display()), hint: HINT }
}

/// Takes the certificates that are configured, and clients without one.
#[derive(Debug)]
struct Pinned {
    known: Vec<Sha256>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Pinned {
    fn offer_client_auth(&self) -> bool {
        !self.known.is_empty()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.known.contains(&Sha256::of(certificate)) {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
