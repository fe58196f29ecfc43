//! SAS data sets (`.sas7bdat`): pages, some of which say what the columns are and others have rows. Rows that are packed are not read.
//!
//! SAS does not publish the format; this follows what others found out of it (the package sas7bdat for R, ReadStat).

use super::super::columns::Columns;
use super::super::plain::Plain;
use super::head::{Cursor, Field, Kind, MAX_VARIABLES, Order, Stop, text};
use super::rows;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of the longest head and page.
const MAX_PAGE: usize = 16 << 20;

/// Bytes of all texts that columns are named by.
const MAX_TEXTS: usize = 32 << 20;

/// Bytes by which the head's length is known.
const FIRST: usize = 216;

/// What begins a part that says something.
const ROW_SIZE: u32 = 0xf7f7_f7f7;
const COLUMN_TEXT: u32 = 0xffff_fffd;
const COLUMN_NAME: u32 = 0xffff_ffff;
const COLUMN_PLACE: u32 = 0xffff_fffc;
const COLUMN_LABEL: u32 = 0xffff_fbfe;

const PACKED: &str = "SAS rows that are packed, which are not read";

/// Reads one data set.
pub struct Sas {
    columns: Columns,
    texts: Plain,
    weighs: bool,
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

/// What pages have said so far.
#[derive(Default)]
struct Said {
    blobs: Vec<Vec<u8>>,
    bytes: usize,
    names: Vec<Vec<u8>>,
    labels: Vec<Vec<u8>>,
    fields: Vec<(usize, usize, bool)>,
    row: usize,
    rows: u64,
    rows_on_mixed: u64,
    packed: bool,
}

impl Sas {
    /// Reads a data set under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            columns: Columns::of_variables(policy),
            texts: Plain::of(policy, "text"),
            weighs: policy.identifiers.is_some(),
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
        let (pointer, word) = if shape.wide { (24, 8) } else { (12, 4) };
        let rows_at = match kind & 0x0f00 {
            0x0100 => head,
            _ => {
                for part in 0..parts {
                    let mut at = Cursor::new(page, head + part * pointer, shape.order);
                    let (start, length) = (number(&mut at, shape)?, number(&mut at, shape)?);
                    let packing = at.byte()?;
                    let Some(bytes) = start.checked_add(length).and_then(|end| page.get(start..end)) else {
                        return Err(Stop::Wrong(self.offset as usize, "a part that stands outside of its page"));
                    };
                    match packing {
                        0 if bytes.len() > word => self.said.part(bytes, shape)?,
                        4 => self.said.packed = true,
                        _ => {}
                    }
                }
                let end = head + parts * pointer;
                // Rows begin at a multiple of eight.
                if end % 8 == 4 { end + 4 } else { end }
            }
        };
        let rows = match kind & 0x0f00 {
            0x0100 => u64::from(blocks),
            0x0200 => self.said.rows_on_mixed,
            _ => 0,
        };
        if rows > 0 && !self.said.packed {
            self.name(sink)?;
            self.rows(page, rows_at, rows, shape.order)?;
        }
        Ok(())
    }

