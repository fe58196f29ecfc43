//! The documents of an association (PS3.8 section 9.3): items within items, each with a type and a length.

/// Bytes in front of a request's items: version, two titles and what is reserved.
const HEAD: usize = 68;

/// Presentation contexts that a caller may propose, and transfer syntaxes in each: their numbers are odd and below 256.
const MAX_CONTEXTS: usize = 128;
const MAX_SYNTAXES: usize = 64;

/// The application context of DICOM: there is no other.
const APPLICATION: &str = "1.2.840.10008.3.1.1.1";

/// Types of items.
const APPLICATION_CONTEXT: u8 = 0x10;
const PROPOSED: u8 = 0x20;
const RESULT: u8 = 0x21;
const ABSTRACT_SYNTAX: u8 = 0x30;
const TRANSFER_SYNTAX: u8 = 0x40;
const USER: u8 = 0x50;
const MAX_LENGTH: u8 = 0x51;
const IMPLEMENTATION_CLASS: u8 = 0x52;
const IMPLEMENTATION_VERSION: u8 = 0x55;

/// A request for an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The title that is called.
    pub called: String,
    /// The title of the caller.
    pub calling: String,
    /// What he proposes.
    pub contexts: Vec<Proposed>,
}

/// A presentation context that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Its number.
    pub id: u8,
    /// What is to be done in it.
    pub class: String,
    /// How that may be encoded, as the caller prefers it.
    pub syntaxes: Vec<String>,
}

/// What becomes of a proposed context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is accepted.
    Accepted = 0,
    /// What is to be done in it is not served.
    ClassNotSupported = 3,
    /// It is in none of the ways of encoding.
    SyntaxesNotSupported = 4,
}

/// Why there is no association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Nobody of the called title is here.
    CalledNotRecognized,
    /// The caller may not call.
    CallingNotRecognized,
    /// Too many call: to be tried again.
    TooMany,
}

/// Reads the body of a request; none where it is none.
pub fn request(body: &[u8]) -> Option<Request> {
    let (head, items) = body.split_at_checked(HEAD)?;
    let mut request = Request { called: title(&head[4..20])?, calling: title(&head[20..36])?, contexts: Vec::new() };
    for item in Items(items) {
        let (kind, value) = item?;
        if kind == PROPOSED {
            request.contexts.push(proposed(value)?);
        }
        if request.contexts.len() > MAX_CONTEXTS {
            return None;
        }
    }
    Some(request)
}

fn proposed(value: &[u8]) -> Option<Proposed> {
    let ([id, _, _, _], items) = value.split_first_chunk::<4>()?;
    let (mut class, mut syntaxes) = (None, Vec::new());
    for item in Items(items) {
        match item? {
            (ABSTRACT_SYNTAX, value) => class = super::command::uid(value),
            (TRANSFER_SYNTAX, value) if syntaxes.len() < MAX_SYNTAXES => syntaxes.push(super::command::uid(value)?),
            _ => {}
        }
    }
    Some(Proposed { id: *id, class: class?, syntaxes })
}

/// A title: 16 characters, of which spaces at both ends do not count.
fn title(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(|title| title.trim_matches([' ', '\0']).to_owned())
}

/// Items one after another; none where they do not fill what they stand in.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = item(self.0);
        self.0 = read.map_or(&[][..], |(_, _, rest)| rest);
        Some(read.map(|(kind, value, _)| (kind, value)))
    }
}

fn item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, _, length @ ..], rest) = bytes.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((*kind, value, rest))
}

/// The PDU that accepts a request: of each context the number, what becomes of it, and in which encoding.
pub fn accept(request: &Request, results: &[(u8, Outcome, &str)], max_pdu: u32, uid: &str, name: &str) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    for title in [&request.called, &request.calling] {
        body.extend(format!("{title:16}").bytes().take(16));
    }
    body.extend([0; 32]);
    put(&mut body, APPLICATION_CONTEXT, APPLICATION.as_bytes());
    for (id, outcome, syntax) in results {
        let mut result = vec![*id, 0, *outcome as u8, 0];
        put(&mut result, TRANSFER_SYNTAX, syntax.as_bytes());
        put(&mut body, RESULT, &result);
    }
    let mut user = Vec::new();
    put(&mut user, MAX_LENGTH, &max_pdu.to_be_bytes());
    put(&mut user, IMPLEMENTATION_CLASS, uid.as_bytes());
    put(&mut user, IMPLEMENTATION_VERSION, name.as_bytes());
    put(&mut body, USER, &user);
    pdu(2, &body)
}

