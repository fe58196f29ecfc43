//! Reads an archived bag again, as it stands in its room: every digest, nothing missing, nothing added, and the zone's statement in it.
//!
//! What it is held against does not lie in the room: `control` says which digest the bag's list of lists had when it was delivered.

use super::place::{Kind, Place};
use super::read_back::drop_cache;
use super::tags;
use sha2::Digest as _;
use sluse_protocol::archive::{ArchiveStatement, Fixity, SIGNATURE, STATEMENT};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::MAX_LINE_BYTES;
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT, PublicKey};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// Bytes of the longest statement or signature.
const MAX_STATEMENT_BYTES: u64 = 1024 * 1024;

/// Folders below a bag's that are looked into: more than a dataset may have.
const MAX_DEPTH: u32 = 1100;

/// An archived bag, and what it was when it was delivered.
#[derive(Debug)]
pub struct Archived<'a> {
    /// The transfer that brought it.
    pub transfer: &'a TransferId,
    /// Its folder, relative to the room's.
    pub bag: &'a str,
    /// SHA-256 of its `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
}

/// Reads the bag; `signers` are the zone's keys.
///
/// # Errors
/// When the room cannot be looked into.
pub fn check(room: &Place, archived: &Archived<'_>, signers: &[PublicKey]) -> io::Result<Fixity> {
    let bag = match room.folder(archived.bag) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Fixity { missing: 1, ..Fixity::default() });
        }
        other => other?,
    };
    let mut reading = Reading { bag: &bag, found: Fixity::default(), present: 0 };
    let listed = reading.lists(archived.tagmanifest);
    reading.found.signed = reading.statement(archived, signers);
    let (files, others) = count(&bag, 0)?;
    // Of a bag whose lists were changed nobody knows what belongs to it.
    let strangers = if listed { files.saturating_sub(reading.present) } else { 0 };
    reading.found.added = strangers + others;
    Ok(reading.found)
}

struct Reading<'a> {
    bag: &'a Place,
    found: Fixity,
    /// Files that are there and belong there.
    present: u64,
}

impl Reading<'_> {
    /// Reads what the bag's two lists name; whether both are those that were delivered.
    fn lists(&mut self, tagmanifest: Sha256) -> bool {
        if !self.file(tags::TAG_MANIFEST, tagmanifest) {
            return false;
        }
        let mut payload = false;
        for list in [tags::TAG_MANIFEST, tags::MANIFEST] {
            let read = self.lines(list, |reading, path, digest| {
                payload |= reading.file(path, digest) && path == tags::MANIFEST;
            });
            if read.is_err() {
                // It was read a moment ago, with the right digest.
                self.found.unreadable += 1;
                return false;
            }
            if !payload {
                return false;
            }
        }
        true
    }

    fn lines(&mut self, list: &str, mut each: impl FnMut(&mut Self, &str, Sha256)) -> io::Result<()> {
        let (mut lines, mut line) = (BufReader::new(self.bag.file(list)?), String::new());
        loop {
            line.clear();
            if (&mut lines).take(MAX_LINE_BYTES as u64).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let entry = line.trim_end_matches('\n').split_once("  ");
            let entry = entry.and_then(|(digest, path)| Some((digest.parse().ok()?, path.replace("%25", "%"))));
            let (digest, path) = entry.ok_or(io::ErrorKind::InvalidData)?;
            each(self, &path, digest);
        }
    }

    /// Reads a file; whether it is as it was.
    fn file(&mut self, path: &str, expected: Sha256) -> bool {
        let hashed = self.bag.file(path).and_then(|mut file| hash(&mut file));
        match hashed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.found.missing += 1,
            // Something else stands under its name: that is counted as added too.
            Err(error) if error.kind() == io::ErrorKind::InvalidData || is_link(&error) => self.found.missing += 1,
            Err(_) => {
                self.found.unreadable += 1;
                self.present += 1;
            }
            Ok((digest, bytes)) => {
                self.found.files += 1;
                self.found.bytes += bytes;
                self.present += 1;
                if digest == expected {
                    return true;
                }
                self.found.changed += 1;
            }
        }
        false
    }

    /// Whether the zone's statement of this bag is in it.
    fn statement(&mut self, archived: &Archived<'_>, signers: &[PublicKey]) -> bool {
        let mut read = |name: &str| {
            let mut bytes = Vec::new();
            self.bag.file(name)?.take(MAX_STATEMENT_BYTES).read_to_end(&mut bytes)?;
            self.present += 1;
            self.found.files += 1;
            self.found.bytes += bytes.len() as u64;
            String::from_utf8(bytes).map_err(io::Error::other)
        };
        let (Ok(statement), Ok(signature)) = (read(STATEMENT), read(SIGNATURE)) else { return false };
        let signed = |key: &PublicKey| sshsig::verify(key, NAMESPACE_RECEIPT, statement.as_bytes(), &signature).is_ok();
        let stated: Option<ArchiveStatement> = serde_json::from_str(&statement).ok();
        signers.iter().any(signed)
            && stated.is_some_and(|stated| {
                (&stated.transfer, stated.tagmanifest) == (archived.transfer, archived.tagmanifest)
                    && stated.check_inclusion().is_ok()
            })
    }
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
}

fn hash(file: &mut File) -> io::Result<(Sha256, u64)> {
    // What the disk has is asked for, not what is remembered of it.
    drop_cache(file, 0, file.metadata()?.len());
    let (mut hash, mut step, mut bytes) = (sha2::Sha256::new(), vec![0; STEP], 0);
    loop {
        match file.read(&mut step) {
            Ok(0) => return Ok((Sha256(hash.finalize().into()), bytes)),
            Ok(count) => {
                hash.update(&step[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Plain files below a folder, and what is neither that nor a folder.
fn count(folder: &Place, depth: u32) -> io::Result<(u64, u64)> {
    if depth > MAX_DEPTH {
        return Ok((0, 1));
    }
    let (mut files, mut others) = (0, 0);
    for (name, kind) in folder.entries()? {
        match (name, kind) {
            (Some(_), Kind::File) => files += 1,
            (Some(name), Kind::Folder) => {
                let (inner, strange) = count(&folder.folder(&name)?, depth + 1)?;
                (files, others) = (files + inner, others + strange);
            }
            _ => others += 1,
        }
    }
    Ok((files, others))
}
