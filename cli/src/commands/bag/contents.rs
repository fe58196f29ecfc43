//! What a bag's folder holds: every file, hashed.

use super::Problems;
use crate::failure::Failure;
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::Exit;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// The files of a bag by path below its folder, with their digests.
#[derive(Debug, Default)]
pub struct Contents {
    /// Files below `data/`.
    pub payload: BTreeMap<String, Sha256>,
    /// All others.
    pub tags: BTreeMap<String, Sha256>,
    /// Bytes of the payload.
    pub payload_bytes: u64,
}

/// Reads and hashes everything below `dir`.
///
/// # Errors
/// When something cannot be read.
pub fn read(dir: &Path, problems: &mut Problems) -> Result<Contents, Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Usage, "read the bag", dir, &error);
    let mut files = Vec::new();
    list(dir, "", &mut files, problems).map_err(failed)?;
    let hashed = hash_all(dir, &files).map_err(failed)?;
    let mut contents = Contents::default();
    for (path, (digest, bytes)) in files.into_iter().zip(hashed) {
        if path.starts_with("data/") {
            contents.payload_bytes += bytes;
            contents.payload.insert(path, digest);
        } else {
            contents.tags.insert(path, digest);
        }
    }
    Ok(contents)
}

fn list(dir: &Path, prefix: &str, files: &mut Vec<String>, problems: &mut Problems) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            problems.add(format!("{prefix}{} is a name that no bag has", entry.file_name().display()));
            continue;
        };
        let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
        if kind.is_dir() {
            list(&entry.path(), &format!("{path}/"), files, problems)?;
        } else if kind.is_file() {
            files.push(path);
        } else {
            problems.add(format!("{path} is neither a file nor a folder"));
        }
    }
    Ok(())
}

/// Hashes on every processor; the results stand in the order of `files`.
fn hash_all(dir: &Path, files: &[String]) -> io::Result<Vec<(Sha256, u64)>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; files.len()]);
    let worker = || -> io::Result<()> {
        let mut buffer = vec![0; STEP];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(at) else { return Ok(()) };
            let hashed = hash(&dir.join(path), &mut buffer)?;
            if let Some(slot) = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_mut(at) {
                *slot = Some(hashed);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let ended = running.into_iter().map(|worker| worker.join().unwrap_or(Err(io::ErrorKind::Other.into())));
        ended.collect::<io::Result<Vec<()>>>()
    })?;
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.into_iter().map(|hashed| hashed.ok_or(io::ErrorKind::Other.into())).collect()
}

fn hash(file: &Path, buffer: &mut [u8]) -> io::Result<(Sha256, u64)> {
    let (mut file, mut hash, mut bytes) = (File::open(file)?, sha2::Sha256::new(), 0u64);
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            return Ok((Sha256(hash.finalize().into()), bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}
