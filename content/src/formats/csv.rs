//! Tables of separated values: dialect, rows of equal length, the agreement's columns, and identifiers by column.
//!
//! RFC 4180 with the delimiters that come: comma, semicolon, tabulator, bar; the first row decides. Fields may be quoted, with
//! quotes doubled; rows end with LF, CR LF or CR.

use super::columns::{Columns, MAX_COLUMNS};
use crate::flaw::Flaw;
use crate::identifiers::{Scanner, Token, scan_whole};
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Delimiters, likelier ones first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Bytes of the first row by which the delimiter is chosen.
const HEAD_BYTES: usize = 64 * 1024;

/// Reads one table.
pub struct Csv {
    columns: Columns,
    dialect: Dialect,
    /// Whether fields may be quoted.
    quotes: bool,
    at: At,
    /// Offset of the next byte.
    offset: u64,
    /// Offset of the field's first byte.
    field: u64,
    /// Rows before this one, empty ones not counted.
    row: u64,
    column: usize,
    /// Whether the row has anything in it.
    content: bool,
    /// Whether small counts are looked for in the cells.
    counts: bool,
    scanner: Scanner,
    flaws: Flaws,
}

enum Dialect {
    /// The first row so far, and whether it stands within quotes.
    Undecided(Vec<u8>, bool),
    Known {
        delimiter: u8,
        stops: Box<[bool; 256]>,
    },
}

impl Dialect {
    fn known(delimiter: u8) -> Self {
        let mut stops = Box::new([false; 256]);
        [delimiter, b'\n', b'\r'].iter().for_each(|byte| stops[usize::from(*byte)] = true);
        Self::Known { delimiter, stops }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote within a quoted field: its end, or the first of two.
    Quote,
    /// After CR: an LF belongs to it.
    Return,
}

#[derive(Debug, Default)]
struct Flaws {
    length: Flaw,
    first_bad_row: Option<(u64, usize)>,
    after_quote: Flaw,
    open_quote: Flaw,
    too_wide: Flaw,
}

impl Csv {
    /// Reads a table under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let columns = Columns::new(policy);
        Self {
            counts: columns.counts(),
            columns,
            dialect: Dialect::Undecided(Vec::new(), false),
            quotes: true,
            at: At::Start,
            offset: 0,
            field: 0,
            row: 0,
            column: 0,
            content: false,
            scanner: Scanner::default(),
            flaws: Flaws::default(),
        }
    }

    /// Reads a table with this delimiter, in which quotes mean nothing and cells are no counts.
    pub fn of_lines(policy: &Arc<Policy>, delimiter: u8) -> Self {
        Self { dialect: Dialect::known(delimiter), quotes: false, counts: false, ..Self::new(policy) }
    }

    /// Takes bytes that follow in the table, and stand at `offset` in the file.
    pub fn feed_at(&mut self, bytes: &[u8], offset: u64, sink: &mut dyn Sink) {
        self.offset = offset;
        self.feed(bytes, sink);
    }

    /// Chooses the delimiter, and reads the first row with it.
    fn decide(&mut self, sink: &mut dyn Sink) {
        let Dialect::Undecided(head, _) = &mut self.dialect else { return };
        let head = std::mem::take(head);
        // Excel's way to say which delimiter a file has.
        let stated = match head.trim_ascii_end() {
            [b's', b'e', b'p', b'=', delimiter] => Some(*delimiter),
            [b's', b'e', b'p', b'='] => Some(b'\t'),
            _ => None,
        };
        let delimiter = stated.unwrap_or_else(|| likeliest(&head));
        self.dialect = Dialect::known(delimiter);
        if stated.is_some() {
            self.offset += head.len() as u64;
            return;
        }
        self.rows(&head, sink);
    }

    fn rows(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let dialect = std::mem::replace(&mut self.dialect, Dialect::Undecided(Vec::new(), false));
        if let Dialect::Known { delimiter, stops } = &dialect {
            self.walk(bytes, *delimiter, stops, sink);
        }
        self.dialect = dialect;
        self.offset += bytes.len() as u64;
    }

