//! What a parser of content is.

use crate::bulk::Bulk;
use sluse_protocol::finding::Class;

/// Reads one stream as it comes.
///
/// What it reports must not depend on where the stream was cut into pieces.
pub trait Reader: Send {
    /// Takes the next bytes; the piece may be empty.
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink);

    /// The stream has ended.
    fn finish(&mut self, sink: &mut dyn Sink);

    /// What the stream was to a FHIR export, once it has ended.
    fn bulk(&mut self) -> Option<Bulk> {
        None
    }
}

/// Takes what readers notice.
pub trait Sink {
    /// Takes one notice.
    fn notice(&mut self, notice: Notice);

    /// Is shown what was taken out of a container. Whoever looks at bytes by themselves wants it; most do not.
    fn unpacked(&mut self, _: Unpacked<'_>) {}

    /// Is told what the file is to a FHIR export, at its end. Whoever looks at all files of a transfer wants it.
    fn bulk(&mut self, _: Bulk) {}
}

/// A member of a container, as it comes. The members that are open form a stack: each lies in the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacked<'a> {
    /// A member begins, at this place in its file.
    Begin {
        /// Its name and those of what it lies in, for a person.
        place: &'a str,
    },
    /// The next bytes of the open member at this depth, counted from 1.
    Bytes {
        /// Members that it lies in, and itself.
        depth: usize,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The innermost member has ended.
    End,
}

/// One thing that a reader noticed: what and where, never content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub class: Class,
    /// Where in the stream, bytes from its start, if it has a place of its own.
    pub offset: Option<u64>,
    /// A sentence for a person. Names of types, columns and tags may stand in it; values may not.
    pub message: String,
}

impl Sink for Vec<Notice> {
    fn notice(&mut self, notice: Notice) {
        self.push(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_notices_in_their_order() {
        let mut list = Vec::new();
        for offset in [3, 1] {
            list.notice(Notice { class: Class::Malformed, offset: Some(offset), message: "cut off".into() });
        }
        assert_eq!(list.iter().map(|notice| notice.offset).collect::<Vec<_>>(), [Some(3), Some(1)]);
    }
}
