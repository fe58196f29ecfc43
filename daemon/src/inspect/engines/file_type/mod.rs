//! What type a file is, by its content, and whether the agreement lets it in.
//!
//! [`magic`] knows types by fixed bytes, [`text`] tells texts apart, [`zip`] walks through ZIP archives as they stream by,
//! [`compound`] looks into Office 97 files, [`ends`] checks what a whole file must end with, and [`names`] compares with the
//! file's name. Only the first 64 KiB and the last 64 bytes are kept.

use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Seen, Verdict};
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::types::{FileType, Kind};

mod compound;
mod dicom;
mod ends;
mod magic;
mod names;
mod text;
mod zip;

/// Bytes from a file's start by which its type is told.
const HEAD_BYTES: usize = 64 * 1024;

/// Bytes of a file's end that are kept.
const TAIL_BYTES: usize = 64;

/// Bytes by which it is told whether the whole file is looked through.
const MARK_BYTES: usize = 8;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTypeEngine;

impl Engine for FileTypeEngine {
    fn name(&self) -> &'static str {
        "file-type"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn sample(&self) -> Sample {
        // The beginning of a Linux program for x86-64.
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.extend([0; 9]);
        bytes.extend([2, 0, 0x3e, 0, 1, 0, 0, 0]);
        Sample { bytes, class: Class::Executable }
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        Box::new(FileTypeScan {
            file: file.clone(),
            bytes: 0,
            head: Vec::new(),
            tail: Vec::new(),
            inside: Inside::NotYet,
        })
    }
}

struct FileTypeScan {
    file: FileFacts,
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    inside: Inside,
}

/// A look through the whole of those files whose beginning does not tell enough.
enum Inside {
    NotYet,
    Zip(zip::Walk),
    Compound(compound::Look),
    No,
}

/// What the content says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identified {
    /// The types that it may be taken for, the likeliest first; none when it is of no known type.
    types: Vec<FileType>,
    /// What else was seen.
    seen: Vec<Seen>,
}

impl Identified {
    fn one(one: FileType) -> Self {
        Self { types: vec![one], seen: Vec::new() }
    }

    fn add(&mut self, class: Class, message: &str) {
        self.seen.push(Seen::new(class, message));
    }
}

impl Scan for FileTypeScan {
    fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.inside, Inside::NotYet) && self.head.len() + bytes.len() >= MARK_BYTES {
            let missing = MARK_BYTES.saturating_sub(self.head.len());
            let mut start = self.head.clone();
            start.extend_from_slice(&bytes[..missing]);
            self.inside = Inside::begin(&start);
            self.inside.feed(&self.head);
        }
        self.inside.feed(bytes);
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        keep_end(&mut self.tail, bytes);
        self.bytes += bytes.len() as u64;
    }

    fn finish(self: Box<Self>, _: &Sha256) -> Verdict {
        let mut identified = self.identify();
        let types = &identified.types;
        if let Some(likeliest) = types.first()
            && let Some(problem) = ends::check(*likeliest, &self.head, &self.tail, self.bytes)
        {
            identified.add(Class::Malformed, problem);
        }
        let mut seen = judge(&identified.types, &self.file.content.types);
        seen.extend(names::compare(&self.file.path, &identified.types));
        seen.append(&mut identified.seen);
        Verdict::Read { bytes: self.bytes, seen }
    }
}

impl FileTypeScan {
    fn identify(&self) -> Identified {
        match &self.inside {
            Inside::Zip(walk) => walk.identify(),
            Inside::Compound(look) => look.identify(&self.file.path),
            Inside::NotYet if self.bytes == 0 => Identified::one(FileType::Empty),
            Inside::NotYet | Inside::No => identify_head(&self.head, self.bytes, &self.file),
        }
    }
}

impl Inside {
    fn begin(start: &[u8]) -> Self {
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Inside::Zip(zip::Walk::default())
        } else if start.starts_with(compound::MAGIC) {
            Inside::Compound(compound::Look::default())
        } else {
            Inside::No
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Inside::Zip(walk) => walk.feed(bytes),
            Inside::Compound(look) => look.feed(bytes),
            Inside::NotYet | Inside::No => {}
        }
    }
}

fn identify_head(head: &[u8], size: u64, file: &FileFacts) -> Identified {
    if let Some(known) = magic::identify(head, size) {
        return known;
    }
    if dicom::without_preamble(head) {
        return Identified::one(FileType::Dicom);
    }
    let whole = head.len() as u64 == size;
    Identified { types: text::identify(head, whole, &file.path), seen: Vec::new() }
}

fn keep_end(tail: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= TAIL_BYTES {
        tail.clear();
        tail.extend_from_slice(&bytes[bytes.len() - TAIL_BYTES..]);
    } else {
        tail.extend_from_slice(bytes);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    }
}

/// What the agreement's list of types, `allowed`, makes of a file that may be taken for any of `types`.
fn judge(types: &[FileType], allowed: &[String]) -> Vec<Seen> {
    let Some(likeliest) = types.first() else {
        return vec![Seen::new(Class::TypeUnknown, "of no type that is known here")];
    };
    let described = format!("{likeliest}: {}", likeliest.description());
    let listed = types.iter().any(|one| allowed.iter().any(|name| name == one.as_str()));
    let mut seen = Vec::new();
    match likeliest.kind() {
        Kind::Program if !listed => seen.push(Seen::new(Class::Executable, &described)),
        Kind::Encrypted => seen.push(Seen::new(Class::Encrypted, &described)),
        _ => {}
    }
    // A file without a byte is of every type.
    if !allowed.is_empty() && !listed && *likeliest != FileType::Empty {
        seen.push(Seen::new(Class::TypeNotAllowed, described));
    }
    seen
}

#[cfg(test)]
mod tests;