    fn walk(&mut self, bytes: &[u8], delimiter: u8, stops: &[bool; 256], sink: &mut dyn Sink) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.at {
                At::Return => {
                    self.at = At::Start;
                    at += usize::from(byte == b'\n');
                }
                At::Start => {
                    let quoted = byte == b'"' && self.quotes;
                    self.at = if quoted { At::Quoted } else { At::Plain };
                    at += usize::from(quoted);
                    self.content |= quoted;
                    self.field = self.offset + at as u64;
                }
                At::Plain => {
                    let rest = &bytes[at..];
                    let Some(length) = rest.iter().position(|byte| stops[usize::from(*byte)]) else {
                        return self.piece(rest);
                    };
                    self.last_piece(&rest[..length]);
                    at += length + 1;
                    self.stop(rest[length], delimiter, at, sink);
                }
                At::Quoted => {
                    let rest = &bytes[at..];
                    let Some(length) = memchr::memchr(b'"', rest) else { return self.piece(rest) };
                    self.at = At::Quote;
                    at += length + 1;
                    // Most fields end here: then their value is scanned whole.
                    if bytes.get(at).is_some_and(|next| stops[usize::from(*next)]) {
                        self.last_piece(&rest[..length]);
                    } else {
                        self.piece(&rest[..length]);
                    }
                }
                At::Quote => {
                    at += 1;
                    if byte == b'"' {
                        self.piece(b"\"");
                        self.at = At::Quoted;
                    } else if stops[usize::from(byte)] {
                        self.last_piece(b"");
                        self.stop(byte, delimiter, at, sink);
                    } else {
                        self.flaws.after_quote.at(self.offset + at as u64 - 1);
                        self.piece(&[byte]);
                        self.at = At::Plain;
                    }
                }
            }
        }
    }

    /// A part of a field's value that is not known to be its end.
    fn piece(&mut self, bytes: &[u8]) {
        self.content |= !bytes.is_empty();
        if self.row == 0 {
            self.columns.name_piece(bytes);
        }
        if self.counts {
            self.columns.cell_piece(bytes);
        }
        if self.columns.weighs() {
            let (columns, column, field) = (&mut self.columns, self.column, self.field);
            self.scanner.feed(bytes, &mut |token: Token| columns.take(column, &token, field));
        }
    }

    /// The end of a field's value, or all of it.
    fn last_piece(&mut self, bytes: &[u8]) {
        self.content |= !bytes.is_empty();
        if self.row == 0 {
            self.columns.name_piece(bytes);
        }
        if self.counts {
            self.columns.cell_piece(bytes);
            // Beyond the columns that are kept, cells are told together.
            self.columns.cell_ends(self.column.min(MAX_COLUMNS), self.row + 1);
        }
        if self.columns.weighs() && (bytes.len() >= 11 || self.scanner.in_value()) {
            let (columns, column, field) = (&mut self.columns, self.column, self.field);
            let found = &mut |token: Token| columns.take(column, &token, field);
            if self.scanner.in_value() {
                self.scanner.feed(bytes, found);
                self.scanner.end(found);
            } else {
                scan_whole(bytes, found);
            }
        }
    }

    /// A field has ended before `next`.
    fn stop(&mut self, byte: u8, delimiter: u8, next: usize, sink: &mut dyn Sink) {
        if self.row == 0 {
            self.columns.name_ends();
        }
        if byte == delimiter {
            self.content = true;
            self.column += 1;
            self.at = At::Start;
            return;
        }
        self.end_row(self.offset + next as u64, sink);
        self.at = if byte == b'\r' { At::Return } else { At::Start };
    }

    fn end_row(&mut self, offset: u64, sink: &mut dyn Sink) {
        let fields = std::mem::take(&mut self.column) + 1;
        if !std::mem::take(&mut self.content) {
            if self.row == 0 {
                self.columns.forget_names();
            }
            return;
        }
        if self.row == 0 {
            self.columns.begin(fields, sink);
            if fields > MAX_COLUMNS {
                self.flaws.too_wide.at(0);
            }
        } else if fields != self.columns.count() {
            self.flaws.length.at(offset.saturating_sub(1));
            self.flaws.first_bad_row.get_or_insert((self.row + 1, fields));
        }
        self.row += 1;
    }
}

/// The delimiter that occurs most in a first row, outside of quotes.
fn likeliest(head: &[u8]) -> u8 {
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in head {
        quoted ^= *byte == b'"';
        if let Some(which) = DELIMITERS.iter().position(|one| one == byte)
            && !quoted
        {
            counts[which] += 1;
        }
    }
    let best = (0..counts.len()).rev().max_by_key(|which| counts[*which]).unwrap_or(0);
    DELIMITERS[best]
}

impl Reader for Csv {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        while let Dialect::Undecided(head, quoted) = &mut self.dialect {
            let [byte, rest @ ..] = bytes else { return };
            head.push(*byte);
            *quoted ^= *byte == b'"';
            bytes = rest;
            // Empty lines before the first row are no row.
            let row = matches!(byte, b'\n' | b'\r') && !*quoted && !head.trim_ascii().is_empty();
            if row || head.len() >= HEAD_BYTES {
                self.decide(sink);
            }
        }
        self.rows(bytes, sink);
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if matches!(self.dialect, Dialect::Undecided(..)) {
            self.decide(sink);
        }
        if self.at == At::Quoted {
            self.flaws.open_quote.at(self.field.saturating_sub(1));
        }
        if matches!(self.at, At::Plain | At::Quoted | At::Quote) || self.content {
            self.last_piece(b"");
            if self.row == 0 {
                self.columns.name_ends();
            }
            self.end_row(self.offset, sink);
        }
        self.columns.finish(sink);
        let count = self.columns.count();
        if let Some((row, fields)) = self.flaws.first_bad_row {
            let what = format!("row {row} has {fields} columns where the first row has {count}");
            self.flaws.length.tell(Class::Malformed, sink, what);
        }
        self.flaws.open_quote.tell(
            Class::Malformed,
            sink,
            "a quoted value does not end: the file may have been cut off",
        );
        self.flaws.after_quote.tell(Class::Malformed, sink, "text after the end of a quoted value");
        self.flaws.too_wide.tell(Class::Malformed, sink, format!("more than {MAX_COLUMNS} columns"));
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
