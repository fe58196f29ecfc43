//! A bag's own lists: its declaration, payload manifest, tag manifest and `Payload-Oxum`.

use super::Problems;
use super::contents::Contents;
use crate::failure::Failure;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use sluse_protocol::refusal::Exit;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
const PAYLOAD: &str = "manifest-sha256.txt";
const TAGS: &str = "tagmanifest-sha256.txt";
const PLAIN: &str = "plaintext-sha256.txt";

/// Bytes of a small tag file.
const MAX_TAG_BYTES: u64 = 1024 * 1024;

/// What the bag says of itself.
#[derive(Debug)]
pub struct Listed {
    payload: BTreeMap<String, Sha256>,
    tags: BTreeMap<String, Sha256>,
    oxum: Option<String>,
    archive: bool,
    plain: Option<BTreeMap<String, Sha256>>,
}

impl Listed {
    /// The digests of what comes out of the files, by path, where the bag says that they are encrypted.
    pub fn plain(&self) -> Option<&BTreeMap<String, Sha256>> {
        self.plain.as_ref()
    }

    /// Whether the bag says that it is an archived one.
    pub fn is_archive(&self) -> bool {
        self.archive
    }
}

/// Reads the bag's lists.
///
/// # Errors
/// When one of them cannot be read.
pub fn read(dir: &Path, problems: &mut Problems) -> Result<Listed, Failure> {
    if text(dir, "bagit.txt", MAX_TAG_BYTES)?.as_deref() != Some(DECLARATION) {
        problems.add("bagit.txt does not declare a bag of version 1.0");
    }
    if std::fs::symlink_metadata(dir.join("fetch.txt")).is_ok() {
        problems.add("fetch.txt names files that are elsewhere: this bag is not whole");
    }
    let info = text(dir, "bag-info.txt", MAX_TAG_BYTES)?.unwrap_or_default();
    let oxum = info.lines().find_map(|line| line.strip_prefix("Payload-Oxum: "));
    Ok(Listed {
        payload: list(dir, PAYLOAD, problems)?,
        tags: list(dir, TAGS, problems)?,
        oxum: oxum.map(str::to_owned),
        plain: match info.lines().any(|line| line.starts_with("Sluse-Encrypted-To: ")) {
            true => Some(list(dir, PLAIN, problems)?),
            false => None,
        },
        archive: info.lines().any(|line| line == "Sluse-Delivery: archive"),
    })
}

/// Compares what is there with what is listed.
pub fn compare(found: &Contents, listed: &Listed, problems: &mut Problems) {
    compare_files(&found.payload, &listed.payload, PAYLOAD, problems);
    for path in found.payload.keys().filter(|path| !listed.payload.contains_key(*path)) {
        problems.add(format!("{path} is not listed in {PAYLOAD}: it was put there later"));
    }
    compare_files(&found.tags, &listed.tags, TAGS, problems);
    for path in ["bagit.txt", "bag-info.txt", PAYLOAD] {
        if !listed.tags.contains_key(path) {
            problems.add(format!("{path} is not listed in {TAGS}"));
        }
    }
    if let Some(plain) = &listed.plain {
        let unlisted = listed.payload.keys().filter(|path| !plain.contains_key(*path));
        unlisted.for_each(|path| problems.add(format!("{path} is not listed in {PLAIN}")));
        if !listed.tags.contains_key(PLAIN) {
            problems.add(format!("{PLAIN} is not listed in {TAGS}"));
        }
    }
    let oxum = format!("{}.{}", found.payload_bytes, found.payload.len());
    if listed.oxum.as_ref().is_some_and(|listed| *listed != oxum) {
        problems.add(format!("bag-info.txt does not say that the payload has {oxum} (bytes.files)"));
    }
}

fn compare_files(
    found: &BTreeMap<String, Sha256>,
    listed: &BTreeMap<String, Sha256>,
    list: &str,
    problems: &mut Problems,
) {
    for (path, digest) in listed {
        match found.get(path) {
            None => problems.add(format!("{path} is missing; {list} lists it")),
            Some(found) if found != digest => {
                problems.add(format!("{path} was changed: its SHA-256 is not the one in {list}"))
            }
            Some(_) => {}
        }
    }
}

/// Reads a manifest: a digest and a path a line.
fn list(dir: &Path, name: &str, problems: &mut Problems) -> Result<BTreeMap<String, Sha256>, Failure> {
    let Some(text) = text(dir, name, MAX_DOCUMENT_BYTES)? else {
        problems.add(format!("{name} is missing"));
        return Ok(BTreeMap::new());
    };
    let mut listed = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.split_once([' ', '\t']).and_then(|(digest, path)| {
            Some((digest.parse::<Sha256>().ok()?, unescape(dir, path.trim_start_matches([' ', '\t', '*']))))
        });
        match entry {
            Some((digest, path)) if listed.insert(path.clone(), digest).is_none() => {}
            Some((_, path)) => problems.add(format!("{name} lists {path} twice")),
            None => problems.add(format!("{name}: line {} is not a digest and a path", number + 1)),
        }
    }
    Ok(listed)
}

/// RFC 8493 writes `%`, line feed and carriage return in paths as `%25`, `%0A` and `%0D`; `sha256sum` knows no such thing. A
/// path that is there as it stands is taken as it stands.
fn unescape(dir: &Path, path: &str) -> String {
    if !path.contains('%') || std::fs::symlink_metadata(dir.join(path)).is_ok() {
        return path.to_owned();
    }
    path.replace("%0A", "\n").replace("%0a", "\n").replace("%0D", "\r").replace("%0d", "\r").replace("%25", "%")
}

/// A tag file's text; `None` when it is not there.
fn text(dir: &Path, name: &str, limit: u64) -> Result<Option<String>, Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Integrity, "read", &dir.join(name), &error);
    match files::read_bounded(&dir.join(name), limit) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| failed(io::ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
