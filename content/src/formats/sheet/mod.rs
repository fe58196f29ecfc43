//! What a workbook (XLSX) has in its parts: cells of sheets by column, and the texts to which cells refer; and the tables of a spreadsheet
//! of OpenDocument ([`tables`]). That the parts are well-formed is looked at by the reader of XML beside this one; here only the tags
//! count that cells are made of.

mod tables;

use super::columns::Columns;
use super::numbers::{digits, floating};
use super::small_cells::SmallCells;
use crate::identifiers::{Token, national, printable, scan_whole};
use crate::policy::Policy;
use crate::reader::{Notice, Sink};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tables::Tables;

/// Bytes of a tag and of a value that are kept.
const TAG_BYTES: usize = 1024;
const VALUE_BYTES: usize = 32 * 1024;

/// Texts that may be names of columns, and bytes of all of them: those that were used first.
const NAMES: usize = 20_000;
const NAMES_BYTES: usize = 1 << 20;

/// Texts with eleven digits, and cells that refer to any text. What is beyond is weighed where it stands, without a column.
const NUMBERS: usize = 100_000;
const REFERENCES: usize = 2_000_000;

/// Columns that a sheet may have, by Excel's own limit; bytes of a name; and what all sheets of a workbook may take of memory.
const SHEET_COLUMNS: usize = 16_384;
const NAME_BYTES: usize = 300;
const WORKBOOK_BYTES: usize = 48 << 20;

/// Reads one part.
pub struct Part {
    kind: PartKind,
    tag: Option<Vec<u8>>,
    quote: Option<u8>,
    /// The value so far, where one is read.
    value: Option<Vec<u8>>,
    sheet: Sheet,
    texts: Texts,
    cell: Cell,
    /// Rows that have begun.
    row: u64,
    tables: Tables,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Sheet,
    Texts,
    Tables,
}

/// The cells of a sheet.
#[derive(Default)]
pub struct Sheet {
    /// The first row that has anything.
    header: BTreeMap<usize, Name>,
    header_over: bool,
    /// Columns and the texts that they refer to.
    references: Vec<(u32, u32)>,
    found: Vec<(u32, [u8; 11])>,
    missed: BTreeMap<usize, u64>,
    /// Columns that have a cell.
    columns: BTreeSet<usize>,
    /// Small counts, where they are looked for.
    small: Option<SmallCells>,
}

enum Name {
    Text(Vec<u8>),
    Reference(u32),
}

/// The texts of a workbook.
#[derive(Default)]
pub struct Texts {
    count: u32,
    names: Vec<Vec<u8>>,
    bytes: usize,
    found: HashMap<u32, Vec<[u8; 11]>>,
    missed: HashMap<u32, u64>,
}

/// The cell that is read.
#[derive(Default)]
struct Cell {
    column: usize,
    next: usize,
    kind: Kind,
    /// From 1 on.
    row: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Number,
    Reference,
    Text,
}

