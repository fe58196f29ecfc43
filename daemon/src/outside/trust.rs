//! What an authority's files say: its certificates, and which it took back.

use super::check::strong_key;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sluse_host::config::KeyExchange;
use sluse_host::{files, quic};
use sluse_protocol::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

/// Bytes of the largest file of certificates.
const CERTIFICATE_BYTES: u64 = 256 * 1024;

/// Certificates of one authority: a root, those below it, and both once more while keys are exchanged.
const MAX_CERTIFICATES: usize = 16;

/// Bytes of the largest file of revocation lists: some hundred thousand entries.
const LIST_BYTES: u64 = 32 * 1024 * 1024;

/// Lists in one file.
const MAX_LISTS: usize = 16;

/// An authority as its files have it.
#[derive(Debug)]
pub struct Trust {
    verifier: Arc<dyn ClientCertVerifier>,
    intermediates: Vec<CertificateDer<'static>>,
    certificates: Vec<Known>,
    lists: Vec<List>,
}

/// One of its certificates.
#[derive(Debug)]
pub struct Known {
    /// The name, as it is compared.
    pub subject: Vec<u8>,
    /// The name, to be read.
    pub name: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// One of its revocation lists.
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
}

impl Trust {
    /// Reads an authority's files.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn read(certificates: &Path, lists: &[impl AsRef<Path>]) -> Result<Self, String> {
        let of = |path: &Path, what: String| format!("{}: {what}", path.display());
        let ders = all::<CertificateDer<'static>>(certificates, CERTIFICATE_BYTES, MAX_CERTIFICATES)
            .map_err(|what| of(certificates, what))?;
        let (mut roots, mut intermediates, mut known) = (RootCertStore::empty(), Vec::new(), Vec::new());
        for der in ders {
            let (one, is_root) = certificate(&der).map_err(|what| of(certificates, what))?;
            known.push(one);
            match is_root {
                true => roots.add(der).map_err(|error| of(certificates, error.to_string()))?,
                false => intermediates.push(der),
            }
        }
        if roots.is_empty() {
            return Err(of(
                certificates,
                "no root is among the certificates: add the one that issued the others".into(),
            ));
        }
        let (mut list_ders, mut read) = (Vec::new(), Vec::new());
        for file in lists.iter().map(AsRef::as_ref) {
            let ders = all::<CertificateRevocationListDer<'static>>(file, LIST_BYTES, MAX_LISTS);
            for der in ders.map_err(|what| of(file, what))? {
                let one = list(&der).map_err(|what| of(file, what))?;
                if !known.iter().any(|known| known.subject == one.issuer) {
                    return Err(of(file, format!("a list of {}, which is not among the certificates", one.name)));
                }
                // The verifier would ask the first of two, however old.
                if read.iter().any(|other: &List| other.issuer == one.issuer) {
                    return Err(of(file, format!("a second list of {}: keep only the newest", one.name)));
                }
                read.push(one);
                list_ders.push(der);
            }
        }
        // Of the provider only its signature algorithms are used, which know no SHA-1.
        let provider = quic::crypto_provider(KeyExchange::HybridRequired);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(list_ders)
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| of(certificates, format!("certificates and lists cannot be used: {error}")))?;
        Ok(Self { verifier, intermediates, certificates: known, lists: read })
    }

    /// What checks a chain up to the authority's root.
    pub(super) fn verifier(&self) -> &dyn ClientCertVerifier {
        &*self.verifier
    }

    /// Its certificates between a source's and the root.
    pub(super) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// Its own certificates.
    pub fn certificates(&self) -> &[Known] {
        &self.certificates
    }

    /// Its revocation lists.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }
}

/// Everything of one kind in a PEM file, or the one thing in a DER file.
fn all<T: PemObject + From<Vec<u8>>>(path: &Path, bytes: u64, most: usize) -> Result<Vec<T>, String> {
    let read = files::read_bounded(path, bytes).map_err(|error| error.to_string())?;
    // DER of either kind is a sequence.
    if read.first() == Some(&0x30) {
        return Ok(vec![T::from(read)]);
    }
    let found: Result<Vec<T>, _> = T::pem_slice_iter(&read).take(most + 1).collect();
    let found = found.map_err(|_| "neither PEM nor DER")?;
    match found.len() {
        0 => Err("nothing of the right kind is in it".into()),
        count if count > most => Err(format!("more than {most} are in it")),
        _ => Ok(found),
    }
}

/// An authority's certificate, and whether it is a root.
fn certificate(der: &[u8]) -> Result<(Known, bool), String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| "a certificate cannot be read")?;
    let name = parsed.subject().to_string();
    if !parsed.is_ca() {
        return Err(format!("{name} is no authority's certificate"));
    }
    strong_key(parsed.public_key()).map_err(|what| format!("{name} has {what}"))?;
    let subject = parsed.subject().as_raw().to_vec();
    let is_root = subject == parsed.issuer().as_raw();
    Ok((Known { subject, name, until: time(parsed.validity().not_after) }, is_root))
}

fn list(der: &[u8]) -> Result<List, String> {
    let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|_| "a revocation list cannot be read")?;
    let name = parsed.issuer().to_string();
    let until = parsed.next_update().ok_or_else(|| format!("the list of {name} does not say until when it is good"))?;
    let issuer = parsed.issuer().as_raw().to_vec();
    Ok(List { issuer, name, from: time(parsed.last_update()), until: time(until) })
}

fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix(time.timestamp())
}
