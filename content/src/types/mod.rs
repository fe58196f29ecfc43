//! What type a file is, by its content, and whether the agreement lets it in.
//!
//! [`magic`] knows types by fixed bytes, [`text`] tells texts apart, [`zip`] walks through ZIP archives as they stream
//! by, [`compound`] looks into Office 97 files, [`pdf`] and [`markup`] look for what acts in documents, [`polyglot`]
//! for files that are two, [`ends`] checks what a whole file must end with, and [`names`] compares with the file's
//! name. Only the first 64 KiB and the last 1 KiB are kept.

use crate::{Notice, Reader, Sink};
use needles::Needles;
use sluse_protocol::finding::Class;
use sluse_protocol::types::{FileType, Kind};
use std::sync::Arc;

mod compound;
mod dicom;
mod ends;
mod magic;
mod markup;
mod names;
mod needles;
mod pdf;
mod polyglot;
mod text;
mod zip;

/// Bytes from a file's start by which its type is told.
const HEAD_BYTES: usize = 64 * 1024;

/// Bytes of a file's end that are kept: in these a PDF document states its own end.
const TAIL_BYTES: usize = 1024;

/// Bytes by which it is told whether the whole file is looked through.
const MARK_BYTES: usize = 8;

/// Tells the type of one file, and what it holds that acts.
pub struct TypeReader {
    name: String,
    allowed: Arc<[String]>,
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    inside: Inside,
    types: Vec<FileType>,
}

/// A look through the whole of those files whose beginning does not tell enough.
enum Inside {
    NotYet,
    Zip(Box<zip::Walk>),
    Compound(compound::Look),
    Pdf(Box<pdf::Look>),
    Markup(markup::Look),
    Rtf(Needles),
    No,
}

/// What in RTF holds an object of another program, which runs when it is shown.
const RTF_OBJECTS: &[&[u8]] = &[b"\\objdata", b"\\objupdate", b"\\objautlink"];

/// What the content says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identified {
    /// The types that it may be taken for, the likeliest first; none when it is of no known type.
    types: Vec<FileType>,
    /// What else was seen.
    seen: Vec<Notice>,
}

impl Identified {
    fn one(one: FileType) -> Self {
        Self { types: vec![one], seen: Vec::new() }
    }

    fn add(&mut self, class: Class, message: &str) {
        self.seen.push(notice(class, message));
    }
}

impl TypeReader {
    /// Starts on a file of this name, for an agreement that allows these types; an empty list allows all that are no
    /// programs.
    pub fn new(name: &str, allowed: &Arc<[String]>) -> Self {
        Self {
            name: name.to_owned(),
            allowed: Arc::clone(allowed),
            bytes: 0,
            head: Vec::new(),
            tail: Vec::new(),
            inside: Inside::NotYet,
            types: Vec::new(),
        }
    }

    /// The types that a file which has ended may be taken for, the likeliest first.
    pub fn types(&self) -> &[FileType] {
        &self.types
    }

    /// The file's first bytes, as many as types are told by.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether more bytes add nothing to the head.
    pub fn head_is_full(&self) -> bool {
        self.head.len() == HEAD_BYTES
    }

    /// The types that the file may be taken for by its head, the likeliest first. Only its end tells the kinds of ZIP archives
    /// and of Office 97 files apart.
    pub fn by_head(&self) -> Vec<FileType> {
        if self.bytes == 0 { vec![FileType::Empty] } else { identify_head(&self.head, self.bytes, &self.name).types }
    }

    /// The type that its name says.
    pub fn by_name(&self) -> Option<FileType> {
        names::expected(&self.name)
    }

    /// Whether its name says that it is a table of text.
    pub fn is_named_table(&self) -> bool {
        ["csv", "tsv", "tab"].contains(&names::extension(&self.name).as_str())
    }

    /// Bytes that it was fed.
    pub fn consumed(&self) -> u64 {
        self.bytes
    }

