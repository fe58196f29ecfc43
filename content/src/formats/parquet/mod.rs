//! Apache Parquet: whole, its footer readable, its columns those of the agreement.
//!
//! Values are read from the pages as they stream by ([`pages`]), and from the footer, which has the least and the greatest of
//! each column and row group. Pages that cannot be read make their columns one for a person to look at.

mod footer;
mod pages;
mod snappy;
mod thrift;

use super::columns::Columns;
use crate::identifiers::{Token, meant_for_numbers, scan_whole};
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use footer::{Column, Footer};
use pages::Pages;
use sluse_protocol::finding::Class;
use std::sync::Arc;

const MARK: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";

/// Bytes of the longest footer that is read.
const MAX_FOOTER: usize = 8 << 20;

/// Bytes after the footer: its length and the mark.
const END: usize = 8;

/// Types that hold text: bytes of any length, and of one length.
const TEXT: [i64; 2] = [BYTES, 7];
const INT64: i64 = 2;
const DOUBLE: i64 = 5;
const BYTES: i64 = 6;

/// Types as which pages are read.
const READ: [i64; 3] = [BYTES, INT64, DOUBLE];

/// Reads one file.
pub struct Parquet {
    columns: Columns,
    head: Vec<u8>,
    tail: Vec<u8>,
    size: u64,
    pages: Pages,
}

impl Parquet {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self { columns: Columns::new(policy), head: Vec::new(), tail: Vec::new(), size: 0, pages: Pages::default() }
    }

    fn check(&mut self, sink: &mut dyn Sink) -> Result<(), &'static str> {
        let end = self.tail.len().checked_sub(END).filter(|_| self.size >= 12).ok_or("too short for a Parquet file")?;
        let (body, last) = self.tail.split_at(end);
        let (length, mark) = last.split_at(4);
        if mark == ENCRYPTED {
            let message = "a Parquet file with an encrypted footer".into();
            sink.notice(Notice { class: Class::Encrypted, offset: None, message });
            return Ok(());
        }
        if self.head != MARK || mark != MARK {
            return Err("not PAR1 at both ends: it may have been cut off");
        }
        let length = length.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        if length as u64 > self.size - 12 {
            return Err("a footer that is longer than the file");
        }
        if length > MAX_FOOTER {
            let message = format!("a footer of more than {} MiB is not read", MAX_FOOTER >> 20);
            sink.notice(Notice { class: Class::NotInspected, offset: None, message });
            return Ok(());
        }
        let start = self.size - (END + length) as u64;
        let body = body.get(body.len().saturating_sub(length)..).unwrap_or_default().to_vec();
        let footer = footer::read(&body)?;
        if footer.end > start {
            return Err("a column that lies beyond the data: the file may be damaged");
        }
        if footer.rows < 0 || footer.rows != footer.rows_of_groups {
            return Err("another number of rows than the row groups have");
        }
        self.take(&footer, start, sink);
        Ok(())
    }

    fn take(&mut self, footer: &Footer<'_>, start: u64, sink: &mut dyn Sink) {
        for column in &footer.columns {
            self.columns.name_piece(&column.path.join(&b'.'));
            self.columns.name_ends();
        }
        self.columns.begin(footer.columns.len(), sink);
        if !self.columns.weighs() {
            return;
        }
        for (at, column) in footer.columns.iter().enumerate() {
            for value in &column.values {
                let columns = &mut self.columns;
                let found = &mut |token: Token| columns.take(at, &Token { offset: 0, ..token }, start);
                match (column.kind, value.first_chunk::<8>()) {
                    (INT64, Some(bytes)) => scan_whole(format!("{:011}", i64::from_le_bytes(*bytes)).as_bytes(), found),
                    _ if TEXT.contains(&column.kind) => scan_whole(value, found),
                    _ => {}
                }
            }
        }
        let read = self.take_pages(footer);
        let unread = footer.columns.iter().zip(read).filter(|(column, read)| !read && may_hold(column)).count();
        if unread > 0 && footer.rows > 0 {
            let message = format!(
                "{unread} columns have pages whose compression, encoding or type is not read here: of these only the least and the \
                 greatest values were looked at for identifiers"
            );
            sink.notice(Notice { class: Class::IdentifierReview, offset: None, message });
        }
    }

    /// Takes what the pages held, now that it is known which column each belongs to: of which columns all was read.
    fn take_pages(&mut self, footer: &Footer<'_>) -> Vec<bool> {
        let mut read = vec![true; footer.columns.len()];
        let mut parts = footer.parts.clone();
        parts.sort_unstable();
        let pages = self.pages.list();
        for (start, end, column) in &parts {
            let first = pages.partition_point(|page| page.start < *start);
            // A part begins where a page does, and ends within what was read as pages.
            let good = pages.get(first).is_some_and(|page| page.start == *start) && *end <= self.pages.end();
            let Some(read) = read.get_mut(*column) else { continue };
            *read &= good;
            let kind = footer.columns.get(*column).map_or(-1, |column| column.kind);
            let kind = READ.iter().position(|one| *one == kind);
            for page in pages[first..].iter().take_while(|page| page.start < *end) {
                let Some(found) = page.found(kind) else {
                    *read = false;
                    continue;
                };
                self.columns.miss(*column, found.tokens - found.count);
                let Some(last) = found.numbers.last() else { continue };
                // Of very many only the first are known, and stand for the others.
                for at in 0..found.count {
                    let digits = usize::try_from(at).ok().and_then(|at| found.numbers.get(at)).unwrap_or(last);
                    self.columns.take(*column, &Token { digits: *digits, offset: 0 }, page.start);
                }
            }
        }
        read
    }
}

/// Whether national numbers may stand in a column of which not all was read.
fn may_hold(column: &Column<'_>) -> bool {
    TEXT.contains(&column.kind) || has_room(column) || column.path.iter().any(|name| meant_for_numbers(name))
}

/// Whether the least and the greatest value of a column of numbers leave room for a national number.
fn has_room(column: &Column<'_>) -> bool {
    let number = |bytes: [u8; 8]| match column.kind {
        INT64 => i64::from_le_bytes(bytes) as f64,
        _ => f64::from_le_bytes(bytes),
    };
    let values = || column.values.iter().filter_map(|value| value.first_chunk::<8>()).map(|bytes| number(*bytes));
    let reaches = values().any(|value| value >= 1e9) && values().any(|value| value < 1e11);
    [INT64, DOUBLE].contains(&column.kind) && (reaches || !column.is_bounded)
}

impl Reader for Parquet {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        let room = (MARK.len() - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if self.columns.weighs() {
            self.pages.feed(bytes);
        }
        self.size += bytes.len() as u64;
        let kept = MAX_FOOTER + END;
        let last = &bytes[bytes.len().saturating_sub(kept)..];
        // At twice what is needed the front goes: each byte is moved once.
        if self.tail.len() + last.len() > 2 * kept {
            let gone = (self.tail.len() + last.len()).saturating_sub(kept).min(self.tail.len());
            self.tail.drain(..gone);
        }
        self.tail.extend_from_slice(last);
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if let Err(what) = self.check(sink) {
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.size), message: what.into() });
        }
        self.columns.finish(sink);
    }
}

#[cfg(test)]
mod tests;
