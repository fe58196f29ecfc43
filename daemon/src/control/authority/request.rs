//! Certificate requests (PKCS#10, RFC 2986): hostile bytes of which one thing is taken, the public key.

use super::AuthorityError;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sluse_protocol::digest::Sha256;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// Bytes of the longest request that is read; ours have about 500.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Bytes of an uncompressed point of P-256.
const POINT_BYTES: usize = 65;

/// A P-256 public key that may be certified: its owner signed a request with it, or the authority certified it before.
#[derive(Debug)]
pub struct CertifiedKey(pub(super) [u8; POINT_BYTES]);

impl CertifiedKey {
    /// SHA-256 of its point.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.0)
    }
}

impl PublicKeyData for CertifiedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Takes the public key out of a request, after checking the request's own signature with it.
pub(super) fn verified_key(request_pem: &str) -> Result<CertifiedKey, AuthorityError> {
    if request_pem.len() > MAX_REQUEST_BYTES {
        return Err(AuthorityError::Request("longer than any request"));
    }
    let (_, pem) = parse_x509_pem(request_pem.as_bytes()).map_err(|_| AuthorityError::Request("not PEM"))?;
    let (rest, request) = X509CertificationRequest::from_der(&pem.contents)
        .map_err(|_| AuthorityError::Request("not a PKCS#10 request"))?;
    if pem.label != "CERTIFICATE REQUEST" || !rest.is_empty() {
        return Err(AuthorityError::Request("not a PKCS#10 request"));
    }
    let point = p256_point(&request.certification_request_info.subject_pki)
        .ok_or(AuthorityError::Request("its key is not an ECDSA P-256 key"))?;
    let signed = request.certification_request_info.raw;
    match verify_p256(&point, &request.signature_algorithm, signed, &request.signature_value.data) {
        true => Ok(CertifiedKey(point)),
        false => Err(AuthorityError::Request("its signature does not verify")),
    }
}

/// Whether `signature`, of ECDSA with SHA-256, is the key's over `signed`.
pub(super) fn verify_p256(
    point: &[u8; POINT_BYTES],
    algorithm: &AlgorithmIdentifier<'_>,
    signed: &[u8],
    signature: &[u8],
) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256 && key.verify(signed, signature).is_ok()
}

/// The point of a P-256 key.
pub(super) fn p256_point(key: &SubjectPublicKeyInfo<'_>) -> Option<[u8; POINT_BYTES]> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_p256 = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_EC_P256;
    is_p256.then(|| key.subject_public_key.data.as_ref().try_into().ok()).flatten()
}
