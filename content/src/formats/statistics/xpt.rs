//! The head of SAS's transport files (`.xpt`), versions 5 and 8: records of 80 bytes, then 140 for each variable.

use super::head::{Cursor, Field, Kind, Layout, MAX_VARIABLES, Order, Packing, Stop, Variable, text};

const RECORD: usize = 80;

/// What begins each record that announces a part.
const HEADER: &[u8] = b"HEADER RECORD*******";

/// What begins the part of a second data set, which is not read.
pub const MEMBER: &[u8] = b"HEADER RECORD*******MEM";

/// Bytes that say of one variable what it is; VMS had 136.
const VARIABLE: usize = 140;

/// Reads the head at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Layout, Stop> {
    let mut at = Cursor::new(bytes, 0, Order::Big);
    // The library: its announcement, and two records.
    announced(&mut at, &[b"LIBRARY ", b"LIBV8   "])?;
    at.skip(RECORD, 2)?;
    announced(&mut at, &[b"MEMBER  ", b"MEMBV8  "])?;
    announced(&mut at, &[b"DSCRPTR ", b"DSCPTV8 "])?;
    at.skip(RECORD, 2)?;
    let start = at.at;
    let stated = announced(&mut at, &[b"NAMESTR ", b"NAMSTV8 "])?;
    let count = std::str::from_utf8(&stated[54..58]).ok().and_then(|digits| digits.trim().parse().ok());
    let count: usize = count.ok_or(Stop::Wrong(start, "a count of variables that is no number"))?;
    if count > MAX_VARIABLES {
        return Err(Stop::Wrong(start, "more variables than are read"));
    }
    let mut variables = Vec::with_capacity(count);
    let mut fields = Vec::with_capacity(count);
    for said in at.each(VARIABLE, count)? {
        let mut one = Cursor::new(said, 0, Order::Big);
        let kind = one.two()?;
        one.two()?;
        let width = usize::from(one.two()?);
        one.two()?;
        let (short, label) = (text(one.take(8)?), text(one.take(40)?));
        let long = text(&said[88..120]);
        let kind = match kind {
            1 if (2..=8).contains(&width) => Kind::Mainframe,
            2 if width > 0 => Kind::Text,
            _ => return Err(Stop::Wrong(start, "a variable of a type that SAS does not have")),
        };
        fields.push(Field { variable: variables.len(), width, kind });
        let name = if long.starts_with(&short) { long } else { short };
        variables.push(Variable { name, label });
    }
    at.take((VARIABLE * count).next_multiple_of(RECORD) - VARIABLE * count)?;
    // Long labels of version 8 stand before the rows.
    loop {
        match announced(&mut at, &[b"OBS     ", b"OBSV8   "]) {
            Ok(_) => break,
            Err(more @ Stop::More(_)) => return Err(more),
            Err(_) => at.take(RECORD)?,
        };
    }
    Layout { variables, fields, rows: None, start: at.at, packing: Packing::Plain }.checked()
}

/// The record that announces one of these parts; where it does not stand, nothing is read.
fn announced<'a>(at: &mut Cursor<'a>, parts: &[&[u8; 8]]) -> Result<&'a [u8], Stop> {
    let before = at.at;
    let record = at.take(RECORD)?;
    if record.starts_with(HEADER) && parts.iter().any(|part| record[HEADER.len()..].starts_with(*part)) {
        return Ok(record);
    }
    at.at = before;
    Err(Stop::Wrong(before, "a part that SAS's format asks for is not there"))
}
