//! Looks for fixed runs of bytes in a stream.

/// Runs of bytes, and which of them have been seen. At most 32, none longer than 64 bytes.
pub(super) struct Needles {
    runs: &'static [&'static [u8]],
    found: u32,
    /// The last bytes, in which one may have begun.
    tail: Vec<u8>,
}

/// Bytes of the longest run.
const LONGEST: usize = 64;

impl Needles {
    pub fn new(runs: &'static [&'static [u8]]) -> Self {
        Self { runs, found: 0, tail: Vec::new() }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.tail.is_empty() {
            let mut border = std::mem::take(&mut self.tail);
            border.extend_from_slice(&bytes[..bytes.len().min(LONGEST)]);
            self.search(&border);
            self.tail = border;
        }
        self.search(bytes);
        if bytes.len() >= LONGEST {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - LONGEST..]);
        } else {
            if self.tail.is_empty() {
                self.tail.extend_from_slice(bytes);
            }
            self.tail.drain(..self.tail.len().saturating_sub(LONGEST));
        }
    }

    /// Whether a run, by its place in the list, has been seen.
    pub fn has(&self, place: usize) -> bool {
        self.found & (1 << place) != 0
    }

    fn search(&mut self, text: &[u8]) {
        for (place, run) in self.runs.iter().enumerate() {
            if !self.has(place) && memchr::memmem::find(text, run).is_some() {
                self.found |= 1 << place;
            }
        }
    }
}