/// The PDU that rejects a request.
pub fn reject(why: Rejection) -> Vec<u8> {
    let [result, source, reason] = match why {
        Rejection::CallingNotRecognized => [1, 1, 3],
        Rejection::CalledNotRecognized => [1, 1, 7],
        Rejection::TooMany => [2, 3, 2],
    };
    pdu(3, &[0, result, source, reason])
}

/// The PDU that answers a release.
pub fn released() -> Vec<u8> {
    pdu(6, &[0; 4])
}

/// The PDU that breaks an association off, since something came that does not belong there.
pub fn abort() -> Vec<u8> {
    pdu(7, &[0, 0, 2, 2])
}

fn put(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    to.extend([kind, 0]);
    // UIDs, titles and 128 contexts of them: far shorter.
    to.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(value);
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut pdu = vec![kind, 0];
    pdu.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    pdu.extend(body);
    pdu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Vec<u8> {
        let mut body = vec![0, 1, 0, 0];
        body.extend(b"SLUSE           PACS            ");
        body.extend([0; 32]);
        put(&mut body, APPLICATION_CONTEXT, APPLICATION.as_bytes());
        let mut context = vec![3, 0, 0, 0];
        put(&mut context, ABSTRACT_SYNTAX, b"1.2.840.10008.1.1");
        put(&mut context, TRANSFER_SYNTAX, b"1.2.840.10008.1.2");
        put(&mut context, TRANSFER_SYNTAX, b"1.2.840.10008.1.2.1");
        put(&mut body, PROPOSED, &context);
        put(&mut body, USER, &[]);
        body
    }

    #[test]
    fn a_request_is_read_with_its_titles_and_contexts() {
        let read = request(&body()).unwrap();
        assert_eq!((read.called.as_str(), read.calling.as_str()), ("SLUSE", "PACS"));
        let syntaxes = vec!["1.2.840.10008.1.2".into(), "1.2.840.10008.1.2.1".into()];
        assert_eq!(read.contexts, [Proposed { id: 3, class: "1.2.840.10008.1.1".into(), syntaxes }]);
    }

    #[test]
    fn a_request_that_is_cut_short_within_an_item_is_none() {
        let whole = body();
        let items = [HEAD, HEAD + 4 + APPLICATION.len(), whole.len() - 4, whole.len()];
        for end in 0..=whole.len() {
            assert_eq!(request(&whole[..end]).is_some(), items.contains(&end), "{end}");
        }
    }

    #[test]
    fn more_contexts_than_there_are_numbers_are_refused() {
        let mut many = body();
        let context = many[HEAD + 4 + APPLICATION.len()..many.len() - 4].to_vec();
        (0..128).for_each(|_| many.extend(&context));
        assert_eq!(request(&many), None);
    }

    #[test]
    fn an_acceptance_names_each_context_and_how_long_a_pdu_may_be() {
        let read = request(&body()).unwrap();
        let results =
            [(3, Outcome::Accepted, "1.2.840.10008.1.2.1"), (5, Outcome::ClassNotSupported, "1.2.840.10008.1.2")];
        let pdu = accept(&read, &results, 0x20000, "2.25.1", "SLUSE");
        assert_eq!((pdu[0], u32::from_be_bytes(*pdu[2..].first_chunk().unwrap()) as usize), (2, pdu.len() - 6));
        let items: Vec<_> = Items(&pdu[6 + HEAD..]).map(Option::unwrap).collect();
        let kinds: Vec<u8> = items.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [APPLICATION_CONTEXT, RESULT, RESULT, USER]);
        assert_eq!((&items[1].1[..4], &items[2].1[..4]), (&[3, 0, 0, 0][..], &[5, 0, 3, 0][..]));
        assert_eq!(Items(items[3].1).next(), Some(Some((MAX_LENGTH, &[0, 2, 0, 0][..]))));
    }
}
