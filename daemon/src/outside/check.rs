//! Whether a certificate of an outside authority is good.

use super::trust::Trust;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertificateError, Error};
use sluse_host::config::KeyExchange;
use sluse_host::quic;
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use webpki::{EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptions, RevocationOptionsBuilder};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Seconds by which the authority's clock may be ahead of the zone's. Ends are not put off.
const CLOCK_SLACK: i64 = 5 * 60;

/// Bits of the shortest RSA key.
const RSA_BITS: usize = 3072;

/// Certificates whose verdicts are kept; beyond them all are forgotten.
const VERDICTS: usize = 4096;

/// What an authority's lists say of certificates whose chain holds, by the certificate's SHA-256. To ask a list costs as much
/// as the list is long, and whoever shows a certificate has not shown yet that it is his: so each is asked about once.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<HashMap<Sha256, Verdict>>);

/// Until when it is good, where the certificate was taken, and what it is.
type Verdict = (Timestamp, Result<(), Denied>);

impl Verdicts {
    /// The verdict on a certificate at `now`: the one that is kept, or the one of `ask`, which is good until `until`. A
    /// certificate that was refused stays so: lists do not come back to life.
    fn of(
        &self,
        certificate: Sha256,
        now: Timestamp,
        until: Timestamp,
        ask: impl FnOnce() -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        let kept = self.lock().get(&certificate).cloned();
        if let Some((until, verdict)) = kept
            && (verdict.is_err() || now < until)
        {
            return verdict;
        }
        let verdict = ask();
        let mut all = self.lock();
        if all.len() >= VERDICTS {
            all.clear();
        }
        all.insert(certificate, (until, verdict.clone()));
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.unix()).unwrap_or_default()));
        let leaf = EndEntityCert::try_from(der).map_err(denied)?;
        // The chain first: who made a certificate up does not get as far as the lists.
        self.verify(&leaf, time, None)?;
        let entries: Vec<_> = self.lists().iter().map(|list| list.entries()).collect();
        if let Ok(lists) = RevocationOptionsBuilder::new(&entries) {
            let lists = lists.with_expiration_policy(ExpirationPolicy::Enforce).build();
            let until = self.lists().iter().map(|list| list.until).filter(|until| *until > at).min().unwrap_or(at);
            self.verdicts.of(Sha256::of(der), at, until, || self.verify(&leaf, time, Some(lists)))?;
        }
        Ok(at.max(newest).unix() - now.unix())
    }

    fn verify(
        &self,
        leaf: &EndEntityCert<'_>,
        time: UnixTime,
        lists: Option<RevocationOptions<'_>>,
    ) -> Result<(), Denied> {
        let verified = leaf.verify_for_usage(
            algorithms(),
            self.anchors(),
            self.intermediates(),
            time,
            KeyUsage::client_auth(),
            lists,
            None,
        );
        verified.map(drop).map_err(denied)
    }
}

/// Signature algorithms that are taken, which are those of TLS here: no SHA-1.
fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    quic::crypto_provider(KeyExchange::HybridRequired).signature_verification_algorithms.all
}

fn denied(error: webpki::Error) -> Denied {
    use webpki::Error as E;
    match error {
        E::BadDer => Denied::Unreadable,
        E::CertNotValidYet { .. } => Denied::NotYet,
        E::CertExpired { .. } => Denied::Expired,
        E::CertRevoked => Denied::Revoked,
        E::CrlExpired { .. } => Denied::ListExpired,
        E::UnknownRevocationStatus => Denied::RevocationUnknown,
        E::RequiredEkuNotFoundContext(_) => Denied::Purpose("client authentication"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn the_lists_are_asked_once_about_a_certificate_until_one_of_them_runs_out() {
        let verdicts = Verdicts::default();
        let mut asked = 0;
        let mut of = |name: &[u8], now, verdict: Result<(), Denied>| {
            verdicts.of(Sha256::of(name), at(now), at(10), || {
                asked += 1;
                verdict
            })
        };
        for now in 0..10 {
            assert_eq!(of(b"good", now, Ok(())), Ok(()));
            assert_eq!(of(b"taken back", now, Err(Denied::Revoked)), Err(Denied::Revoked));
        }
        assert_eq!(of(b"good", 10, Err(Denied::ListExpired)), Err(Denied::ListExpired));
        assert_eq!(of(b"taken back", 10, Ok(())), Err(Denied::Revoked));
        assert_eq!(asked, 3);
    }

    #[test]
    fn verdicts_are_bounded() {
        let verdicts = Verdicts::default();
        for number in 0..=VERDICTS {
            verdicts.of(Sha256::of(&number.to_be_bytes()), at(0), at(10), || Ok(())).unwrap();
        }
        assert!(verdicts.lock().len() <= VERDICTS);
    }
}
