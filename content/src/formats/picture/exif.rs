//! What a camera or a program wrote beside a picture (EXIF): who made it, and where.

use crate::flaw::Flaw;
use crate::reader::Sink;
use sluse_protocol::finding::Class;

/// Lists of tags that are followed, and tags in each.
const MAX_LISTS: usize = 16;
const MAX_TAGS: u16 = 4096;

/// Tags that say who: their numbers and names.
const PERSONS: &[(u16, &str)] =
    &[(0x013b, "Artist"), (0x9c9d, "XPAuthor"), (0xa430, "CameraOwnerName"), (0xa432, "Photographer")];

/// Tags that lead to another list, and that of places on earth.
const LISTS: [u16; 2] = [0x8769, 0xa005];
const PLACES: u16 = 0x8825;

/// Where something stands that names a person or a place.
#[derive(Debug, Default)]
pub struct Signs {
    persons: [Flaw; PERSONS.len()],
    place: Flaw,
    author: Flaw,
    wrong: Flaw,
}

impl Signs {
    /// Looks at EXIF data, which stand `offset` bytes from the start of the file.
    pub fn look(&mut self, exif: &[u8], offset: u64) {
        if self.tags(exif, offset).is_none() {
            self.wrong.at(offset);
        }
    }

    /// Looks at all tags; none if they are not as the format asks.
    fn tags(&mut self, exif: &[u8], offset: u64) -> Option<()> {
        let big = match exif.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let exif = Exif { bytes: exif, big };
        let mut lists = vec![exif.four(4)?];
        let mut followed = 0;
        while let Some(list) = lists.pop() {
            followed += 1;
            if list == 0 || followed > MAX_LISTS {
                continue;
            }
            let list = list as usize;
            let count = exif.two(list).filter(|count| *count <= MAX_TAGS)?;
            for number in 0..usize::from(count) {
                let at = list + 2 + 12 * number;
                let (tag, value) = (exif.two(at)?, exif.four(at + 8)?);
                if LISTS.contains(&tag) {
                    lists.push(value);
                } else if tag == PLACES {
                    // A list of the version alone names no place.
                    if exif.two(value as usize).is_some_and(|tags| tags > 1) {
                        self.place.at(offset + at as u64);
                    }
                } else if let Some(which) = PERSONS.iter().position(|(one, _)| *one == tag)
                    && exif.says_something(at)
                {
                    self.persons[which].at(offset + at as u64);
                }
            }
            lists.push(exif.four(list + 2 + 12 * usize::from(count)).unwrap_or(0));
        }
        Some(())
    }

    /// A text beside the picture names its author.
    pub fn author_at(&mut self, offset: u64) {
        self.author.at(offset);
    }

    /// Tells what was seen.
    pub fn tell(&self, sink: &mut dyn Sink) {
        self.place.tell(Class::NotDeidentified, sink, "EXIF: a place on earth (GPS)");
        for (flaw, (_, name)) in self.persons.iter().zip(PERSONS) {
            flaw.tell(Class::NotDeidentified, sink, format!("EXIF: {name} is not empty"));
        }
        self.wrong.tell(Class::Irregular, sink, "EXIF data that are not as their format asks");
        self.author.tell(Class::NotDeidentified, sink, "a text beside the picture names its author");
    }
}

struct Exif<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Exif<'_> {
    fn two(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn four(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Whether the text of the tag at this place has more than spaces and zeros.
    fn says_something(&self, at: usize) -> bool {
        let Some(length) = self.four(at + 4).map(|length| length as usize) else { return false };
        let start = if length <= 4 { Some(at + 8) } else { self.four(at + 8).map(|start| start as usize) };
        let text = start.and_then(|start| self.bytes.get(start..start.checked_add(length)?));
        // What stands elsewhere than in the data counts as something.
        text.is_none_or(|text| text.iter().any(|byte| !matches!(byte, 0 | b' ')))
    }
}
