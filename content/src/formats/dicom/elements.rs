//! DICOM's data elements as they stream by (PS3.5 section 7): three encodings, sequences, items, fragments of pixels.

use super::tags;

/// Sequences and items within one another.
const MAX_DEPTH: usize = 64;

/// What a stream of elements is told to.
pub trait Elements {
    /// A value begins.
    fn begin(&mut self, element: &Element);

    /// More of it.
    fn piece(&mut self, element: &Element, bytes: &[u8]);

    /// It is whole.
    fn end(&mut self, element: &Element);
}

/// The head of an element with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Group in the upper half, element in the lower.
    pub tag: u32,
    /// Offset of its first value byte.
    pub start: u64,
    /// Bytes of its value.
    pub length: u64,
    /// How many sequences it stands in.
    pub depth: usize,
}

/// How elements are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Without representations of values.
    pub implicit: bool,
    /// With the most significant byte first.
    pub big: bool,
}

/// Little endian with representations, as file headers are.
pub const EXPLICIT: Encoding = Encoding { implicit: false, big: false };

/// Why elements cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Where.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// Walks through elements in one encoding.
pub struct Walk {
    encoding: Encoding,
    levels: Vec<Level>,
    head: Vec<u8>,
    at: At,
    offset: u64,
}

struct Level {
    kind: Kind,
    /// Where it ends; `None`: where a delimiter says so.
    end: Option<u64>,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence,
    Item,
    Pixels,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Head,
    /// At a value that may be a sequence: its first four bytes tell.
    Peek(Element),
    Value(Element, u64),
}

impl Walk {
    /// Walks from `offset` on.
    pub fn new(encoding: Encoding, offset: u64) -> Self {
        Self { encoding, levels: Vec::new(), head: Vec::new(), at: At::Head, offset }
    }

