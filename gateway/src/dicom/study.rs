//! Where an image belongs: study, series and instance, read out of its data set as it streams by.

use super::command::uid;
use flate2::{Decompress, FlushDecompress, Status};
use sluse_content::elements::{Element, Elements, Encoding, Walk};

/// The tags of the UIDs.
const SOP_CLASS: u32 = 0x0008_0016;
const SOP_INSTANCE: u32 = 0x0008_0018;
const STUDY: u32 = 0x0020_000d;
const SERIES: u32 = 0x0020_000e;

/// Bytes of the longest UID.
const MAX_UID: usize = 64;

/// Bytes that a deflated data set is looked through for them.
const MAX_INFLATED: usize = 64 * 1024 * 1024;

/// Transfer syntaxes that are not explicit little endian (PS3.5 annex A).
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: [&str; 3] = ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"];

/// The UIDs of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its SOP class, where it says so.
    pub class: Option<String>,
    /// Its own, where it says so.
    pub instance: Option<String>,
    /// Its study's.
    pub study: Option<String>,
    /// Its series'.
    pub series: Option<String>,
    value: Vec<u8>,
    past: bool,
}

/// Looks for them. What comes behind them is not looked at.
pub struct Finder {
    walk: Walk,
    found: Found,
    inflate: Option<Box<Decompress>>,
    inflated: usize,
    broken: bool,
}

impl Finder {
    /// In a data set of this transfer syntax.
    pub fn new(syntax: &str) -> Self {
        let encoding = Encoding { implicit: syntax == IMPLICIT, big: syntax == BIG_ENDIAN };
        let inflate = DEFLATED.contains(&syntax).then(|| Box::new(Decompress::new(false)));
        Self { walk: Walk::new(encoding, 0), found: Found::default(), inflate, inflated: 0, broken: false }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken || self.found.past {
            return;
        }
        match self.inflate.take() {
            None => self.walk(bytes),
            Some(mut state) => {
                self.inflate(&mut state, bytes);
                self.inflate = Some(state);
            }
        }
    }

    /// What was found; none where the data set could not be read so far.
    pub fn finish(self) -> Option<Found> {
        (!self.broken).then_some(self.found)
    }

    fn walk(&mut self, bytes: &[u8]) {
        // In small bites, so that not much is walked through behind what is looked for.
        for bite in bytes.chunks(4096) {
            if self.found.past || self.broken {
                return;
            }
            self.broken = self.walk.feed(bite, &mut self.found).is_err() && !self.found.past;
        }
    }

    fn inflate(&mut self, state: &mut Decompress, mut bytes: &[u8]) {
        let mut plain = [0; 16 * 1024];
        while !self.found.past && !self.broken {
            let (read, made) = (state.total_in(), state.total_out());
            let Ok(status) = state.decompress(bytes, &mut plain, FlushDecompress::None) else {
                self.broken = true;
                return;
            };
            let count = usize::try_from(state.total_out() - made).unwrap_or(0);
            let taken = usize::try_from(state.total_in() - read).unwrap_or(0);
            bytes = &bytes[taken..];
            self.inflated += count;
            self.broken = self.inflated > MAX_INFLATED;
            self.walk(&plain[..count]);
            let stuck = taken == 0 && count == 0;
            if stuck || status == Status::StreamEnd || (bytes.is_empty() && count < plain.len()) {
                return;
            }
        }
    }
}

impl Found {
    fn place(&mut self, tag: u32) -> Option<&mut Option<String>> {
        match tag {
            SOP_CLASS => Some(&mut self.class),
            SOP_INSTANCE => Some(&mut self.instance),
            STUDY => Some(&mut self.study),
            SERIES => Some(&mut self.series),
            _ => None,
        }
    }
}

impl Elements for Found {
    fn begin(&mut self, element: &Element) {
        self.value.clear();
        // Elements ascend: behind these none of them comes.
        self.past |= element.depth == 0 && element.tag > SERIES;
    }

    fn piece(&mut self, element: &Element, bytes: &[u8]) {
        if element.depth == 0 && self.place(element.tag).is_some() {
            let room = (MAX_UID + 1).saturating_sub(self.value.len());
            self.value.extend(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end(&mut self, element: &Element) {
        if element.depth == 0 && !self.past {
            let value = uid(&self.value);
            if let Some(place) = self.place(element.tag) {
                *place = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data set in explicit little endian: a sequence with a study of its own in front, pixels behind.
    fn data_set() -> Vec<u8> {
        let mut set = Vec::new();
        let short = |set: &mut Vec<u8>, tag: u32, vr: &[u8; 2], value: &[u8]| {
            set.extend(((tag >> 16) as u16).to_le_bytes());
            set.extend((tag as u16).to_le_bytes());
            set.extend(vr);
            set.extend((value.len() as u16).to_le_bytes());
            set.extend(value);
        };
        short(&mut set, SOP_CLASS, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0");
        short(&mut set, SOP_INSTANCE, b"UI", b"1.2.30");
        let mut item = Vec::new();
        short(&mut item, STUDY, b"UI", b"9.9.90");
        set.extend([8, 0, 0x40, 0x11, b'S', b'Q', 0, 0]);
        set.extend((item.len() as u32 + 8).to_le_bytes());
        set.extend([0xfe, 0xff, 0, 0xe0]);
        set.extend((item.len() as u32).to_le_bytes());
        set.extend(item);
        short(&mut set, STUDY, b"UI", b"1.2.31");
        short(&mut set, SERIES, b"UI", b"1.2.3.2\0");
        short(&mut set, 0x0028_0010, b"US", &[1, 0]);
        set
    }

    fn find(syntax: &str, bytes: &[u8], piece: usize) -> Option<Found> {
        let mut finder = Finder::new(syntax);
        bytes.chunks(piece).for_each(|piece| finder.feed(piece));
        finder.finish()
    }

    #[test]
    fn the_study_of_the_image_is_found_and_not_that_of_another_within_it() {
        for piece in [1, 7, 10_000] {
            let found = find("1.2.840.10008.1.2.1", &data_set(), piece).unwrap();
            assert_eq!((found.study.as_deref(), found.series.as_deref()), (Some("1.2.31"), Some("1.2.3.2")));
            assert_eq!(found.instance.as_deref(), Some("1.2.30"));
        }
    }

    #[test]
    fn it_is_found_in_a_deflated_data_set() {
        let mut deflated = Vec::with_capacity(4096);
        let mut state = flate2::Compress::new(flate2::Compression::best(), false);
        state.compress_vec(&data_set(), &mut deflated, flate2::FlushCompress::Finish).unwrap();
        let found = find(DEFLATED[0], &deflated, 5).unwrap();
        assert_eq!(found.study.as_deref(), Some("1.2.31"));
    }

    #[test]
    fn what_is_no_data_set_has_no_study() {
        assert_eq!(find("1.2.840.10008.1.2.1", &[0xff; 100], 10), None);
        assert_eq!(find("1.2.840.10008.1.2.1", b"", 1).unwrap().study, None);
        assert!(find(DEFLATED[0], b"this is not deflated", 3).is_none_or(|found| found.study.is_none()));
    }
}
