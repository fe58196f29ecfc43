//! What a parser may say of one file, and what it said. Pure.

use super::child::Lost;
use super::limits::MAX_ANSWERS;
use super::members::Members;
use super::messages::FromParser;
use crate::inspect::engine::Seen;
use sluse_content::bulk::{Bulk, MAX_FILE_BYTES, MAX_OUTPUTS, MAX_TYPE_BYTES, MAX_TYPES, Output};
use std::collections::BTreeMap;

/// What was heard of a file.
#[derive(Default)]
pub struct Heard {
    /// What was seen in it.
    pub seen: Vec<Seen>,
    /// What it is to a FHIR export.
    pub bulk: Option<Bulk>,
    members: Members,
    /// Whether the end of the file is on its way to the parser, which can be done only then.
    pub ending: bool,
    done: Option<u64>,
    answers: usize,
}

impl Heard {
    /// Nothing yet.
    pub fn new(members: Members) -> Self {
        Self { members, ..Self::default() }
    }

    /// Takes an answer with its body.
    ///
    /// # Errors
    /// When it cannot be, or was one too many.
    pub fn hear(&mut self, said: FromParser, body: &[u8]) -> Result<(), Lost> {
        if self.done.is_some() {
            return Err(Lost::Garbage);
        }
        match said {
            FromParser::Notice { class, offset, message } => {
                self.answers += 1;
                if self.answers > MAX_ANSWERS {
                    return Err(Lost::Babbled);
                }
                self.seen.push(Seen { offset, ..Seen::new(class, message) });
                Ok(())
            }
            FromParser::MemberBegins { place } => self.members.begin(place),
            FromParser::MemberBytes { depth } => self.members.bytes(depth, body),
            FromParser::MemberEnds => self.members.end(),
            FromParser::Resources { of, count } => self.resources(of, count),
            FromParser::Manifest if self.bulk.is_none() => {
                self.bulk = Some(Bulk::Manifest(Vec::new()));
                Ok(())
            }
            FromParser::Output { of, file, count } => self.output(Output { of, file, count }),
            FromParser::Manifest => Err(Lost::Garbage),
            FromParser::Done { bytes } if self.ending && self.members.are_closed() => {
                self.seen.extend(std::mem::take(&mut self.members).finish());
                self.done = Some(bytes);
                Ok(())
            }
            FromParser::Done { .. } => Err(Lost::Garbage),
        }
    }

    fn resources(&mut self, of: String, count: u64) -> Result<(), Lost> {
        let none = || Bulk::Resources(BTreeMap::new());
        match self.bulk.get_or_insert_with(none) {
            // One more for those of no type.
            Bulk::Resources(all) if all.len() <= MAX_TYPES && of.len() <= MAX_TYPE_BYTES => {
                if all.insert(of, count).is_none() { Ok(()) } else { Err(Lost::Garbage) }
            }
            Bulk::Resources(_) | Bulk::Manifest(_) => Err(Lost::Garbage),
        }
    }

    fn output(&mut self, output: Output) -> Result<(), Lost> {
        let fits = output.of.len() <= MAX_TYPE_BYTES && output.file.len() <= MAX_FILE_BYTES;
        match &mut self.bulk {
            Some(Bulk::Manifest(all)) if all.len() < MAX_OUTPUTS && fits => {
                all.push(output);
                Ok(())
            }
            _ => Err(Lost::Garbage),
        }
    }

