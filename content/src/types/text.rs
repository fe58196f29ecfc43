//! Texts, told apart by their first 64 KiB.

use super::names::extension;
use sluse_protocol::types::FileType::{self, *};

/// Lines by which a table is told.
const TABLE_LINES: usize = 20;

/// Extensions of what Windows runs when it is opened, though it is text.
const WINDOWS_SCRIPTS: &[&str] = &[
    "bat", "cmd", "ps1", "psm1", "psd1", "vbs", "vbe", "js", "jse", "wsf", "wsh", "wsc", "sct", "hta", "reg", "scf",
    "url", "inf", "msh", "ps1xml",
];

/// The types that a text may be taken for, likeliest first; none when it is no text. `whole` says that `head` is all
/// of it.
pub fn identify(head: &[u8], whole: bool, name: &str) -> Vec<FileType> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let decoded;
    let text = if let Some(wide) = wide(head) {
        decoded = wide;
        decoded.as_bytes()
    } else {
        if !is_text(head, whole) {
            return Vec::new();
        }
        head
    };
    if text.starts_with(b"#!") || text.starts_with(b"#@~^") || WINDOWS_SCRIPTS.contains(&extension(name).as_str()) {
        return vec![Script];
    }
    let start = text.trim_ascii_start();
    marked(start)
        .or_else(|| braced(start, whole, name))
        .or_else(|| sequences(start))
        .or_else(|| is_mail(start).then(|| vec![Mail, Text]))
        .unwrap_or_else(|| table(text, whole, name))
}

/// UTF-16 text with its mark, as Windows programs write it.
fn wide(head: &[u8]) -> Option<String> {
    let (order, rest): (fn([u8; 2]) -> u16, _) = match head {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => return None,
    };
    let units: Vec<u16> = rest.chunks_exact(2).map(|pair| order([pair[0], pair[1]])).collect();
    // The last character may be cut in two.
    let text =
        String::from_utf16(&units).or_else(|_| String::from_utf16(&units[..units.len().saturating_sub(1)])).ok()?;
    text.chars().all(|c| !c.is_control() || "\t\n\r\u{c}".contains(c)).then_some(text)
}

/// UTF-8, or one byte a character; without control characters but those of texts, HL7's framing and the end mark of
/// DOS.
fn is_text(head: &[u8], whole: bool) -> bool {
    if head.iter().any(|byte| byte.is_ascii_control() && !b"\t\n\r\x0b\x0c\x1a\x1b\x1c".contains(byte)) {
        return false;
    }
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) if error.error_len().is_none() && !whole => true,
        // Of a byte-a-character text in the languages of the sources most is ASCII.
        Err(_) => head.iter().filter(|byte| byte.is_ascii()).count() * 10 >= head.len() * 7,
    }
}

fn begins(text: &[u8], with: &str) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn marked(start: &[u8]) -> Option<Vec<FileType>> {
    if begins(start, "<!doctype html") || begins(start, "<html") || begins(start, "<script") {
        return Some(vec![Html]);
    }
    if start.starts_with(b"<") {
        let named = start.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || b"?!_".contains(byte));
        let svg = start[..start.len().min(1024)].windows(4).any(|window| window == b"<svg");
        return named.then(|| if svg { vec![Svg, Xml] } else { vec![Xml] });
    }
    let hl7 = start.strip_prefix(b"\x0b").unwrap_or(start);
    if ["MSH|", "FHS|", "BHS|"].iter().any(|mark| hl7.starts_with(mark.as_bytes())) {
        return Some(vec![Hl7]);
    }
    None
}

/// Fields of which a mail has at least two.
const MAIL_FIELDS: &[&str] =
    &["from", "to", "date", "subject", "message-id", "received", "mime-version", "return-path"];

/// A mail, or a file of them, begins with fields up to an empty line.
fn is_mail(start: &[u8]) -> bool {
    let text = if start.starts_with(b"From ") { start.splitn(2, |byte| *byte == b'\n').last() } else { Some(start) };
    let lines = text.unwrap_or_default().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut seen = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        // A field goes on in lines that begin with white space.
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let name = line.iter().position(|byte| *byte == b':').map(|end| &line[..end]);
        let Some(name) = name.filter(|name| name.iter().all(|byte| byte.is_ascii_graphic())) else { break };
        seen += usize::from(MAIL_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())));
    }
    seen >= 2
}

/// JSON: a line that is a whole object makes it NDJSON; if it is the only line it may be either.
fn braced(start: &[u8], whole: bool, name: &str) -> Option<Vec<FileType>> {
    match start {
        [b'[', ..] if json_follows(&start[1..], b"[{\"]") => Some(vec![Json]),
        [b'[', ..] if whole && start.trim_ascii_end().ends_with(b"]") => Some(vec![Json, Text]),
        [b'{', ..] if json_follows(&start[1..], b"\"}") => Some(objects(start, name)),
        _ => None,
    }
}

fn objects(start: &[u8], name: &str) -> Vec<FileType> {
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first_whole = lines.next().is_some_and(|line| line.ends_with(b"}"));
    match (first_whole, lines.next()) {
        (true, Some(line)) if line.starts_with(b"{") => vec![Ndjson],
        // One line, which may be longer than what is looked at.
        (_, None) if ["ndjson", "jsonl"].contains(&extension(name).as_str()) => vec![Ndjson, Json],
        (_, None) => vec![Json, Ndjson],
        _ => vec![Json],
    }
}

fn json_follows(rest: &[u8], allowed: &[u8]) -> bool {
    rest.trim_ascii_start().first().is_none_or(|byte| allowed.contains(byte))
}

fn sequences(start: &[u8]) -> Option<Vec<FileType>> {
    if start.starts_with(b"##fileformat=VCF") {
        return Some(vec![Vcf]);
    }
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let (first, second) = (lines.next()?, lines.next().unwrap_or_default());
    let letters =
        |line: &[u8]| !line.is_empty() && line.iter().all(|byte| byte.is_ascii_alphabetic() || b"*-.".contains(byte));
    match first {
        [b'@', a, b, b'\t', ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(vec![Sam]),
        [b'@', ..] if letters(second) && lines.next().is_some_and(|line| line.starts_with(b"+")) => Some(vec![Fastq]),
        [b'>', ..] if letters(second) => Some(vec![Fasta]),
        _ => None,
    }
}

/// A table has the same number of separators, at least one, in its first lines; any text may be a table of one column
/// when its name says so.
fn table(text: &[u8], whole: bool, name: &str) -> Vec<FileType> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(TABLE_LINES + 1).collect();
    // The last line may be cut, or nothing after the last line feed.
    if lines.len() > TABLE_LINES || !whole || lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.retain(|line| !line.trim_ascii().is_empty());
    match extension(name).as_str() {
        "csv" => return vec![Csv, Text],
        "tsv" | "tab" => return vec![Tsv, Text],
        _ => {}
    }
    for (separator, found) in [(b'\t', Tsv), (b';', Csv), (b',', Csv)] {
        let counts: Vec<usize> = lines.iter().map(|line| separators(line, separator)).collect();
        if counts.len() >= 2 && counts[0] > 0 && counts.iter().all(|count| *count == counts[0]) {
            return vec![found, Text];
        }
    }
    vec![Text]
}

/// Separators outside quotes.
fn separators(line: &[u8], separator: u8) -> usize {
    let mut quoted = false;
    let count = |byte: &&u8| {
        quoted ^= **byte == b'"';
        **byte == separator && !quoted
    };
    line.iter().filter(count).count()
}
