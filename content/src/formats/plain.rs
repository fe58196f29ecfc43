//! Text, and anything else, without a structure that tells places: looked through from start to end.

use crate::identifiers::{Place, Scanner, Tally, Token};
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use std::sync::Arc;

/// Looks for identifiers anywhere.
pub struct Plain {
    tally: Option<(Tally, Place)>,
    scanner: Scanner,
    /// Where the text that the scanner has begins.
    start: u64,
}

impl Plain {
    /// Looks under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self::of(policy, "text")
    }

    /// Looks at a part of a file that is called so.
    pub fn of(policy: &Arc<Policy>, name: &str) -> Self {
        let tally = policy.identifiers.clone().map(|key| {
            let mut tally = Tally::new(key);
            let place = tally.place(name, false);
            (tally, place)
        });
        Self { tally, scanner: Scanner::default(), start: 0 }
    }

    /// What comes begins so many bytes from the start of the file.
    pub fn begin_at(&mut self, offset: u64) {
        self.start = offset;
    }

    /// Takes bytes of a line that stands at `offset` in the file.
    pub fn feed_at(&mut self, bytes: &[u8], offset: u64) {
        if let Some((tally, place)) = &mut self.tally {
            if !self.scanner.in_value() {
                self.start = offset;
            }
            let start = self.start;
            let found = &mut |token: Token| tally.take(*place, &token.digits, start + token.offset);
            self.scanner.feed(bytes, found);
            if bytes.ends_with(b"\n") {
                self.scanner.end(found);
            }
        }
    }

    /// Takes values that were unpacked from what stands at `offset` in the file.
    pub fn unpacked(&mut self, bytes: &[u8], offset: u64) {
        if let Some((tally, place)) = &mut self.tally {
            let found = &mut |token: Token| tally.take(*place, &token.digits, offset);
            self.scanner.feed(bytes, found);
            self.scanner.end(found);
        }
    }

    /// What was given by [`Plain::feed_at`] ends here.
    pub fn end_value(&mut self) {
        if let Some((tally, place)) = &mut self.tally {
            let start = self.start;
            self.scanner.end(&mut |token| tally.take(*place, &token.digits, start + token.offset));
        }
    }
}

impl Reader for Plain {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        if let Some((tally, place)) = &mut self.tally {
            let start = self.start;
            self.scanner.feed(bytes, &mut |token| tally.take(*place, &token.digits, start + token.offset));
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if let Some((tally, place)) = &mut self.tally {
            let start = self.start;
            self.scanner.end(&mut |token| tally.take(*place, &token.digits, start + token.offset));
            tally.finish(sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut, policy_with, resident};
    use crate::text::Text;
    use sluse_protocol::agreement::Content;
    use sluse_protocol::finding::Class;

    #[test]
    fn one_number_in_text_is_for_review_and_a_list_of_them_blocks() {
        let policy = policy_with(Content::default());
        let read = |text: &str| every_cut(|| Text::new(Plain::new(&policy), false), text.as_bytes());
        let one = read(&format!("Pasienten ({}) ble innlagt.", resident(0)));
        assert_eq!((classes(&one), one[0].offset), (vec![Class::IdentifierReview], Some(11)));
        let list: String = (0..4).map(|n| resident(n) + "\n").collect();
        assert_eq!(classes(&read(&list)), [Class::Identifier]);
        assert_eq!(read("0.12345678901 12345678901234"), []);
    }
}
