//! The rows of a statistics file: values one after the other, each of its variable's width.

use super::super::columns::Columns;
use super::super::numbers::{self, digits};
use super::head::{Field, Kind, Order};
use crate::identifiers::{Token, scan_whole};

/// Where bytes stand in the file.
#[derive(Debug, Clone, Copy)]
pub enum Spot {
    /// The first of them here, the others behind it.
    Here(u64),
    /// All in what was packed here.
    Within(u64),
}

impl Spot {
    /// Where the byte `at` stands.
    pub fn place(self, at: usize) -> u64 {
        match self {
            Self::Here(offset) => offset + at as u64,
            Self::Within(offset) => offset,
        }
    }
}

/// Rows on their way to their columns.
pub struct Rows {
    fields: Vec<Field>,
    /// Rows that are still to come, where that is known.
    left: Option<u64>,
    field: usize,
    /// The bytes of a value that was cut.
    value: Vec<u8>,
    start: u64,
}

impl Rows {
    /// Rows of these fields.
    pub fn new(fields: Vec<Field>, rows: Option<u64>) -> Self {
        Self { fields, left: rows, field: 0, value: Vec::new(), start: 0 }
    }

    /// Whether all rows have come that are known to be.
    pub fn are_over(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether a row, or the file, may end here.
    pub fn may_end(&self) -> bool {
        self.field == 0 && self.value.is_empty() && self.left.is_none_or(|left| left == 0)
    }

    /// Takes bytes; how many of them belong to rows.
    pub fn feed(&mut self, bytes: &[u8], spot: Spot, columns: &mut Columns) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.are_over() {
            let Some(&field) = self.fields.get(self.field) else { break };
            let rest = &bytes[at..];
            if self.value.is_empty() {
                self.start = spot.place(at);
            }
            let missing = field.width - self.value.len();
            if rest.len() < missing {
                self.value.extend_from_slice(rest);
                return bytes.len();
            }
            if self.value.is_empty() {
                value(field, &rest[..missing], self.start, columns);
            } else {
                self.value.extend_from_slice(&rest[..missing]);
                value(field, &self.value, self.start, columns);
                self.value.clear();
            }
            at += missing;
            self.next();
        }
        at
    }

    fn next(&mut self) {
        self.field += 1;
        if self.field == self.fields.len() {
            self.field = 0;
            self.left = self.left.map(|left| left - 1);
        }
    }
}

/// Takes one value, which begins `start` bytes from the start of the file.
pub fn value(field: Field, bytes: &[u8], start: u64, columns: &mut Columns) {
    if !columns.weighs() {
        return;
    }
    let number = match field.kind {
        Kind::Text => return scan_whole(bytes, &mut |token| columns.take(field.variable, &token, start)),
        Kind::Floating(order) => bytes.try_into().ok().and_then(|bytes| {
            numbers::floating(if order == Order::Little {
                f64::from_le_bytes(bytes)
            } else {
                f64::from_be_bytes(bytes)
            })
        }),
        Kind::Whole(order) => bytes.try_into().ok().and_then(|bytes| {
            let number = if order == Order::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
            numbers::whole(number.into())
        }),
        Kind::Mainframe => numbers::floating(mainframe(bytes)),
        Kind::Other => None,
    };
    if let Some(number) = number {
        columns.take(field.variable, &Token { digits: digits(number), offset: 0 }, start);
    }
}

/// A number as IBM's mainframes have it: a sign, a power of 16, and a fraction of up to 56 bits, cut off at its end.
fn mainframe(bytes: &[u8]) -> f64 {
    let Some((first, fraction)) = bytes.split_first() else { return 0.0 };
    let fraction = fraction.iter().take(7).enumerate();
    let sum: f64 = fraction.map(|(at, byte)| f64::from(*byte) * 256f64.powi(-(at as i32) - 1)).sum();
    let sign = if first & 0x80 == 0 { 1.0 } else { -1.0 };
    sign * sum * 16f64.powi(i32::from(first & 0x7f) - 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_mainframes_are_read() {
        assert_eq!(mainframe(&[0x41, 0x10, 0, 0, 0, 0, 0, 0]), 1.0);
        assert_eq!(mainframe(&[0xc2, 0x76, 0xa0]), -118.625);
        assert_eq!(mainframe(&[0x4a, 0x05, 0x81, 0x4e, 0x5f, 0xd5, 0, 0]), f64::from(0x0581_4e5f) * 256.0 + 213.0);
        assert_eq!((mainframe(&[]), mainframe(&[0; 8])), (0.0, 0.0));
    }
}
