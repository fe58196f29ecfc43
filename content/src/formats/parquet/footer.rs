//! Parquet's footer: schema, row groups, where columns lie, and the least and greatest values that it keeps of them.

use super::thrift::{BINARY, I32, I64, LIST, STRUCT, Thrift, Wrong};

/// Columns of a schema, and parts of columns in all row groups.
const MAX_COLUMNS: usize = 100_000;
const MAX_CHUNKS: usize = 4_000_000;

/// What a footer says.
#[derive(Default)]
pub struct Footer<'f> {
    /// The columns, in order.
    pub columns: Vec<Column<'f>>,
    /// Rows, and rows of all row groups together.
    pub rows: i64,
    pub rows_of_groups: i64,
    /// Where the last byte of a column lies.
    pub end: u64,
    /// The parts of columns in row groups: start, end, column. Where no start is stated it is beyond any file's end.
    pub parts: Vec<(u64, u64, usize)>,
}

/// One column.
pub struct Column<'f> {
    /// Its name, with those of the groups that it lies in.
    pub path: Vec<&'f [u8]>,
    /// How its values are stored: 2 for whole numbers of eight bytes, 6 and 7 for bytes.
    pub kind: i64,
    /// Values that stand in the footer: the least and the greatest of row groups.
    pub values: Vec<&'f [u8]>,
    /// Whether these are the least and the greatest of all row groups.
    pub is_bounded: bool,
}

/// Values of one column that are kept.
const MAX_VALUES: usize = 64;

/// Reads a footer.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Footer<'_>, Wrong> {
    let mut footer = Footer::default();
    let mut elements = Vec::new();
    let (mut groups, mut chunks) = (0usize, 0usize);
    let mut has_schema = false;
    Thrift::new(bytes).structure(|thrift, field, kind| match (field, kind) {
        (2, LIST) => {
            has_schema = true;
            thrift.list(|thrift, kind| {
                if elements.len() > 2 * MAX_COLUMNS || kind != STRUCT {
                    return Err("a schema of too many columns");
                }
                elements.push(element(thrift)?);
                Ok(())
            })?;
            footer.columns = leaves(&elements)?;
            Ok(())
        }
        (3, I64) => thrift.integer().map(|rows| footer.rows = rows),
        (4, LIST) => thrift.list(|thrift, kind| {
            groups += 1;
            if kind == STRUCT { group(thrift, &mut footer, &mut chunks) } else { Err("a row group that is none") }
        }),
        _ => thrift.skip(kind),
    })?;
    let columns = footer.columns.len();
    let agrees = groups.checked_mul(columns) == Some(footer.parts.len());
    match has_schema {
        false => Err("a footer without a schema"),
        true if agrees && footer.parts.iter().all(|(_, _, column)| *column < columns) => Ok(footer),
        true => Err("a row group of other columns than the schema has"),
    }
}

/// One element of the schema: name, children, type.
fn element<'f>(thrift: &mut Thrift<'f>) -> Result<(&'f [u8], i64, i64), Wrong> {
    let (mut name, mut children, mut stored) = (&b""[..], 0, -1);
    thrift.structure(|thrift, field, kind| match (field, kind) {
        (1, I32) => thrift.integer().map(|number| stored = number),
        (4, BINARY) => thrift.binary().map(|bytes| name = bytes),
        (5, I32) => thrift.integer().map(|number| children = number),
        _ => thrift.skip(kind),
    })?;
    Ok((name, children, stored))
}

/// The schema is a tree, written depth first: its leaves are the columns.
fn leaves<'f>(elements: &[(&'f [u8], i64, i64)]) -> Result<Vec<Column<'f>>, Wrong> {
    let Some(((_, top, _), rest)) = elements.split_first() else { return Err("a footer without a schema") };
    let (mut columns, mut open) = (Vec::new(), vec![(&b""[..], *top)]);
    for (name, children, kind) in rest {
        while open.last().is_some_and(|(_, left)| *left <= 0) {
            open.pop();
        }
        if open.len() > 64 {
            return Err("a schema of groups within too many groups");
        }
        let Some((_, left)) = open.last_mut() else { return Err("a schema that is no tree") };
        *left -= 1;
        if *children > 0 {
            open.push((name, *children));
        } else if columns.len() < MAX_COLUMNS {
            let path = open.iter().skip(1).map(|(name, _)| *name).chain([*name]).collect();
            columns.push(Column { path, kind: *kind, values: Vec::new(), is_bounded: true });
        } else {
            return Err("a schema of too many columns");
        }
    }
    if open.iter().any(|(_, left)| *left > 0) { Err("a schema that is no tree") } else { Ok(columns) }
}

fn group<'f>(thrift: &mut Thrift<'f>, footer: &mut Footer<'f>, chunks: &mut usize) -> Result<(), Wrong> {
    thrift.structure(|thrift, field, kind| match (field, kind) {
        (1, LIST) => {
            let mut column = 0;
            thrift.list(|thrift, kind| {
                *chunks += 1;
                if *chunks > MAX_CHUNKS || kind != STRUCT {
                    return Err("row groups of too many columns");
                }
                let mut part = (u64::MAX, u64::MAX, column);
                thrift.structure(|thrift, field, kind| match (field, kind) {
                    (3, STRUCT) => chunk(thrift, footer, column).map(|place| (part.0, part.1) = place),
                    _ => thrift.skip(kind),
                })?;
                if part.0 == u64::MAX
                    && let Some(column) = footer.columns.get_mut(column)
                {
                    column.is_bounded = false;
                }
                footer.parts.push(part);
                column += 1;
                Ok(())
            })
        }
        (3, I64) => {
            let rows = thrift.integer()?;
            footer.rows_of_groups = footer.rows_of_groups.saturating_add(rows);
            Ok(())
        }
        _ => thrift.skip(kind),
    })
}

/// What the footer says of a column's part in a row group: where it begins and ends.
fn chunk<'f>(thrift: &mut Thrift<'f>, footer: &mut Footer<'f>, column: usize) -> Result<(u64, u64), Wrong> {
    let (mut size, mut start) = (0u64, u64::MAX);
    let (mut least, mut greatest) = (false, false);
    let mut column = footer.columns.get_mut(column);
    let unsigned = |number: i64| u64::try_from(number).map_err(|_| "a negative place or size in the footer");
    thrift.structure(|thrift, field, kind| match (field, kind) {
        (7, I64) => thrift.integer().and_then(unsigned).map(|number| size = number),
        // Data pages and, before them, a dictionary.
        (9 | 11, I64) => thrift.integer().and_then(unsigned).map(|number| start = start.min(number.max(1))),
        (12, STRUCT) => thrift.structure(|thrift, field, kind| {
            if kind != BINARY {
                return thrift.skip(kind);
            }
            let value = thrift.binary()?;
            if let Some(column) = &mut column
                && column.values.len() < MAX_VALUES
            {
                column.values.push(value);
                // In an old and in a new way.
                least |= matches!(field, 2 | 6);
                greatest |= matches!(field, 1 | 5);
            }
            Ok(())
        }),
        _ => thrift.skip(kind),
    })?;
    if let Some(column) = column {
        column.is_bounded &= least && greatest;
    }
    if start == u64::MAX {
        return Ok((start, start));
    }
    let end = start.checked_add(size).ok_or("a column beyond the end of any file")?;
    footer.end = footer.end.max(end);
    Ok((start, end))
}
