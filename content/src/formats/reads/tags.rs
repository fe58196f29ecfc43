//! The tags of a read in BAM: two letters, a letter for the type, and a value of that type. Only text is looked at.

/// Where the reader of a read's tags stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Within a tag's three letters, of which so many have come.
    Name(u8),
    /// Within a value of so many bytes that is no text.
    Value(u64),
    /// Within text, which ends with a zero.
    Text,
    /// Within an array's type and count, of which so many bytes have come.
    Array(u8),
    /// A type that does not exist.
    Wrong,
}

/// Reads the tags of one read.
#[derive(Debug, Clone)]
pub struct Tags {
    at: At,
    /// Bytes of each value of the array, and how many there are so far.
    width: u64,
    count: u64,
}

impl Tags {
    /// At the first tag.
    pub fn new() -> Self {
        Self { at: At::Name(0), width: 0, count: 0 }
    }

    /// Whether a read may end here.
    pub fn may_end(&self) -> bool {
        self.at == At::Name(0)
    }

    /// Takes bytes; gives those of text with their place in `bytes`, and whether the text ends with them.
    pub fn feed(&mut self, bytes: &[u8], text: &mut impl FnMut(&[u8], usize, bool)) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.at {
                At::Value(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.at = of_value(left - taken);
                    taken as usize
                }
                At::Text => {
                    let end = memchr::memchr(0, rest);
                    text(&rest[..end.unwrap_or(rest.len())], at, end.is_some());
                    self.at = if end.is_some() { At::Name(0) } else { At::Text };
                    end.map_or(rest.len(), |end| end + 1)
                }
                At::Wrong => rest.len(),
                At::Name(came) => {
                    self.at = if came < 2 { At::Name(came + 1) } else { self.value(rest[0]) };
                    1
                }
                At::Array(came) => {
                    self.at = self.array(came, rest[0]);
                    1
                }
            };
        }
    }

    fn value(&mut self, kind: u8) -> At {
        match kind {
            b'Z' | b'H' => At::Text,
            b'B' => At::Array(0),
            kind => width(kind).map_or(At::Wrong, of_value),
        }
    }

    fn array(&mut self, came: u8, byte: u8) -> At {
        if came == 0 {
            let Some(width) = width(byte) else { return At::Wrong };
            (self.width, self.count) = (width, 0);
        } else {
            self.count |= u64::from(byte) << (8 * (came - 1));
        }
        if came < 4 { At::Array(came + 1) } else { of_value(self.width * self.count) }
    }
}

fn of_value(left: u64) -> At {
    if left == 0 { At::Name(0) } else { At::Value(left) }
}

/// Bytes of a value of this type, if it is of one length.
fn width(kind: u8) -> Option<u64> {
    match kind {
        b'A' | b'c' | b'C' => Some(1),
        b's' | b'S' => Some(2),
        b'i' | b'I' | b'f' => Some(4),
        b'd' => Some(8),
        _ => None,
    }
}
