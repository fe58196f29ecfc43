//! SAS data sets (`.sas7bdat`): pages, some of which say what the columns are and others have rows. Rows that are packed stand in
//! parts of their own, one each.
//!
//! SAS does not publish the format; this follows what others found out of it (the package sas7bdat for R, ReadStat).

mod said;
mod unpack;

use super::super::columns::Columns;
use super::super::plain::Plain;
use super::head::{Cursor, Field, Kind, Order, Stop};
use super::rows::{self, Spot};
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use said::{Said, says_something};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of the longest head and page.
const MAX_PAGE: usize = 16 << 20;

/// Bytes by which the head's length is known.
const FIRST: usize = 216;

/// The kinds of pages: of rows alone, of parts and rows, of parts alone (none of these bits). Packed files have some of which nobody knows
/// what they are for.
const PAGE_KIND: u16 = 0x0f00;
const ROWS: u16 = 0x0100;
const MIXED: u16 = 0x0200;
const UNKNOWN_PAGE: u16 = 0x9000;

const DAMAGED: &str = "a packed row is damaged";

/// Reads one data set.
pub struct Sas {
    columns: Columns,
    texts: Plain,
    page: Vec<u8>,
    shape: Option<Shape>,
    offset: u64,
    said: Said,
    named: bool,
    /// Nothing more is read by its format, but looked through.
    over: bool,
}

/// How the file is laid out.
#[derive(Debug, Clone, Copy)]
struct Shape {
    order: Order,
    wide: bool,
    head: usize,
    page: usize,
    pages: u64,
    /// Pages that have come; the head is none.
    came: u64,
    in_head: bool,
}

impl Sas {
    /// Reads a data set under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            columns: Columns::of_variables(policy),
            texts: Plain::of(policy, "text"),
            page: Vec::new(),
            shape: None,
            offset: 0,
            said: Said::default(),
            named: false,
            over: false,
        }
    }

    /// Bytes of the part that comes.
    fn wanted(&self) -> usize {
        match &self.shape {
            None => FIRST,
            Some(shape) if shape.in_head => shape.head,
            Some(shape) => shape.page,
        }
    }

    /// The part is whole.
    fn part(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Some(shape) = &mut self.shape else {
            self.shape = Some(shape_of(&self.page)?);
            return Ok(());
        };
        let shape_then = *shape;
        if std::mem::take(&mut shape.in_head) {
            self.offset += self.page.len() as u64;
            self.page.clear();
            return Ok(());
        }
        shape.came += 1;
        let page = std::mem::take(&mut self.page);
        let read = self.read_page(&page, shape_then, sink);
        self.offset += page.len() as u64;
        self.page = page;
        self.page.clear();
        read
    }

    fn read_page(&mut self, page: &[u8], shape: Shape, sink: &mut dyn Sink) -> Result<(), Stop> {
        let head = if shape.wide { 40 } else { 24 };
        let mut at = Cursor::new(page, head - 8, shape.order);
        let (kind, blocks, parts) = (at.two()?, at.two()?, usize::from(at.two()?));
        let rows_at = match kind & PAGE_KIND {
            ROWS => head,
            // What others have, too, but nobody knows.
            _ if kind & UNKNOWN_PAGE == UNKNOWN_PAGE => return Ok(()),
            _ => {
                let end = self.parts(page, head, parts, shape, sink)?;
                // Rows begin at a multiple of eight.
                if end % 8 == 4 { end + 4 } else { end }
            }
        };
        let rows = match kind & PAGE_KIND {
            ROWS => u64::from(blocks),
            MIXED => self.said.rows_on_mixed,
            _ => 0,
        };
        if rows > 0 && self.said.packing.is_none() {
            self.name(sink)?;
            self.rows(page, rows_at, rows, shape.order)?;
        }
        Ok(())
    }

    /// Takes the parts of a page, to which places behind its head lead; where these end.
    fn parts(
        &mut self,
        page: &[u8],
        head: usize,
        count: usize,
        shape: Shape,
        sink: &mut dyn Sink,
    ) -> Result<usize, Stop> {
        let (pointer, word) = if shape.wide { (24, 8) } else { (12, 4) };
        for part in 0..count {
            let mut at = Cursor::new(page, head + part * pointer, shape.order);
            let (start, length) = (shape.number(&mut at)?, shape.number(&mut at)?);
            let (packing, kind) = (at.byte()?, at.byte()?);
            let Some(bytes) = start.checked_add(length).and_then(|end| page.get(start..end)) else {
                return Err(self.wrong("a part that stands outside of its page"));
            };
            let is_row = kind == 1 && (packing == 4 || self.named || !says_something(bytes, shape));
            match (packing, self.said.packing) {
                (0 | 4, Some(packing)) if is_row && !bytes.is_empty() => {
                    self.name(sink)?;
                    let row = match bytes.get(..self.said.row) {
                        Some(row) => row.to_vec(),
                        None => packing.unpack(bytes, self.said.row).ok_or(self.wrong(DAMAGED))?,
                    };
                    self.said.rows = self.said.rows.saturating_sub(1);
                    self.row(&row, Spot::Within(self.offset + start as u64), shape.order);
                }
                (0, _) if bytes.len() > word => self.said.part(bytes, shape)?,
                _ => {}
            }
        }
        Ok(head + count * pointer)
    }

    fn wrong(&self, what: &'static str) -> Stop {
        Stop::Wrong(self.offset as usize, what)
    }

    /// All columns are known once a row comes, or none does.
    fn name(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        if std::mem::replace(&mut self.named, true) {
            return Ok(());
        }
        let Said { names, labels, fields, row, .. } = &self.said;
        let fits = fields.iter().all(|(start, width, _)| start.checked_add(*width).is_some_and(|end| end <= *row));
        if names.is_empty() || fields.len() != names.len() || !fits {
            return Err(self.wrong("columns that do not fit together"));
        }
        for (at, name) in names.iter().enumerate() {
            self.columns.variable(name, labels.get(at).map_or(b"", Vec::as_slice));
        }
        self.columns.begin(names.len(), sink);
        Ok(())
    }

    fn rows(&mut self, page: &[u8], start: usize, rows: u64, order: Order) -> Result<(), Stop> {
        let (row, left) = (self.said.row, self.said.rows);
        let count = rows.min(left);
        self.said.rows -= count;
        for number in 0..count as usize {
            let at = start + number * row;
            let Some(bytes) = page.get(at..at + row) else {
                return Err(self.wrong("a page has fewer rows than it says"));
            };
            self.row(bytes, Spot::Here(self.offset + at as u64), order);
        }
        Ok(())
    }

    fn row(&mut self, row: &[u8], spot: Spot, order: Order) {
        for (variable, (place, width, is_number)) in self.said.fields.iter().enumerate() {
            let Some(value) = row.get(*place..place.saturating_add(*width)) else { continue };
            let start = spot.place(*place);
            let kind = if *is_number { Kind::Floating(order) } else { Kind::Text };
            let field = Field { variable, width: *width, kind };
            if *is_number && *width < 8 {
                rows::value(field, &widened(value, order), start, &mut self.columns);
            } else {
                rows::value(field, value, start, &mut self.columns);
            }
        }
    }

    fn stop(&mut self, stop: Stop, sink: &mut dyn Sink) {
        let (class, at, what) = match stop {
            Stop::Wrong(at, what) => (Class::Malformed, at as u64, what),
            Stop::More(_) => (Class::Malformed, self.offset, "a page that is too short for what it says"),
            Stop::Unknown(what) => (Class::NotInspected, 0, what),
        };
        sink.notice(Notice { class, offset: Some(at), message: what.into() });
        self.over = true;
    }
}

