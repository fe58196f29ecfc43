//! PDF (ISO 32000): whole, and what stands in it in the clear. What in it acts is told with its type; what pages show is not read.

use crate::formats::Plain;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// How a file begins.
const MARK: &[u8] = b"%PDF-";

/// Bytes at the end in which the last mark must stand (annex H of the standard's first edition).
const END_BYTES: usize = 1024;

/// Reads one file.
pub struct Pdf {
    plain: Plain,
    identifiers: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    offset: u64,
}

impl Pdf {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            plain: Plain::new(policy),
            identifiers: policy.identifiers.is_some(),
            head: Vec::new(),
            tail: Vec::new(),
            offset: 0,
        }
    }
}

impl Reader for Pdf {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let room = (MARK.len() - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.plain.feed(bytes, sink);
        self.offset += bytes.len() as u64;
        let last = &bytes[bytes.len().saturating_sub(END_BYTES)..];
        let gone = (self.tail.len() + last.len()).saturating_sub(END_BYTES);
        self.tail.drain(..gone.min(self.tail.len()));
        self.tail.extend_from_slice(last);
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if self.head != MARK || memchr::memmem::find(&self.tail, b"%%EOF").is_none() {
            let message = "not a PDF from its start to its end: it may have been cut off".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message });
        }
        self.plain.finish(sink);
        if self.identifiers {
            let message = "what the pages of a PDF show was not looked at for identifiers".into();
            sink.notice(Notice { class: Class::IdentifierReview, offset: None, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, cut, every_cut, policy_with};
    use proptest::prelude::*;
    use sluse_protocol::agreement::Content;

    #[test]
    fn a_pdf_that_was_cut_off_is_malformed() {
        let policy = policy_with(Content { forbid_identifiers: false, ..Content::default() });
        assert_eq!(classes(&every_cut(|| Pdf::new(&policy), b"%PDF-1.7\n1 0 obj")), [Class::Malformed]);
        assert_eq!(classes(&every_cut(|| Pdf::new(&policy), b"")), [Class::Malformed]);
        let padded = [b"%PDF-1.7\n%%EOF".to_vec(), vec![b' '; 5000]].concat();
        assert_eq!(classes(&every_cut(|| Pdf::new(&policy), &padded)), [Class::Malformed]);
    }

    #[test]
    fn where_identifiers_are_forbidden_pages_are_for_a_person() {
        let policy = policy_with(Content::default());
        assert_eq!(classes(&every_cut(|| Pdf::new(&policy), b"%PDF-1.7\n%%EOF")), [Class::IdentifierReview]);
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(
            text in "(%PDF-|[0-9]{11}|[ <>()]|[a-z]{0,60}|%%EOF){0,30}", cuts in proptest::collection::vec(0usize..30, 0..9)
        ) {
            let policy = policy_with(Content::default());
            prop_assert_eq!(cut(|| Pdf::new(&policy), text.as_bytes(), &cuts), cut(|| Pdf::new(&policy), text.as_bytes(), &[]));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let policy = policy_with(Content::default());
            every_cut(|| Pdf::new(&policy), &bytes);
        }
    }
}