    /// The bytes that the parser counted, once it is done.
    pub fn done(&self) -> Option<u64> {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::MAX_DEPTH;
    use super::*;
    use crate::inspect::engines::signatures::{SignaturesEngine, eicar};
    use sluse_content::MAX_PLACE_BYTES;
    use sluse_protocol::finding::Class;

    const DONE: FromParser = FromParser::Done { bytes: 4 };

    fn notice() -> FromParser {
        FromParser::Notice { class: Class::Malformed, offset: None, message: "cut off".into() }
    }

    #[test]
    fn a_file_is_done_once_and_not_before_its_end() {
        let mut heard = Heard::default();
        assert_eq!(Heard::default().hear(DONE, b""), Err(Lost::Garbage));
        heard.hear(notice(), b"").unwrap();
        heard.ending = true;
        heard.hear(notice(), b"").unwrap();
        assert_eq!((heard.hear(DONE, b""), heard.done(), heard.seen.len()), (Ok(()), Some(4), 2));
        assert_eq!((heard.hear(DONE, b""), heard.hear(notice(), b"")), (Err(Lost::Garbage), Err(Lost::Garbage)));
    }

    #[test]
    fn more_notices_than_a_parser_passes_on_are_too_many() {
        let mut heard = Heard::default();
        (0..MAX_ANSWERS).for_each(|_| heard.hear(notice(), b"").unwrap());
        assert_eq!(heard.hear(notice(), b""), Err(Lost::Babbled));
        assert!(MAX_ANSWERS > super::super::limits::MAX_NOTICES + Class::ALL.len());
    }

    #[test]
    fn what_a_file_is_to_an_export_is_one_thing_and_bounded() {
        let resources = |of: String| FromParser::Resources { of, count: 1 };
        let output = |file: String| FromParser::Output { of: "Patient".into(), file, count: None };
        let mut heard = Heard::default();
        (0..=MAX_TYPES).for_each(|of| heard.hear(resources(of.to_string()), b"").unwrap());
        assert_eq!(heard.hear(resources("one more".into()), b""), Err(Lost::Garbage));
        assert_eq!(heard.hear(FromParser::Manifest, b""), Err(Lost::Garbage));
        assert_eq!(Heard::default().hear(resources("x".repeat(MAX_TYPE_BYTES + 1)), b""), Err(Lost::Garbage));
        let mut twice = Heard::default();
        twice.hear(resources("a".into()), b"").unwrap();
        assert_eq!(twice.hear(resources("a".into()), b""), Err(Lost::Garbage));
        assert_eq!(Heard::default().hear(output("a".into()), b""), Err(Lost::Garbage));
        let mut manifest = Heard::default();
        manifest.hear(FromParser::Manifest, b"").unwrap();
        assert_eq!(manifest.hear(output("x".repeat(MAX_FILE_BYTES + 1)), b""), Err(Lost::Garbage));
        (0..MAX_OUTPUTS).for_each(|_| manifest.hear(output("a".into()), b"").unwrap());
        assert_eq!(manifest.hear(output("a".into()), b""), Err(Lost::Garbage));
        assert_eq!(manifest.hear(resources("a".into()), b""), Err(Lost::Garbage));
    }

    /// A heard file with a signature engine, in which members began at these places.
    fn members(places: &[&str]) -> Heard {
        let folder = tempfile::tempdir().unwrap();
        let mut heard = Heard::new(Members::new(Some(SignaturesEngine::load(folder.path()).unwrap())));
        places.iter().for_each(|place| heard.hear(FromParser::MemberBegins { place: (*place).into() }, b"").unwrap());
        heard
    }

    #[test]
    fn signatures_are_found_in_members_at_every_depth_however_their_bytes_are_mixed() {
        let mut heard = members(&["\"a\"", "\"a\" > \"b\""]);
        let (first, second) = (&eicar::bytes()[..30], &eicar::bytes()[30..]);
        for (depth, bytes) in [(2, first), (1, &b"other"[..]), (2, second)] {
            heard.hear(FromParser::MemberBytes { depth }, bytes).unwrap();
        }
        heard.hear(FromParser::MemberEnds, b"").unwrap();
        heard.hear(FromParser::MemberEnds, b"").unwrap();
        heard.ending = true;
        heard.hear(DONE, b"").unwrap();
        let said: Vec<_> = heard.seen.iter().map(|seen| (seen.class, seen.by, seen.message.as_str())).collect();
        let message = "within \"a\" > \"b\": signature Eicar-Test-File";
        assert_eq!(said, [(Class::Malware, Some("signatures"), message)]);
    }

    #[test]
    fn members_that_do_not_form_a_stack_are_garbage() {
        let bytes = |depth| FromParser::MemberBytes { depth };
        for depth in [0, 2, usize::MAX] {
            assert_eq!(members(&["a"]).hear(bytes(depth), b"x"), Err(Lost::Garbage), "{depth}");
        }
        assert_eq!(members(&[]).hear(FromParser::MemberEnds, b""), Err(Lost::Garbage));
        let mut open = members(&["a"]);
        open.ending = true;
        assert_eq!(open.hear(DONE, b""), Err(Lost::Garbage));
        let deepest = vec!["a"; MAX_DEPTH];
        let begin = |place: String| FromParser::MemberBegins { place };
        assert_eq!(members(&deepest).hear(begin("a".into()), b""), Err(Lost::Garbage));
        assert_eq!(members(&[]).hear(begin("a".repeat(MAX_PLACE_BYTES + 1)), b""), Err(Lost::Garbage));
    }
}