    fn identify(&self) -> Identified {
        let mut identified = match &self.inside {
            Inside::Zip(walk) => walk.identify(),
            Inside::Compound(look) => look.identify(&self.name),
            Inside::Pdf(look) => look.identify(),
            Inside::NotYet if self.bytes == 0 => Identified::one(FileType::Empty),
            _ => identify_head(&self.head, self.bytes, &self.name),
        };
        match &self.inside {
            Inside::Markup(look) => look.judge(&identified.types.clone(), &mut identified),
            Inside::Rtf(marks) if (0..RTF_OBJECTS.len()).any(|place| marks.has(place)) => {
                identified.add(Class::ActiveContent, "a document with objects of other programs in it");
            }
            _ => {}
        }
        if let Some(other) = polyglot::other(&identified.types, &self.head, &self.tail) {
            identified.add(Class::Polyglot, other);
        }
        identified
    }
}

impl Reader for TypeReader {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
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

    fn finish(&mut self, sink: &mut dyn Sink) {
        let mut identified = self.identify();
        if let Some(likeliest) = identified.types.first()
            && let Some(problem) = ends::check(*likeliest, &self.head, &self.tail, self.bytes)
        {
            let broken = if likeliest.kind() == Kind::Archive { Class::BrokenArchive } else { Class::Malformed };
            identified.add(broken, problem);
        }
        judge(&identified.types, &self.allowed, sink);
        names::compare(&self.name, &identified.types).into_iter().for_each(|one| sink.notice(one));
        identified.seen.into_iter().for_each(|one| sink.notice(one));
        self.types = identified.types;
    }
}

impl Inside {
    fn begin(start: &[u8]) -> Self {
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let wide = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Inside::Zip(Box::default())
        } else if start.starts_with(compound::MAGIC) {
            Inside::Compound(compound::Look::default())
        } else if start.starts_with(b"%PDF-") {
            Inside::Pdf(Box::default())
        } else if start.starts_with(b"{\\rt") {
            Inside::Rtf(Needles::new(RTF_OBJECTS))
        } else if wide || text.is_empty() || text.starts_with(b"<") {
            Inside::Markup(markup::Look::default())
        } else {
            Inside::No
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Inside::Zip(walk) => walk.feed(bytes),
            Inside::Compound(look) => look.feed(bytes),
            Inside::Pdf(look) => look.feed(bytes),
            Inside::Markup(look) => look.feed(bytes),
            Inside::Rtf(marks) => marks.feed(bytes),
            Inside::NotYet | Inside::No => {}
        }
    }
}

fn notice(class: Class, message: impl Into<String>) -> Notice {
    Notice { class, offset: None, message: message.into() }
}

fn identify_head(head: &[u8], size: u64, name: &str) -> Identified {
    if let Some(known) = magic::identify(head, size) {
        return known;
    }
    if dicom::without_preamble(head) {
        return Identified::one(FileType::Dicom);
    }
    let whole = head.len() as u64 == size;
    Identified { types: text::identify(head, whole, name), seen: Vec::new() }
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
fn judge(types: &[FileType], allowed: &[String], sink: &mut dyn Sink) {
    let Some(likeliest) = types.first() else {
        return sink.notice(notice(Class::TypeUnknown, "of no type that is known here"));
    };
    let described = format!("{likeliest}: {}", likeliest.description());
    let listed = types.iter().any(|one| allowed.iter().any(|name| name == one.as_str()));
    match likeliest.kind() {
        Kind::Program if !listed => sink.notice(notice(Class::Executable, described.as_str())),
        Kind::Encrypted => sink.notice(notice(Class::Encrypted, described.as_str())),
        _ => {}
    }
    // A file without a byte is of every type.
    if !allowed.is_empty() && !listed && *likeliest != FileType::Empty {
        sink.notice(notice(Class::TypeNotAllowed, described));
    }
}

#[cfg(test)]
mod active_tests;
#[cfg(test)]
mod tests;
