//! Revocation lists: read and verified once, asked often.

use super::time;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sluse_protocol::time::Timestamp;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// One of an authority's revocation lists, whose signature holds.
#[derive(Debug)]
pub struct List {
    /// Whose certificates it is about, as it is compared.
    pub issuer: Vec<u8>,
    /// The same, to be read.
    pub name: String,
    /// Since when it holds.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Its number, without leading zeros.
    number: Vec<u8>,
    entries: CertRevocationList<'static>,
}

impl List {
    /// Reads a list, and verifies that one of `authorities` signed it.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn read(der: &CertificateRevocationListDer<'_>, authorities: &[CertificateDer<'_>]) -> Result<Self, String> {
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|_| "a revocation list cannot be read")?;
        let name = parsed.issuer().to_string();
        let until = parsed.next_update();
        let until = until.ok_or_else(|| format!("the list of {name} does not say until when it is good"))?;
        verify(&parsed, &name, authorities)?;
        let entries = OwnedCertRevocationList::from_der(der)
            .map_err(|error| format!("the list of {name} cannot be used: {error}"))?;
        Ok(Self {
            issuer: parsed.issuer().as_raw().to_vec(),
            from: time(parsed.last_update()),
            until: time(until),
            number: parsed.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default(),
            entries: entries.into(),
            name,
        })
    }

    /// Whether another list of the same issuer came after this one: by its time, and where that is the same by its number.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let age = |list: &Self| (list.from, list.number.len());
        (age(self), &self.number) < (age(other), &other.number)
    }

    /// What it says, as the verifier asks it.
    pub fn entries(&self) -> &CertRevocationList<'static> {
        &self.entries
    }
}

/// A list is its issuer's by the signature of a key that may sign lists. While keys are exchanged an issuer has two.
fn verify(list: &CertificateRevocationList<'_>, name: &str, authorities: &[CertificateDer<'_>]) -> Result<(), String> {
    let algorithm = &list.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
        return Err(format!("the list of {name} is signed with SHA-1"));
    }
    let mut known = false;
    for authority in authorities {
        let Ok((_, issuer)) = X509Certificate::from_der(authority) else { continue };
        if issuer.subject().as_raw() != list.issuer().as_raw() {
            continue;
        }
        known = true;
        let usage = issuer.key_usage().map_err(|_| "a certificate cannot be read")?;
        let may_sign = usage.is_none_or(|usage| usage.value.crl_sign());
        if may_sign && list.verify_signature(issuer.public_key()).is_ok() {
            return Ok(());
        }
    }
    Err(match known {
        true => format!("the signature of the list of {name} does not hold"),
        false => format!("a list of {name}, which is not among the certificates"),
    })
}
