//! Text in the encodings that come: UTF-8 with or without byte order mark, UTF-16 with one, and what is left for one of the
//! one-byte encodings.

use crate::bulk::Bulk;
use crate::flaw::Flaw;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;

/// Hands text on to a reader of a text format, one byte a character as far as ASCII goes.
///
/// UTF-16 is handed on in Latin-1, what is outside of it as `0xff`: formats and digits are ASCII, and so every place in what
/// is handed on has one place in the file.
pub struct Text<R> {
    inner: R,
    encoding: Encoding,
    /// Bytes whose meaning is not known yet: of a byte order mark, or half a unit of UTF-16.
    held: Vec<u8>,
    /// Bytes before the text.
    mark: u64,
    /// Bytes handed on.
    at: u64,
    strict: bool,
    utf8: Utf8,
    nul: Option<u64>,
    surrogate: Flaw,
    high: bool,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Unknown,
    Narrow,
    Wide { big: bool },
}

impl<R: Reader> Text<R> {
    /// Reads text for `inner`. `strict`: the format asks for Unicode.
    pub fn new(inner: R, strict: bool) -> Self {
        Self {
            inner,
            encoding: Encoding::Unknown,
            held: Vec::new(),
            mark: 0,
            at: 0,
            strict,
            utf8: Utf8::default(),
            nul: None,
            surrogate: Flaw::default(),
            high: false,
            buffer: Vec::new(),
        }
    }

    fn hand_on(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        match self.encoding {
            Encoding::Unknown => {}
            Encoding::Narrow => {
                self.utf8.feed(bytes, self.at);
                self.narrow(bytes, sink);
            }
            Encoding::Wide { big } => self.wide(bytes, big, sink),
        }
    }

    fn narrow(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        if self.nul.is_none() {
            self.nul = memchr::memchr(0, bytes).map(|place| self.at + place as u64);
        }
        self.at += bytes.len() as u64;
        let (mark, unit) = (self.mark, self.unit());
        self.inner.feed(bytes, &mut Moved { sink, mark, unit });
    }

    fn wide(&mut self, mut bytes: &[u8], big: bool, sink: &mut dyn Sink) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if let [half] = self.held[..]
            && let [first, rest @ ..] = bytes
        {
            buffer.push(self.unit_of([half, *first], big, 0));
            self.held.clear();
            bytes = rest;
        }
        let (units, rest) = bytes.as_chunks::<2>();
        for unit in units {
            let at = buffer.len();
            buffer.push(self.unit_of(*unit, big, at));
        }
        self.held.extend_from_slice(rest);
        self.narrow(&buffer, sink);
        self.buffer = buffer;
    }

    /// One unit of UTF-16, `ahead` units from those handed on, in Latin-1.
    fn unit_of(&mut self, bytes: [u8; 2], big: bool, ahead: usize) -> u8 {
        let unit = if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let (high, low) = ((0xd800..0xdc00).contains(&unit), (0xdc00..0xe000).contains(&unit));
        if low != self.high {
            self.surrogate.at(self.at + ahead as u64);
        }
        self.high = high;
        u8::try_from(unit).unwrap_or(0xff)
    }

    /// Bytes of the file for each byte that is handed on.
    fn unit(&self) -> u64 {
        if matches!(self.encoding, Encoding::Wide { .. }) { 2 } else { 1 }
    }

    fn decide(&mut self, last: bool, sink: &mut dyn Sink) {
        let (encoding, mark) = match self.held[..] {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Narrow, 3),
            [0xff, 0xfe, ..] => (Encoding::Wide { big: false }, 2),
            [0xfe, 0xff, ..] => (Encoding::Wide { big: true }, 2),
            _ if self.held.len() >= 3 || last => (Encoding::Narrow, 0),
            _ => return,
        };
        (self.encoding, self.mark) = (encoding, mark);
        let held = std::mem::take(&mut self.held);
        if let Some(text) = held.get(usize::try_from(mark).unwrap_or(0)..) {
            self.hand_on(text, sink);
        }
    }
}

impl<R: Reader> Reader for Text<R> {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        while self.encoding == Encoding::Unknown && !bytes.is_empty() {
            self.held.push(bytes[0]);
            bytes = &bytes[1..];
            self.decide(false, sink);
        }
        self.hand_on(bytes, sink);
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if self.encoding == Encoding::Unknown {
            self.decide(true, sink);
        }
        let (mark, unit) = (self.mark, self.unit());
        let sink = &mut Moved { sink, mark, unit };
        self.inner.finish(sink);
        if self.nul.is_some() {
            sink.notice(Notice { class: Class::Malformed, offset: self.nul, message: "NUL in text".into() });
        }
        self.surrogate.tell(Class::Malformed, sink, "half a character of UTF-16");
        if unit == 2 && (self.high || !self.held.is_empty()) {
            let message = "the text ends within a character of UTF-16: it may have been cut off".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.at), message });
        }
        if let Some(offset) = self.utf8.wrong(self.at) {
            let class = if self.strict { Class::Malformed } else { Class::Irregular };
            sink.notice(Notice { class, offset: Some(offset), message: "the text is not in UTF-8".into() });
        }
    }

    fn bulk(&mut self) -> Option<Bulk> {
        self.inner.bulk()
    }
}

