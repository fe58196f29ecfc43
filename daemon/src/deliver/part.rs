//! Delivers a part of a dataset: those entries alone that stand in the list which the grant names. Whatever else was sealed is read past, and
//! written nowhere.

use super::bag::Documents;
use super::error::DeliverError;
use super::place::Place;
use super::tag_file::{TagFile, Written};
use super::tags;
use crate::quarantine::dataset::Visitor;
use sluse_protocol::document::{Entry, Header, Invalid, Reader};
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use sluse_protocol::part::Part;
use std::collections::VecDeque;

const WHAT: &str = "writing into the room";

/// The list of what is released, as `control` gives it: read in steps, and written into the bag as it comes.
pub struct ReleasedList<'a> {
    documents: &'a dyn Documents,
    expected: Header,
    part: Part,
    reader: Reader,
    waiting: VecDeque<Entry>,
    offset: u64,
    ended: bool,
    file: TagFile,
}

impl<'a> ReleasedList<'a> {
    /// Begins to read the list that `grant` names for `part`.
    ///
    /// # Errors
    /// When the room's disk fails.
    pub fn begin(
        bag: &Place,
        grant: &GrantStatement,
        part: Part,
        documents: &'a dyn Documents,
    ) -> Result<Self, DeliverError> {
        let expected = Header::Part {
            transfer: grant.transfer.clone(),
            source: grant.source.clone(),
            agreement: grant.agreement.clone(),
            dataset: grant.dataset.clone(),
            manifest: grant.manifest_sha256,
            totals: part.totals,
            left_out: part.left_out,
        };
        let file = TagFile::create(bag, tags::RELEASED_MANIFEST).map_err(DeliverError::io(WHAT))?;
        let (reader, waiting) = (Reader::new(), VecDeque::new());
        Ok(Self { documents, expected, part, reader, waiting, offset: 0, ended: false, file })
    }

    /// The next entry, which stays; none behind the last.
    fn peek(&mut self) -> Result<Option<&Entry>, DeliverError> {
        while self.waiting.is_empty() && !self.ended {
            self.step()?;
        }
        Ok(self.waiting.front())
    }

    fn step(&mut self) -> Result<(), DeliverError> {
        let bytes = self.documents.bytes(tags::RELEASED_MANIFEST, self.offset)?;
        self.offset += bytes.len() as u64;
        self.ended = bytes.is_empty();
        if self.offset > MAX_DOCUMENT_BYTES {
            return Err(other());
        }
        let waiting = &mut self.waiting;
        let keep = |_: &Header, entry| {
            waiting.push_back(entry);
            Ok::<(), Invalid>(())
        };
        self.reader.push(&bytes, keep).map_err(|_| other())?;
        self.file.write(&bytes).map_err(DeliverError::io(WHAT))
    }

    /// Takes `entry`, if it is the list's next.
    fn takes(&mut self, entry: &Entry) -> Result<bool, DeliverError> {
        let next = self.peek()? == Some(entry);
        if next {
            self.waiting.pop_front();
        }
        Ok(next)
    }

    /// Ends the list: all of it was taken, and it is the one that the grant names.
    ///
    /// # Errors
    /// When it is another.
    pub fn finish(mut self) -> Result<Written, DeliverError> {
        let rest = self.peek()?.is_some();
        let written = self.file.finish().map_err(DeliverError::io(WHAT))?;
        let header = self.reader.finish().map_err(|_| other())?;
        let agrees = !rest && header == self.expected && written.digest == self.part.manifest_sha256;
        agrees.then_some(written).ok_or_else(other)
    }
}

fn other() -> DeliverError {
    DeliverError::Fault("the list of what is released is not the one that the grant names".into())
}

/// Shows a visitor those entries of a dataset alone that the list has.
pub struct Chosen<'v, 'a, V> {
    list: ReleasedList<'a>,
    visitor: &'v mut V,
    /// Whether the file that is being read is one of them.
    shown: bool,
}

impl<'v, 'a, V> Chosen<'v, 'a, V> {
    /// Shows `visitor` what `list` has.
    pub fn new(list: ReleasedList<'a>, visitor: &'v mut V) -> Self {
        Self { list, visitor, shown: false }
    }

    /// The list, after the dataset's end.
    pub fn into_list(self) -> ReleasedList<'a> {
        self.list
    }
}

impl<V: Visitor<Error = DeliverError>> Visitor for Chosen<'_, '_, V> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        if self.list.takes(entry)? { self.visitor.folder(entry) } else { Ok(()) }
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        self.shown = self.list.takes(entry)?;
        if self.shown { self.visitor.begin(entry) } else { Ok(()) }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
        if self.shown { self.visitor.bytes(bytes) } else { Ok(()) }
    }

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        if self.shown { self.visitor.end(entry) } else { Ok(()) }
    }
}
