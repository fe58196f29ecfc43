//! Whose certificates end a handshake well: those of the zone's own authority, and those of outside authorities. The
//! certificate's issuer decides who checks it. Those of outside authorities are checked again while connections are open.

use super::intake::Intake;
use super::session::Session;
use super::{bounds, greet};
use crate::outside::{self, Denied, Outside};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, client::danger::HandshakeSignatureValid,
};
use sluse_host::clock;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::time::Timestamp;
use std::sync::Arc;
use std::time::Instant;
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

    /// Whether a certificate that was let in would be let in at `now` too.
    ///
    /// # Errors
    /// Why it would not.
    pub fn still_good(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), Denied> {
        // `control` says which of the zone's own are good, and who was shut out.
        if self.outside.is_empty() || self.is_own(certificate) {
            return Ok(());
        }
        self.outside.verify(certificate, now).map(drop)
    }

    fn is_own(&self, certificate: &CertificateDer<'_>) -> bool {
        // What cannot be read is nobody's: the zone's own check says so.
        X509Certificate::from_der(certificate).map_or(true, |(_, read)| read.issuer().as_raw() == self.own_name)
    }
}

/// Looks at the outside authorities' files for as long as the role runs, and ends the connections whose certificates they
/// say are not good any more: after each change, and from time to time since certificates run out.
pub async fn follow(intake: Arc<Intake>) {
    if intake.certificates.outside.is_empty() {
        return;
    }
    let mut checked = Instant::now();
    loop {
        tokio::time::sleep(outside::LOOK_AGAIN).await;
        let due = checked.elapsed() >= bounds::CERTIFICATES_AGAIN;
        let looking = Arc::clone(&intake);
        let looked = tokio::task::spawn_blocking(move || {
            if looking.certificates.outside.refresh() || due {
                looking.sessions().iter().for_each(|session| end_if_not_good(&looking, session));
                return true;
            }
            false
        });
        match looked.await {
            Ok(true) => checked = Instant::now(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "outside authorities were not looked at"),
        }
    }
}

fn end_if_not_good(intake: &Intake, session: &Session) {
    if let Err(refusal) = check(intake, session) {
        session.end(refusal);
    }
}

/// Whether a connection's certificate is still good.
///
/// # Errors
/// What its peer hears if not.
pub fn check(intake: &Intake, session: &Session) -> Result<(), Refusal> {
    let certificate = greet::certificate(session.connection())?;
    intake.certificates.still_good(&certificate, clock::now()).map_err(|denied| {
        let code = denied.code();
        tracing::warn!(source = %session.source(), code, "a certificate is not good any more: {denied}");
        denied.refusal()
    })
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
