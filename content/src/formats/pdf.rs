//! PDF (ISO 32000): whole, and what in it acts by itself.
//!
//! Names of objects are read wherever they stand in the clear; objects within compressed streams, and what pages show, are not.

use crate::flaw::Flaw;
use crate::formats::Plain;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// How a file begins.
const MARK: &[u8] = b"%PDF-";

/// Bytes at the end in which the last mark must stand (annex H of the standard's first edition).
const END_BYTES: usize = 1024;

/// Bytes of a name that are kept: longer ones are none of those that matter.
const NAME_BYTES: usize = 16;

/// Names of actions and attachments.
const ACTIVE: [&[u8]; 9] = [
    b"JavaScript",
    b"Launch",
    b"EmbeddedFile",
    b"EmbeddedFiles",
    b"RichMedia",
    b"XFA",
    b"SubmitForm",
    b"ImportData",
    b"GoToE",
];

/// Reads one file.
pub struct Pdf {
    plain: Plain,
    identifiers: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    offset: u64,
    /// The name so far, after its slash.
    name: Option<Vec<u8>>,
    name_at: u64,
    active: [Flaw; ACTIVE.len()],
    encrypted: Flaw,
    compressed: Flaw,
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
            name: None,
            name_at: 0,
            active: Default::default(),
            encrypted: Flaw::default(),
            compressed: Flaw::default(),
        }
    }

    fn names(&mut self, bytes: &[u8]) {
        let mut at = 0;
        loop {
            if self.name.is_none() {
                let Some(slash) = bytes.get(at..).and_then(|rest| memchr::memchr(b'/', rest)) else { return };
                at += slash + 1;
                self.name = Some(Vec::new());
                self.name_at = self.offset + at as u64 - 1;
            }
            let Some(&byte) = bytes.get(at) else { return };
            let name = self.name.get_or_insert_default();
            if byte.is_ascii_whitespace() || b"\0()<>[]{}/%".contains(&byte) {
                let name = unescaped(name);
                self.named(&name);
                self.name = None;
            } else if name.len() < 3 * NAME_BYTES {
                name.push(byte);
                at += 1;
            } else {
                self.name = None;
            }
        }
    }

    fn named(&mut self, name: &[u8]) {
        if let Some(which) = ACTIVE.iter().position(|one| *one == name)
            && let Some(flaw) = self.active.get_mut(which)
        {
            flaw.at(self.name_at);
        }
        match name {
            b"Encrypt" => self.encrypted.at(self.name_at),
            b"ObjStm" => self.compressed.at(self.name_at),
            _ => {}
        }
    }
}

/// A name with its `#xx` resolved.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), name);
    while let [first, later @ ..] = rest {
        let digit = |at: usize| later.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'#', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            plain.push((high * 16 + low) as u8);
            rest = &later[2..];
        } else {
            plain.push(*first);
            rest = later;
        }
    }
    plain
}

impl Reader for Pdf {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let room = (MARK.len() - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.names(bytes);
        self.plain.feed(bytes, sink);
        self.offset += bytes.len() as u64;
        let last = &bytes[bytes.len().saturating_sub(END_BYTES)..];
        let gone = (self.tail.len() + last.len()).saturating_sub(END_BYTES);
        self.tail.drain(..gone.min(self.tail.len()));
        self.tail.extend_from_slice(last);
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        self.names(b"\n");
        if self.head != MARK || memchr::memmem::find(&self.tail, b"%%EOF").is_none() {
            let message = "not a PDF from its start to its end: it may have been cut off".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message });
        }
        for (flaw, name) in self.active.iter().zip(ACTIVE) {
            let name = std::str::from_utf8(name).unwrap_or_default();
            flaw.tell(Class::ActiveContent, sink, format!("a PDF with /{name}"));
        }
        self.encrypted.tell(Class::Encrypted, sink, "a PDF that is encrypted");
        self.compressed.tell(Class::Irregular, sink, "a PDF with compressed objects, which were not looked into");
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

    fn read(body: &str) -> Vec<Notice> {
        let policy = policy_with(Content { forbid_identifiers: false, ..Content::default() });
        every_cut(|| Pdf::new(&policy), format!("%PDF-1.7\n{body}\n%%EOF\n").as_bytes())
    }

    #[test]
    fn what_acts_by_itself_is_told_by_its_name() {
        assert_eq!(read("1 0 obj <</Type/Catalog/OpenAction[3 0 R/Fit]>>"), []);
        for body in ["<</S/JavaScript/JS(x)>>", "<</S /J#61vaScript>>", "<</S/Launch>>", "/EmbeddedFiles 7 0 R", "/XFA"]
        {
            assert_eq!(classes(&read(body)), [Class::ActiveContent], "{body}");
        }
        let notices = read("x /Launch y /Launch z");
        assert_eq!((notices[0].offset, notices[0].message.as_str()), (Some(11), "a PDF with /Launch (2 times)"));
        assert_eq!(read("/Launcher /NoJavaScript (Launch) JavaScript"), []);
        assert_eq!(classes(&read("trailer <</Encrypt 9 0 R>>")), [Class::Encrypted]);
        assert_eq!(classes(&read("<</Type/ObjStm>>")), [Class::Irregular]);
    }

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
            text in "(/|JavaScript|Launch|#61|#|x|/XFA|[ <>()]|[a-z]{0,60}|%%EOF){0,30}", cuts in proptest::collection::vec(0usize..30, 0..9)
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
