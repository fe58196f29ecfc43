//! The plan: what a dataset version consists of, found by walking the given paths once, before anything is sent.
//!
//! A plan is kept compactly, since a dataset may have a million files: a file costs about 60 bytes and its own name, the
//! names of folders are kept once. 200,000 files with names of 40 bytes are 20 MB. Its document (one line a file) is made
//! anew, line by line, whenever it is needed.

mod walk;

use crate::given::Supply;
use crate::os;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header, Kind, Totals};
use sluse_protocol::path::{DataPath, PathProblem};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::sshsig::{MessageHash, MessageHasher};
use sluse_protocol::time::Timestamp;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use walk::{listed, plan};

/// Problems that are named one by one; further ones are counted.
const MAX_NAMED: usize = 20;

/// The longest tick of a file system's clock, seconds: FAT's.
const COARSEST_CLOCK: i64 = 2;

/// Something below the given paths that no dataset can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, with bytes that are not printable escaped.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

/// Paths that cannot be sent.
#[derive(Debug, Default, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unsendable {
    /// The first of them.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: u64,
}

impl std::fmt::Display for Unsendable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("these cannot be sent:")?;
        for problem in &self.problems {
            write!(out, "\n  {}: {}", problem.path, problem.what)?;
        }
        if self.more > 0 {
            write!(out, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

impl Unsendable {
    fn one(path: &Path, what: impl std::fmt::Display) -> Self {
        let mut problems = Self::default();
        problems.add(&path.as_os_str().to_string_lossy(), what);
        problems
    }

    fn add(&mut self, path: &str, what: impl std::fmt::Display) {
        if self.problems.len() < MAX_NAMED {
            self.problems.push(Problem { path: printable(path.as_bytes()), what: what.to_string() });
        } else {
            self.more += 1;
        }
    }

    fn into_result(self) -> Result<(), Self> {
        if self.problems.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// A name as it can be shown: control characters and bytes that are no UTF-8 are written out.
fn printable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character.is_control() {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// A place in [`Plan::names`].
#[derive(Debug, Clone, Copy)]
struct Name {
    start: u32,
    length: u16,
}

#[derive(Debug)]
struct Folder {
    /// The folder above, or itself for the first.
    parent: u32,
    /// Its name in the dataset; empty where it adds nothing to paths.
    name: Name,
    /// Its place on disk, where that is not its name within its parent.
    base: Option<Box<Path>>,
}

/// A file or empty folder.
#[derive(Debug)]
struct Slot {
    folder: u32,
    name: Name,
    size: u64,
    /// Where it begins in the logical stream.
    start: u64,
    mtime: i64,
    mtime_ns: u32,
    changed_ns: i64,
    inode: u64,
    kind: Kind,
    executable: bool,
}

/// What a dataset version consists of.
#[derive(Debug)]
pub struct Plan {
    names: String,
    folders: Vec<Folder>,
    slots: Vec<Slot>,
    totals: Totals,
    document_bytes: u64,
    sha256: Sha256,
    /// When the last of the files changed, nanoseconds since 1970.
    changed_ns: i64,
    /// Where the files' bytes come from and the version of them all, where they do not lie on disk.
    given: Option<(Arc<dyn Supply>, Sha256)>,
}

impl Plan {
    fn empty() -> Self {
        Self {
            names: String::new(),
            folders: Vec::new(),
            slots: Vec::new(),
            totals: Totals::default(),
            document_bytes: 0,
            sha256: Sha256([0; 32]),
            changed_ns: i64::MIN,
            given: None,
        }
    }

    /// What it adds up to.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Bytes of its document.
    pub fn document_bytes(&self) -> u64 {
        self.document_bytes
    }

    /// SHA-256 of its document.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The lines of its document.
    pub fn document(&self) -> impl Iterator<Item = String> + '_ {
        let header = Header::Plan { totals: self.totals };
        std::iter::once(header.to_line()).chain((0..self.slots.len()).map(|at| self.entry(at, None).to_line()))
    }

    /// The lines of its manifest, `header`'s and one for each entry, with the files' digests in the plan's order.
    pub fn manifest<'a>(&'a self, header: &Header, digests: &'a [Sha256]) -> impl Iterator<Item = String> + 'a {
        let mut digests = digests.iter();
        let entries = (0..self.slots.len()).map(move |at| {
            let digest = if self.slots[at].kind == Kind::File { digests.next().copied() } else { None };
            self.entry(at, digest).to_line()
        });
        std::iter::once(header.to_line()).chain(entries)
    }

    /// A digest of what the file system says of the files and a program cannot set: their change times and numbers. While it is
    /// the same, so are their bytes; none when a file changed so shortly before `began`, when the walk began, that another
    /// change might not show.
    pub(crate) fn stamps(&self, began: Timestamp) -> Option<Sha256> {
        use sha2::Digest as _;
        if let Some((_, version)) = &self.given {
            return Some(*version);
        }
        if !is_settled(self.changed_ns, began) {
            return None;
        }
        let mut digest = sha2::Sha256::new();
        for slot in self.slots.iter().filter(|slot| slot.kind == Kind::File) {
            digest.update(slot.changed_ns.to_be_bytes());
            digest.update(slot.inode.to_be_bytes());
        }
        Some(Sha256(digest.finalize().into()))
    }

    /// The numbers of the entries that are files, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.kind == Kind::File).map(|(at, _)| at)
    }

    /// The first file with bytes at or after `offset` of the logical stream.
    pub(crate) fn file_at(&self, offset: u64) -> usize {
        self.slots.partition_point(|slot| slot.start + slot.size <= offset)
    }

    /// Where an entry begins in the logical stream, and its bytes.
    pub(crate) fn extent(&self, at: usize) -> (u64, u64) {
        (self.slots[at].start, self.slots[at].size)
    }

    /// What the file system says of an entry and a program cannot set: when it changed, nanoseconds since 1970, and its number. None of
    /// what does not lie on disk.
    pub(crate) fn stamp(&self, at: usize) -> Option<(i64, u64)> {
        self.given.is_none().then(|| (self.slots[at].changed_ns, self.slots[at].inode))
    }

    /// Number of entries.
    pub(crate) fn entries(&self) -> usize {
        self.slots.len()
    }

    /// The name that an entry has in the dataset.
    pub(crate) fn path(&self, at: usize) -> String {
        self.path_of(self.slots[at].folder, self.name(self.slots[at].name))
    }

    /// Whether a file is still what was planned.
    pub(crate) fn is_unchanged(&self, at: usize, now: &os::Status) -> bool {
        let slot = &self.slots[at];
        now.kind == os::Kind::File
            && (now.size, now.mtime, now.mtime_ns) == (slot.size, slot.mtime, slot.mtime_ns)
            && (now.changed_ns, now.inode) == (slot.changed_ns, slot.inode)
    }

    /// An entry of its document.
    pub(crate) fn entry(&self, at: usize, sha256: Option<Sha256>) -> Entry {
        let slot = &self.slots[at];
        Entry {
            // The walk lets no path in that is not a dataset's.
            path: self.data_path(slot.folder, self.name(slot.name)).expect("a planned path was checked"),
            kind: slot.kind,
            size: slot.size,
            mtime: slot.mtime,
            mtime_ns: slot.mtime_ns,
            executable: slot.executable,
            sha256,
        }
    }

    fn data_path(&self, folder: u32, name: &str) -> Result<DataPath, PathProblem> {
        DataPath::try_from(self.path_of(folder, name))
    }

    fn path_of(&self, folder: u32, name: &str) -> String {
        let mut parts = vec![name];
        let mut at = folder;
        loop {
            let folder = &self.folders[at as usize];
            parts.push(self.name(folder.name));
            if folder.parent == at {
                break;
            }
            at = folder.parent;
        }
        let mut path = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for part in parts.iter().rev().filter(|part| !part.is_empty()) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
        }
        path
    }

    fn name(&self, name: Name) -> &str {
        &self.names[name.start as usize..][..usize::from(name.length)]
    }

    fn count_document(&mut self) -> Result<(), Refusal> {
        let (bytes, sha256, _) = measure(self.document());
        (self.document_bytes, self.sha256) = (bytes, sha256);
        if bytes > sluse_protocol::limits::MAX_DOCUMENT_BYTES {
            return Err(Refusal::new(Code::TooManyFiles, "the list of files is longer than the protocol allows"));
        }
        Ok(())
    }
}

/// Whether a file that changed last at `changed_ns` would show another change: its time lies so far before `began`, when it was looked
/// at, that the file system's clock has moved on since.
pub(crate) fn is_settled(changed_ns: i64, began: Timestamp) -> bool {
    changed_ns / 1_000_000_000 < began.unix().saturating_sub(COARSEST_CLOCK)
}

/// The length of a document, its SHA-256, and what a signature of it is made over.
pub(crate) fn measure(lines: impl Iterator<Item = String>) -> (u64, Sha256, MessageHash) {
    use sha2::Digest as _;
    let (mut bytes, mut sha256, mut hasher) = (0, sha2::Sha256::new(), MessageHasher::new());
    for line in lines {
        bytes += line.len() as u64;
        sha256.update(&line);
        hasher.update(line.as_bytes());
    }
    (bytes, Sha256(sha256.finalize().into()), hasher.finish())
}

/// A planned file that is open.
pub(crate) enum Opened {
    /// One on disk, which may be changed while it is read.
    Disk(File),
    /// One that somebody else holds.
    Given(Box<dyn Read + Send>),
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Opened::Disk(file) => file.read(buffer),
            Opened::Given(bytes) => bytes.read(buffer),
        }
    }
}

