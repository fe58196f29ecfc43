//! JPEG: segments with their lengths, and between them the picture; EXIF data and texts in some segments.

use super::exif::Signs;
use crate::formats::Plain;
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use std::sync::Arc;

/// What begins the segment of EXIF data.
const EXIF: &[u8] = b"Exif\0\0";

/// Markers: start and end of the picture, start of its data, a comment, and those that stand alone.
const START: u8 = 0xd8;
const END: u8 = 0xd9;
const DATA: u8 = 0xda;
const COMMENT: u8 = 0xfe;

/// Reads one picture.
pub struct Jpeg {
    looks: bool,
    signs: Signs,
    texts: Plain,
    at: At,
    segment: Vec<u8>,
    /// Where the segment's data begin.
    start: u64,
    offset: u64,
    wrong: Option<(u64, &'static str)>,
    behind: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the picture's first marker, or after one byte of it.
    Mark(bool),
    /// A marker's first byte must come.
    Marker,
    /// It has come; so many may.
    Kind,
    /// The first byte of a segment's length, and the second.
    Length(u8, Option<u8>),
    /// So many bytes of a segment.
    Segment(u8, u16),
    /// The picture's data, perhaps with the first byte of a marker before.
    Data(bool),
    Behind,
    Wrong,
}

impl Jpeg {
    /// Reads a picture under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            looks: policy.identifiers.is_some(),
            signs: Signs::default(),
            texts: Plain::of(policy, "texts beside the picture"),
            at: At::Mark(false),
            segment: Vec::new(),
            start: 0,
            offset: 0,
            wrong: None,
            behind: None,
        }
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.at {
            At::Segment(kind, left) => {
                let count = usize::from(left).min(bytes.len());
                self.data(kind, &bytes[..count]);
                self.at = At::Segment(kind, left - count as u16);
                if self.at == At::Segment(kind, 0) {
                    self.end_segment(kind);
                }
                return count;
            }
            At::Data(false) => {
                let Some(place) = memchr::memchr(0xff, bytes) else { return bytes.len() };
                self.at = At::Data(true);
                return place + 1;
            }
            At::Behind => {
                self.behind.get_or_insert(self.offset);
                return bytes.len();
            }
            At::Wrong => {
                self.texts.feed_at(bytes, self.offset);
                return bytes.len();
            }
            _ => {}
        }
        self.at = self.byte(bytes[0]).unwrap_or_else(|what| {
            self.wrong = Some((self.offset, what));
            At::Wrong
        });
        1
    }

    fn byte(&mut self, byte: u8) -> Result<At, &'static str> {
        const NO_MARKER: &str = "no marker stands where one must";
        match self.at {
            At::Mark(false) if byte == 0xff => Ok(At::Mark(true)),
            At::Mark(true) if byte == START => Ok(At::Marker),
            At::Mark(_) => Err("it does not begin as a JPEG picture does"),
            At::Marker if byte == 0xff => Ok(At::Kind),
            At::Marker => Err(NO_MARKER),
            // Any number of them may stand before a marker; in the data a zero or a counter behind one is data.
            At::Kind | At::Data(true) if byte == 0xff => Ok(self.at),
            At::Data(true) if matches!(byte, 0 | 0xd0..=0xd7) => Ok(At::Data(false)),
            At::Kind | At::Data(_) => match byte {
                END => Ok(At::Behind),
                0x01 | 0xd0..=0xd7 => Ok(At::Marker),
                0 | START | 0x02..=0xbf => Err(NO_MARKER),
                kind => Ok(At::Length(kind, None)),
            },
            At::Length(kind, None) => Ok(At::Length(kind, Some(byte))),
            At::Length(kind, Some(first)) => {
                let length = u16::from_be_bytes([first, byte]).checked_sub(2).ok_or("a segment of no length")?;
                self.segment.clear();
                self.start = self.offset + 1;
                if length == 0 {
                    self.end_segment(kind);
                    return Ok(self.at);
                }
                Ok(At::Segment(kind, length))
            }
            At::Segment(..) | At::Behind | At::Wrong => Ok(self.at),
        }
    }

    fn data(&mut self, kind: u8, bytes: &[u8]) {
        if matches!(kind, 0xe0..=0xef | COMMENT) {
            self.segment.extend_from_slice(bytes);
        }
    }

    fn end_segment(&mut self, kind: u8) {
        let segment = std::mem::take(&mut self.segment);
        self.at = if kind == DATA { At::Data(false) } else { At::Marker };
        self.texts.feed_at(&segment, self.start);
        self.texts.end_value();
        if let Some(exif) = segment.strip_prefix(EXIF)
            && self.looks
            && kind == 0xe1
        {
            self.signs.look(exif, self.start + EXIF.len() as u64);
        }
    }
}

impl Reader for Jpeg {
    fn feed(&mut self, mut bytes: &[u8], _: &mut dyn Sink) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        let ended = matches!(self.at, At::Behind | At::Wrong);
        super::tell_shape(ended, self.offset, self.wrong, self.behind, sink);
        self.signs.tell(sink);
        self.texts.finish(sink);
    }
}
