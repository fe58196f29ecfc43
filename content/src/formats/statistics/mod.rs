//! Files of statistics programs: SPSS (`.sav`, `.zsav`), Stata (`.dta`), SAS (`.sas7bdat`) and its transport files (`.xpt`). Their variables are the
//! columns of a table; labels count like names.

mod dta;
mod head;
mod packed;
mod rows;
mod sas;
mod sav;
mod xpt;

use super::columns::Columns;
use super::plain::Plain;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use head::{Layout, Packing, Stop};
use packed::{Blocks, Codes};
use rows::{Rows, Spot};
pub use sas::Sas;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of a head; Stata's has some 650 for each variable.
const MAX_HEAD: usize = 32 << 20;

/// Bytes that come before a head is looked at first.
const FIRST_LOOK: usize = 16 * 1024;

/// Bytes of a record of SAS's transport files, at whose end rows may have a rest.
const RECORD: u64 = 80;

const CUT: &str = "the file ends within its rows: it may have been cut off";

/// Reads a file's head.
type ReadHead = fn(&[u8]) -> Result<Layout, Stop>;

/// Reads one file.
pub struct Statistics {
    read: ReadHead,
    columns: Columns,
    /// Names, labels and notes before the rows, and what stands behind them.
    before: Plain,
    behind: Plain,
    at: At,
    offset: u64,
    start: usize,
    /// Bytes of records that hold rows, where these need not end with one.
    record: Option<u64>,
    second: Option<memchr::memmem::Finder<'static>>,
    last: Vec<u8>,
}

enum At {
    /// The head so far, and how long it must be before it is looked at.
    Head(Vec<u8>, usize),
    Rows(Rows, Packed),
    Behind,
    /// The head is not one: all is looked through.
    Text,
    /// What is packed is damaged.
    Damaged,
}

/// How rows come out of the file.
enum Packed {
    No,
    Codes(Codes),
    Blocks(Box<Blocks>, Codes),
}

impl Statistics {
    /// Reads a file of SPSS under `policy`.
    pub fn sav(policy: &Arc<Policy>) -> Self {
        Self::new(policy, sav::read)
    }

    /// Reads a file of Stata under `policy`.
    pub fn dta(policy: &Arc<Policy>) -> Self {
        Self::new(policy, dta::read)
    }

    /// Reads a transport file of SAS under `policy`.
    pub fn xpt(policy: &Arc<Policy>) -> Self {
        let second = Some(memchr::memmem::Finder::new(xpt::MEMBER));
        Self { record: Some(RECORD), second, ..Self::new(policy, xpt::read) }
    }

    fn new(policy: &Arc<Policy>, read: ReadHead) -> Self {
        Self {
            read,
            columns: Columns::of_variables(policy),
            before: Plain::of(policy, "names, labels and notes"),
            behind: Plain::of(policy, "behind the rows"),
            at: At::Head(Vec::new(), FIRST_LOOK),
            offset: 0,
            start: 0,
            record: None,
            second: None,
            last: Vec::new(),
        }
    }

    /// Takes bytes of the head; what is behind it, once that is read.
    fn head(&mut self, bytes: &[u8], ends: bool, sink: &mut dyn Sink) -> Option<Vec<u8>> {
        let At::Head(held, wanted) = &mut self.at else { return None };
        held.extend_from_slice(bytes);
        if held.len() < *wanted && !ends {
            return None;
        }
        let looked = (self.read)(&held[..held.len().min(MAX_HEAD)]);
        let problem = match looked {
            Ok(layout) => {
                let behind = held.split_off(layout.start);
                self.before.feed(&std::mem::take(held), sink);
                self.begin(layout, sink);
                return Some(behind);
            }
            Err(Stop::More(_)) if ends => (Class::Malformed, held.len(), "the file ends before its rows"),
            Err(Stop::More(_)) if held.len() >= MAX_HEAD => (Class::NotInspected, 0, "more variables than are read"),
            Err(Stop::More(more)) => {
                *wanted = more.max(2 * held.len()).min(MAX_HEAD);
                return None;
            }
            Err(Stop::Wrong(at, what)) => (Class::Malformed, at, what),
            Err(Stop::Unknown(what)) => (Class::NotInspected, 0, what),
        };
        let held = std::mem::take(held);
        let (class, at, what) = problem;
        sink.notice(Notice { class, offset: Some(at as u64), message: what.into() });
        self.at = At::Text;
        self.before.feed(&held, sink);
        None
    }

