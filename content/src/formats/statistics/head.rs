//! What a statistics file says of itself before its rows: its variables, and how rows are made of them.

/// Variables of one file.
pub const MAX_VARIABLES: usize = 100_000;

/// Bytes of one row.
const MAX_ROW: usize = 16 << 20;

/// What is known once a file's head has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The variables, in their order.
    pub variables: Vec<Variable>,
    /// What a row is made of.
    pub fields: Vec<Field>,
    /// Rows, where the file says so.
    pub rows: Option<u64>,
    /// Bytes of the head.
    pub start: usize,
    /// How rows are packed.
    pub packing: Packing,
}

/// A variable: a column of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its name.
    pub name: Vec<u8>,
    /// What its label says of it.
    pub label: Vec<u8>,
}

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Whose value it is.
    pub variable: usize,
    /// Its bytes.
    pub width: usize,
    /// What they are.
    pub kind: Kind,
}

/// What the bytes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Characters, with spaces or zeros behind.
    Text,
    /// A floating number of eight bytes.
    Floating(Order),
    /// A whole number of four bytes.
    Whole(Order),
    /// A floating number of an IBM mainframe, of two to eight bytes.
    Mainframe,
    /// What is too short for a national number, or stands elsewhere.
    Other,
}

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least one.
    Little,
    /// The greatest one.
    Big,
}

/// How rows are packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Packing {
    /// They are not.
    Plain,
    /// Each eight bytes by a code (SPSS).
    Codes(Order),
    /// As by codes, and then by zlib, block by block (SPSS).
    Blocks(Order),
}

/// Why there is no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// So many bytes of the file at least must come.
    More(usize),
    /// It is wrong here.
    Wrong(usize, &'static str),
    /// It is of a kind that is not read here.
    Unknown(&'static str),
}

impl Layout {
    /// Checks what every layout keeps to.
    pub fn checked(self) -> Result<Self, Stop> {
        let row: usize = self.fields.iter().map(|field| field.width).sum();
        if self.variables.is_empty() || row == 0 {
            return Err(Stop::Wrong(self.start, "no variable at all"));
        }
        if row > MAX_ROW {
            return Err(Stop::Wrong(self.start, "a row is too long"));
        }
        Ok(self)
    }
}

/// Bytes of a head, read one after the other.
#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    /// Bytes that were read.
    pub at: usize,
    /// How numbers stand there.
    pub order: Order,
}

impl<'a> Cursor<'a> {
    /// Begins `at` bytes from the start.
    pub fn new(bytes: &'a [u8], at: usize, order: Order) -> Self {
        Self { bytes, at, order }
    }

    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Wrong(self.at, "a length that cannot be"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    /// So many bytes for each of so many things.
    pub fn each(&mut self, width: usize, count: usize) -> Result<std::slice::ChunksExact<'a, u8>, Stop> {
        let length = width.checked_mul(count).ok_or(Stop::Wrong(self.at, "a length that cannot be"))?;
        Ok(self.take(length)?.chunks_exact(width))
    }

    /// So many bytes for each of so many things, which do not matter.
    pub fn skip(&mut self, width: usize, count: usize) -> Result<(), Stop> {
        self.each(width, count).map(drop)
    }

    /// These very bytes.
    pub fn expect(&mut self, mark: &[u8], what: &'static str) -> Result<(), Stop> {
        let start = self.at;
        if self.take(mark.len())? == mark { Ok(()) } else { Err(Stop::Wrong(start, what)) }
    }

    /// A number of one byte.
    pub fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    /// A number of two bytes.
    pub fn two(&mut self) -> Result<u16, Stop> {
        let bytes = self.array()?;
        Ok(if self.order == Order::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    /// A number of four bytes.
    pub fn four(&mut self) -> Result<u32, Stop> {
        let bytes = self.array()?;
        Ok(if self.order == Order::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// A number of eight bytes.
    pub fn eight(&mut self) -> Result<u64, Stop> {
        let bytes = self.array()?;
        Ok(if self.order == Order::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let start = self.at;
        self.take(N)?.try_into().map_err(|_| Stop::Wrong(start, "a number that is cut off"))
    }
}

/// Text up to its first zero, without the spaces behind it.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes[..end].trim_ascii_end().to_vec()
}
