//! What `inspect` and a parser say to each other, in the frames of [`sluse_protocol::frame`].

use super::limits::{MAX_ANSWER_BYTES, PIECE_BYTES};
use serde::{Deserialize, Serialize};
use sluse_protocol::agreement::Content;
use sluse_protocol::finding::Class;
use sluse_protocol::frame::{Lengths, PREFIX_BYTES, decode_head};
use sluse_protocol::path::DataPath;

/// To a parser. First what the agreement asks, once; then for each file its beginning, its bytes and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToParser {
    /// What the agreement asks of files. The frame's body is the zone's key for hashes of identifiers, of [`KEY_BYTES`].
    Content(Box<Content>),
    /// A file begins.
    Begin {
        /// Where it lies in the dataset.
        path: DataPath,
        /// Its bytes.
        size: u64,
    },
    /// Its next bytes are the frame's body.
    Bytes,
    /// It has ended.
    End,
}

/// Bytes of the key for hashes of identifiers.
pub const KEY_BYTES: usize = 32;

/// From a parser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromParser {
    /// Something was noticed in the file that is being read.
    Notice {
        /// What it is.
        class: Class,
        /// Where in the file.
        offset: Option<u64>,
        /// A sentence.
        message: String,
    },
    /// A member of the file, or of the member that was begun last, begins. The open ones form a stack.
    MemberBegins {
        /// Where it lies in the file, for a person.
        place: String,
    },
    /// The next bytes of an open member are the frame's body: at most [`PIECE_BYTES`].
    MemberBytes {
        /// Members that it lies in, and itself.
        depth: usize,
    },
    /// The member that was begun last has ended.
    MemberEnds,
    /// The file has resources of FHIR: so many of a type.
    Resources {
        /// The type; empty for none.
        of: String,
        /// How many.
        count: u64,
    },
    /// The file is the manifest of a FHIR export.
    Manifest,
    /// It names a file.
    Output {
        /// The type of its resources.
        of: String,
        /// The last part of its address.
        file: String,
        /// How many resources are said to be in it.
        count: Option<u64>,
    },
    /// The file was read.
    Done {
        /// So many bytes of it.
        bytes: u64,
    },
}

/// Bytes from a parser that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

/// What came from a parser, to be cut into messages. It holds no more than one message and what came with its end.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    at: usize,
}

impl Incoming {
    /// Takes what was received.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message and its body.
    ///
    /// # Errors
    /// When what came is no message, or announces one that is too large.
    pub fn turn(&mut self) -> Result<Option<(FromParser, &[u8])>, Garbage> {
        let waiting = &self.bytes[self.at..];
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let lengths = Lengths::parse(*prefix).map_err(|_| Garbage)?;
        if lengths.head > MAX_ANSWER_BYTES || lengths.body > PIECE_BYTES {
            return Err(Garbage);
        }
        let Some((head, rest)) = rest.split_at_checked(lengths.head) else { return Ok(None) };
        let Some(body) = rest.get(..lengths.body) else { return Ok(None) };
        let message = decode_head(head).map_err(|_| Garbage)?;
        // No other message has one.
        if !body.is_empty() && !matches!(message, FromParser::MemberBytes { .. }) {
            return Err(Garbage);
        }
        self.at += PREFIX_BYTES + lengths.head + lengths.body;
        Ok(Some((message, body)))
    }

    /// Whether nothing is left of what came.
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sluse_protocol::frame::encode;

    fn answers() -> Vec<(FromParser, Vec<u8>)> {
        let notice = FromParser::Notice { class: Class::Malformed, offset: Some(7), message: "cut off".into() };
        vec![
            (notice.clone(), vec![]),
            (FromParser::MemberBegins { place: "a".into() }, vec![]),
            (FromParser::MemberBytes { depth: 1 }, b"bytes".to_vec()),
            (FromParser::MemberEnds, vec![]),
            (FromParser::Manifest, vec![]),
            (FromParser::Output { of: "Patient".into(), file: "a.ndjson".into(), count: Some(3) }, vec![]),
            (FromParser::Resources { of: "Patient".into(), count: 3 }, vec![]),
            (FromParser::Done { bytes: 8 }, vec![]),
            (notice, vec![]),
        ]
    }

    fn received(bytes: &[u8], piece: usize) -> Result<Vec<(FromParser, Vec<u8>)>, Garbage> {
        let (mut incoming, mut said) = (Incoming::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            incoming.take(piece);
            while let Some((message, body)) = incoming.turn()? {
                said.push((message, body.to_vec()));
            }
        }
        Ok(said)
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let bytes: Vec<u8> = answers().iter().flat_map(|(answer, body)| encode(answer, body).unwrap()).collect();
        for piece in 1..bytes.len() + 1 {
            assert_eq!(received(&bytes, piece), Ok(answers()), "{piece}");
        }
    }

    #[test]
    fn what_is_too_long_is_garbage_from_its_prefix_alone() {
        let prefix = |head: u32, body: u32| [head.to_be_bytes(), body.to_be_bytes()].concat();
        let most = u32::try_from(MAX_ANSWER_BYTES).unwrap();
        let body = u32::try_from(PIECE_BYTES).unwrap();
        for bytes in [prefix(most + 1, 0), prefix(u32::MAX, 0), prefix(2, body + 1), prefix(2, u32::MAX)] {
            assert_eq!(received(&bytes, 8), Err(Garbage), "{bytes:?}");
        }
        assert_eq!(received(&prefix(most, 0), 8), Ok(Vec::new()));
    }

    #[test]
    fn what_no_parser_says_is_garbage() {
        for head in
            ["{\"begin\":{}}", "{\"done\":{\"bytes\":-1}}", "{\"done\":{\"bytes\":1,\"more\":1}}", "\"done\"", ""]
        {
            let bytes = [&(head.len() as u32).to_be_bytes()[..], &[0; 4], head.as_bytes()].concat();
            assert_eq!(received(&bytes, 4), Err(Garbage), "{head}");
        }
        let with_body = encode(&FromParser::Done { bytes: 1 }, b"body").unwrap();
        assert_eq!(received(&with_body, 4), Err(Garbage));
    }

    proptest! {
        #[test]
        fn any_bytes_are_messages_or_garbage(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1..20usize) {
            // What is neither would panic or hold more than came.
            let _ = received(&bytes, piece);
        }
    }
}
