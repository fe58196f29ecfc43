//! The head of SPSS's files (`.sav`, `.zsav`): a fixed part, then records, of which one for each eight bytes of a row.

use super::head::{Cursor, Field, Kind, Layout, MAX_VARIABLES, Order, Packing, Stop, Variable, text};
use std::collections::HashMap;

/// Bytes of the fixed part.
const FIXED: usize = 176;

/// Kinds of records.
const VARIABLE: u32 = 2;
const VALUE_LABELS: u32 = 3;
const LABELLED: u32 = 4;
const DOCUMENT: u32 = 6;
const EXTENSION: u32 = 7;
const END: u32 = 999;

/// The extension with the long names of variables.
const LONG_NAMES: u32 = 13;

/// Reads the head at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Layout, Stop> {
    let mut at = Cursor::new(bytes, 64, Order::Little);
    if !matches!(at.four()?, 2 | 3) {
        at = Cursor::new(bytes, 64, Order::Big);
        if !matches!(at.four()?, 2 | 3) {
            return Err(Stop::Wrong(64, "an order of bytes that SPSS does not have"));
        }
    }
    at.four()?;
    let packing = match at.four()? {
        0 => Packing::Plain,
        1 => Packing::Codes(at.order),
        2 => Packing::Blocks(at.order),
        _ => return Err(Stop::Unknown("SPSS data in a packing that is not read here")),
    };
    at.four()?;
    let rows = Some(at.four()?).filter(|rows| *rows <= i32::MAX as u32).map(u64::from);
    at.at = FIXED;
    let mut head = Head::default();
    while !head.record(&mut at)? {}
    head.layout(at.at, rows, packing)
}

/// What records have said.
#[derive(Default)]
struct Head {
    variables: Vec<Variable>,
    fields: Vec<Field>,
    long: HashMap<Vec<u8>, Vec<u8>>,
}

impl Head {
    /// Reads one record; says whether it was the last.
    fn record(&mut self, at: &mut Cursor<'_>) -> Result<bool, Stop> {
        let start = at.at;
        match at.four()? {
            VARIABLE => self.variable(at)?,
            VALUE_LABELS => {
                for _ in 0..at.four()? {
                    at.take(8)?;
                    let length = usize::from(at.byte()?);
                    at.take((length + 1).next_multiple_of(8) - 1)?;
                }
            }
            LABELLED => {
                let count = at.four()? as usize;
                at.skip(4, count)?;
            }
            DOCUMENT => {
                let lines = at.four()? as usize;
                at.skip(80, lines)?;
            }
            EXTENSION => self.extension(at)?,
            END => {
                at.four()?;
                return Ok(true);
            }
            _ => return Err(Stop::Wrong(start, "a record that SPSS does not have")),
        }
        Ok(false)
    }

    fn variable(&mut self, at: &mut Cursor<'_>) -> Result<(), Stop> {
        let start = at.at;
        let (width, labelled, missing) = (at.four()?.cast_signed(), at.four()?, at.four()?.cast_signed());
        at.take(8)?;
        let name = text(at.take(8)?);
        let label = if labelled == 1 {
            let length = at.four()? as usize;
            let label = at.take(length)?;
            at.take(length.next_multiple_of(4) - length)?;
            text(label)
        } else {
            Vec::new()
        };
        at.take(8 * missing.unsigned_abs().min(3) as usize)?;
        match (width, self.fields.last_mut()) {
            // The next eight bytes of a text.
            (-1, Some(field)) if field.kind == Kind::Text => field.width += 8,
            (0..=255, _) if self.variables.len() < MAX_VARIABLES => {
                let kind = if width == 0 { Kind::Floating(at.order) } else { Kind::Text };
                self.fields.push(Field { variable: self.variables.len(), width: 8, kind });
                self.variables.push(Variable { name, label });
            }
            _ => return Err(Stop::Wrong(start, "a variable of a width that SPSS does not have, or too many")),
        }
        Ok(())
    }

    fn extension(&mut self, at: &mut Cursor<'_>) -> Result<(), Stop> {
        let (kind, size, count) = (at.four()?, at.four()? as usize, at.four()? as usize);
        let length = size.checked_mul(count).ok_or(Stop::Wrong(at.at, "a length that cannot be"))?;
        let data = at.take(length)?;
        if kind == LONG_NAMES {
            for pair in data.split(|byte| *byte == b'\t') {
                if let Some(place) = pair.iter().position(|byte| *byte == b'=') {
                    self.long.insert(text(&pair[..place]), text(&pair[place + 1..]));
                }
            }
        }
        Ok(())
    }

    fn layout(mut self, start: usize, rows: Option<u64>, packing: Packing) -> Result<Layout, Stop> {
        for variable in &mut self.variables {
            if let Some(long) = self.long.remove(&variable.name) {
                variable.name = long;
            }
        }
        let Self { variables, fields, .. } = self;
        Layout { variables, fields, rows, start, packing }.checked()
    }
}