/// Moves offsets to where they are in the file.
struct Moved<'a> {
    sink: &'a mut dyn Sink,
    mark: u64,
    unit: u64,
}

impl Sink for Moved<'_> {
    fn notice(&mut self, notice: Notice) {
        let offset = notice.offset.map(|offset| offset * self.unit + self.mark);
        self.sink.notice(Notice { offset, ..notice });
    }
}

/// Checks that a stream is UTF-8, up to its first flaw.
#[derive(Default)]
struct Utf8 {
    wrong: Option<u64>,
    /// A character that is not whole yet.
    part: Vec<u8>,
}

impl Utf8 {
    /// Takes the next bytes, `at` bytes from the start.
    fn feed(&mut self, mut bytes: &[u8], at: u64) {
        let end = at + bytes.len() as u64;
        while !self.part.is_empty() && !bytes.is_empty() && self.wrong.is_none() {
            let begun = end - (bytes.len() + self.part.len()) as u64;
            self.part.push(bytes[0]);
            bytes = &bytes[1..];
            match std::str::from_utf8(&self.part) {
                Ok(_) => self.part.clear(),
                Err(error) if error.error_len().is_some() => self.wrong = Some(begun),
                Err(_) => {}
            }
        }
        if self.wrong.is_some() {
            return;
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            match error.error_len() {
                Some(_) => self.wrong = Some(end - (bytes.len() - error.valid_up_to()) as u64),
                None => self.part.extend_from_slice(&bytes[error.valid_up_to()..]),
            }
        }
    }

    /// Where the first flaw is, if there is one in a text of `end` bytes.
    fn wrong(&self, end: u64) -> Option<u64> {
        self.wrong.or_else(|| (!self.part.is_empty()).then(|| end - self.part.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut};
    use proptest::prelude::*;

    /// Tells each `x` and where it got it.
    struct Echo(u64);

    impl Reader for Echo {
        fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
            for byte in bytes {
                if *byte == b'x' || *byte == 0xf8 {
                    sink.notice(Notice { class: Class::NamedPattern, offset: Some(self.0), message: byte.to_string() });
                }
                self.0 += 1;
            }
        }

        fn finish(&mut self, _: &mut dyn Sink) {}
    }

    fn read(bytes: &[u8]) -> Vec<Notice> {
        every_cut(|| Text::new(Echo(0), true), bytes)
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
    }

    #[test]
    fn offsets_are_those_of_the_file_in_every_encoding() {
        let offsets = |bytes: &[u8]| read(bytes).iter().map(|notice| notice.offset.unwrap()).collect::<Vec<_>>();
        assert_eq!(offsets(b"axx"), [1, 2]);
        assert_eq!(offsets(b"\xef\xbb\xbfax"), [4]);
        for big in [false, true] {
            assert_eq!(offsets(&utf16("ax", big)), [4]);
            assert_eq!(read(&utf16("ø", big))[0].message, "248");
            assert_eq!(offsets(&utf16("😀x", big)), [6]);
        }
        assert_eq!(offsets(b""), [] as [u64; 0]);
        assert_eq!(offsets(b"x"), [0]);
    }

    #[test]
    fn text_that_is_none_is_told_with_its_place() {
        let told = |bytes: &[u8]| read(bytes).last().map(|notice| (notice.class, notice.offset.unwrap()));
        assert_eq!(told(b"a\0b"), Some((Class::Malformed, 1)));
        assert_eq!(told(b"ab\xe5c"), Some((Class::Malformed, 2)));
        assert_eq!(told(b"abc\xc3"), Some((Class::Malformed, 3)));
        assert_eq!(told(&utf16("abc", false)[..7]), Some((Class::Malformed, 6)));
        assert_eq!(told(b"\xff\xfea\0\x00\xd8b\0"), Some((Class::Malformed, 6)));
        assert_eq!(told(b"\xff\xfea\0\x00\xdc"), Some((Class::Malformed, 4)));
        assert_eq!(told("blåbær 😀".as_bytes()), None);
        let lax = every_cut(|| Text::new(Echo(0), false), b"bl\xe5b\xe6r");
        assert_eq!(classes(&lax), [Class::Irregular]);
    }

    proptest! {
        #[test]
        fn utf8_is_told_as_the_standard_library_tells_it(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xc3), Just(0xa5), Just(0xf0), Just(0x9f), Just(0x80)], 0..20),
            cuts in proptest::collection::vec(0usize..20, 0..5),
        ) {
            let (mut utf8, mut from) = (Utf8::default(), 0);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            for cut in cuts {
                utf8.feed(&bytes[from..cut], from as u64);
                from = cut;
            }
            let expected = std::str::from_utf8(&bytes).err().map(|error| error.valid_up_to() as u64);
            prop_assert_eq!(utf8.wrong(bytes.len() as u64), expected);
        }
    }
}
