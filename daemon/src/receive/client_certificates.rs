//! Whose certificates end a handshake well: those of the zone's own authority, and those of outside authorities. The
//! certificate's issuer decides who checks it.

use crate::outside::Outside;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, client::danger::HandshakeSignatureValid,
};
use sluse_protocol::time::Timestamp;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// See the module.
#[derive(Debug)]
pub struct ClientCertificates {
    own: Arc<dyn ClientCertVerifier>,
    /// The name of the zone's own authority, DER.
    own_name: Vec<u8>,
    outside: Outside,
}

impl ClientCertificates {
    /// Checks by `own` what the authority `own_name` (DER) issued, and by `outside` everything else.
    pub fn new(own: Arc<dyn ClientCertVerifier>, own_name: Vec<u8>, outside: Outside) -> Self {
        Self { own, own_name, outside }
    }

    fn is_own(&self, certificate: &CertificateDer<'_>) -> bool {
        // What cannot be read is nobody's: the zone's own check says so.
        X509Certificate::from_der(certificate).map_or(true, |(_, read)| read.issuer().as_raw() == self.own_name)
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A source has one certificate and shows it whatever is hinted at; outside authorities may change while we run.
        if self.outside.is_empty() { self.own.root_hint_subjects() } else { &[] }
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.outside.is_empty() || self.is_own(certificate) {
            return self.own.verify_client_cert(certificate, sent, now);
        }
        let now = Timestamp::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        match self.outside.verify(certificate, now) {
            Ok(authority) => {
                tracing::debug!(authority, "a certificate of an outside authority");
                Ok(ClientCertVerified::assertion())
            }
            Err(denied) => {
                tracing::warn!(code = denied.code(), "a certificate of an outside authority was refused: {denied}");
                Err(denied.tls())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}
