//! Parquet's pages, one behind the other from the file's start: which values they hold that may be national numbers.
//!
//! A page's header says its sizes and its encoding. What compresses it and what type its values have stand in the footer, which
//! comes last: so the compression is told by trying, values are read as each type that they can be, and the footer then says
//! which of these counts. Of values no more is kept than eleven digits that are a number.

use super::super::numbers::{self, digits};
use super::snappy;
use super::thrift::{I32, SHORT, STRUCT, Thrift, Wrong};
use crate::identifiers::{national, scan_whole};

/// Bytes of a page's header, which may hold a least and a greatest value, and of a page, packed or not.
const HEADER_BYTES: usize = 64 * 1024;
const PAGE_BYTES: usize = 16 << 20;

/// Pages that are known, numbers of one page and of all that are kept; those beyond are counted.
const MAX_PAGES: usize = 500_000;
const PAGE_NUMBERS: usize = 256;
const MAX_NUMBERS: usize = 100_000;

/// Kinds of pages.
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

/// Encodings: values as they are, and numbers of values in a dictionary or truth values, in which no number stands.
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const INDICES: [i64; 3] = [2, 3, 8];

/// Walks through the pages.
#[derive(Default)]
pub struct Pages {
    at: At,
    /// The header or page so far.
    buffer: Vec<u8>,
    offset: u64,
    start: u64,
    list: Vec<Page>,
    numbers: usize,
}

#[derive(Default)]
enum At {
    /// Within the file's mark; so many bytes of it are over.
    #[default]
    Mark,
    Header,
    Page(Head),
    /// So many bytes of a page are passed over.
    Over(u64),
    /// What comes is no page.
    Behind,
}

/// One page.
pub struct Page {
    /// Where its header begins.
    pub start: u64,
    values: Values,
}

/// What was read of a page.
enum Values {
    /// It holds no values of its own.
    None,
    /// Its compression or encoding is not read here, or it is too large.
    Unread,
    /// Its values were read.
    Read(Fits, Option<Box<[Found; 3]>>),
}

/// Whether texts, whole numbers and floating ones fill a page: values of another type may be in it where they do not.
type Fits = [bool; 3];

/// What was found in values of one type.
#[derive(Default)]
pub struct Found {
    /// Eleven digits.
    pub tokens: u64,
    /// National numbers.
    pub count: u64,
    /// Some of these.
    pub numbers: Vec<[u8; 11]>,
}

static NOTHING: Found = Found { tokens: 0, count: 0, numbers: Vec::new() };

impl Page {
    /// What was found in its values if these are texts, whole numbers or floating ones (0, 1, 2); none if not all of it was read
    /// as such.
    pub fn found(&self, kind: Option<usize>) -> Option<&Found> {
        match (&self.values, kind) {
            (Values::None, _) => Some(&NOTHING),
            (Values::Read(fits, found), Some(kind)) if fits[kind] => {
                Some(found.as_ref().map_or(&NOTHING, |found| &found[kind]))
            }
            _ => None,
        }
    }
}

struct Head {
    kind: i64,
    unpacked: usize,
    packed: usize,
    values: usize,
    encoding: i64,
    /// Bytes in front of the values, never packed, in version 2.
    levels: usize,
    compressed: bool,
}

impl Pages {
    /// The pages, in order.
    pub fn list(&self) -> &[Page] {
        &self.list
    }

    /// Where what was read as pages ends.
    pub fn end(&self) -> u64 {
        self.start
    }

    /// Takes the file's next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &self.at {
                At::Mark => self.mark(bytes),
                At::Header => self.header(bytes),
                At::Page(head) => {
                    let missing = head.packed - self.buffer.len();
                    let taken = missing.min(bytes.len());
                    self.buffer.extend_from_slice(&bytes[..taken]);
                    taken
                }
                At::Over(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()),
                At::Behind => return,
            };
            self.offset += taken as u64;
            bytes = &bytes[taken..];
            self.advance(taken);
        }
    }

    fn mark(&mut self, bytes: &[u8]) -> usize {
        let taken = usize::try_from(4 - self.offset).unwrap_or(0).min(bytes.len());
        if self.offset + taken as u64 == 4 {
            (self.at, self.start) = (At::Header, 4);
        }
        taken
    }

    /// Takes bytes of a header; those behind its end are given back.
    fn header(&mut self, bytes: &[u8]) -> usize {
        let before = self.buffer.len();
        let taken = (HEADER_BYTES - before).min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        match head(&self.buffer) {
            Ok((head, length)) => {
                self.buffer.clear();
                self.at = if head.packed <= PAGE_BYTES && head.unpacked <= PAGE_BYTES {
                    At::Page(head)
                } else {
                    self.push(Values::Unread);
                    At::Over(head.packed as u64)
                };
                length.saturating_sub(before)
            }
            Err(SHORT) if self.buffer.len() < HEADER_BYTES => taken,
            Err(_) => {
                self.at = At::Behind;
                self.buffer = Vec::new();
                taken
            }
        }
    }

    /// Ends what is whole now.
    fn advance(&mut self, taken: usize) {
        let done = match &mut self.at {
            At::Page(head) if self.buffer.len() == head.packed => {
                let values = values(head, &self.buffer);
                self.push(values);
                self.buffer.clear();
                true
            }
            At::Over(left) => {
                *left = left.saturating_sub(taken as u64);
                *left == 0
            }
            _ => false,
        };
        if done {
            self.start = self.offset;
            self.at = if self.list.len() < MAX_PAGES { At::Header } else { At::Behind };
        }
    }

    fn push(&mut self, mut values: Values) {
        if let Values::Read(_, Some(found)) = &mut values {
            for found in found.iter_mut() {
                found.numbers.truncate(MAX_NUMBERS.saturating_sub(self.numbers).max(1));
                self.numbers += found.numbers.len();
            }
        }
        self.list.push(Page { start: self.start, values });
    }
}

