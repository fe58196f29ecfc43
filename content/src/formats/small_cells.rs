//! Counts in a table that are so small that persons may be recognised in them.

use crate::policy::Policy;
use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use std::collections::BTreeMap;

/// Columns that are told; the others are counted.
const TOLD: usize = 10;

/// Bytes of the longest cell that is looked at: spaces, nine digits, a fraction of zeros.
const VALUE_BYTES: usize = 32;

/// Small counts by column. It holds no more than one value at a time.
#[derive(Debug)]
pub struct SmallCells {
    threshold: u32,
    value: Vec<u8>,
    columns: BTreeMap<usize, Found>,
}

#[derive(Debug)]
struct Found {
    cells: u64,
    /// Where it is known.
    first_row: Option<u64>,
}

impl SmallCells {
    /// Looks for counts under the agreement's threshold, where it has one.
    pub fn of(policy: &Policy) -> Option<Self> {
        let threshold = policy.small_cells?;
        Some(Self { threshold, value: Vec::new(), columns: BTreeMap::new() })
    }

    /// Looks for the same in another table.
    pub fn another(&self) -> Self {
        Self { threshold: self.threshold, value: Vec::new(), columns: BTreeMap::new() }
    }

    /// A piece of the next cell's value.
    pub fn piece(&mut self, bytes: &[u8]) {
        // One byte more than is looked at tells that it is too long.
        let room = (VALUE_BYTES + 1).saturating_sub(self.value.len()).min(bytes.len());
        self.value.extend_from_slice(&bytes[..room]);
    }

    /// The cell's value is whole: it stands in this column, from 0 on, and this row, from 1 on.
    pub fn ends(&mut self, column: usize, row: u64) {
        let value = std::mem::take(&mut self.value);
        self.take(column, Some(row), &value);
        self.value = value;
        self.value.clear();
    }

    /// A whole cell.
    pub fn take(&mut self, column: usize, row: Option<u64>, value: &[u8]) {
        if is_small(value, self.threshold) {
            let found = self.columns.entry(column).or_insert(Found { cells: 0, first_row: row });
            found.cells += 1;
        }
    }

    /// Columns that have any.
    pub fn found(&self) -> usize {
        self.columns.len()
    }

    /// Tells them column by column; `name` is what a column is called.
    pub fn tell(&self, name: impl Fn(usize) -> String, sink: &mut dyn Sink) {
        let mut notice = |message| sink.notice(Notice { class: Class::SmallCells, offset: None, message });
        for (column, found) in self.columns.iter().take(TOLD) {
            let (name, cells, most) = (name(*column), found.cells, self.threshold.saturating_sub(1));
            let row = found.first_row.map(|row| format!(", the first in row {row}")).unwrap_or_default();
            notice(format!("{name}: {cells} × a count from 1 to {most}{row}"));
        }
        if let Some(more @ 1..) = self.columns.len().checked_sub(TOLD) {
            notice(format!("{more} more columns have counts that small"));
        }
    }
}

/// Whether a value is a whole number above 0 and under the threshold, alone or with a fraction of zeros, as `3`, `3.0` and `3,00`. One with
/// zeros before it is a code.
fn is_small(value: &[u8], threshold: u32) -> bool {
    if value.len() > VALUE_BYTES {
        return false;
    }
    let value = value.trim_ascii();
    let end = value.iter().position(|byte| matches!(byte, b'.' | b',')).unwrap_or(value.len());
    let (whole, fraction) = value.split_at(end);
    let digits = !whole.is_empty() && whole.len() <= 9 && whole.iter().all(u8::is_ascii_digit);
    if !digits || whole[0] == b'0' || !fraction.iter().skip(1).all(|byte| *byte == b'0') {
        return false;
    }
    let number = whole.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    number < threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_from_1_to_under_the_threshold() {
        for value in ["1", "4", " 3 ", "2.0", "2,00", "4."] {
            assert!(is_small(value.as_bytes(), 5), "{value}");
        }
        for value in ["", "0", "5", "14", "-3", "3.5", "3,05", "03", "3 %", "<5", "1e0", "three", ".0", "3 4", "1 000"]
        {
            assert!(!is_small(value.as_bytes(), 5), "{value}");
        }
        assert!(is_small(b"9", 10) && is_small(b"999", 1000) && !is_small(b"1", 1));
        assert!(!is_small(b"4294967297", 5) && !is_small(&[b'1'; 300], 5));
    }

    #[test]
    fn what_is_told_names_column_row_and_how_many_but_no_value() {
        let mut small = SmallCells { threshold: 5, value: Vec::new(), columns: BTreeMap::new() };
        for (row, cells) in [["north", "12", "3"], ["south", "4", "2"], ["west", "1", "40"]].iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                cell.as_bytes().iter().for_each(|byte| small.piece(&[*byte]));
                small.ends(column, row as u64 + 2);
            }
        }
        let mut told = Vec::new();
        small.tell(|column| format!("column {}", column + 1), &mut told);
        let told: Vec<&str> = told.iter().map(|notice| notice.message.as_str()).collect();
        let row = "× a count from 1 to 4, the first in row";
        assert_eq!(told, [format!("column 2: 2 {row} 3"), format!("column 3: 2 {row} 2")]);
    }
}
