//! DICOM files (PS3.10): preamble, header, data set, whole and in the encoding that the header names; and whether the
//! person was taken out of them.

pub mod elements;
mod person;
mod tags;

use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use elements::{Broken, EXPLICIT, Element, Elements, Encoding, Walk};
use flate2::{Decompress, FlushDecompress, Status};
use person::Person;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes before the header: a preamble for other programs, and the mark.
const PREAMBLE: usize = 128;
const MARK: &[u8] = b"DICM";

/// Bytes of a value that are kept where rules ask for it.
const VALUE_BYTES: usize = 256;

/// Bytes that a deflated data set may have; what follows is not inspected.
const MAX_INFLATED: u64 = 4 << 30;

/// The class of a file that lists others.
const DIRECTORY: &[u8] = b"1.2.840.10008.1.3.10";

/// Reads one file.
pub struct Dicom {
    phase: Phase,
    /// The preamble, or what is not read yet of a head.
    held: Vec<u8>,
    facts: Facts,
    offset: u64,
    broken: bool,
}

enum Phase {
    Preamble,
    /// Elements of group 2, up to where the group's length says, or the first of another group.
    Header(Walk),
    /// The encoding is told by the first element.
    Guess,
    DataSet(Walk),
    Deflated(Box<Inflate>),
}

struct Inflate {
    state: Decompress,
    walk: Walk,
    /// Where the data set begins: what is inflated has no place of its own in the file.
    start: u64,
    done: bool,
}

/// What is kept of the elements.
struct Facts {
    person: Person,
    value: Vec<u8>,
    header_end: Option<u64>,
    syntax: Vec<u8>,
    directory: bool,
    class: bool,
    instance: bool,
    study: bool,
    odd: Flaw,
    order: Flaw,
    last: u32,
    elements: u64,
}

impl Elements for Facts {
    fn begin(&mut self, element: &Element) {
        self.elements += 1;
        if element.depth == 0 && element.tag != tags::PIXEL_DATA {
            if element.tag <= self.last {
                self.order.at(element.start);
            }
            self.last = element.tag;
        }
        if element.length % 2 == 1 {
            self.odd.at(element.start);
        }
        self.value.clear();
        self.person.begin(element);
    }

    fn piece(&mut self, element: &Element, bytes: &[u8]) {
        if tags::is_read(element.tag) {
            let room = VALUE_BYTES.saturating_sub(self.value.len()).min(bytes.len());
            self.value.extend_from_slice(&bytes[..room]);
        }
        self.person.piece(element, bytes);
    }

    fn end(&mut self, element: &Element) {
        let read = tags::is_read(element.tag);
        self.person.end(element, read.then_some(&self.value));
        let value = self.value.trim_ascii_end().strip_suffix(b"\0").unwrap_or(&self.value).trim_ascii_end();
        match element.tag {
            tags::GROUP_LENGTH => {
                let length = value_u32(&self.value);
                self.header_end = length.map(|length| element.start + element.length + u64::from(length));
            }
            tags::TRANSFER_SYNTAX => self.syntax = value.to_vec(),
            tags::MEDIA_CLASS => self.directory = value == DIRECTORY,
            tags::SOP_CLASS if element.depth == 0 => self.class = !value.is_empty(),
            tags::SOP_INSTANCE if element.depth == 0 => self.instance = !value.is_empty(),
            tags::STUDY_UID if element.depth == 0 => self.study = !value.is_empty(),
            _ => {}
        }
    }
}

fn value_u32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_le_bytes)
}

/// How the data set is encoded.
enum Syntax {
    Plain(Encoding),
    Deflated,
    Unknown,
}

fn syntax(uid: &[u8]) -> Syntax {
    match uid {
        // The second is a vendor's, which differs in its pixels alone.
        b"1.2.840.10008.1.2" | b"1.2.840.113619.5.2" => Syntax::Plain(Encoding { implicit: true, big: false }),
        b"1.2.840.10008.1.2.2" => Syntax::Plain(Encoding { implicit: false, big: true }),
        b"1.2.840.10008.1.2.1.99" => Syntax::Deflated,
        _ if uid.starts_with(b"1.2.840.10008.1.2.") => Syntax::Plain(EXPLICIT),
        _ => Syntax::Unknown,
    }
}