/// Opens a plan's files one after the other; the folder of the last one stays open.
#[derive(Debug, Default)]
pub(crate) struct Opener {
    folder: Option<(u32, os::Folder)>,
}

impl Opener {
    /// Opens entry `at` of `plan`, from its byte `from` on.
    pub fn file(&mut self, plan: &Plan, at: usize, from: u64) -> io::Result<Opened> {
        if let Some((supply, _)) = &plan.given {
            return Ok(Opened::Given(supply.open(at, from)?));
        }
        let mut file = self.file_on_disk(plan, at)?;
        if from > 0 {
            file.seek(SeekFrom::Start(from))?;
        }
        Ok(Opened::Disk(file))
    }

    fn file_on_disk(&mut self, plan: &Plan, at: usize) -> io::Result<File> {
        let slot = &plan.slots[at];
        os::open_file_in(self.folder(plan, slot.folder)?, plan.name(slot.name))
    }

    /// Opens a folder, from the one that is open or the nearest above it that has a place on disk.
    fn folder(&mut self, plan: &Plan, wanted: u32) -> io::Result<&os::Folder> {
        let mut below = Vec::new();
        let mut at = wanted;
        let mut open = loop {
            if let Some((_, open)) = self.folder.take_if(|(open, _)| *open == at) {
                break open;
            }
            let folder = &plan.folders[at as usize];
            if let Some(base) = &folder.base {
                break os::open_folder(base)?;
            }
            if folder.parent == at {
                return Err(io::ErrorKind::NotFound.into());
            }
            below.push(folder.name);
            at = folder.parent;
        };
        while let Some(name) = below.pop() {
            open = os::open_folder_in(&open, plan.name(name))?;
        }
        Ok(&self.folder.insert((wanted, open)).1)
    }
}

/// The last component of a path that a person typed, also of `.` and `..`.
fn last_component(path: &Path) -> io::Result<PathBuf> {
    match path.file_name() {
        Some(name) => Ok(name.into()),
        None => Ok(std::fs::canonicalize(path)?.file_name().ok_or(io::ErrorKind::InvalidFilename)?.into()),
    }
}

#[cfg(test)]
mod tests;