    /// Where the next byte is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They cannot be elements.
    pub fn feed(&mut self, mut bytes: &[u8], to: &mut dyn Elements) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.at {
                At::Value(element, left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, later) = bytes.split_at(length);
                    to.piece(&element, now);
                    bytes = later;
                    self.offset += length as u64;
                    self.value(element, left - length as u64, to);
                }
                At::Head | At::Peek(_) => {
                    self.head.push(bytes[0]);
                    bytes = &bytes[1..];
                    self.offset += 1;
                    self.head(to)?;
                }
            }
        }
        Ok(())
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// Something has not ended.
    pub fn finish(&mut self) -> Result<(), Broken> {
        self.close();
        let open = !self.head.is_empty() || !matches!(self.at, At::Head) || !self.levels.is_empty();
        if open { self.broken("the file ends within an element: it may have been cut off") } else { Ok(()) }
    }

    fn broken<T>(&self, what: &'static str) -> Result<T, Broken> {
        Err(Broken { offset: self.offset, what })
    }

    fn value(&mut self, element: Element, left: u64, to: &mut dyn Elements) {
        self.at = At::Value(element, left);
        if left == 0 {
            to.end(&element);
            self.at = At::Head;
            self.close();
        }
    }

    /// Closes what ends here.
    fn close(&mut self) {
        while self.levels.last().is_some_and(|level| level.end == Some(self.offset)) {
            self.levels.pop();
        }
    }

    fn encoding(&self) -> Encoding {
        self.levels.last().map_or(self.encoding, |level| level.encoding)
    }

    /// Reads the head so far, once it is whole.
    fn head(&mut self, to: &mut dyn Elements) -> Result<(), Broken> {
        if let At::Peek(element) = self.at {
            return self.peek(element, to);
        }
        let encoding = self.encoding();
        let Some(first) = self.head.first_chunk::<8>() else { return Ok(()) };
        let [a, b, c, d, vr @ .., _, _] = *first;
        let tag = (u32::from(encoding.short([a, b])) << 16) | u32::from(encoding.short([c, d]));
        let tail = [first[4], first[5], first[6], first[7]];
        if tag >> 16 == 0xfffe {
            self.head.clear();
            return self.delimiter(tag, encoding.long(tail), to);
        }
        let length = if encoding.implicit {
            encoding.long(tail)
        } else if !vr.iter().all(u8::is_ascii_uppercase) {
            return self.broken("an element without a representation of its value");
        } else if tags::has_long_length(vr) {
            let Some(last) = self.head.get(8..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(()) };
            encoding.long(*last)
        } else {
            u32::from(encoding.short([tail[2], tail[3]]))
        };
        self.head.clear();
        self.element(tag, vr, length, to)
    }

    fn element(&mut self, tag: u32, vr: [u8; 2], length: u32, to: &mut dyn Elements) -> Result<(), Broken> {
        if self.levels.last().is_some_and(|level| level.kind != Kind::Item) {
            return self.broken("an element where an item was due");
        }
        let encoding = self.encoding();
        let maybe_sequence = encoding.implicit || vr == *b"UN";
        // Values of unknown representation are encoded without one (PS3.5 section 6.2.2).
        let inner = if vr == *b"UN" { Encoding { implicit: true, big: false } } else { encoding };
        if length == u32::MAX {
            let kind = match tag {
                tags::PIXEL_DATA => Kind::Pixels,
                _ if vr == *b"SQ" || maybe_sequence => Kind::Sequence,
                _ => return self.broken("an element of undefined length that may have none"),
            };
            return self.open(kind, None, inner);
        }
        let depth = self.levels.iter().filter(|level| level.kind == Kind::Sequence).count();
        let element = Element { tag, start: self.offset, length: u64::from(length), depth };
        let end = self.within(element.length)?;
        if vr == *b"SQ" && !encoding.implicit {
            self.open(Kind::Sequence, Some(end), inner)?;
            self.close();
            return Ok(());
        }
        if maybe_sequence && length >= 8 && tag != tags::PIXEL_DATA {
            self.at = At::Peek(element);
            return Ok(());
        }
        to.begin(&element);
        self.value(element, element.length, to);
        Ok(())
    }

    /// A value that may be a sequence is one if it begins with an item.
    fn peek(&mut self, element: Element, to: &mut dyn Elements) -> Result<(), Broken> {
        let encoding = self.encoding();
        let Some(first) = self.head.first_chunk::<4>() else { return Ok(()) };
        let first = *first;
        // In explicit encodings it is of unknown representation: little endian, then.
        let inner = if encoding.implicit { encoding } else { Encoding { implicit: true, big: false } };
        if inner.short([first[0], first[1]]) == 0xfffe && inner.short([first[2], first[3]]) == 0xe000 {
            self.at = At::Head;
            return self.open(Kind::Sequence, Some(element.start + element.length), inner);
        }
        self.head.clear();
        to.begin(&element);
        to.piece(&element, &first);
        self.value(element, element.length - 4, to);
        Ok(())
    }

    fn delimiter(&mut self, tag: u32, length: u32, to: &mut dyn Elements) -> Result<(), Broken> {
        let last = self.levels.last().map(|level| (level.kind, level.end.is_some()));
        match (tag, last) {
            (tags::ITEM, Some((Kind::Pixels, _))) => {
                let element =
                    Element { tag: tags::PIXEL_DATA, start: self.offset, length: u64::from(length), depth: 0 };
                self.within(element.length)?;
                to.begin(&element);
                self.value(element, element.length, to);
                Ok(())
            }
            (tags::ITEM, Some((Kind::Sequence, _))) => {
                let end = if length == u32::MAX { None } else { Some(self.within(u64::from(length))?) };
                self.open(Kind::Item, end, self.encoding())?;
                self.close();
                Ok(())
            }
            (tags::ITEM_END, Some((Kind::Item, false)))
            | (tags::SEQUENCE_END, Some((Kind::Sequence | Kind::Pixels, false))) => {
                self.levels.pop();
                self.close();
                Ok(())
            }
            _ => self.broken("an item or delimiter where none belongs"),
        }
    }

    fn open(&mut self, kind: Kind, end: Option<u64>, encoding: Encoding) -> Result<(), Broken> {
        if self.levels.len() >= MAX_DEPTH {
            return self.broken("sequences nested too deep");
        }
        self.levels.push(Level { kind, end, encoding });
        Ok(())
    }

    /// Where something of this length ends; it must lie within what it stands in.
    fn within(&self, length: u64) -> Result<u64, Broken> {
        let end = self.offset + length;
        let outer = self.levels.iter().rev().find_map(|level| level.end);
        if outer.is_some_and(|outer| end > outer) {
            return self.broken("an element that reaches beyond what it stands in");
        }
        Ok(end)
    }
}

impl Encoding {
    fn short(self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}
