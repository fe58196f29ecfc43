//! The zone's certificate authority: who may connect as which source.
//!
//! It signs short-lived certificates for invites and longer ones for enrolled sources. Revocation is not its business:
//! `control` knows each certificate by its digest and asks its database at every connection.

mod pairs;
mod request;

use crate::RoleError;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use sluse_host::layout::Layout;
use sluse_host::{files, random};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{SourceName, ZoneName};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::ZONE_HOST;
use std::io;
use std::time::Duration;
use x509_parser::pem::parse_x509_pem;
use x509_parser::x509::X509Name;

pub use pairs::check_pair;
pub use request::CertifiedKey;

/// Certificates begin this long before now: a source's clock may be behind the zone's.
pub const CLOCK_SLACK_SECONDS: i64 = 5 * 60;

/// The authority's own certificate, and the server certificate that it signs at the same time, are good for 10 years:
/// every source's identity folder pins them, and follows to another authority while that and the old one are both in force.
const AUTHORITY_DAYS: i64 = 3653;

/// A certificate that `receive` asks for by itself is good for so long. In the last third of that it asks again.
const RENEWED_DAYS: i64 = 90;

const DAY: i64 = 86_400;

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The request is not a PKCS#10 request with an ECDSA P-256 key, signed with that key.
    #[error("the certificate request: {0}")]
    Request(&'static str),
    /// The certificate that was shown is not one of `receive`'s.
    #[error("the certificate that was shown: {0}")]
    Shown(&'static str),
    /// Key or certificate could not be made.
    #[error("the certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The kernel gave no random bytes.
    #[error("random bytes: {0}")]
    Random(#[source] io::Error),
}

/// What an invite carries: a key made here, good for enrolling only, and its certificate.
#[derive(Debug)]
pub struct Bootstrap {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM (PKCS#8).
    pub key_pem: zeroize::Zeroizing<String>,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: Sha256,
    /// Until when it is good.
    pub expires: Timestamp,
}

/// A source's certificate, for a key that never left the source.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: Sha256,
    /// Until when it is good.
    pub expires: Timestamp,
}

/// What a new zone's authority consists of, as PEM texts.
#[derive(Debug)]
pub struct NewAuthority {
    /// The authority's certificate.
    pub ca_certificate: String,
    /// The authority's private key: `control` alone may have it.
    pub ca_key: zeroize::Zeroizing<String>,
    /// `receive`'s certificate for [`ZONE_HOST`].
    pub server_certificate: String,
    /// `receive`'s private key.
    pub server_key: zeroize::Zeroizing<String>,
}

/// The authority, with its private key: `control` alone has one.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    expires: Timestamp,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Authority")
    }
}

/// Makes a new authority, and the server certificate that it vouches for.
///
/// # Errors
/// When keys or certificates cannot be made.
pub fn create(zone: &ZoneName, now: Timestamp) -> Result<NewAuthority, AuthorityError> {
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut ca = params(issuer_name(zone.as_str()), now, AUTHORITY_DAYS * DAY)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let server = server(&server_key, &Issuer::from_params(&ca, &ca_key), now, AUTHORITY_DAYS)?;
    Ok(NewAuthority {
        ca_certificate: ca_certificate.pem(),
        ca_key: ca_key.serialize_pem().into(),
        server_certificate: server.pem(),
        server_key: server_key.serialize_pem().into(),
    })
}

/// The certificate of `receive` for its key.
fn server(
    key: &impl PublicKeyData,
    issuer: &Issuer<'_, impl rcgen::SigningKey>,
    now: Timestamp,
    days: i64,
) -> Result<Certificate, AuthorityError> {
    let mut params = leaf(ZONE_HOST, None, now, days * DAY, ExtendedKeyUsagePurpose::ServerAuth)?;
    params.subject_alt_names = CertificateParams::new([ZONE_HOST.to_owned()])?.subject_alt_names;
    Ok(params.signed_by(key, issuer)?)
}

