//! What an authority's files say: its certificates, and which it took back.

use super::check::{Verdicts, strong_key};
use super::list::List;
use super::time;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use sluse_host::files;
use sluse_protocol::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

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
    roots: RootCertStore,
    intermediates: Vec<CertificateDer<'static>>,
    certificates: Vec<Known>,
    lists: Vec<Arc<List>>,
    older: Vec<String>,
    /// What was found out about certificates with these files.
    pub(super) verdicts: Verdicts,
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

impl Trust {
    /// Reads an authority's files. Where a list is older than that of the same issuer in `newest`, that one stays in force.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn read(certificates: &Path, lists: &[impl AsRef<Path>], newest: &[Arc<List>]) -> Result<Self, String> {
        let of = |path: &Path, what: String| format!("{}: {what}", path.display());
        let ders = all::<CertificateDer<'static>>(certificates, CERTIFICATE_BYTES, MAX_CERTIFICATES)
            .map_err(|what| of(certificates, what))?;
        let (mut roots, mut intermediates, mut known) = (RootCertStore::empty(), Vec::new(), Vec::new());
        for der in &ders {
            let (one, is_root) = certificate(der).map_err(|what| of(certificates, what))?;
            known.push(one);
            match is_root {
                true => roots.add(der.clone()).map_err(|error| of(certificates, error.to_string()))?,
                false => intermediates.push(der.clone()),
            }
        }
        if roots.is_empty() {
            return Err(of(
                certificates,
                "no root is among the certificates: add the one that issued the others".into(),
            ));
        }
        let (mut in_force, mut older) = (Vec::<Arc<List>>::new(), Vec::new());
        for file in lists.iter().map(AsRef::as_ref) {
            let found = all::<CertificateRevocationListDer<'static>>(file, LIST_BYTES, MAX_LISTS);
            for der in found.map_err(|what| of(file, what))? {
                let one = List::read(&der, &ders).map_err(|what| of(file, what))?;
                // The verifier would ask the first of two, however old.
                if in_force.iter().any(|other| other.issuer == one.issuer) {
                    return Err(of(file, format!("a second list of {}: keep only the newest", one.name)));
                }
                match newest.iter().find(|other| other.issuer == one.issuer && one.is_older_than(other)) {
                    Some(newer) => {
                        let (name, there, kept) = (&one.name, one.from, newer.from);
                        let what = format!("the list of {name} is of {there}, older than the one in force, of {kept}");
                        older.push(of(file, what));
                        in_force.push(Arc::clone(newer));
                    }
                    None => in_force.push(Arc::new(one)),
                }
            }
        }
        Ok(Self { roots, intermediates, certificates: known, lists: in_force, older, verdicts: Verdicts::default() })
    }

    /// The newest list of each issuer that was seen, given those of before.
    pub fn newest(&self, before: &[Arc<List>]) -> Vec<Arc<List>> {
        let replaced = |list: &Arc<List>| self.lists.iter().any(|other| other.issuer == list.issuer);
        let known = |list: &Arc<List>| self.certificates.iter().any(|known| known.subject == list.issuer);
        let kept = before.iter().filter(|list| known(list) && !replaced(list));
        kept.chain(&self.lists).cloned().collect()
    }

    /// Its roots.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.roots.roots
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
    pub fn lists(&self) -> &[Arc<List>] {
        &self.lists
    }

    /// Which lists of its files are not in force, since newer ones were seen; a sentence for each.
    pub fn older(&self) -> &[String] {
        &self.older
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
