//! Whether a certificate of an outside authority is good.

use super::trust::Trust;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Seconds by which the authority's clock may be ahead of the zone's. Ends are not put off.
const CLOCK_SLACK: i64 = 5 * 60;

/// Bits of the shortest RSA key.
const RSA_BITS: usize = 3072;

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No authority that is known here issued it.
    #[error("no authority of this zone issued the certificate")]
    Issuer,
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Its key is weak, or of another kind.
    #[error("the certificate has {0}")]
    Key(&'static str),
    /// It is for something else.
    #[error("the certificate is not for {0}")]
    Purpose(&'static str),
    /// It, or one above it, begins later.
    #[error("the certificate is not good yet")]
    NotYet,
    /// It, or one above it, ran out.
    #[error("the certificate, or one above it, ran out")]
    Expired,
    /// It, or one above it, was taken back.
    #[error("the authority took the certificate back")]
    Revoked,
    /// The list that would say whether it was taken back ran out.
    #[error("the authority's revocation list ran out")]
    ListExpired,
    /// No list says whether it was taken back.
    #[error("no revocation list of the authority says whether the certificate is still good")]
    RevocationUnknown,
    /// Signatures or constraints do not hold.
    #[error("the chain of certificates does not hold: {0}")]
    Chain(String),
    /// It is good, but no source's.
    #[error("no source is configured for the certificate's subject")]
    Nobody,
    /// It is more than one source's.
    #[error("more than one source is configured for the certificate's subject")]
    Ambiguous,
}

impl Denied {
    /// The stable code in the journal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Issuer => "unknown-issuer",
            Self::Unreadable => "unreadable-certificate",
            Self::Key(_) => "weak-key",
            Self::Purpose(_) => "wrong-purpose",
            Self::NotYet => "certificate-not-yet-valid",
            Self::Expired => "certificate-expired",
            Self::Revoked => "certificate-revoked",
            Self::ListExpired => "revocation-list-expired",
            Self::RevocationUnknown => "revocation-unknown",
            Self::Chain(_) => "bad-chain",
            Self::Nobody => "unknown-subject",
            Self::Ambiguous => "ambiguous-subject",
        }
    }

    /// What TLS tells the peer: an alert follows from it.
    pub fn tls(&self) -> Error {
        Error::InvalidCertificate(match self {
            Self::Issuer => CertificateError::UnknownIssuer,
            Self::Unreadable => CertificateError::BadEncoding,
            Self::Purpose(_) => CertificateError::InvalidPurpose,
            Self::NotYet => CertificateError::NotValidYet,
            Self::Expired => CertificateError::Expired,
            Self::Revoked => CertificateError::Revoked,
            // The alert `bad_certificate_status_response`: the certificate may be good, the zone cannot tell.
            Self::ListExpired | Self::RevocationUnknown => CertificateError::InvalidOcspResponse,
            Self::Key(_) | Self::Chain(_) | Self::Nobody | Self::Ambiguous => {
                CertificateError::ApplicationVerificationFailure
            }
        })
    }

    /// What the peer hears after the handshake.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Expired | Self::NotYet => Code::CertificateExpired,
            Self::Revoked => Code::RevokedSource,
            Self::ListExpired | Self::RevocationUnknown => Code::Unavailable,
            _ => Code::UnknownCertificate,
        };
        let refusal = Refusal::new(code, self.to_string());
        match self {
            Self::Expired => refusal.hint("Have the authority issue another of the same subject."),
            Self::NotYet => refusal.hint("Compare this host's clock, the authority's and the zone's."),
            Self::ListExpired | Self::RevocationUnknown => {
                refusal.hint("The zone's operators must renew the authority's revocation list; then this works again.")
            }
            Self::Nobody | Self::Ambiguous => refusal
                .hint("The zone's operator writes the subject into [authority.NAME.source.SOURCE] of sluse.toml."),
            _ => refusal,
        }
    }
}

impl Trust {
    /// Checks a source's certificate at `now`: key, purpose, chain, revocation. Returns by how many seconds the authority's
    /// clock is ahead, if it is.
    ///
    /// # Errors
    /// Why it is not good; [`Denied::Issuer`] when this authority did not issue it.
    pub fn check(&self, der: &CertificateDer<'_>, now: Timestamp) -> Result<i64, Denied> {
        let certificate = match X509Certificate::from_der(der) {
            Ok(([], certificate)) => certificate,
            _ => return Err(Denied::Unreadable),
        };
        let issuer = certificate.issuer().as_raw();
        if !self.certificates().iter().any(|known| known.subject == issuer) {
            return Err(Denied::Issuer);
        }
        strong_key(certificate.public_key()).map_err(Denied::Key)?;
        check_purpose(&certificate)?;
        let begins = Timestamp::from_unix(certificate.validity().not_before.timestamp());
        let newest = self.lists().iter().map(|list| list.from).max().unwrap_or(begins);
        if newest > now.plus(CLOCK_SLACK) {
            return Err(Denied::RevocationUnknown);
        }
        if begins > now.plus(CLOCK_SLACK) {
            return Err(Denied::NotYet);
        }
        let at = now.max(begins);
        let seconds = u64::try_from(at.unix()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match self.verifier().verify_client_cert(der, self.intermediates(), time) {
            Ok(_) => Ok(at.max(newest).unix() - now.unix()),
            Err(error) => Err(denied(error)),
        }
    }
}

fn denied(error: Error) -> Denied {
    use CertificateError::{
        Expired, ExpiredContext, ExpiredRevocationList, ExpiredRevocationListContext, InvalidPurpose,
        InvalidPurposeContext, NotValidYet, NotValidYetContext, Revoked, UnknownRevocationStatus,
    };
    let Error::InvalidCertificate(error) = error else { return Denied::Chain(error.to_string()) };
    match error {
        NotValidYet | NotValidYetContext { .. } => Denied::NotYet,
        Expired | ExpiredContext { .. } => Denied::Expired,
        Revoked => Denied::Revoked,
        ExpiredRevocationList | ExpiredRevocationListContext { .. } => Denied::ListExpired,
        UnknownRevocationStatus => Denied::RevocationUnknown,
        InvalidPurpose | InvalidPurposeContext { .. } => Denied::Purpose("client authentication"),
        other => Denied::Chain(other.to_string()),
    }
}

/// A source's certificate says that it is for client authentication; nothing is read into its silence.
fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), Denied> {
    let extended = certificate.extended_key_usage().map_err(|_| Denied::Unreadable)?;
    if !extended.is_some_and(|extended| extended.value.client_auth) {
        return Err(Denied::Purpose("client authentication"));
    }
    let usage = certificate.key_usage().map_err(|_| Denied::Unreadable)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(Denied::Purpose("signatures"));
    }
    if certificate.is_ca() {
        return Err(Denied::Purpose("a source: it is an authority's"));
    }
    Ok(())
}

/// RSA from 3072 bits on, ECDSA on P-256 and P-384.
///
/// # Errors
/// What the key is instead, as the end of a sentence.
pub(super) fn strong_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), &'static str> {
    let kind = &key.algorithm.algorithm;
    if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
            _ => Err("a key on another curve than P-256 and P-384"),
        };
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if *kind == OID_PKCS1_RSAENCRYPTION && rsa.key_size() >= RSA_BITS => Ok(()),
        Ok(PublicKey::RSA(_)) => Err("an RSA key of less than 3072 bits"),
        _ => Err("a key that is neither RSA nor ECDSA"),
    }
}
