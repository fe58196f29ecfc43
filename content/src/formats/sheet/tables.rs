//! Tables of OpenDocument: all sheets of a spreadsheet stand in one part, each cell with its text and, if it is a number, that as an
//! attribute. A cell, or a row, that comes several times stands there once.

use super::{Cell, Kind, Part, SHEET_COLUMNS, Sheet, SmallCells, VALUE_BYTES, WORKBOOK_BYTES, attribute};

/// Cells that are taken for those that stand there once; beyond them only the first is.
const REPEATS: usize = 2_000_000;

/// What is read of them.
#[derive(Default)]
pub struct Tables {
    /// Sheets that have ended.
    ended: Vec<Sheet>,
    weight: usize,
    repeats: usize,
    cell: Option<Open>,
}

/// The cell that is open.
struct Open {
    column: usize,
    times: usize,
    number: Option<Vec<u8>>,
}

impl Part {
    /// Takes a tag of tables, by its name without a prefix.
    pub(super) fn table_tag(&mut self, local: &[u8], attributes: &[u8], closes: bool, empty: bool) {
        match (local, closes) {
            (b"table", true) => self.end_table(),
            (b"table-row", false) => {
                self.cell = Cell { row: self.row + 1, ..Cell::default() };
                self.row = self.row.saturating_add(times(attributes, b"table:number-rows-repeated") as u64);
            }
            (b"table-row", true) => self.sheet.header_over |= !self.sheet.header.is_empty(),
            (b"table-cell" | b"covered-table-cell", false) => {
                self.begin_cell(attributes);
                if empty {
                    self.end_table_cell();
                }
            }
            (b"table-cell" | b"covered-table-cell", true) => self.end_table_cell(),
            // Paragraphs of a cell are lines.
            (b"p", true) => {
                self.value.iter_mut().filter(|value| value.len() < VALUE_BYTES).for_each(|value| value.push(b'\n'))
            }
            _ => {}
        }
    }

    fn begin_cell(&mut self, attributes: &[u8]) {
        let times = times(attributes, b"table:number-columns-repeated");
        let column = self.cell.next;
        self.cell.next = column.saturating_add(times);
        let number = attribute(attributes, b"office:value").map(<[u8]>::to_vec);
        self.tables.cell = Some(Open { column, times, number });
        self.value = Some(Vec::new());
    }

    fn end_table_cell(&mut self) {
        let (Some(open), Some(text)) = (self.tables.cell.take(), self.value.take()) else { return };
        let (kind, value) = match &open.number {
            Some(number) => (Kind::Number, &number[..]),
            None => (Kind::Text, text.trim_ascii()),
        };
        if value.is_empty() {
            return;
        }
        let last = open.column.saturating_add(open.times).min(SHEET_COLUMNS);
        for column in open.column..last {
            let first = column == open.column;
            if !first && self.tables.repeats == REPEATS {
                break;
            }
            self.tables.repeats += usize::from(!first);
            self.sheet.take(&Cell { column, kind, ..self.cell }, value);
        }
    }

    fn end_table(&mut self) {
        let small = self.sheet.small.as_ref().map(SmallCells::another);
        let sheet = std::mem::replace(&mut self.sheet, Sheet { small, ..Sheet::default() });
        self.row = 0;
        self.tables.weight += sheet.weight();
        // What does not fit is weighed where it stands, without columns.
        if self.tables.weight <= WORKBOOK_BYTES {
            self.tables.ended.push(sheet);
        }
    }
}

/// How often a cell or a row comes.
fn times(attributes: &[u8], name: &[u8]) -> usize {
    let times = attribute(attributes, name);
    times.and_then(|times| std::str::from_utf8(times).ok()?.parse().ok()).unwrap_or(1).max(1)
}

impl Tables {
    /// The sheets.
    pub fn finish(self) -> Vec<Sheet> {
        self.ended
    }
}
