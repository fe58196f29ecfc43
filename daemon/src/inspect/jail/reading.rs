//! One file on its way through a parser.

use super::child::{Child, Lost};
use super::heard::Heard;
use super::limits::PIECE_BYTES;
use super::members::Members;
use super::messages::ToParser;
use crate::inspect::engine::{FileFacts, Seen};
use sluse_content::bulk::Bulk;

/// A file that a parser reads.
pub struct Reading {
    child: Child,
    heard: Heard,
}

/// What a parser made of a file.
pub struct Read {
    /// The bytes that it counted.
    pub bytes: u64,
    /// What it saw.
    pub seen: Vec<Seen>,
    /// What the file is to a FHIR export.
    pub bulk: Option<Bulk>,
    /// The parser, ready for the next file.
    pub child: Child,
}

/// A parser that is of no more use, and why.
pub type Failed = Box<(Child, Lost)>;

impl Reading {
    /// Starts `child` on a file, whose members go through `members`.
    pub fn begin(child: Child, file: &FileFacts, members: Members) -> Result<Self, Failed> {
        let begin = ToParser::Begin { path: file.path.clone(), size: file.size };
        let reading = Self { child, heard: Heard::new(members) };
        reading.attempt(|child, heard| child.send(&begin, &[], heard)).map(|(reading, ())| reading)
    }

    /// Hands it the next bytes.
    pub fn feed(self, bytes: &[u8]) -> Result<Self, Failed> {
        let mut pieces = bytes.chunks(PIECE_BYTES);
        let sent = self.attempt(|child, heard| pieces.try_for_each(|piece| child.send(&ToParser::Bytes, piece, heard)));
        sent.map(|(reading, ())| reading)
    }

    /// The file has ended: what the parser made of it.
    pub fn finish(self) -> Result<Read, Failed> {
        let (Self { child, heard }, bytes) = self.attempt(|child, heard| {
            heard.ending = true;
            child.send(&ToParser::End, &[], heard)?;
            child.answer(heard)
        })?;
        Ok(Read { bytes, seen: heard.seen, bulk: heard.bulk, child })
    }

    fn attempt<T>(mut self, act: impl FnOnce(&mut Child, &mut Heard) -> Result<T, Lost>) -> Result<(Self, T), Failed> {
        match act(&mut self.child, &mut self.heard) {
            Ok(done) => Ok((self, done)),
            Err(lost) => Err(Box::new((self.child, lost))),
        }
    }
}