impl Shape {
    /// A number as wide as the file's.
    fn number(self, at: &mut Cursor<'_>) -> Result<usize, Stop> {
        let start = at.at;
        let number = if self.wide { at.eight()? } else { u64::from(at.four()?) };
        usize::try_from(number).map_err(|_| Stop::Wrong(start, "a length that cannot be"))
    }
}

/// How the file is laid out, by its beginning.
fn shape_of(first: &[u8]) -> Result<Shape, Stop> {
    let wide = first.get(32) == Some(&b'3');
    let pad = if first.get(35) == Some(&b'3') { 4 } else { 0 };
    let order = if first.get(37) == Some(&1) { Order::Little } else { Order::Big };
    let mut at = Cursor::new(first, 196 + pad, order);
    let (head, page) = (at.four()? as usize, at.four()? as usize);
    let pages = if wide { at.eight()? } else { u64::from(at.four()?) };
    if !(FIRST..=MAX_PAGE).contains(&head) || !(256..=MAX_PAGE).contains(&page) {
        return Err(Stop::Wrong(196, "a length of its head or its pages that SAS does not have"));
    }
    Ok(Shape { order, wide, head, page, pages, came: 0, in_head: true })
}

/// A number whose last bytes were cut off, of eight bytes again.
fn widened(value: &[u8], order: Order) -> [u8; 8] {
    let mut eight = [0; 8];
    let width = value.len().min(8);
    match order {
        Order::Little => eight[8 - width..].copy_from_slice(&value[..width]),
        Order::Big => eight[..width].copy_from_slice(&value[..width]),
    }
    eight
}

impl Reader for Sas {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        self.texts.feed(bytes, sink);
        while !bytes.is_empty() && !self.over {
            let count = (self.wanted() - self.page.len()).min(bytes.len());
            self.page.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.page.len() == self.wanted()
                && let Err(stop) = self.part(sink)
            {
                self.stop(stop, sink);
            }
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let whole = self.shape.is_some_and(|shape| !shape.in_head && shape.came >= shape.pages) && self.page.is_empty();
        if !self.over && !whole {
            let message = "the file ends within its pages: it may have been cut off".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message });
            self.over = true;
        }
        if !self.over
            && let Err(stop) = self.name(sink)
        {
            self.stop(stop, sink);
        }
        self.columns.finish(sink);
        self.texts.finish(sink);
    }
}

#[cfg(test)]
mod tests;
