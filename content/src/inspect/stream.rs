//! One stream of bytes: a file, or a member of a container.

use super::doubts::Doubts;
use super::reader_of;
use crate::bulk::Bulk;
use crate::containers::{End, is_container};
use crate::formats::{Part, Workbook};
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use crate::types::TypeReader;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;
use std::sync::Arc;

/// A stream that is read.
pub struct Stream {
    place: String,
    types: TypeReader,
    reading: Reading,
    /// What is noticed of its members' types, until it is known what this is.
    members: Doubts,
    /// What stands in it, if it may be a part of a workbook; and the parts of which it is made, if it is one.
    part: Option<Part>,
    workbook: Workbook,
    /// What the one file that is compressed in it is to a FHIR export.
    bulk: Option<Bulk>,
}

/// What a container must weigh of a member that has ended.
pub struct Weighed {
    /// What was noticed of its type.
    pub doubts: Doubts,
    part: Option<Part>,
    /// What it is to a FHIR export.
    pub bulk: Option<Bulk>,
}

/// By what the stream is read, besides for its type.
enum Reading {
    /// Too little has come to choose a reader.
    Undecided,
    By(Box<dyn Reader>),
    /// By nothing: what is in a container is read member by member.
    No,
}

impl Stream {
    /// Starts on a stream of this name, at this place in its file (nowhere for the file itself).
    pub fn new(name: &str, place: String, policy: &Policy) -> Self {
        let types = TypeReader::new(name, &policy.types);
        let weighs = policy.identifiers.is_some() || policy.columns.is_some() || policy.small_cells.is_some();
        let part = Part::of(name, policy).filter(|_| weighs && !place.is_empty());
        let (members, workbook) = (Doubts::default(), Workbook::default());
        Self { place, types, reading: Reading::Undecided, members, part, workbook, bulk: None }
    }

    /// Where it lies in its file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Tells what is noticed in this stream with its place.
    pub fn notice(&self, notice: Notice, sink: &mut dyn Sink) {
        sink.notice(self.placed(notice));
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], policy: &Arc<Policy>, sink: &mut dyn Sink) {
        if let Some(part) = &mut self.part {
            part.feed(bytes);
        }
        let mut noticed = Vec::new();
        let before = self.types.head().len();
        self.types.feed(bytes, &mut noticed);
        if matches!(self.reading, Reading::Undecided) && self.types.head_is_full() {
            let head = self.types.head();
            self.reading = Reading::choose(&self.types, &self.types.by_head(), policy);
            self.reading.feed(head, &mut noticed);
            self.reading.feed(&bytes[head.len() - before..], &mut noticed);
        } else {
            self.reading.feed(bytes, &mut noticed);
        }
        noticed.into_iter().for_each(|notice| self.notice(notice, sink));
    }

    /// The stream has ended; what its container must weigh of it.
    pub fn finish(mut self, end: End, policy: &Arc<Policy>, sink: &mut dyn Sink) -> Weighed {
        let mut noticed = Vec::new();
        self.types.finish(&mut noticed);
        if matches!(self.reading, Reading::Undecided) {
            self.reading = Reading::choose(&self.types, self.types.types(), policy);
            self.reading.feed(self.types.head(), &mut noticed);
        }
        let own = self.types.types().first().copied();
        let mut bulk = self.bulk.take().filter(|_| own.is_some_and(is_of_one_file));
        if let Reading::By(reader) = &mut self.reading {
            reader.finish(&mut noticed);
            bulk = reader.bulk();
        }
        if matches!(own, Some(FileType::Xlsx | FileType::Ods)) {
            std::mem::take(&mut self.workbook).judge(policy, &mut noticed);
        }
        let mut doubts = Doubts::default();
        for notice in noticed {
            match notice.class {
                // What was not shown to its end has a notice that says why; that it looks cut off says nothing of it.
                class if end == End::Cut && is_flaw(class) => {}
                class if Doubts::are_of(class) => doubts.add(own, self.placed(notice)),
                _ => self.notice(notice, sink),
            }
        }
        self.members.judge(own, sink);
        Weighed { doubts, part: self.part, bulk }
    }

    /// Keeps what a member's type and cells may mean.
    pub fn weigh_later(&mut self, Weighed { doubts, part, bulk }: Weighed) {
        self.members.extend(doubts);
        if let Some(part) = part {
            part.finish(&mut self.workbook);
        }
        self.bulk = bulk;
    }

    /// A notice with the place at which it was made. Its offset then counts from the member's start, so it is told in words.
    fn placed(&self, notice: Notice) -> Notice {
        if self.place.is_empty() {
            return notice;
        }
        let at = notice.offset.map(|offset| format!(" (at its byte {offset})")).unwrap_or_default();
        let message = format!("within {}: {}{at}", self.place, notice.message);
        Notice { class: notice.class, offset: None, message }
    }
}

impl Reading {
    /// The reader for a stream that `stream` has begun to look at, and that may be of these types.
    fn choose(stream: &TypeReader, types: &[FileType], policy: &Arc<Policy>) -> Self {
        // What is of no known type is read as what its name says, and told to be none.
        let first = types.first().copied().or(stream.by_name());
        // A DICOM file's preamble may begin like an archive.
        if is_container(stream.head()) && first != Some(FileType::Dicom) {
            return Self::No;
        }
        let reader = reader_of(first, policy);
        // A text whose first lines have as many commas each is no broken table if later ones have more.
        let is_guess = types.contains(&FileType::Text) && !stream.is_named_table();
        Self::By(if is_guess { Box::new(Lenient(reader)) } else { reader })
    }

    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        if let Self::By(reader) = self {
            reader.feed(bytes, sink);
        }
    }
}

fn is_of_one_file(own: FileType) -> bool {
    matches!(own, FileType::Gzip | FileType::Bgzf | FileType::Bzip2 | FileType::Xz | FileType::Zstd)
}

fn is_flaw(class: Class) -> bool {
    matches!(class, Class::Malformed | Class::BrokenArchive | Class::Irregular)
}

/// A reader of a stream that need not be of its format.
struct Lenient(Box<dyn Reader>);

impl Reader for Lenient {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.0.feed(bytes, &mut WithoutFlaws(sink));
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        self.0.finish(&mut WithoutFlaws(sink));
    }

    fn bulk(&mut self) -> Option<Bulk> {
        self.0.bulk()
    }
}

struct WithoutFlaws<'a>(&'a mut dyn Sink);

impl Sink for WithoutFlaws<'_> {
    fn notice(&mut self, notice: Notice) {
        if !is_flaw(notice.class) {
            self.0.notice(notice);
        }
    }
}
