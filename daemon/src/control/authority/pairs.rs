//! Whether certificates and keys belong together: for `zone check`.

use super::request::{CertifiedKey, p256_point, verify_p256};
use rcgen::KeyPair;
use sluse_protocol::time::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::FromDer as _;

/// Checks that one of the certificates is the private key's, and that one of the authorities signed it. Returns until when it is good.
///
/// # Errors
/// What is wrong.
pub fn check_pair(key: &str, certificate: &str, ca: &str) -> Result<Timestamp, &'static str> {
    let key = KeyPair::from_pem(key).map_err(|_| "the private key cannot be read")?;
    let own = pem(&super::own_certificate(&key, certificate)?)?;
    let own = parse(&own)?;
    check_issued(&own, ca)?;
    Ok(Timestamp::from_unix(own.validity().not_after.timestamp()))
}

/// The key of one of `receive`'s certificates (DER), if one of the authorities signed that.
///
/// # Errors
/// What is wrong.
pub(super) fn server_key(certificate: &[u8], ca: &str) -> Result<CertifiedKey, &'static str> {
    let read = X509Certificate::from_der(certificate);
    let (_, read) = read.map_err(|_| "the certificate cannot be read")?;
    check_issued(&read, ca)?;
    let usage = read.extended_key_usage().map_err(|_| "the certificate cannot be read")?;
    if !usage.is_some_and(|usage| usage.value.server_auth) {
        return Err("the certificate is not one of `receive`");
    }
    p256_point(read.public_key()).map(CertifiedKey).ok_or("its key is not an ECDSA P-256 key")
}

fn check_issued(certificate: &X509Certificate<'_>, ca: &str) -> Result<(), &'static str> {
    let outcomes = super::certificates(ca).into_iter().map(|ca| check_signed(certificate, &ca));
    outcomes.reduce(Result::or).unwrap_or(Err("the authority's certificate is not PEM"))
}

fn check_signed(certificate: &X509Certificate<'_>, ca: &str) -> Result<(), &'static str> {
    let ca = pem(ca)?;
    let ca = parse(&ca)?;
    let signed = p256_point(ca.public_key()).is_some_and(|point| {
        let signed = certificate.tbs_certificate.as_ref();
        verify_p256(&point, &certificate.signature_algorithm, signed, &certificate.signature_value.data)
    });
    if !signed || certificate.issuer().as_raw() != ca.subject().as_raw() {
        return Err("the certificate is not one of this zone's authority");
    }
    Ok(())
}

fn pem(text: &str) -> Result<Pem, &'static str> {
    parse_x509_pem(text.as_bytes()).map(|(_, pem)| pem).map_err(|_| "the certificate is not PEM")
}

fn parse(pem: &Pem) -> Result<X509Certificate<'_>, &'static str> {
    pem.parse_x509().map_err(|_| "the certificate cannot be read")
}
