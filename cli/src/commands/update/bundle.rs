//! A bundle as a file: kept, its signature checked, and only then unpacked.

use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::limits::{MAX_UPDATE_BYTES, MAX_UPDATE_FILES};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::sshsig::{self, BadSignature, MessageHash, MessageHasher, NAMESPACE_UPDATE, PublicKey};
use sluse_protocol::update::{HEAD, Head, MAX_HEAD_BYTES};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A bundle of which there is a copy that nobody else writes to.
pub struct Taken {
    /// Its SHA-256.
    pub sha256: Sha256,
    hash: MessageHash,
}

/// What a bundle held.
pub struct Unpacked {
    /// What it says of itself.
    pub head: Head,
    /// Its other members' names; each is a file in the folder.
    pub names: Vec<String>,
}

/// Copies a bundle, of which nothing is believed yet.
///
/// # Errors
/// When it is too large, or the copy cannot be made.
pub fn take(bundle: File, copy: &Path) -> Result<Taken, Refusal> {
    let too_large = || Refusal::new(Code::UpdateTooLarge, format!("it has more than {MAX_UPDATE_BYTES} bytes"));
    let length = bundle.metadata().map_err(failed("read the bundle"))?.len();
    if length > MAX_UPDATE_BYTES {
        return Err(too_large());
    }
    let mut hashes = (sha2::Sha256::new(), MessageHasher::new());
    let bytes = keep(&mut bundle.take(MAX_UPDATE_BYTES + 1), copy, |step| {
        hashes.0.update(step);
        hashes.1.update(step);
    })
    .map_err(failed("copy the bundle"))?;
    if bytes > MAX_UPDATE_BYTES {
        return Err(too_large());
    }
    Ok(Taken { sha256: Sha256(hashes.0.finalize().into()), hash: hashes.1.finish() })
}

impl Taken {
    /// By which of the keys it was signed.
    ///
    /// # Errors
    /// When there are none, or it was not signed by one of them.
    pub fn signed_by(&self, keys: &[PublicKey], signature: &str) -> Result<PublicKey, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::new(Code::UpdateUnsigned, "this zone has no key for updates")
                .hint("write the site's public key into `[updates] keys` of sluse.toml"));
        }
        let mut bad = BadSignature::OtherKey;
        for key in keys {
            match sshsig::verify_hashed(key, NAMESPACE_UPDATE, &self.hash, signature) {
                Ok(()) => return Ok(*key),
                Err(BadSignature::OtherKey) => {}
                Err(other) => bad = other,
            }
        }
        Err(Refusal::new(Code::UpdateUnsigned, bad.to_string()))
    }
}

/// Unpacks the copy of a bundle whose signature is good into an empty folder.
///
/// # Errors
/// When it is no bundle, or cannot be unpacked.
pub fn unpack(copy: &Path, folder: &Path) -> Result<Unpacked, Refusal> {
    let opened = File::open(copy).map_err(failed("read the copy"))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(256 * 1024, opened));
    let broken = |error: io::Error| malformed(format!("it is no tar archive: {error}"));
    let (mut head, mut names, mut bytes) = (None, BTreeSet::new(), 0_u64);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(malformed(format!("{name:?} is not a plain file")));
        }
        let Some(Head { kind, .. }) = head else {
            head = Some(read_head(&name, &mut entry)?);
            continue;
        };
        if !kind.takes(&name) || !names.insert(name.clone()) {
            return Err(malformed(format!("{name:?} is no file of a bundle of {kind}, or is there twice")));
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > MAX_UPDATE_BYTES || names.len() > MAX_UPDATE_FILES {
            return Err(Refusal::new(Code::UpdateTooLarge, "its files are too large, or too many"));
        }
        let size = entry.size();
        let kept = keep(&mut entry, &folder.join(&name), |_| {}).map_err(failed("unpack the bundle"))?;
        if kept != size {
            return Err(malformed(format!("{name:?} ends early")));
        }
    }
    match head {
        Some(head) if !names.is_empty() => Ok(Unpacked { head, names: names.into_iter().collect() }),
        Some(_) => Err(malformed("it has no files")),
        None => Err(malformed("it is empty")),
    }
}

fn read_head(name: &str, entry: &mut impl Read) -> Result<Head, Refusal> {
    if name != HEAD {
        return Err(malformed(format!("its first member is not {HEAD}")));
    }
    let mut text = String::new();
    let read = entry.take(MAX_HEAD_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| malformed(format!("{HEAD}: {error}")))?;
    Head::parse(&text).map_err(|problems| {
        let told: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        malformed(format!("{HEAD}: {}", told.join("; ")))
    })
}

/// Writes what is read to a new file; how many bytes.
fn keep(content: &mut impl Read, path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut bytes, mut step) = (0, vec![0; 256 * 1024]);
    loop {
        let count = content.read(&mut step)?;
        if count == 0 {
            return Ok(bytes);
        }
        each(&step[..count]);
        file.write_all(&step[..count])?;
        bytes += count as u64;
    }
}

/// A signed file that is no bundle.
pub fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::UpdateMalformed, message)
}

/// Names what could not be done when the operating system refused it.
pub fn failed(attempt: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |error| Refusal::new(Code::UpdateFailed, format!("cannot {attempt}: {error}"))
}