    /// All columns are known once a row comes, or none does.
    fn name(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        if std::mem::replace(&mut self.named, true) {
            return Ok(());
        }
        let Said { names, labels, fields, row, .. } = &self.said;
        let fits = fields.iter().all(|(start, width, _)| start.checked_add(*width).is_some_and(|end| end <= *row));
        if names.is_empty() || fields.len() != names.len() || !fits {
            return Err(Stop::Wrong(self.offset as usize, "columns that do not fit together"));
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
                return Err(Stop::Wrong(self.offset as usize, "a page has fewer rows than it says"));
            };
            for (variable, (place, width, is_number)) in self.said.fields.iter().enumerate() {
                let Some(value) = bytes.get(*place..place.saturating_add(*width)) else { continue };
                let start = self.offset + (at + place) as u64;
                let kind = if *is_number { Kind::Floating(order) } else { Kind::Text };
                let field = Field { variable, width: *width, kind };
                if *is_number && *width < 8 {
                    rows::value(field, &widened(value, order), start, &mut self.columns);
                } else {
                    rows::value(field, value, start, &mut self.columns);
                }
            }
        }
        Ok(())
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

/// A number as wide as the file's.
fn number(at: &mut Cursor<'_>, shape: Shape) -> Result<usize, Stop> {
    let start = at.at;
    let number = if shape.wide { at.eight()? } else { u64::from(at.four()?) };
    usize::try_from(number).map_err(|_| Stop::Wrong(start, "a length that cannot be"))
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

impl Said {
    fn part(&mut self, part: &[u8], shape: Shape) -> Result<(), Stop> {
        let word = if shape.wide { 8 } else { 4 };
        let mut at = Cursor::new(part, 0, shape.order);
        let mut mark = at.four()?;
        if shape.wide && shape.order == Order::Big && mark == u32::MAX {
            mark = at.four()?;
        }
        let wrong = Stop::Wrong(0, "more columns than are read");
        let at = |place: usize| Cursor::new(part, place, shape.order);
        match mark {
            ROW_SIZE => {
                self.row = number(&mut at(5 * word), shape)?;
                self.rows = number(&mut at(6 * word), shape)? as u64;
                self.rows_on_mixed = number(&mut at(15 * word), shape)? as u64;
                if !(1..=MAX_PAGE).contains(&self.row) {
                    return Err(Stop::Wrong(0, "a row that is too long"));
                }
            }
            COLUMN_TEXT => {
                let blob = part[word..].to_vec();
                self.packed |=
                    [&b"SASYZCRL"[..], b"SASYZCR2"].iter().any(|mark| memchr::memmem::find(&blob, mark).is_some());
                self.bytes += blob.len();
                if self.bytes > MAX_TEXTS {
                    return Err(wrong);
                }
                self.blobs.push(blob);
            }
            COLUMN_NAME => {
                let count = part.len().saturating_sub(if shape.wide { 28 } else { 20 }) / 8;
                for column in 0..count {
                    let name = self.text(&mut at(word + 8 + 8 * column))?;
                    self.names.push(name);
                }
            }
            COLUMN_PLACE => {
                let (fixed, each) = if shape.wide { (28, 16) } else { (20, 12) };
                for column in 0..part.len().saturating_sub(fixed) / each {
                    let mut at = at(word + 8 + each * column);
                    let (start, width) = (number(&mut at, shape)?, at.four()? as usize);
                    at.two()?;
                    let kind = at.byte()?;
                    self.fields.push((start, width, kind == 1));
                }
            }
            COLUMN_LABEL => {
                let label = self.text(&mut at(if shape.wide { 52 } else { 40 }))?;
                self.labels.push(label);
            }
            _ => {}
        }
        let most = self.names.len().max(self.fields.len()).max(self.labels.len());
        if most > MAX_VARIABLES { Err(wrong) } else { Ok(()) }
    }

    /// The text to which a reference leads; none where it leads nowhere.
    fn text(&self, at: &mut Cursor<'_>) -> Result<Vec<u8>, Stop> {
        let (blob, start, length) = (at.two()?, usize::from(at.two()?), usize::from(at.two()?));
        let found = self.blobs.get(usize::from(blob)).and_then(|blob| blob.get(start..start + length));
        Ok(found.map(text).unwrap_or_default())
    }
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
        if !self.over && self.said.packed && self.weighs {
            sink.notice(Notice { class: Class::IdentifierReview, offset: None, message: PACKED.into() });
        }
        self.columns.finish(sink);
        self.texts.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut, policy_with};
    use sluse_protocol::agreement::Content;

    const NUMBERS: [&str; 2] = ["02013299997", "30108299920"];

    /// Numbers as a file of this order and width has them.
    struct Made {
        wide: bool,
        big: bool,
    }

    impl Made {
        fn two(&self, number: usize) -> Vec<u8> {
            let number = number as u16;
            if self.big { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
        }

        fn four(&self, number: u32) -> Vec<u8> {
            if self.big { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
        }

        fn word(&self, number: usize) -> Vec<u8> {
            match (self.wide, self.big) {
                (false, _) => self.four(number as u32),
                (true, true) => (number as u64).to_be_bytes().to_vec(),
                (true, false) => (number as u64).to_le_bytes().to_vec(),
            }
        }

        fn mark(&self, mark: u32) -> Vec<u8> {
            match (self.wide, self.big) {
                (false, _) => self.four(mark),
                (true, false) => [self.four(mark), vec![0; 4]].concat(),
                (true, true) => [self.four(u32::MAX), self.four(mark)].concat(),
            }
        }

        /// A part with so many bytes of zeros in which these stand.
        fn part(&self, mark: u32, length: usize, inside: &[(usize, Vec<u8>)]) -> Vec<u8> {
            let mut part = self.mark(mark);
            part.resize(length, 0);
            for (at, bytes) in inside {
                part[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            part
        }

        fn page(&self, kind: usize, blocks: usize, parts: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
            let (head, pointer) = if self.wide { (40, 24) } else { (24, 12) };
            let mut page = vec![0; head - 8];
            page.extend([self.two(kind), self.two(blocks), self.two(parts.len()), vec![0; 2]].concat());
            let mut end = 2048;
            let mut behind = Vec::new();
            for part in parts {
                end -= part.len();
                let said = [self.word(end), self.word(part.len())].concat();
                page.extend(&said);
                page.resize(page.len() + pointer - said.len(), 0);
                behind.splice(0..0, part.iter().copied());
            }
            page.resize(page.len().next_multiple_of(8), 0);
            page.extend(rows);
            page.resize(end, 0);
            page.extend(behind);
            page
        }

        /// A data set of a column `code` of numbers, which is labelled, and a column `fnr`; a row on a mixed page and one on its own.
        fn file(&self, packed: bool) -> Vec<u8> {
            let word = if self.wide { 8 } else { 4 };
            let text = if packed { "  SASYZCRLcodefnrFodselsnummer" } else { "  --------codefnrFodselsnummer" };
            let reference = |at: usize, length: usize| [self.two(0), self.two(at), self.two(length)].concat();
            let (fixed, each) = if self.wide { (28, 16) } else { (20, 12) };
            let place =
                |start: usize, width: u32, kind: u8| [self.word(start), self.four(width), vec![0, 0, kind, 0]].concat();
            let label = if self.wide { 52 } else { 40 };
            let parts = [
                self.part(
                    ROW_SIZE,
                    200,
                    &[(5 * word, self.word(19)), (6 * word, self.word(2)), (15 * word, self.word(1))],
                ),
                [self.mark(COLUMN_TEXT), text.as_bytes().to_vec()].concat(),
                self.part(COLUMN_NAME, fixed + 16, &[(word + 8, reference(10, 4)), (word + 16, reference(14, 3))]),
                self.part(
                    COLUMN_PLACE,
                    fixed + 2 * each,
                    &[(word + 8, place(0, 8, 1)), (word + 8 + each, place(8, 11, 2))],
                ),
                self.part(COLUMN_LABEL, 80, &[(label, reference(17, 13))]),
                self.part(COLUMN_LABEL, 80, &[]),
            ];
            let row = |number: &str, text: &str| {
                let number: f64 = number.parse().unwrap();
                let number = if self.big { number.to_be_bytes() } else { number.to_le_bytes() };
                [&number[..], text.as_bytes()].concat()
            };
            let mut head = vec![0; 1024];
            head[32] = if self.wide { b'3' } else { b'2' };
            head[35] = b'2';
            head[37] = u8::from(!self.big);
            let lengths = [self.four(1024), self.four(2048), self.word(2)].concat();
            head[196..196 + lengths.len()].copy_from_slice(&lengths);
            let mixed = self.page(0x200, 7, &parts, &row(NUMBERS[0], "           "));
            [head, mixed, self.page(0x100, 1, &[], &row("1", NUMBERS[1]))].concat()
        }
    }

    fn read(bytes: &[u8], columns: &[&str]) -> Vec<Notice> {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let policy = policy_with(Content { columns, ..Content::default() });
        every_cut(|| Sas::new(&policy), bytes)
    }

    fn kinds() -> [Made; 4] {
        [(false, false), (true, false), (false, true), (true, true)].map(|(wide, big)| Made { wide, big })
    }

    #[test]
    fn numbers_are_found_by_name_and_label_on_every_kind_of_page() {
        for made in kinds() {
            let told = read(&made.file(false), &["code", "fnr"]);
            let named =
                told.iter().filter(|notice| notice.class == Class::Identifier).map(|notice| &notice.message[..16]);
            assert_eq!(named.collect::<Vec<_>>(), ["column 1 (code):", "column 2 (fnr): "], "{told:?}");
            assert_eq!(told.len(), 3, "and the text as a whole: {told:?}");
            let told = read(&made.file(false), &["code"]);
            assert!(classes(&told).contains(&Class::ColumnNotAgreed), "{told:?}");
        }
    }

    #[test]
    fn packed_rows_are_for_review_and_what_was_cut_off_is_told() {
        let policy = policy_with(Content::default());
        for made in kinds() {
            assert!(read(&made.file(true), &[]).iter().any(|notice| notice.message == PACKED));
            let whole = made.file(false);
            for length in (0..whole.len()).step_by(13) {
                let told = crate::testing::cut(|| Sas::new(&policy), &whole[..length], &[]);
                assert!(classes(&told).contains(&Class::Malformed), "{length}");
            }
        }
    }

    #[test]
    fn lengths_and_places_that_lie_are_told_and_never_end_the_parser() {
        for made in kinds() {
            let whole = made.file(false);
            for at in 0..whole.len() {
                let mut lying = whole.clone();
                lying[at] ^= 0xff;
                let policy = policy_with(Content::default());
                crate::testing::cut(|| Sas::new(&policy), &lying, &[]);
            }
            let mut long = whole.clone();
            long[200..204].copy_from_slice(&[0xff; 4]);
            assert_eq!(classes(&read(&long, &[]))[0], Class::Malformed);
        }
    }
}