impl Part {
    /// The reader of a workbook's part of this name, if its cells or texts stand in it.
    pub fn of(name: &str, policy: &Policy) -> Option<Self> {
        let is_sheet = name.starts_with("xl/worksheets/") && name.ends_with(".xml") && !name.contains("/_rels/");
        let kind = match name {
            "xl/sharedStrings.xml" => PartKind::Texts,
            "content.xml" => PartKind::Tables,
            _ if is_sheet => PartKind::Sheet,
            _ => return None,
        };
        Some(Self {
            kind,
            tag: None,
            quote: None,
            value: None,
            sheet: Sheet { small: SmallCells::of(policy), ..Sheet::default() },
            texts: Texts::default(),
            cell: Cell::default(),
            row: 0,
            tables: Tables::default(),
        })
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = if self.tag.is_some() { self.in_tag(bytes) } else { self.in_text(bytes) };
        }
    }

    /// The part has ended.
    pub fn finish(self, workbook: &mut Workbook) {
        let sheets = match self.kind {
            PartKind::Sheet => vec![self.sheet],
            PartKind::Tables => self.tables.finish(),
            PartKind::Texts => {
                workbook.texts = self.texts;
                return;
            }
        };
        for sheet in sheets {
            // What does not fit is weighed where it stands, without columns.
            let weight = sheet.weight();
            if workbook.weight + weight <= WORKBOOK_BYTES {
                workbook.weight += weight;
                workbook.sheets.push(sheet);
            }
        }
    }

    fn in_text<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let length = memchr::memchr(b'<', bytes);
        let text = &bytes[..length.unwrap_or(bytes.len())];
        if let Some(value) = &mut self.value {
            let room = VALUE_BYTES.saturating_sub(value.len()).min(text.len());
            value.extend_from_slice(&text[..room]);
        }
        let Some(length) = length else { return &[] };
        self.tag = Some(Vec::new());
        &bytes[length + 1..]
    }

    fn in_tag<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let stop = match self.quote {
            Some(quote) => memchr::memchr(quote, bytes),
            None => memchr::memchr3(b'>', b'"', b'\'', bytes),
        };
        let Some(tag) = &mut self.tag else { return bytes };
        let part = &bytes[..stop.map_or(bytes.len(), |stop| stop + 1)];
        let room = TAG_BYTES.saturating_sub(tag.len()).min(part.len());
        tag.extend_from_slice(&part[..room]);
        let Some(stop) = stop else { return &[] };
        match (bytes[stop], self.quote) {
            (b'>', None) => {
                let tag = self.tag.take().unwrap_or_default();
                self.whole_tag(tag.strip_suffix(b">").unwrap_or(&tag));
            }
            (mark, None) => self.quote = Some(mark),
            _ => self.quote = None,
        }
        &bytes[stop + 1..]
    }

    fn whole_tag(&mut self, tag: &[u8]) {
        let (closes, tag) = tag.strip_prefix(b"/").map_or((false, tag), |tag| (true, tag));
        let empty = tag.ends_with(b"/");
        let tag = tag.strip_suffix(b"/").unwrap_or(tag);
        let end = tag.iter().position(u8::is_ascii_whitespace).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(end);
        let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
        let is_sheet = match self.kind {
            PartKind::Sheet => true,
            PartKind::Texts => false,
            PartKind::Tables => return self.table_tag(local, attributes, closes, empty),
        };
        match (is_sheet, local, closes) {
            (true, b"row", false) => {
                self.row = attribute(attributes, b"r").and_then(number).unwrap_or(self.row + 1);
                (self.cell.next, self.cell.row) = (0, self.row);
            }
            (true, b"row", true) => self.sheet.header_over |= !self.sheet.header.is_empty(),
            (true, b"c", false) => self.cell.begin(attributes),
            (true, b"v" | b"t", false) | (false, b"t", false) if !empty => {
                self.value.get_or_insert_default();
            }
            (true, b"v", true) => self.end_cell(),
            // A text in the cell itself may have several parts; they are one.
            (true, b"is", true) => self.end_cell(),
            // So may one in the list.
            (false, b"si", true) => {
                let value = self.value.take().unwrap_or_default();
                self.texts.take(&value);
            }
            (false, b"si", false) if empty => self.texts.take(&[]),
            _ => {}
        }
    }

    fn end_cell(&mut self) {
        if let Some(value) = self.value.take() {
            self.sheet.take(&self.cell, &value);
        }
    }
}

impl Cell {
    fn begin(&mut self, attributes: &[u8]) {
        let place = attribute(attributes, b"r").map_or(self.next, column);
        self.column = place;
        self.next = place + 1;
        self.kind = match attribute(attributes, b"t") {
            None | Some(b"n") => Kind::Number,
            Some(b"s") => Kind::Reference,
            _ => Kind::Text,
        };
    }
}

/// The value of the attribute of this name, which has its prefix if the file gives it one.
fn attribute<'t>(tag: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut rest = tag;
    while let Some(equal) = memchr::memchr(b'=', rest) {
        let key = rest[..equal].trim_ascii();
        let value = rest[equal + 1..].trim_ascii_start();
        let (quote, value) = value.split_first()?;
        let end = memchr::memchr(*quote, value)?;
        if key == name {
            return Some(&value[..end]);
        }
        rest = &value[end + 1..];
    }
    None
}

/// The number of a row.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number of the column of a cell such as `AB12`, from 0 on.
fn column(cell: &[u8]) -> usize {
    let letters = cell.iter().take_while(|byte| byte.is_ascii_uppercase()).take(4);
    let number = letters.fold(0usize, |sum, letter| sum * 26 + usize::from(letter - b'A') + 1);
    number.saturating_sub(1)
}