impl Authority {
    /// Reads the authority's key and certificate.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn load(layout: &Layout) -> Result<Self, RoleError> {
        let (key_file, certificate_file) = (layout.ca_key(), layout.ca_certificate());
        let key = files::read_private(&key_file).map_err(RoleError::io(key_file.display().to_string()))?;
        let certificate = files::read_bounded(&certificate_file, 64 * 1024)
            .map_err(RoleError::io(certificate_file.display().to_string()))?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).unwrap_or_default();
        let key = zeroize::Zeroizing::new(text(&key));
        Self::from_pem(&key, text(&certificate)).map_err(|what| {
            RoleError::State(format!("{} and {}: {what}", key_file.display(), certificate_file.display()))
        })
    }

    /// The authority of a private key and its certificate.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_pem(key: &str, ca_pem: String) -> Result<Self, &'static str> {
        let key = KeyPair::from_pem(key).map_err(|_| "the private key cannot be read")?;
        // While an old authority is still in force its certificate stands there too.
        let own = own_certificate(&key, &ca_pem)?;
        let (_, pem) = parse_x509_pem(own.as_bytes()).map_err(|_| "the certificate is not PEM")?;
        let certificate = pem.parse_x509().map_err(|_| "the certificate cannot be read")?;
        // The issuer that certificates name must be, byte for byte, the subject of the authority's own certificate.
        let zone = common_name(certificate.subject()).and_then(|name| name.strip_prefix(ISSUER_PREFIX));
        let mut params = CertificateParams::default();
        params.distinguished_name = issuer_name(zone.ok_or("the certificate is not one that `zone init` made")?);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let expires = Timestamp::from_unix(certificate.validity().not_after.timestamp());
        Ok(Self { issuer: Issuer::new(params, key), ca_pem, expires })
    }

    /// Makes a key and a certificate for `receive`, PEM both; with a key (PEM), a certificate for that.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn issue_server(
        &self,
        key: Option<&str>,
        now: Timestamp,
    ) -> Result<(zeroize::Zeroizing<String>, String), AuthorityError> {
        let key = match key {
            Some(pem) => KeyPair::from_pem(pem)?,
            None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        };
        let certificate = server(&key, &self.issuer, now, AUTHORITY_DAYS)?;
        Ok((key.serialize_pem().into(), certificate.pem()))
    }

    /// The key of one of `receive`'s certificates (DER), which an authority in force signed, however long ago.
    ///
    /// # Errors
    /// When it is not one.
    pub fn server_key(&self, certificate: &[u8]) -> Result<CertifiedKey, AuthorityError> {
        pairs::server_key(certificate, &self.ca_pem).map_err(AuthorityError::Shown)
    }

    /// Certifies a key of `receive` for some months.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn renew_server(&self, key: &CertifiedKey, now: Timestamp) -> Result<Issued, AuthorityError> {
        let certificate = server(key, &self.issuer, now, RENEWED_DAYS)?;
        Ok(Issued {
            certificate_sha256: digest(&certificate),
            certificate_pem: certificate.pem(),
            expires: now.plus(RENEWED_DAYS * DAY),
        })
    }

    /// Until when the authority that issues is good.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The authorities' certificates, PEM: this one's, and that of one before it that is still in force.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Makes a key and a certificate for an invite, good for `hours`.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn issue_bootstrap(
        &self,
        source: &SourceName,
        now: Timestamp,
        hours: u16,
    ) -> Result<Bootstrap, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issued = self.issue(source, Some("invite"), &key, now, i64::from(hours) * 3600)?;
        Ok(Bootstrap {
            certificate_pem: issued.certificate_pem,
            key_pem: key.serialize_pem().into(),
            certificate_sha256: issued.certificate_sha256,
            expires: issued.expires,
        })
    }

    /// Issues a source's certificate for the key of a PKCS#10 request (PEM). The request must be signed with that key;
    /// nothing else that it says is taken over.
    ///
    /// # Errors
    /// When the request is not good, or the certificate cannot be made.
    pub fn issue_source(
        &self,
        source: &SourceName,
        request_pem: &str,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, AuthorityError> {
        let key = request::verified_key(request_pem)?;
        self.issue(source, None, &key, now, i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
    }

    fn issue(
        &self,
        source: &SourceName,
        unit: Option<&str>,
        key: &impl PublicKeyData,
        now: Timestamp,
        seconds: i64,
    ) -> Result<Issued, AuthorityError> {
        let params = leaf(source.as_str(), unit, now, seconds, ExtendedKeyUsagePurpose::ClientAuth)?;
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Issued {
            certificate_sha256: digest(&certificate),
            certificate_pem: certificate.pem(),
            expires: now.plus(seconds),
        })
    }
}

/// Whether a certificate that `receive` got is in the last third of its life.
pub fn is_server_due(issued: &Issued, now: Timestamp) -> bool {
    now >= issued.expires.plus(-RENEWED_DAYS * DAY / 3)
}

/// The certificate among several (PEM) that goes with a key.
fn own_certificate(key: &KeyPair, pem: &str) -> Result<String, &'static str> {
    let all = certificates(pem);
    if all.is_empty() {
        return Err("the certificate is not PEM");
    }
    let goes = |text: &String| {
        let Ok((_, pem)) = parse_x509_pem(text.as_bytes()) else { return false };
        pem.parse_x509().is_ok_and(|it| it.public_key().raw == key.subject_public_key_info())
    };
    all.into_iter().find(goes).ok_or("key and certificate do not belong together")
}

/// The place among several certificates (PEM) of the one that goes with a key (PEM); `None` when none does.
pub fn place_of(key: &str, certificates: &[String]) -> Option<usize> {
    let key = KeyPair::from_pem(key).ok()?;
    certificates.iter().position(|certificate| own_certificate(&key, certificate).is_ok())
}

/// Each certificate in a text of several, PEM, in their order.
pub fn certificates(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let begins = |part: &str| part.find("-----BEGIN CERTIFICATE-----").map(|from| part[from..].to_owned());
    text.split_inclusive(END)
        .filter_map(|part| begins(part).map(|pem| pem + "\n"))
        .filter(|pem| pem.contains(END))
        .collect()
}

/// Begins the common name of every zone's authority; the zone's name follows.
const ISSUER_PREFIX: &str = "Sluse zone ";

fn issuer_name(zone: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("{ISSUER_PREFIX}{zone}"));
    name
}

fn leaf(
    common_name: &str,
    unit: Option<&str>,
    now: Timestamp,
    seconds: i64,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, AuthorityError> {
    let mut name = DistinguishedName::new();
    if let Some(unit) = unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name.push(DnType::CommonName, common_name);
    let mut params = params(name, now, seconds)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(name: DistinguishedName, now: Timestamp, seconds: i64) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&*random::bytes::<16>().map_err(AuthorityError::Random)?));
    let at = |time: Timestamp| {
        let since_1970 = u64::try_from(time.unix()).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since_1970)
    };
    params.not_before = at(now.plus(-CLOCK_SLACK_SECONDS));
    params.not_after = at(now.plus(seconds));
    Ok(params)
}

fn digest(certificate: &Certificate) -> Sha256 {
    Sha256::of(certificate.der())
}

fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    name.iter_common_name().next()?.as_str().ok()
}

#[cfg(test)]
mod tests;
