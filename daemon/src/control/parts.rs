//! What of a dataset persons would release who leave files out: a manifest of its own, made from the sealed one.

use super::documents::{Documents, Which};
use super::failure::{Failure, refuse};
use super::shared::Control;
use super::store::Write;
use super::store::transfers::Transfer;
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header};
use sluse_protocol::finding::Finding;
use sluse_protocol::ids::TransferId;
use sluse_protocol::part::{BadWithout, Division, Part, Without};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::sshsig::{MessageHasher, NAMESPACE_RECEIPT};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

/// A part that a person chose, and its manifest, which goes when this is dropped unless it was kept.
#[derive(Debug)]
pub struct Chosen {
    /// The part.
    pub part: Part,
    path: PathBuf,
}

impl Drop for Chosen {
    fn drop(&mut self) {
        // What stays all the same is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Chosen {
    /// Makes its manifest, which is durable, the one of what is released.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, documents: &Documents, write: &mut Write<'_>, id: &TransferId) -> Result<(), Failure> {
        documents.keep(write, &self.path, id, Which::Part)
    }
}

/// Reads which files and folders a person leaves out; none where nothing is.
///
/// # Errors
/// When it is not a list of paths.
pub fn read_without(body: &[u8]) -> Result<Option<Without>, Failure> {
    let Ok(text) = std::str::from_utf8(body) else {
        return refuse(Code::Invalid, "what is to be left out is not UTF-8");
    };
    let without = Without::parse(text).map_err(refused)?;
    Ok(Some(without).filter(|without| !without.is_empty()))
}

/// Makes the manifest of what is left of a sealed transfer without some of its files.
///
/// # Errors
/// When a name is in vain, nothing would be left, or the disk fails.
pub fn choose(control: &Control, transfer: &Transfer, without: &Without) -> Result<Chosen, Failure> {
    let mut division = Division::new(without);
    let mut entries = control.documents.entries(&transfer.id, Which::Manifest)?;
    while let Some(entry) = entries.next()? {
        division.keeps(&entry).map_err(refused)?;
    }
    let ended = entries.finish()?;
    if transfer.seal.as_ref().is_none_or(|seal| seal.manifest_sha256 != ended.sha256) {
        return Err(Failure::broken(format!(
            "the manifest of transfer {} is not the one that was sealed",
            transfer.id
        )));
    }
    let (totals, left_out) = division.finish().map_err(refused)?;
    let header = Header::Part {
        transfer: transfer.id.clone(),
        source: transfer.source.clone(),
        agreement: transfer.agreement.clone(),
        dataset: transfer.dataset.clone(),
        manifest: ended.sha256,
        totals,
        left_out,
    };
    let (path, file) = control.documents.arriving()?;
    let mut chosen = Chosen { part: Part { manifest_sha256: Sha256([0; 32]), totals, left_out }, path };
    chosen.part.manifest_sha256 = write(control, transfer, without, &header, file)?;
    Ok(chosen)
}

/// Writes the header, and each entry that is left; their SHA-256.
fn write(
    control: &Control,
    transfer: &Transfer,
    without: &Without,
    header: &Header,
    file: File,
) -> Result<Sha256, Failure> {
    let (mut out, mut sha256) = (BufWriter::new(file), sha2::Sha256::new());
    let mut line = |text: String| {
        sha256.update(text.as_bytes());
        out.write_all(text.as_bytes()).map_err(Failure::io("writing a document"))
    };
    line(header.to_line())?;
    let mut entries = control.documents.entries(&transfer.id, Which::Manifest)?;
    while let Some(entry) = entries.next()? {
        if without.names(&entry.path).next().is_none() {
            line(entry.to_line())?;
        }
    }
    let file = out.into_inner().map_err(|error| Failure::io("writing a document")(error.into_error()))?;
    file.sync_all().map_err(Failure::io("writing a document"))?;
    Ok(Sha256(sha256.finalize().into()))
}

fn refused(bad: BadWithout) -> Failure {
    let refusal = Refusal::new(Code::Invalid, bad.to_string());
    match bad {
        BadWithout::Unknown(_) => {
            refusal.hint("Write each as the manifest has it: `sluse show` names files with findings.")
        }
        BadWithout::Everything => refusal.hint("Reject the transfer instead."),
        BadWithout::Path(_) | BadWithout::TooMuch => refusal,
    }
    .into()
}

/// The zone's signature of the manifest of what is released.
///
/// # Errors
/// When it cannot be read.
pub fn sign(control: &Control, id: &TransferId) -> Result<String, Failure> {
    let (mut hasher, mut offset) = (MessageHasher::new(), 0);
    loop {
        let bytes = control.documents.bytes(id, Which::Part, offset, 64 * 1024)?;
        if bytes.is_empty() {
            return Ok(control.store.signer.key.sign_hashed(NAMESPACE_RECEIPT, &hasher.finish()));
        }
        hasher.update(&bytes);
        offset += bytes.len() as u64;
    }
}

/// Those findings that name no file which was left out: its room learns of none.
///
/// # Errors
/// When the manifest of what is released cannot be read.
pub fn findings_of(control: &Control, id: &TransferId, findings: Vec<Finding>) -> Result<Vec<Finding>, Failure> {
    let mut named: HashSet<_> = findings.iter().filter_map(|finding| finding.file.clone()).collect();
    let mut entries = control.documents.entries(id, Which::Part)?;
    while let Some(Entry { path, .. }) = entries.next()? {
        named.remove(&path);
    }
    entries.finish()?;
    let left_out = |finding: &Finding| finding.file.as_ref().is_some_and(|file| named.contains(file));
    Ok(findings.into_iter().filter(|finding| !left_out(finding)).collect())
}
