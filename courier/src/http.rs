//! HTTP as the targets that speak it share it: a client that trusts the named authority alone and gives up on who is silent, why there
//! is no answer, and text as it stands in an address.

use crate::target::{Told, Trouble};
use sluse_host::files;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(20);

/// How long a request, or an answer, of some MiB may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of the longest file of certificates.
const MAX_PEM: u64 = 1024 * 1024;

/// A client that follows nobody elsewhere; over HTTPS who answers must have a certificate that is good by one in the file `authority`, PEM.
///
/// # Errors
/// When that file cannot be read, or has none.
pub fn agent(authority: Option<&Path>) -> Told<Agent> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECTING))
        .timeout_send_request(Some(PATIENCE))
        .timeout_send_body(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(Some(PATIENCE));
    if let Some(authority) = authority {
        let unread = |error| Trouble::new(format!("the authority cannot be read: {error}"));
        let pem = files::read_bounded(authority, MAX_PEM).map_err(unread)?;
        let roots = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let roots: Vec<Certificate<'static>> = roots.collect();
        if roots.is_empty() {
            return Err(Trouble::new("the authority's file has no certificate"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots));
        config = config.tls_config(tls.unversioned_rustls_crypto_provider(provider).build());
    }
    Ok(config.build().into())
}

/// Why `who` gave no answer.
pub fn why(error: &ureq::Error, who: &str) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("{who} does not answer in time"),
        ureq::Error::HostNotFound => format!("{who}'s name is not known here"),
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => format!("{who}'s certificate is not good by the authority"),
        // rustls' words are in there, which name no file.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!("{who}'s certificate is not good by the authority")
        }
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => format!("{who} cannot be reached, or hung up"),
        _ => format!("{who} does not speak HTTP as it should"),
    }
}

/// A text in a path or a query: all but what RFC 3986 calls unreserved is encoded, and slashes where they are no separators.
pub fn encode(text: &str, slashes: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slashes && byte == b'/');
        if plain { encoded.push(char::from(byte)) } else { encoded.push_str(&format!("%{byte:02X}")) }
    }
    encoded
}
