//! Reads an archived bag again, as it stands in its room: every digest, nothing missing, nothing added, and the zone's statement in it.
//!
//! What it is held against does not lie in the room: `control` says which digest the bag's list of lists had when it was delivered, and how
//! much the dataset was. Others may write in the room: whatever they put there is counted, keeps no reading from its end, and neither
//! memory nor what is read grows with it.

use super::place::{Kind, Place};
use super::read_back::drop_cache;
use super::tags;
use nix::errno::Errno;
use sha2::Digest as _;
use sluse_protocol::archive::{ArchiveStatement, Fixity, SIGNATURE, STATEMENT};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::{MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, MAX_PATH_BYTES};
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT, PublicKey};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// Bytes of the longest statement or signature.
const MAX_STATEMENT_BYTES: u64 = 1024 * 1024;

/// Folders below a bag's that are looked into: more than a dataset may have.
const MAX_DEPTH: u32 = 1100;

/// Strangers that are counted. Of more it is enough to know that there are more.
const MAX_ADDED: u64 = 10_000;

/// An archived bag, and what it was when it was delivered.
#[derive(Debug)]
pub struct Archived<'a> {
    /// The transfer that brought it.
    pub transfer: &'a TransferId,
    /// Its folder, relative to the room's.
    pub bag: &'a str,
    /// SHA-256 of its `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
    /// How much the dataset in it is.
    pub totals: Totals,
}

/// Reads the bag in its room's open folder; `signers` are the zone's keys. Whatever fails there is found, and ends nothing.
pub fn check(room: &Place, archived: &Archived<'_>, signers: &[PublicKey]) -> Fixity {
    let bag = match room.folder(archived.bag) {
        Err(error) if is_absence(&error) => return Fixity { missing: 1, ..Fixity::default() },
        Err(_) => return Fixity { unreadable: 1, ..Fixity::default() },
        Ok(bag) => bag,
    };
    let totals = archived.totals;
    let (found, left) = (Fixity::default(), totals.bytes);
    let mut reading = Reading { bag: &bag, totals, found, present: 0, left, in_vain: 0 };
    let listed = reading.lists(archived.tagmanifest);
    reading.found.signed = reading.statement(archived, signers);
    let (mut found, present) = (reading.found, reading.present);
    let mut count = Count::new(&totals, present);
    count.below(&bag, 0);
    // Of a bag whose lists were changed nobody knows what belongs to it.
    let strangers = if listed { count.files.saturating_sub(present) } else { 0 };
    found.added = strangers + count.others;
    found.unreadable += count.unreadable;
    found
}

struct Reading<'a> {
    bag: &'a Place,
    totals: Totals,
    found: Fixity,
    /// Files that are there and belong there.
    present: u64,
    /// Bytes of the dataset in files that were not yet found as they were: none of them was longer.
    left: u64,
    /// Bytes that were read of files that are not as they were.
    in_vain: u64,
}

/// How reading a file ended.
enum Hashed {
    /// It was read whole.
    Whole(Sha256, u64),
    /// It is longer than it can have been; so many bytes were read.
    TooLong(u64),
    /// So much was read in vain that this one was not.
    NotRead,
}

