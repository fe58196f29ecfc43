//! What the pages of a data set say of its columns and rows.

use super::super::head::{Cursor, MAX_VARIABLES, Order, Stop, text};
use super::unpack::Packing;
use super::{MAX_PAGE, Shape};

/// Bytes of all texts that columns are named by.
const MAX_TEXTS: usize = 32 << 20;

/// What begins a part that says something.
pub const ROW_SIZE: u32 = 0xf7f7_f7f7;
pub const COLUMN_TEXT: u32 = 0xffff_fffd;
pub const COLUMN_NAME: u32 = 0xffff_ffff;
pub const COLUMN_PLACE: u32 = 0xffff_fffc;
pub const COLUMN_LABEL: u32 = 0xffff_fbfe;

/// The number of columns, and the least mark of all other parts.
const COLUMN_COUNT: u32 = 0xf6f6_f6f6;
const OTHERS: u32 = 0xffff_f000;

/// What pages have said so far.
#[derive(Default)]
pub struct Said {
    blobs: Vec<Vec<u8>>,
    bytes: usize,
    pub names: Vec<Vec<u8>>,
    pub labels: Vec<Vec<u8>>,
    pub fields: Vec<(usize, usize, bool)>,
    pub row: usize,
    pub rows: u64,
    pub rows_on_mixed: u64,
    /// How rows are packed, if they are.
    pub packing: Option<Packing>,
}

/// Whether a part begins like one that says something, and is no row.
pub fn says_something(part: &[u8], shape: Shape) -> bool {
    mark(part, shape).is_ok_and(|mark| [ROW_SIZE, COLUMN_COUNT].contains(&mark) || mark >= OTHERS)
}

fn mark(part: &[u8], shape: Shape) -> Result<u32, Stop> {
    let mut at = Cursor::new(part, 0, shape.order);
    let mark = at.four()?;
    if shape.wide && shape.order == Order::Big && mark == u32::MAX { at.four() } else { Ok(mark) }
}

impl Said {
    /// Takes a part that says something.
    pub fn part(&mut self, part: &[u8], shape: Shape) -> Result<(), Stop> {
        let word = if shape.wide { 8 } else { 4 };
        let mark = mark(part, shape)?;
        let wrong = Stop::Wrong(0, "more columns than are read");
        let at = |place: usize| Cursor::new(part, place, shape.order);
        match mark {
            ROW_SIZE => {
                self.row = shape.number(&mut at(5 * word))?;
                self.rows = shape.number(&mut at(6 * word))? as u64;
                self.rows_on_mixed = shape.number(&mut at(15 * word))? as u64;
                if !(1..=MAX_PAGE).contains(&self.row) {
                    return Err(Stop::Wrong(0, "a row that is too long"));
                }
            }
            COLUMN_TEXT => {
                let blob = part[word..].to_vec();
                self.packing = self.packing.or(Packing::named_in(&blob));
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
                    let (start, width) = (shape.number(&mut at)?, at.four()? as usize);
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
