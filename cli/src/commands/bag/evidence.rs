//! A bag's proof: receipts in it and beside it, and the source's manifest that they attest.

use super::Problems;
use super::contents::Contents;
use super::manifests::Listed;
use crate::evidence::Signers;
use crate::failure::Failure;
use sha2::Digest as _;
use sluse_protocol::audit::Entry;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Header, Invalid, Kind, Reader};
use sluse_protocol::ids::TransferId;
use sluse_protocol::part::PartOf;
use sluse_protocol::path::map_windows;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Exit;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The bag's list of its own files.
pub const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";

/// The source's manifest in a bag.
const SOURCE_MANIFEST: &str = "source-manifest.jsonl";

/// The zone's, which stands there instead where files were left out.
const RELEASED_MANIFEST: &str = "released-manifest.jsonl";

/// What a good bag's receipts say.
#[derive(Debug)]
pub struct Evidence {
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// The receipts that were checked.
    pub receipts: Vec<(ReceiptKind, PathBuf)>,
}

/// Checks receipts and the source's manifest. `None` when there is not enough to go on.
///
/// # Errors
/// When something cannot be read.
pub fn check(
    dir: &Path,
    signers: &Signers,
    found: &Contents,
    listed: &Listed,
    problems: &mut Problems,
) -> Result<Option<Evidence>, Failure> {
    let mut receipts = Vec::new();
    for kind in [ReceiptKind::Received, ReceiptKind::Released] {
        let file = dir.join(format!("receipts/{kind}.json"));
        receipts.extend(receipt(signers, kind, file, problems));
    }
    // Later receipts lie beside the bag; the room may have moved it away from them.
    for kind in [ReceiptKind::Delivered, ReceiptKind::Acknowledged] {
        let file = beside(dir).join(format!("{kind}.json"));
        if file.exists() {
            receipts.extend(receipt(signers, kind, file, problems));
        }
    }
    let Some(first) = receipts.first().map(|(receipt, _)| receipt.clone()) else { return Ok(None) };
    for (receipt, file) in &receipts {
        if (&receipt.transfer, receipt.sealed_manifest()) != (&first.transfer, first.sealed_manifest()) {
            problems.add(format!("{} is a receipt of another dataset", file.display()));
        }
    }
    let released = receipts.iter().map(|(receipt, _)| receipt).find(|receipt| receipt.kind == ReceiptKind::Released);
    let attested = released.unwrap_or(&first);
    for (receipt, file) in receipts.iter().filter(|(receipt, _)| receipt.kind > ReceiptKind::Released) {
        if (receipt.manifest_sha256, receipt.part_of) != (attested.manifest_sha256, attested.part_of) {
            problems.add(format!("{} attests other files than were released", file.display()));
        }
    }
    let delivered = receipts.iter().map(|(receipt, _)| receipt).find(|receipt| receipt.kind == ReceiptKind::Delivered);
    if let Some(tagmanifest) = delivered.and_then(delivered_tags)
        && found.tags.get(TAG_MANIFEST) != Some(&tagmanifest)
    {
        problems.add(format!("{TAG_MANIFEST} is not the one that was delivered: the bag's own files were changed"));
    }
    manifest(dir, attested, found, listed, problems)?;
    let receipts = receipts.into_iter().map(|(receipt, file)| (receipt.kind, file)).collect();
    Ok(Some(Evidence { transfer: first.transfer, receipts }))
}

/// The digest of the bag's list of its own files, as the audit entry in the *delivered* receipt has it.
fn delivered_tags(delivered: &Receipt) -> Option<Sha256> {
    let entry: Entry = serde_json::from_str(&delivered.inclusion.as_ref()?.entry).ok()?;
    serde_json::from_value(entry.details.get("tagmanifest")?.clone()).ok()
}

fn receipt(signers: &Signers, kind: ReceiptKind, file: PathBuf, problems: &mut Problems) -> Option<(Receipt, PathBuf)> {
    match signers.receipt_file(&file) {
        Ok(receipt) if receipt.kind == kind => return Some((receipt, file)),
        Ok(receipt) => problems.add(format!("{} is a {} receipt", file.display(), receipt.kind)),
        Err(failure) => problems.add(failure.sentence()),
    }
    None
}

/// The folder of later receipts: `<transfer>.receipts` beside the bag `<transfer>`.
pub fn beside(dir: &Path) -> PathBuf {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(".receipts");
    whole.with_file_name(name)
}

/// The manifest must be the one that the receipt of the release attests, and list exactly the bag's files. Names that the room cannot
/// hold were mapped on delivery.
fn manifest(
    dir: &Path,
    receipt: &Receipt,
    found: &Contents,
    listed: &Listed,
    problems: &mut Problems,
) -> Result<(), Failure> {
    // Where files are encrypted, what comes out of them is what the source declared.
    let declared = listed.plain().unwrap_or(&found.payload);
    let name = if receipt.part_of.is_some() { RELEASED_MANIFEST } else { SOURCE_MANIFEST };
    let path = dir.join(name);
    let failed = |error: std::io::Error| Failure::file(Exit::Integrity, "read", &path, &error);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            problems.add(format!("{name} is missing"));
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut seen = BTreeSet::new();
    let (mut reader, mut hash, mut buffer) = (Reader::new(), sha2::Sha256::new(), vec![0; 64 * 1024]);
    let outcome = loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break reader.finish();
        }
        hash.update(&buffer[..read]);
        let pushed = reader.push(&buffer[..read], |_, entry| -> Result<(), Invalid> {
            if entry.kind == Kind::Folder {
                return Ok(());
            }
            let plain = format!("data/{}", entry.path);
            let placed =
                if found.payload.contains_key(&plain) { plain } else { format!("data/{}", map_windows(&entry.path)) };
            if declared.get(&placed) != entry.sha256.as_ref() {
                problems.add(format!("{placed} is not the file that the source declared"));
            }
            seen.insert(placed);
            Ok(())
        });
        if let Err(invalid) = pushed {
            break Err(invalid);
        }
    };
    match outcome {
        Ok(header) if is_of(&header, receipt) => {}
        Ok(_) => problems.add(format!("{name} is of another transfer")),
        Err(invalid) => {
            problems.add(format!("{name}: {invalid}"));
            return Ok(());
        }
    }
    if Sha256(hash.finalize().into()) != receipt.manifest_sha256 {
        problems.add(format!("{name} is not the manifest that the receipts attest"));
    }
    for path in found.payload.keys().filter(|path| !seen.contains(*path)) {
        problems.add(format!("{path} is not in {name}"));
    }
    Ok(())
}

/// Whether a list says of itself what the receipt says of it.
fn is_of(header: &Header, receipt: &Receipt) -> bool {
    match (header, receipt.part_of) {
        (Header::Manifest { transfer, .. }, None) => *transfer == receipt.transfer,
        (Header::Part { transfer, manifest, left_out, .. }, Some(part_of)) => {
            *transfer == receipt.transfer && PartOf { manifest_sha256: *manifest, left_out: *left_out } == part_of
        }
        _ => false,
    }
}
