//! Searches a stream for many patterns at once.
//!
//! The fixed runs of all patterns are searched for together; where one stands, the patterns that begin like it are compared
//! whole. After a hit the search goes on one byte later, so that no occurrence hides another that overlaps it.

use super::pattern::{MIN_FIXED, Pattern};
use aho_corasick::{AhoCorasick, Input, MatchKind};
use std::collections::HashMap;

/// Patterns reported of one file; more add nothing.
const MAX_FOUND: usize = 16;

/// Patterns, ready to be searched for.
pub struct Matcher {
    patterns: Vec<Pattern>,
    runs: AhoCorasick,
    by_beginning: HashMap<[u8; MIN_FIXED], Vec<usize>>,
    longest: usize,
}

impl Matcher {
    /// Prepares the search.
    ///
    /// # Errors
    /// When there are more patterns than can be searched for.
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, String> {
        let fixed: Vec<Vec<u8>> = patterns.iter().map(Pattern::fixed).collect();
        let runs = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&fixed);
        let runs = runs.map_err(|error| error.to_string())?;
        let mut by_beginning: HashMap<[u8; MIN_FIXED], Vec<usize>> = HashMap::new();
        for (number, run) in fixed.iter().enumerate() {
            let beginning = *run.first_chunk().ok_or("a pattern has too few fixed bytes")?;
            by_beginning.entry(beginning).or_default().push(number);
        }
        let longest = patterns.iter().map(Pattern::length).max().unwrap_or(0);
        Ok(Self { patterns, runs, by_beginning, longest })
    }

    /// A pattern's name.
    pub fn name(&self, pattern: usize) -> &str {
        self.patterns.get(pattern).map_or("", Pattern::name)
    }

    /// Calls `found` with each pattern that stands whole in `text`, and where.
    fn each(&self, text: &[u8], mut found: impl FnMut(usize, usize) -> bool) {
        let mut from = 0;
        while let Some(hit) = self.runs.find(Input::new(text).range(from..)) {
            let at = hit.start();
            from = at + 1;
            let beginning = text[at..].first_chunk().and_then(|beginning| self.by_beginning.get(beginning));
            for number in beginning.into_iter().flatten() {
                let start = self.patterns.get(*number).and_then(|pattern| pattern.matches(text, at));
                if start.is_some_and(|start| !found(*number, start)) {
                    return;
                }
            }
        }
    }
}

/// The search in one file.
#[derive(Default)]
pub struct Search {
    consumed: u64,
    /// The last bytes, in which a pattern may have begun.
    tail: Vec<u8>,
    found: Vec<(usize, u64)>,
}

impl Search {
    /// Searches the next bytes.
    pub fn feed(&mut self, matcher: &Matcher, bytes: &[u8]) {
        let keep = matcher.longest.saturating_sub(1);
        if !self.tail.is_empty() {
            let base = self.consumed - self.tail.len() as u64;
            let mut border = std::mem::take(&mut self.tail);
            border.extend_from_slice(&bytes[..keep.min(bytes.len())]);
            self.search(matcher, &border, base);
            self.tail = border;
        }
        self.search(matcher, bytes, self.consumed);
        self.consumed += bytes.len() as u64;
        if bytes.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            // All of these bytes were appended above, unless nothing stood there.
            if self.tail.is_empty() {
                self.tail.extend_from_slice(bytes);
            }
            self.tail.drain(..self.tail.len().saturating_sub(keep));
        }
    }

    /// Bytes that were searched.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Each pattern that was found, and where first.
    pub fn found(&self) -> &[(usize, u64)] {
        &self.found
    }

    fn search(&mut self, matcher: &Matcher, text: &[u8], base: u64) {
        let found = &mut self.found;
        if found.len() >= MAX_FOUND {
            return;
        }
        matcher.each(text, |number, start| {
            if !found.iter().any(|(known, _)| *known == number) {
                found.push((number, base + start as u64));
            }
            found.len() < MAX_FOUND
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matcher() -> Matcher {
        let patterns = ["61 61 61 61", "61 61 61 61 62 62", "61 ?? 62 61 62 61", "62 61 61 61 61"];
        Matcher::new(patterns.iter().map(|hex| Pattern::parse(hex, hex).unwrap()).collect()).unwrap()
    }

    fn naive(matcher: &Matcher, text: &[u8]) -> Vec<(usize, u64)> {
        let mut found = Vec::new();
        for (number, pattern) in matcher.patterns.iter().enumerate() {
            if let Some(start) = (0..text.len()).find_map(|at| pattern.matches(text, at)) {
                found.push((number, start as u64));
            }
        }
        found
    }

    proptest! {
        #[test]
        fn overlapping_patterns_are_found_wherever_the_stream_is_cut(
            text in proptest::collection::vec(b'a'..=b'b', 0..60),
            cuts in proptest::collection::vec(0..8usize, 0..60),
        ) {
            let matcher = matcher();
            let mut search = Search::default();
            let mut rest = &text[..];
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                search.feed(&matcher, piece);
                rest = more;
            }
            search.feed(&matcher, rest);
            let mut found = search.found().to_vec();
            found.sort_unstable();
            prop_assert_eq!(found, naive(&matcher, &text));
            prop_assert_eq!(search.consumed(), text.len() as u64);
        }
    }
}
