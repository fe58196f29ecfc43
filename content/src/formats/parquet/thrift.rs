//! Thrift's compact protocol, as far as Parquet's footer and the headers of its pages need it, over bytes that are bounded and at
//! hand.

/// Structures within one another.
const MAX_DEPTH: usize = 32;

/// What is wrong with a footer.
pub type Wrong = &'static str;

/// The bytes end within a value.
pub const SHORT: Wrong = "a footer that ends within a value";

/// Types of fields and items.
pub const I32: u8 = 5;
pub const I64: u8 = 6;
pub const BINARY: u8 = 8;
pub const LIST: u8 = 9;
pub const STRUCT: u8 = 12;

/// Reads one value after another.
pub struct Thrift<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Thrift<'f> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'f [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were read.
    pub fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number of too many bytes in the footer")
    }

    /// A signed number.
    pub fn integer(&mut self) -> Result<i64, Wrong> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Bytes with their length before them.
    pub fn binary(&mut self) -> Result<&'f [u8], Wrong> {
        let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        let end = self.at.checked_add(length).ok_or(SHORT)?;
        let bytes = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(bytes)
    }

    /// The fields of a structure: `read` gets each one's number and type, and takes its value or skips it.
    pub fn structure(&mut self, mut read: impl FnMut(&mut Self, i64, u8) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let mut field = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            field = match i64::from(head >> 4) {
                0 => self.integer()?,
                step => field.saturating_add(step),
            };
            read(self, field, head & 15)?;
        }
    }

    /// The items of a list: `read` gets each one's type, and takes its value.
    pub fn list(&mut self, mut read: impl FnMut(&mut Self, u8) -> Result<(), Wrong>) -> Result<(), Wrong> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        // Each item has a byte at least: no list is longer than the footer.
        if count > self.bytes.len() as u64 {
            return Err(SHORT);
        }
        (0..count).try_for_each(|_| read(self, head & 15))
    }

    /// Passes over a value.
    pub fn skip(&mut self, kind: u8) -> Result<(), Wrong> {
        self.skip_within(kind, 0)
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err("a footer that is nested too deep");
        }
        match kind {
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => (0..8).try_for_each(|_| self.byte().map(drop)),
            8 => self.binary().map(drop),
            9 | 10 => self.list(|thrift, kind| match kind {
                // In lists, truth values take a byte.
                1 | 2 => thrift.byte().map(drop),
                _ => thrift.skip_within(kind, depth + 1),
            }),
            12 => self.structure(|thrift, _, kind| thrift.skip_within(kind, depth + 1)),
            _ => Err("a footer with a value of unknown type"),
        }
    }
}
