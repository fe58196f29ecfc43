//! Whether certificates and keys belong together: for `zone check`.

use super::request::{p256_point, verify_p256};
use rcgen::{KeyPair, PublicKeyData as _};
use sluse_protocol::time::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::{Pem, parse_x509_pem};

/// Checks that a certificate is the private key's, and that the authority signed it. Returns until when it is good.
///
/// # Errors
/// What is wrong.
pub fn check_pair(key: &str, certificate: &str, ca: &str) -> Result<Timestamp, &'static str> {
    let key = KeyPair::from_pem(key).map_err(|_| "the private key cannot be read")?;
    let (certificate, ca) = (pem(certificate)?, pem(ca)?);
    let (certificate, ca) = (parse(&certificate)?, parse(&ca)?);
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err("key and certificate do not belong together");
    }
    let signed = p256_point(ca.public_key()).is_some_and(|point| {
        let signed = certificate.tbs_certificate.as_ref();
        verify_p256(&point, &certificate.signature_algorithm, signed, &certificate.signature_value.data)
    });
    if !signed || certificate.issuer().as_raw() != ca.subject().as_raw() {
        return Err("the certificate is not one of this zone's authority");
    }
    Ok(Timestamp::from_unix(certificate.validity().not_after.timestamp()))
}

fn pem(text: &str) -> Result<Pem, &'static str> {
    parse_x509_pem(text.as_bytes()).map(|(_, pem)| pem).map_err(|_| "the certificate is not PEM")
}

fn parse(pem: &Pem) -> Result<X509Certificate<'_>, &'static str> {
    pem.parse_x509().map_err(|_| "the certificate cannot be read")
}