impl Reading<'_> {
    /// Reads what the bag's two lists name; whether both are those that were delivered.
    fn lists(&mut self, tagmanifest: Sha256) -> bool {
        if !self.file(tags::TAG_MANIFEST, tagmanifest) {
            return false;
        }
        let mut payload = None;
        let read = self.lines(tags::TAG_MANIFEST, tagmanifest, |reading, path, digest| {
            if reading.file(path, digest) && path == tags::MANIFEST {
                payload = Some(digest);
            }
        });
        let Some(payload) = payload.filter(|_| read) else { return false };
        self.lines(tags::MANIFEST, payload, |reading, path, digest| {
            reading.file(path, digest);
        })
    }

    /// Reads a list that had the right digest a moment ago; whether it has it still.
    fn lines(&mut self, list: &str, expected: Sha256, each: impl FnMut(&mut Self, &str, Sha256)) -> bool {
        match self.each_line(list, each) {
            Ok(digest) if digest == expected => return true,
            Err(error) if error.kind() != io::ErrorKind::InvalidData => self.found.unreadable += 1,
            _ => self.found.changed += 1,
        }
        false
    }

    /// The digest of the lines that were read.
    fn each_line(&mut self, list: &str, mut each: impl FnMut(&mut Self, &str, Sha256)) -> io::Result<Sha256> {
        let mut lines = BufReader::new(self.bag.file(list)?).take(self.longest_tag());
        let (mut hash, mut line) = (sha2::Sha256::new(), String::new());
        loop {
            line.clear();
            if (&mut lines).take(MAX_LINE_BYTES as u64).read_line(&mut line)? == 0 {
                return Ok(Sha256(hash.finalize().into()));
            }
            hash.update(&line);
            let entry = line.trim_end_matches('\n').split_once("  ");
            let entry = entry.and_then(|(digest, path)| Some((digest.parse().ok()?, path.replace("%25", "%"))));
            let (digest, path) = entry.ok_or(io::ErrorKind::InvalidData)?;
            each(self, &path, digest);
        }
    }

    /// Reads a file; whether it is as it was.
    fn file(&mut self, path: &str, expected: Sha256) -> bool {
        let hashed = self.bag.file(path).and_then(|mut file| self.hash(path, &mut file));
        if let Err(error) = &hashed
            && is_absence(error)
        {
            // Something else may stand under its name: that is counted as added too.
            self.found.missing += 1;
            return false;
        }
        self.present += 1;
        match hashed {
            Err(_) | Ok(Hashed::NotRead) => self.found.unreadable += 1,
            Ok(Hashed::TooLong(bytes)) => {
                self.found.changed += 1;
                self.in_vain += bytes;
            }
            Ok(Hashed::Whole(digest, bytes)) => {
                self.found.files += 1;
                self.found.bytes += bytes;
                if digest == expected {
                    self.left -= if is_payload(path) { bytes } else { 0 };
                    return true;
                }
                self.found.changed += 1;
                self.in_vain += bytes;
            }
        }
        false
    }

    fn hash(&self, path: &str, file: &mut File) -> io::Result<Hashed> {
        let (longest, length) = (if is_payload(path) { self.left } else { self.longest_tag() }, file.metadata()?.len());
        if length > longest {
            return Ok(Hashed::TooLong(0));
        }
        // A dataset of which every file was changed and none has grown is read to its end.
        if is_payload(path) && self.in_vain > self.totals.bytes + self.longest_tag() {
            return Ok(Hashed::NotRead);
        }
        // What the disk has is asked for, not what is remembered of it.
        drop_cache(file, 0, length);
        let (mut hash, mut step, mut bytes) = (sha2::Sha256::new(), vec![0; STEP], 0);
        loop {
            match file.read(&mut step) {
                Ok(0) => return Ok(Hashed::Whole(Sha256(hash.finalize().into()), bytes)),
                Ok(count) => {
                    hash.update(&step[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if bytes > longest {
                return Ok(Hashed::TooLong(bytes));
            }
        }
    }

    /// Bytes of the longest of the bag's own files: a document, or a list with a line for each file.
    fn longest_tag(&self) -> u64 {
        MAX_DOCUMENT_BYTES.saturating_add(self.totals.files.saturating_mul(MAX_LINE_BYTES as u64))
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

fn is_payload(path: &str) -> bool {
    path.split('/').next() == Some(tags::DATA)
}

/// Whether a name is free, or something has it that is no file or folder of ours: a link, a socket.
fn is_absence(error: &io::Error) -> bool {
    let other = [Errno::ELOOP, Errno::ENOTDIR, Errno::ENXIO].map(|errno| Some(errno as i32));
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
        || other.contains(&error.raw_os_error())
}

/// What is in a bag's folder, as far as it matters.
#[derive(Debug)]
struct Count {
    /// Plain files.
    files: u64,
    /// What is neither that nor a folder, or has a name that no bag has.
    others: u64,
    /// Folders that cannot be looked into.
    unreadable: u64,
    folders: u64,
    most_files: u64,
    most_folders: u64,
}

impl Count {
    /// For a bag in which so many files belong.
    fn new(totals: &Totals, present: u64) -> Self {
        // A path of a byte between any two slashes goes through most folders.
        let folders = (totals.files + totals.folders).saturating_mul(MAX_PATH_BYTES as u64 / 2);
        let (most_files, most_folders) = (present + MAX_ADDED, folders.saturating_add(MAX_ADDED));
        Self { files: 0, others: 0, unreadable: 0, folders: 0, most_files, most_folders }
    }

    fn below(&mut self, folder: &Place, depth: u32) {
        let looked = folder.each_entry(|name, kind| {
            match (name, kind) {
                (Some(_), Kind::File) => self.files += 1,
                (Some(name), Kind::Folder) if depth < MAX_DEPTH && self.folders < self.most_folders => {
                    self.folders += 1;
                    match folder.folder(&name) {
                        Ok(inner) => self.below(&inner, depth + 1),
                        Err(_) => self.unreadable += 1,
                    }
                }
                _ => self.others += 1,
            }
            self.files <= self.most_files && self.others <= MAX_ADDED
        });
        self.unreadable += u64::from(looked.is_err());
    }
}
