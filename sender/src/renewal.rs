//! A certificate is renewed over the one in force, in the last third of its life or when the zone has another authority, whenever there
//! is a connection.
//!
//! The TLS key stays; the certificate's file is replaced in one step. Of several senders of one host, one renews.

use crate::connection::Link;
use crate::enrol;
use crate::error::Error;
use crate::identity::{self, Identity};
use sluse_host::config::KeyExchange;
use sluse_host::{files, quic};
use sluse_protocol::sshsig::NAMESPACE_RENEW;
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request};
use std::fs::{File, TryLockError};
use std::path::Path;

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

impl Validity {
    /// The validity of a certificate (PEM).
    pub(crate) fn of(pem: &str) -> Option<Self> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
        let validity = pem.parse_x509().ok()?.validity().clone();
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_unix(time.timestamp());
        Some(Self { from: time(validity.not_before), until: time(validity.not_after) })
    }

    /// Seconds that it is good for altogether.
    pub fn life(&self) -> i64 {
        self.until.unix().saturating_sub(self.from.unix())
    }

    /// Whether less than one part in `parts` of its life is left.
    pub fn is_in_last(&self, parts: i64, now: Timestamp) -> bool {
        now.unix() >= self.until.unix().saturating_sub(self.life() / parts.max(1))
    }

    /// Whether it is time to renew it.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.is_in_last(3, now)
    }
}

/// Renews the certificate of an identity folder if it is time; until when the new one is good.
///
/// # Errors
/// When the zone cannot be reached or refuses, or the new certificate cannot be kept.
pub fn renew(folder: &Path) -> Result<Option<Timestamp>, Error> {
    let identity = Identity::load(folder)?;
    if !identity.renewal_is_due(sluse_host::clock::now()) {
        return Ok(None);
    }
    crate::runtime()?.block_on(async {
        let mut link = crate::send::connect(&identity).await?;
        let renewed = over(&identity, &mut link).await;
        link.finish().await;
        renewed
    })
}

/// Renews over a connection if it is time by the zone's clock, and no other process of this host does.
pub(crate) async fn over(identity: &Identity, link: &mut Link) -> Result<Option<Timestamp>, Error> {
    let path = identity.folder().join(identity::RENEWING);
    if !identity.renewal_is_due(link.zone_clock()) {
        return Ok(None);
    }
    let lock = File::create(&path).map_err(Error::file(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
    }
    // Another may have been faster.
    if !Identity::load(identity.folder())?.renewal_is_due(link.zone_clock()) {
        return Ok(None);
    }
    let key = enrol::tls_key(identity.folder())?;
    let request = enrol::request(&key)?;
    let proof = identity.signing_key().sign(NAMESPACE_RENEW, request.as_bytes());
    let (Reply::Renewed { certificate }, _) = link.ask(&Request::Renew { request, proof }).await? else {
        return Err(Error::Protocol("an answer that does not belong to the request"));
    };
    keep(identity, &certificate, key.serialize_pem()).map(Some)
}

/// Replaces the certificate, if the new one is better and goes with the key.
fn keep(identity: &Identity, certificate: &str, key: String) -> Result<Timestamp, Error> {
    let key = zeroize::Zeroizing::new(key);
    let folder = identity.folder();
    let validity = Validity::of(certificate).ok_or(Error::Protocol("a renewed certificate that is none"))?;
    if validity.until < identity.validity().until {
        return Err(Error::Protocol("a renewed certificate that is good for less long"));
    }
    let authority = identity::text(folder, identity::AUTHORITY)?;
    quic::client_config(
        KeyExchange::HybridRequired,
        identity.network(),
        authority.as_bytes(),
        certificate.as_bytes(),
        key.as_bytes(),
    )?;
    let path = folder.join(identity::TLS_CERTIFICATE);
    files::replace(&path, certificate.as_bytes(), 0o600).map_err(Error::file(&path))?;
    Ok(validity.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_in_the_last_third() {
        let at = Timestamp::from_unix;
        let validity = Validity { from: at(0), until: at(300) };
        assert!(!validity.is_due(at(199)) && validity.is_due(at(200)) && validity.is_due(at(301)));
        assert!(Validity { from: at(0), until: at(0) }.is_due(at(0)));
    }
}