impl Dicom {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let facts = Facts {
            person: Person::new(policy),
            value: Vec::new(),
            header_end: None,
            syntax: Vec::new(),
            directory: false,
            class: false,
            instance: false,
            study: false,
            odd: Flaw::default(),
            order: Flaw::default(),
            last: 0,
            elements: 0,
        };
        Self { phase: Phase::Preamble, held: Vec::new(), facts, offset: 0, broken: false }
    }

    fn take(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match &mut self.phase {
                Phase::Preamble => {
                    let (now, later) = bytes.split_at((PREAMBLE + MARK.len() - self.held.len()).min(bytes.len()));
                    self.held.extend_from_slice(now);
                    self.offset += now.len() as u64;
                    bytes = later;
                    if self.held.len() == PREAMBLE + MARK.len() {
                        self.after_preamble(sink)?;
                    }
                }
                Phase::Header(walk) => {
                    // The group's length stands in its first element, twelve bytes.
                    let end = self.facts.header_end;
                    let left = match end {
                        Some(end) => usize::try_from(end.saturating_sub(walk.offset())).unwrap_or(usize::MAX),
                        None => 1,
                    };
                    if left == 0 {
                        self.begin_data_set(sink)?;
                        continue;
                    }
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    walk.feed(now, &mut self.facts)?;
                    self.offset += now.len() as u64;
                    bytes = later;
                    if end.is_none()
                        && walk.offset() >= (PREAMBLE + MARK.len() + 12) as u64
                        && self.facts.header_end.is_none()
                    {
                        return Err(Broken { offset: self.offset, what: "a header that does not state its length" });
                    }
                }
                Phase::Guess => {
                    self.held.push(bytes[0]);
                    self.offset += 1;
                    bytes = &bytes[1..];
                    if self.held.len() == 8 {
                        self.guess()?;
                    }
                }
                Phase::DataSet(walk) => {
                    walk.feed(bytes, &mut self.facts)?;
                    self.offset += bytes.len() as u64;
                    return Ok(());
                }
                Phase::Deflated(inflate) => {
                    inflate.feed(bytes, &mut self.facts)?;
                    self.offset += bytes.len() as u64;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn after_preamble(&mut self, sink: &mut dyn Sink) -> Result<(), Broken> {
        let held = std::mem::take(&mut self.held);
        if !held.ends_with(MARK) {
            let message = "without preamble and mark: not a DICOM file as the standard has it".into();
            sink.notice(Notice { class: Class::Irregular, offset: Some(0), message });
            self.phase = Phase::Guess;
            self.offset = 0;
            return self.take(&held, sink);
        }
        let preamble = held.get(..PREAMBLE).unwrap_or_default();
        // TIFF is the second format that the preamble is meant for.
        let tiff = preamble.starts_with(b"II*\0") || preamble.starts_with(b"MM\0*");
        if preamble.iter().any(|byte| *byte != 0) && !tiff {
            let message = "a preamble that is not empty can hide a second format".into();
            sink.notice(Notice { class: Class::Irregular, offset: Some(0), message });
        }
        self.phase = Phase::Header(Walk::new(EXPLICIT, self.offset));
        Ok(())
    }

    fn begin_data_set(&mut self, sink: &mut dyn Sink) -> Result<(), Broken> {
        if let Phase::Header(walk) = &mut self.phase {
            walk.finish()?;
        }
        self.phase = match syntax(&self.facts.syntax) {
            Syntax::Plain(encoding) => Phase::DataSet(Walk::new(encoding, self.offset)),
            Syntax::Deflated => Phase::Deflated(Box::new(Inflate {
                state: Decompress::new(false),
                walk: Walk::new(EXPLICIT, 0),
                start: self.offset,
                done: false,
            })),
            Syntax::Unknown => {
                let message = "the header names no transfer syntax that is known (0002,0010)".into();
                sink.notice(Notice { class: Class::Irregular, offset: Some(self.offset), message });
                Phase::Guess
            }
        };
        Ok(())
    }

    /// Tells the encoding by the first eight bytes of the data set.
    fn guess(&mut self) -> Result<(), Broken> {
        let held = std::mem::take(&mut self.held);
        let implicit = !held.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
        let start = self.offset - held.len() as u64;
        // A data set begins with group 8, or with the header's group 2.
        let big = match held.first_chunk::<2>() {
            Some([2 | 8, 0]) => false,
            Some([0, 2 | 8]) => true,
            _ => return Err(Broken { offset: start, what: "neither a DICOM header nor a data set" }),
        };
        let mut walk = Walk::new(Encoding { implicit, big }, start);
        let walked = walk.feed(&held, &mut self.facts);
        self.phase = Phase::DataSet(walk);
        walked
    }

    fn end(&mut self, sink: &mut dyn Sink) -> Result<(), Broken> {
        if matches!(self.phase, Phase::Preamble) {
            // Shorter than a preamble: elements alone, or nothing that is DICOM.
            self.after_preamble(sink)?;
        }
        let cut = |offset| Err(Broken { offset, what: "the file ends before its data set: it may have been cut off" });
        match &mut self.phase {
            Phase::Header(_) if self.facts.header_end == Some(self.offset) => cut(self.offset),
            Phase::Preamble | Phase::Header(_) | Phase::Guess => cut(self.offset),
            Phase::DataSet(walk) => walk.finish(),
            Phase::Deflated(inflate) if inflate.done => {
                inflate.walk.finish().map_err(|broken| Broken { offset: inflate.start, ..broken })
            }
            Phase::Deflated(_) => cut(self.offset),
        }
    }
}

impl Inflate {
    fn feed(&mut self, mut bytes: &[u8], facts: &mut Facts) -> Result<(), Broken> {
        let offset = self.start;
        let mut buffer = vec![0; 32 * 1024];
        while !self.done {
            let (taken, made) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(bytes, &mut buffer, FlushDecompress::None);
            let taken = usize::try_from(self.state.total_in() - taken).unwrap_or(usize::MAX).min(bytes.len());
            let made = usize::try_from(self.state.total_out() - made).unwrap_or(usize::MAX).min(buffer.len());
            bytes = &bytes[taken..];
            self.walk.feed(&buffer[..made], facts).map_err(|broken| Broken { offset, ..broken })?;
            if self.state.total_out() > MAX_INFLATED {
                return Err(Broken { offset, what: "a deflated data set of more than 4 GiB" });
            }
            match status {
                Ok(status) => self.done = status == Status::StreamEnd,
                Err(_) => return Err(Broken { offset, what: "a deflated data set that does not inflate" }),
            }
            if taken == 0 && made == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for Dicom {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        if !self.broken
            && let Err(broken) = self.take(bytes, sink)
        {
            self.broken = true;
            let message = broken.what.to_owned();
            sink.notice(Notice { class: Class::Malformed, offset: Some(broken.offset), message });
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if !self.broken
            && let Err(broken) = self.end(sink)
        {
            self.broken = true;
            let message = broken.what.to_owned();
            sink.notice(Notice { class: Class::Malformed, offset: Some(broken.offset), message });
        }
        let facts = &mut self.facts;
        facts.odd.tell(Class::Irregular, sink, "a value of odd length");
        facts.order.tell(Class::Irregular, sink, "elements that are not in ascending order");
        let whole =
            [(facts.class, "SOPClassUID"), (facts.instance, "SOPInstanceUID"), (facts.study, "StudyInstanceUID")];
        let missing: Vec<&str> = whole.iter().filter(|(there, _)| !there).map(|(_, name)| *name).collect();
        if !self.broken && !facts.directory && !missing.is_empty() {
            let message = format!("without {}", missing.join(", "));
            sink.notice(Notice { class: Class::Irregular, offset: None, message });
        }
        facts.person.finish(sink);
    }
}

#[cfg(test)]
mod tests;