    fn begin(&mut self, layout: Layout, sink: &mut dyn Sink) {
        let Layout { variables, fields, rows, start, packing } = layout;
        for variable in &variables {
            self.columns.variable(&variable.name, &variable.label);
        }
        self.columns.begin(variables.len(), sink);
        self.offset = start as u64;
        self.start = start;
        let packed = match packing {
            Packing::Plain => Packed::No,
            Packing::Codes(_) => Packed::Codes(Codes::new()),
            Packing::Blocks(order) => Packed::Blocks(Box::new(Blocks::new(order)), Codes::new()),
        };
        self.at = At::Rows(Rows::new(fields, rows), packed);
    }

    /// Takes bytes behind the head.
    fn body(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let At::Rows(rows, packed) = &mut self.at else { return };
        let (columns, offset, start) = (&mut self.columns, self.offset, self.start);
        let taken = match packed {
            Packed::No => Ok(rows.feed(bytes, Spot::Here(offset), columns)),
            Packed::Codes(codes) => Ok(codes.feed(bytes, offset, &mut |value, at| {
                rows.feed(value, Spot::Within(at), columns);
            })),
            Packed::Blocks(blocks, codes) => blocks.feed(bytes, start, &mut |unpacked| {
                codes.feed(unpacked, 0, &mut |value, _| {
                    rows.feed(value, Spot::Within(start as u64), columns);
                });
            }),
        };
        let over = match packed {
            Packed::No => rows.are_over(),
            Packed::Codes(codes) => codes.has_ended(),
            // What follows is their list.
            Packed::Blocks(blocks, _) => blocks.all_came(),
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(what) => {
                sink.notice(Notice { class: Class::Malformed, offset: Some(start as u64), message: what.into() });
                self.at = At::Damaged;
                return;
            }
        };
        if let Some(second) = &self.second {
            // A second data set begins with a record; its announcement may be cut.
            self.last.extend_from_slice(bytes);
            if second.find(&self.last).is_some() {
                let message = "more than one data set: only the first is read".into();
                sink.notice(Notice { class: Class::NotInspected, offset: None, message });
                self.second = None;
            }
            self.last.drain(..self.last.len().saturating_sub(xpt::MEMBER.len() - 1));
        }
        self.offset += taken as u64;
        if over {
            if !self.whole() {
                sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message: CUT.into() });
            }
            self.at = At::Behind;
            self.behind.begin_at(self.offset);
        }
        if taken < bytes.len() {
            self.behind.feed(&bytes[taken..], sink);
        }
    }

    /// Whether what came ends as rows do.
    fn whole(&self) -> bool {
        match &self.at {
            At::Rows(rows, Packed::No) => {
                rows.may_end() || self.record.is_some_and(|record| self.offset.is_multiple_of(record))
            }
            At::Rows(rows, Packed::Codes(codes)) => rows.are_over() || (rows.may_end() && codes.may_end()),
            At::Rows(rows, Packed::Blocks(blocks, codes)) => rows.may_end() && codes.may_end() && blocks.are_over(),
            At::Head(..) | At::Behind | At::Text | At::Damaged => true,
        }
    }
}

impl Reader for Statistics {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        match &self.at {
            At::Head(..) => {
                if let Some(behind) = self.head(bytes, false, sink) {
                    self.body(&behind, sink);
                }
            }
            At::Rows(..) => self.body(bytes, sink),
            At::Behind => self.behind.feed(bytes, sink),
            At::Text => self.before.feed(bytes, sink),
            At::Damaged => {}
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if let Some(behind) = self.head(&[], true, sink) {
            self.body(&behind, sink);
        }
        if !self.whole() {
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message: CUT.into() });
        }
        self.columns.finish(sink);
        self.before.finish(sink);
        self.behind.finish(sink);
    }
}

#[cfg(test)]
mod tests;
