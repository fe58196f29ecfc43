//! What a parser may say of one file, and what it said. Pure.

use super::child::Lost;
use super::limits::MAX_ANSWERS;
use super::messages::FromParser;
use crate::inspect::engine::Seen;

/// What was heard of a file.
#[derive(Debug, Default)]
pub struct Heard {
    /// What was seen in it.
    pub seen: Vec<Seen>,
    /// Whether the end of the file is on its way to the parser, which can be done only then.
    pub ending: bool,
    done: Option<u64>,
    answers: usize,
}

impl Heard {
    /// Takes an answer.
    ///
    /// # Errors
    /// When it cannot be, or was one too many.
    pub fn hear(&mut self, said: FromParser) -> Result<(), Lost> {
        if self.done.is_some() {
            return Err(Lost::Garbage);
        }
        match said {
            FromParser::Notice { class, offset, message } => {
                self.answers += 1;
                if self.answers > MAX_ANSWERS {
                    return Err(Lost::Babbled);
                }
                self.seen.push(Seen { class, offset, message });
                Ok(())
            }
            FromParser::Done { bytes } if self.ending => {
                self.done = Some(bytes);
                Ok(())
            }
            FromParser::Done { .. } => Err(Lost::Garbage),
        }
    }

    /// The bytes that the parser counted, once it is done.
    pub fn done(&self) -> Option<u64> {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::finding::Class;

    const DONE: FromParser = FromParser::Done { bytes: 4 };

    fn notice() -> FromParser {
        FromParser::Notice { class: Class::Malformed, offset: None, message: "cut off".into() }
    }

    #[test]
    fn a_file_is_done_once_and_not_before_its_end() {
        let mut heard = Heard::default();
        assert_eq!(Heard::default().hear(DONE), Err(Lost::Garbage));
        heard.hear(notice()).unwrap();
        heard.ending = true;
        heard.hear(notice()).unwrap();
        assert_eq!((heard.hear(DONE), heard.done(), heard.seen.len()), (Ok(()), Some(4), 2));
        assert_eq!((heard.hear(DONE), heard.hear(notice())), (Err(Lost::Garbage), Err(Lost::Garbage)));
    }

    #[test]
    fn more_notices_than_a_parser_passes_on_are_too_many() {
        let mut heard = Heard::default();
        (0..MAX_ANSWERS).for_each(|_| heard.hear(notice()).unwrap());
        assert_eq!(heard.hear(notice()), Err(Lost::Babbled));
        assert!(MAX_ANSWERS > super::super::limits::MAX_NOTICES + Class::ALL.len());
    }
}
