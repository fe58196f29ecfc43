//! Which source a certificate's subject is.

use super::Denied;
use rustls::pki_types::CertificateDer;
use sluse_host::config::{Mapping, Subject};
use sluse_protocol::ids::SourceName;
use std::fmt::Write as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

const SERIAL_NUMBER: &str = "2.5.4.5";
const ORGANISATION_IDENTIFIER: &str = "2.5.4.97";

/// The scheme of Norway's register of legal entities (ETSI EN 319 412-1).
const NORWEGIAN: &str = "NTRNO-";

/// Attributes by the names that `openssl` prints.
const NAMES: [(&str, &str); 16] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    (SERIAL_NUMBER, "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    (ORGANISATION_IDENTIFIER, "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The source whose subject a certificate has.
///
/// # Errors
/// When there is none, or more than one.
pub fn source<'m>(certificate: &CertificateDer<'_>, mappings: &'m [Mapping]) -> Result<&'m SourceName, Denied> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| Denied::Unreadable)?;
    let subject = certificate.subject();
    let mut found = mappings.iter().filter(|mapping| is(subject, &mapping.subject));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(&one.source),
        (None, _) => Err(Denied::Nobody),
        (Some(_), Some(_)) => Err(Denied::Ambiguous),
    }
}

fn is(subject: &X509Name<'_>, wanted: &Subject) -> bool {
    match wanted {
        Subject::SerialNumber(number) => only(subject, SERIAL_NUMBER) == Some(number),
        Subject::Organisation(number) => match values(subject, ORGANISATION_IDENTIFIER).is_empty() {
            true => only(subject, SERIAL_NUMBER) == Some(number),
            false => only(subject, ORGANISATION_IDENTIFIER).and_then(|id| id.strip_prefix(NORWEGIAN)) == Some(number),
        },
        Subject::Name(name) => rfc2253(subject).as_ref() == Some(name),
    }
}

/// The values of an attribute; one that is no text is empty.
fn values<'n>(name: &'n X509Name<'_>, oid: &str) -> Vec<&'n str> {
    let of = name.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == oid);
    of.map(|attribute| attribute.as_str().unwrap_or_default()).collect()
}

/// The value of an attribute that stands there once.
fn only<'n>(name: &'n X509Name<'_>, oid: &str) -> Option<&'n str> {
    match values(name, oid)[..] {
        [value] => Some(value),
        _ => None,
    }
}

/// A name as `openssl x509 -nameopt RFC2253` prints it; `None` with attributes that have no short name here.
fn rfc2253(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.iter() {
        let mut told = Vec::new();
        for attribute in part.iter() {
            let oid = attribute.attr_type().to_id_string();
            let (_, short) = NAMES.iter().find(|(id, _)| *id == oid)?;
            told.push(format!("{short}={}", escaped(attribute.as_str().ok()?)));
        }
        told.reverse();
        parts.push(told.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// RFC 2253, section 2.4; what is not printable ASCII byte by byte.
fn escaped(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    value.bytes().enumerate().fold(String::with_capacity(value.len()), |mut text, (at, byte)| {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend(['\\', char::from(byte)]),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b'#' if at == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => write!(text, "\\{byte:02X}").unwrap_or_default(),
        }
        text
    })
}