/// Reads a page's header: what it says, and its length.
fn head(bytes: &[u8]) -> Result<(Head, usize), Wrong> {
    let mut head = Head { kind: -1, unpacked: 0, packed: 0, values: 0, encoding: -1, levels: 0, compressed: true };
    let mut sizes = 0;
    let mut thrift = Thrift::new(bytes);
    let unsigned = |number: i64| usize::try_from(number).map_err(|_| "a page of negative size");
    thrift.structure(|thrift, field, kind| match (field, kind) {
        (1, I32) => thrift.integer().map(|number| head.kind = number),
        (2 | 3, I32) => {
            let size = unsigned(thrift.integer()?)?;
            sizes |= field;
            *(if field == 2 { &mut head.unpacked } else { &mut head.packed }) = size;
            Ok(())
        }
        (5 | 7 | 8, STRUCT) => thrift.structure(|thrift, inner, kind| match (field, inner, kind) {
            (_, 1, I32) => thrift.integer().and_then(unsigned).map(|number| head.values = number),
            (5 | 7, 2, I32) | (8, 4, I32) => thrift.integer().map(|number| head.encoding = number),
            (8, 5 | 6, I32) => {
                thrift.integer().and_then(unsigned).map(|number| head.levels = head.levels.saturating_add(number))
            }
            // A truth value stands in the type.
            (8, 7, 1 | 2) => {
                head.compressed = kind == 1;
                Ok(())
            }
            _ => thrift.skip(kind),
        }),
        _ => thrift.skip(kind),
    })?;
    let length = thrift.at();
    if sizes == 3 && (0..=3).contains(&head.kind) { Ok((head, length)) } else { Err("not the header of a page") }
}

/// The values of a page.
fn values(head: &Head, page: &[u8]) -> Values {
    let plain = head.encoding == PLAIN || (head.kind == DICTIONARY && head.encoding == PLAIN_DICTIONARY);
    let of_values = [DATA, DICTIONARY, DATA_V2].contains(&head.kind) && head.values > 0;
    if !of_values || (head.kind != DICTIONARY && INDICES.contains(&head.encoding)) {
        return Values::None;
    }
    let levels = if head.kind == DATA_V2 { head.levels } else { 0 };
    let (Some(packed), Some(length)) = (page.get(levels..), head.unpacked.checked_sub(levels)) else {
        return Values::Unread;
    };
    if !plain {
        return Values::Unread;
    }
    let unpacked = if head.compressed { unpack(packed, length) } else { Some(packed.to_vec()) };
    let Some(data) = unpacked else { return Values::Unread };
    let read = [texts(&data, head.values), eights(&data, head, whole), eights(&data, head, floating)];
    let fits = read.each_ref().map(Option::is_some);
    let found = read.map(Option::unwrap_or_default);
    let some = found.iter().any(|found| found.tokens > 0);
    Values::Read(fits, some.then(|| Box::new(found)))
}

/// Unpacks by whatever of snappy, Zstandard and gzip, or nothing, gives just so many bytes.
fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if packed.starts_with(b"\x28\xb5\x2f\xfd") {
        let mut out = Vec::with_capacity(length);
        return zstd_safe::decompress(&mut out, packed).ok().filter(|size| *size == length).map(|_| out);
    }
    if packed.starts_with(b"\x1f\x8b\x08\0") {
        let mut out = vec![0; length];
        let mut inflate = flate2::Decompress::new(false);
        let state = inflate.decompress(packed.get(10..)?, &mut out, flate2::FlushDecompress::Finish);
        let whole = state.is_ok() && inflate.total_out() == length as u64;
        return whole.then_some(out);
    }
    snappy::unpack(packed, length).or_else(|| (packed.len() == length).then(|| packed.to_vec()))
}

/// Texts with their lengths before them; none if they do not fill the page. Levels, which come first, have a length as well, and
/// are taken for up to two more texts.
fn texts(data: &[u8], values: usize) -> Option<Found> {
    let mut found = Found::default();
    let (mut rest, mut count) = (data, 0);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let text = after.get(..u32::from_le_bytes(*length) as usize)?;
        count += 1;
        if count > values + 2 {
            return None;
        }
        scan_whole(text, &mut |token| found.take(token.digits));
        rest = &after[text.len()..];
    }
    rest.is_empty().then_some(found)
}

/// Values of eight bytes, behind as many levels as leave a whole number of them; none if that is never so.
fn eights(data: &[u8], head: &Head, number: fn([u8; 8]) -> Option<u64>) -> Option<Found> {
    let mut rest = data;
    for _ in 0..3 {
        let (eights, behind) = rest.as_chunks::<8>();
        // In version 2, and where no value is missing, there are no levels here.
        if behind.is_empty()
            && (eights.len() == head.values
                || (rest.len() < data.len() || head.levels > 0) && eights.len() < head.values)
        {
            let mut found = Found::default();
            eights.iter().filter_map(|bytes| number(*bytes)).for_each(|number| found.take(digits(number)));
            return Some(found);
        }
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after.get(u32::from_le_bytes(*length) as usize..)?;
    }
    None
}

fn whole(bytes: [u8; 8]) -> Option<u64> {
    numbers::whole(u64::from_le_bytes(bytes))
}

fn floating(bytes: [u8; 8]) -> Option<u64> {
    numbers::floating(f64::from_le_bytes(bytes))
}

impl Found {
    fn take(&mut self, digits: [u8; 11]) {
        self.tokens += 1;
        if national(&digits).is_some() {
            self.count += 1;
            if self.numbers.len() < PAGE_NUMBERS {
                self.numbers.push(digits);
            }
        }
    }
}