impl Sheet {
    fn take(&mut self, cell: &Cell, value: &[u8]) {
        if cell.column >= SHEET_COLUMNS {
            return;
        }
        self.columns.insert(cell.column);
        let text = std::str::from_utf8(value).unwrap_or_default();
        let reference = text.trim().parse::<u32>().ok().filter(|_| cell.kind == Kind::Reference);
        if !self.header_over {
            let name =
                reference.map_or_else(|| Name::Text(value[..value.len().min(NAME_BYTES)].to_vec()), Name::Reference);
            self.header.insert(cell.column, name);
        } else if let Some(reference) = reference {
            if self.references.len() < REFERENCES {
                self.references.push((cell.column as u32, reference));
            }
        } else if cell.kind == Kind::Number {
            if let Some(small) = &mut self.small {
                small.take(cell.column, Some(cell.row), value);
            }
            if let Some(number) = text.trim().parse().ok().and_then(floating) {
                self.token(cell.column, digits(number));
            }
        } else {
            if let Some(small) = &mut self.small {
                small.take(cell.column, Some(cell.row), value);
            }
            scan_whole(value, &mut |token| self.token(cell.column, token.digits));
        }
    }

    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        let small = self.small.as_ref().map_or(0, SmallCells::found);
        let lists = 8 * self.references.len() + 16 * self.found.len() + 64 * small;
        1024 + (NAME_BYTES + 100) * self.header.len() + 100 * (self.missed.len() + self.columns.len()) + lists
    }

    fn token(&mut self, column: usize, digits: [u8; 11]) {
        if national(&digits).is_some() && self.found.len() < NUMBERS {
            self.found.push((column as u32, digits));
        } else {
            *self.missed.entry(column).or_default() += 1;
        }
    }
}

impl Texts {
    fn take(&mut self, value: &[u8]) {
        let number = self.count;
        self.count = self.count.saturating_add(1);
        if self.names.len() < NAMES && self.bytes + value.len() <= NAMES_BYTES {
            self.bytes += value.len();
            self.names.push(value.to_vec());
        }
        scan_whole(value, &mut |token| {
            if national(&token.digits).is_some() {
                if self.found.len() < NUMBERS {
                    self.found.entry(number).or_default().push(token.digits);
                }
            } else if self.missed.len() < NUMBERS {
                *self.missed.entry(number).or_default() += 1;
            }
        });
    }
}

/// A workbook's parts, as far as they have come.
#[derive(Default)]
pub struct Workbook {
    sheets: Vec<Sheet>,
    texts: Texts,
    weight: usize,
}

impl Workbook {
    /// Tells what stands in the columns of its sheets.
    pub fn judge(mut self, policy: &Arc<Policy>, sink: &mut dyn Sink) {
        let mut noticed = Vec::new();
        for mut sheet in std::mem::take(&mut self.sheets) {
            let small = sheet.small.take().map(|small| self.with_texts(&sheet, small));
            self.sheet(&sheet, small, policy, &mut noticed);
        }
        for Notice { class, message, .. } in noticed {
            sink.notice(Notice { class, offset: None, message: format!("in a sheet: {message}") });
        }
    }

    fn name<'w>(&'w self, name: Option<&'w Name>) -> &'w [u8] {
        match name {
            Some(Name::Text(text)) => text.trim_ascii(),
            Some(Name::Reference(number)) => {
                self.texts.names.get(*number as usize).map_or(b"", |text| text.trim_ascii())
            }
            None => b"",
        }
    }

    /// The small counts of a sheet, with those that are texts of the list.
    fn with_texts(&self, sheet: &Sheet, mut small: SmallCells) -> SmallCells {
        for (column, number) in &sheet.references {
            if let Some(text) = self.texts.names.get(*number as usize) {
                small.take(*column as usize, None, text);
            }
        }
        small
    }

    fn sheet(&self, sheet: &Sheet, small: Option<SmallCells>, policy: &Arc<Policy>, sink: &mut dyn Sink) {
        let count = sheet.columns.last().map_or(0, |last| last + 1);
        let names: Vec<&[u8]> = (0..count).map(|at| self.name(sheet.header.get(&at))).collect();
        // Columns without a name say nothing of the others.
        let certain = names.iter().all(|name| name.is_empty() || printable(name).is_some());
        let mut columns = if certain { Columns::of_variables(policy) } else { Columns::new(policy) };
        for (at, name) in names.into_iter().enumerate() {
            if sheet.columns.contains(&at) {
                columns.variable(name, b"");
            } else {
                columns.no_column();
            }
        }
        columns.with_small(small);
        columns.begin(count, sink);
        let mut take = |column: u32, digits: &[u8; 11]| {
            columns.take(column as usize, &Token { digits: *digits, offset: 0 }, 0);
        };
        sheet.found.iter().for_each(|(column, digits)| take(*column, digits));
        for (column, number) in &sheet.references {
            self.texts.found.get(number).into_iter().flatten().for_each(|digits| take(*column, digits));
        }
        for (column, count) in &sheet.missed {
            columns.miss(*column, *count);
        }
        for (column, number) in &sheet.references {
            columns.miss(*column as usize, self.texts.missed.get(number).copied().unwrap_or(0));
        }
        columns.finish(sink);
    }
}
