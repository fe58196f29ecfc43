//! Files that stand in XML, JSON and mails as base64: attachments of FHIR and of letters, `ItemDataBase64` of CDISC ODM, pictures in pages.
//!
//! What counts is a run of 64 characters of base64 that are not all hexadecimal digits, nor all nucleotides, nor all words. It may
//! go on over lines, and in JSON with its slashes escaped.

use super::End;
use super::outlet::Outlet;

/// Characters in a row by which it is told; lines of base64 have 64 or 76.
const RUN: usize = 64;

/// Unpacked bytes of the shortest file that is shown. What is shorter is a key, a digest or a signature.
const LEAST: usize = 66;

/// Unpacked bytes from which on a run is shown, whatever it looks like. Until then it is held.
const MOST_HELD: usize = 64 * 1024;

/// What a stream's text has at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// A run begins here.
    At(usize),
    /// One may begin here: more must come.
    Perhaps(usize),
    /// None.
    No,
}

/// What mails begin with; of some only the beginning.
const MAILS: &[&str] = &[
    "from ",
    "from:",
    "to:",
    "cc:",
    "date:",
    "subject:",
    "received:",
    "return-path:",
    "delivered-to:",
    "message-id:",
    "mime-version:",
    "content-",
    "x-",
    "dkim-",
    "arc-",
    "authentication-results:",
    "reply-to:",
    "sender:",
];

/// Whether a stream that begins so is XML, JSON or a mail.
pub(super) fn may_hold(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let is_mail = |mark: &&str| text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark.as_bytes()));
    matches!(text.first(), Some(b'<' | b'{' | b'[')) || MAILS.iter().any(is_mail)
}

/// Finds the first run. The byte before `input` is not part of one.
pub(super) fn find(input: &[u8]) -> Run {
    // Of so many in a row one stands at every so-many-th place.
    let mut at = RUN - 1;
    let mut free = 0;
    while let Some(byte) = input.get(at) {
        if !is_part(*byte) {
            free = at + 1;
            at += RUN;
            continue;
        }
        let start = input[free..at].iter().rposition(|byte| !is_part(*byte)).map_or(free, |before| free + before + 1);
        let length = length(&input[start..]);
        if length >= RUN {
            return Run::At(start);
        }
        if start + length == input.len() {
            return Run::Perhaps(start);
        }
        free = start + length;
        at = free + RUN;
    }
    match input[free..].iter().rposition(|byte| !is_part(*byte)) {
        Some(before) if free + before + 1 == input.len() => Run::No,
        Some(before) => Run::Perhaps(free + before + 1),
        None if free == input.len() => Run::No,
        None => Run::Perhaps(free),
    }
}

/// Bytes at the start of `input` that are part of a run.
pub(super) fn length(input: &[u8]) -> usize {
    input.iter().position(|byte| !is_part(*byte)).unwrap_or(input.len())
}

fn is_part(byte: u8) -> bool {
    VALUES[usize::from(byte)] < 64 || byte == b'\\'
}

