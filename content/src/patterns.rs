//! Looks for the agreement's named patterns in a stream.

use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::agreement::MAX_MATCH_BYTES;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes that are searched at once. Blocks end at multiples of it from the stream's start, so that what is found does not
/// depend on how the stream was cut.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes before a block that are searched again with it, and one more for the expression to see what stands before.
const OVERLAP_BYTES: usize = MAX_MATCH_BYTES + 1;

/// Finds the first place of each pattern. A match of at most [`MAX_MATCH_BYTES`] is certain to be found.
pub struct Patterns {
    policy: Arc<Policy>,
    found: Vec<bool>,
    window: Vec<u8>,
    /// Offset of the window in the stream.
    offset: u64,
    /// Where in the window the next block ends.
    block_end: usize,
}

impl Patterns {
    /// Looks for the policy's patterns; `None` where it has none.
    pub fn new(policy: &Arc<Policy>) -> Option<Self> {
        let found = vec![false; policy.patterns.len()];
        let new = Self { policy: policy.clone(), found, window: Vec::new(), offset: 0, block_end: BLOCK_BYTES };
        (!policy.patterns.is_empty()).then_some(new)
    }

    fn search(&mut self, last: bool, sink: &mut dyn Sink) {
        let from = usize::from(self.offset > 0);
        for ((name, pattern), found) in self.policy.patterns.iter().zip(&mut self.found) {
            if *found {
                continue;
            }
            let mut at = from;
            while let Some(hit) = pattern.find_at(&self.window, at.min(self.window.len())) {
                // One that ends with the window might be longer, or none, with what comes next.
                if last || hit.end() < self.window.len() {
                    let offset = Some(self.offset + hit.start() as u64);
                    let message = format!("matches the agreement's pattern {name:?}");
                    sink.notice(Notice { class: Class::NamedPattern, offset, message });
                    *found = true;
                    break;
                }
                at = hit.start() + 1;
            }
        }
    }
}

impl Reader for Patterns {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        while !bytes.is_empty() {
            if self.found.iter().all(|found| *found) {
                return;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.block_end - self.window.len()));
            self.window.extend_from_slice(now);
            bytes = later;
            if self.window.len() == self.block_end {
                self.search(false, sink);
                let gone = self.window.len() - OVERLAP_BYTES;
                self.window.drain(..gone);
                self.offset += gone as u64;
                self.block_end = OVERLAP_BYTES + BLOCK_BYTES;
            }
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        self.search(true, sink);
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cut, policy_with};
    use proptest::prelude::*;
    use sluse_protocol::agreement::{Content, NamedPattern};

    fn policy(patterns: &[&str]) -> Arc<Policy> {
        let named = |text: &&str| NamedPattern { name: (*text).into(), pattern: text.parse().unwrap() };
        policy_with(Content { patterns: patterns.iter().map(named).collect(), ..Content::default() })
    }

    fn found(pattern: &str, text: &[u8], piece: usize) -> Vec<u64> {
        let policy = policy(&[pattern]);
        let notices = cut(|| Patterns::new(&policy).unwrap(), text, &vec![piece; text.len() / piece + 1]);
        notices.iter().map(|notice| notice.offset.unwrap()).collect()
    }

    #[test]
    fn a_match_across_any_border_is_found_where_it_begins() {
        for at in [0, 1, BLOCK_BYTES - 20, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES - 5] {
            let mut text = vec![b'.'; 4 * BLOCK_BYTES];
            let hit = [&b"MRN1234567"[..], &[b'8'; 900]].concat();
            text[at..at + hit.len()].copy_from_slice(&hit);
            for piece in [1000, 65_537, text.len()] {
                assert_eq!(found("MRN[0-9]{7,}", &text, piece), [at as u64], "{at} {piece}");
                assert_eq!(found(r"MRN[0-9]+\b", &text, piece), [at as u64], "{at} {piece}");
            }
        }
    }

    #[test]
    fn borders_of_words_and_lines_are_those_of_the_stream() {
        // `b` at a block's border, with a letter on its other side: no word, no line of its own.
        let mut text = vec![b'a'; 2 * BLOCK_BYTES];
        text[BLOCK_BYTES] = b'b';
        assert!(found(r"\bb", &text, text.len()).is_empty());
        assert!(found(r"^b", &text, text.len()).is_empty());
        text[BLOCK_BYTES] = b'a';
        text[BLOCK_BYTES - 1] = b'b';
        assert!(found(r"b\b", &text, text.len()).is_empty());
        assert!(found(r"b$", &text, text.len()).is_empty());
        text[BLOCK_BYTES] = b'\n';
        assert_eq!(found(r"b$", &text, text.len()), [BLOCK_BYTES as u64 - 1]);
    }

    #[test]
    fn each_pattern_is_told_once_by_its_name() {
        let policy = policy(&["aa", "bb"]);
        let notices = cut(|| Patterns::new(&policy).unwrap(), b"aaaa bb aa", &[3]);
        let told: Vec<_> = notices.iter().map(|notice| (notice.class, notice.offset)).collect();
        assert_eq!(told, [(Class::NamedPattern, Some(0)), (Class::NamedPattern, Some(5))]);
        assert!(Patterns::new(&policy_with(Content::default())).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn cutting_changes_nothing(text in "[ab ]{0,300}", cuts in proptest::collection::vec(1usize..50, 0..9)) {
            let policy = policy(&["ab+a", r"\bbb\b", "a$"]);
            let whole = cut(|| Patterns::new(&policy).unwrap(), text.as_bytes(), &[]);
            prop_assert_eq!(cut(|| Patterns::new(&policy).unwrap(), text.as_bytes(), &cuts), whole);
        }
    }
}