/// What each character stands for; 64: none.
const VALUES: [u8; 256] = {
    let mut values = [64; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < 64 {
        values[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// A run that is being decoded, and is shown once it looks like a file.
#[derive(Default)]
pub(super) struct Base64 {
    bits: u32,
    count: u8,
    escaped: bool,
    look: Look,
    /// Bytes that came out.
    length: usize,
    /// Those that came before it was known whether it is a file.
    held: Vec<u8>,
    shown: bool,
    buffer: Vec<u8>,
}

/// What came of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All of it belongs to the file.
    All,
    /// The file ends after so many bytes.
    Ended(usize),
    /// Nothing more is opened.
    Stopped,
}

impl Base64 {
    /// Decodes what belongs to the file, and shows it as a member.
    pub fn feed(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Decoded {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let end = input.iter().position(|byte| !self.take(*byte, &mut buffer));
        let shown = self.show(&buffer, out);
        self.buffer = buffer;
        match (shown, end) {
            (false, _) => Decoded::Stopped,
            (true, Some(end)) => {
                self.finish(End::Whole, out);
                Decoded::Ended(end)
            }
            (true, None) => Decoded::All,
        }
    }

    /// The file, if it is long enough to be one, is over.
    pub fn finish(&mut self, end: End, out: &mut Outlet<'_>) {
        if self.shown {
            out.end(end);
        }
    }

    /// Takes one character; says no when it is none of a file's.
    fn take(&mut self, byte: u8, buffer: &mut Vec<u8>) -> bool {
        // JSON writes a slash, and the ends of lines, with a backslash.
        let escaped = std::mem::take(&mut self.escaped);
        if escaped && matches!(byte, b'n' | b'r' | b't') {
            return self.goes_on();
        }
        match (VALUES[usize::from(byte)], byte) {
            (64, b'\\') if !escaped => self.escaped = true,
            (64, b' ' | b'\t' | b'\r' | b'\n') => return self.goes_on(),
            // What follows is another file's beginning.
            (64, b'=') => self.count = 0,
            (64, _) => return false,
            (value, _) => {
                if !self.is_file() {
                    self.look.take(byte);
                }
                self.bits = self.bits << 6 | u32::from(value);
                self.count += 6;
                if self.count >= 8 {
                    self.count -= 8;
                    self.length += 1;
                    buffer.push((self.bits >> self.count) as u8);
                }
            }
        }
        true
    }

    /// Whether it may go on after a blank: lines of base64 have whole groups of four, words need not.
    fn goes_on(&mut self) -> bool {
        self.look.before = None;
        self.is_file() || self.count == 0
    }

    fn is_file(&self) -> bool {
        self.look.is_file || self.length >= MOST_HELD
    }

    fn show(&mut self, bytes: &[u8], out: &mut Outlet<'_>) -> bool {
        if self.shown {
            return bytes.is_empty() || out.bytes(bytes);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() < LEAST || !self.is_file() {
            return true;
        }
        self.shown = true;
        out.begin("[base64]".into(), None) && out.bytes(&std::mem::take(&mut self.held))
    }
}

/// What a run looks like. Its beginning says little of what comes later, so all of it is looked at until it is a file's.
struct Look {
    is_file: bool,
    /// Whether all of it is hexadecimal digits, or nucleotides, and not one letter again and again.
    hexadecimal: bool,
    digits: bool,
    nucleotides: bool,
    several: bool,
    before: Option<u8>,
    /// Its last characters: whether each is of another kind than the one before it, and whether it stands for zeros or ones.
    window: [(bool, bool); RUN],
    at: usize,
    changes: usize,
    blank: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            is_file: false,
            hexadecimal: true,
            digits: false,
            nucleotides: true,
            several: false,
            before: None,
            window: [(false, false); RUN],
            at: 0,
            changes: 0,
            blank: 0,
        }
    }
}

impl Look {
    fn take(&mut self, byte: u8) {
        let before = self.before.replace(byte);
        let change = before.is_some_and(|before| changes(before, byte));
        let new = (change, matches!(byte, b'A' | b'/'));
        let old = std::mem::replace(&mut self.window[self.at % RUN], new);
        self.at += 1;
        self.changes = self.changes + usize::from(new.0) - usize::from(old.0);
        self.blank = self.blank + usize::from(new.1) - usize::from(old.1);
        self.hexadecimal &= byte.is_ascii_hexdigit();
        self.digits |= byte.is_ascii_digit();
        self.nucleotides &= b"ACGTUN".contains(&byte.to_ascii_uppercase());
        self.several |= before.is_some_and(|before| !before.eq_ignore_ascii_case(&byte));
        let is_other = self.hexadecimal && self.digits || self.nucleotides && self.several;
        self.is_file |= self.at >= RUN && self.is_mixed() && !is_other;
    }

    /// Whether capitals, small letters and digits change as often as in base64 (40 times in 63 pairs by chance, 22 in its tamest
    /// texts; words and paths have some 10), or zeros or ones are encoded, which give one character again and again.
    fn is_mixed(&self) -> bool {
        self.changes >= 18 || self.blank >= 24
    }
}

/// Whether two letters or digits are of different kinds.
fn changes(one: u8, two: u8) -> bool {
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase(), byte.is_ascii_digit());
    one.is_ascii_alphanumeric() && two.is_ascii_alphanumeric() && kind(one) != kind(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_where_it_begins_and_where_it_may_begin() {
        let run = "Ab1+".repeat(16);
        for before in ["", "<a>", "some words before it, of which none is long, \"", &"word ".repeat(40)] {
            assert_eq!(find(format!("{before}{run}<").as_bytes()), Run::At(before.len()), "{before}");
            assert_eq!(find(format!("{before}{}", &run[1..]).as_bytes()), Run::Perhaps(before.len()), "{before}");
            assert_eq!(find(format!("{before}{}<", &run[1..]).as_bytes()), Run::No, "{before}");
        }
        assert_eq!(find(b""), Run::No);
        assert_eq!(find(&b"word ".repeat(99)), Run::No);
    }

    fn is_file(run: &[u8]) -> bool {
        let mut look = Look::default();
        run.iter().for_each(|byte| look.take(*byte));
        look.is_file
    }

    #[test]
    fn digests_sequences_and_paths_are_no_files_and_zeros_are() {
        assert!(!is_file(&b"0a1f".repeat(16)) && !is_file(&b"ACGT".repeat(32)));
        assert!(!is_file(b"org/fhir/R4/StructureDefinition/ImmunizationRecommendation/DateCriterion/Value"));
        assert!(is_file(&b"AAAA".repeat(32)) && is_file(&b"JVBERi0x".repeat(8)));
        let program = b"TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(is_file(program));
    }

    #[test]
    fn a_file_is_one_whatever_it_begins_with() {
        for beginning in [&b"a"[..], b"0a1f", b"ACGT", b"fhir/StructureDefinition/"] {
            let run = [&beginning.repeat(64)[..], &b"JVBERi0x".repeat(8)].concat();
            assert!(is_file(&run), "{}", String::from_utf8_lossy(beginning));
        }
    }
}
