//! JSON and NDJSON (RFC 8259; FHIR Bulk Data among it): well-formed, bounded in depth, and identifiers by key.

use super::json_bulk::Listener;
use super::json_path::{Path, TooDeep};
use crate::bulk::Bulk;
use crate::flaw::Flaw;
use crate::identifiers::{Scanner, Token, scan_whole};
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of a number, or of `true`, `false` and `null`.
const WORD_BYTES: usize = 400;

/// Reads one JSON value, or one object a line.
pub struct Json {
    path: Path,
    at: At,
    /// Whether each line is an object of its own.
    lines: bool,
    /// Values so far that are whole.
    values: u64,
    offset: u64,
    /// Offset of the string's first byte.
    value: u64,
    word: Vec<u8>,
    scanner: Scanner,
    broken: bool,
    between_lines: Flaw,
    listener: Listener,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before a value.
    Value,
    /// After `[`: a value or `]`.
    First,
    /// After `{`: a key or `}`.
    FirstKey,
    Key,
    Colon,
    /// After a value: a comma, or the end of what it stands in.
    After,
    /// After a value at the top in NDJSON: the line must end.
    Line,
    Text(Role),
    Escape(Role),
    /// Within `\uXXXX`: digits to come, and their value so far.
    Unicode(Role, u8, u16),
    Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

impl Json {
    /// Reads JSON, or NDJSON where `lines` is set.
    pub fn new(policy: &Arc<Policy>, lines: bool) -> Self {
        Self {
            path: Path::new(policy),
            at: At::Value,
            lines,
            values: 0,
            offset: 0,
            value: 0,
            word: Vec::new(),
            scanner: Scanner::default(),
            broken: false,
            between_lines: Flaw::default(),
            listener: Listener::new(lines),
        }
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<(), (usize, &'static str)> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.at {
                At::Text(role) => at = self.text(bytes, at, role)?,
                At::Escape(role) => {
                    self.escape(byte, role).map_err(|what| (at, what))?;
                    at += 1;
                }
                At::Unicode(role, left, unit) => {
                    let digit = char::from(byte).to_digit(16).ok_or((at, "a wrong escape in a string"))?;
                    let unit = unit << 4 | u16::try_from(digit).unwrap_or(0);
                    self.at = At::Unicode(role, left - 1, unit);
                    if left == 1 {
                        // Anything outside of ASCII is a letter, as far as identifiers go.
                        self.piece(&[u8::try_from(unit).unwrap_or(0xff)], role);
                        self.at = At::Text(role);
                    }
                    at += 1;
                }
                At::Word => match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'+' => {
                        if self.word.len() >= WORD_BYTES {
                            return Err((at, "a number that is too long"));
                        }
                        self.word.push(byte);
                        at += 1;
                    }
                    _ => self.end_word().map_err(|what| (at, what))?,
                },
                _ => {
                    self.structure(byte, at).map_err(|what| (at, what))?;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// A byte between values.
    fn structure(&mut self, byte: u8, at: usize) -> Result<(), &'static str> {
        match (byte, self.at) {
            (b'\n' | b'\r', At::Line) => self.at = At::Value,
            (b'\n', _) if self.lines && self.path.depth() > 0 => self.between_lines.at(self.offset + at as u64),
            (b' ' | b'\t' | b'\n' | b'\r', _) => {}
            (b'"', At::FirstKey | At::Key) => self.begin_text(at, Role::Key),
            (b':', At::Colon) => self.at = At::Value,
            (b',', At::After) => self.at = if self.path.in_object() { At::Key } else { At::Value },
            (b'}', At::FirstKey) => self.close(true)?,
            (b'}', At::After) if self.path.in_object() => self.close(true)?,
            (b']', At::First) => self.close(false)?,
            (b']', At::After) if self.path.in_array() => self.close(false)?,
            (_, At::Value | At::First) => self.begin(byte, at)?,
            _ => return Err("not JSON: something else was due here"),
        }
        Ok(())
    }

    fn begin(&mut self, byte: u8, at: usize) -> Result<(), &'static str> {
        let top = self.path.depth() == 0;
        if top && self.values > 0 && !self.lines {
            return Err("not JSON: more than one value");
        }
        if top && self.lines && byte != b'{' {
            return Err("a line that is no object");
        }
        match byte {
            b'{' | b'[' => {
                self.path.open(byte == b'{').map_err(|TooDeep| "nested too deep")?;
                self.at = if byte == b'{' { At::FirstKey } else { At::First };
            }
            b'"' => self.begin_text(at, Role::Value),
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {
                self.value = self.offset + at as u64;
                self.word.push(byte);
                self.at = At::Word;
            }
            _ => return Err("not JSON: a value was due here"),
        }
        Ok(())
    }

    fn close(&mut self, object: bool) -> Result<(), &'static str> {
        if self.path.in_object() != object {
            return Err("not JSON: brackets do not pair");
        }
        self.listener.close(&self.path);
        self.path.close();
        self.whole();
        Ok(())
    }

    /// A value is whole.
    fn whole(&mut self) {
        self.at = At::After;
        if self.path.depth() == 0 {
            self.values += 1;
            self.at = if self.lines { At::Line } else { At::Value };
        }
    }

    fn begin_text(&mut self, at: usize, role: Role) {
        self.value = self.offset + at as u64 + 1;
        self.at = At::Text(role);
        match role {
            Role::Key => self.path.begin_key(),
            Role::Value => {
                self.path.begin_value();
                self.listener.begin(&self.path);
            }
        }
    }

    /// Takes a string's bytes up to its end, an escape or the end of what has come; says where to go on.
    fn text(&mut self, bytes: &[u8], at: usize, role: Role) -> Result<usize, (usize, &'static str)> {
        let Some(rest) = bytes.get(at..) else { return Ok(at) };
        let Some(length) = rest.iter().position(|byte| STOPS[usize::from(*byte)]) else {
            self.piece(rest, role);
            return Ok(bytes.len());
        };
        let part = &rest[..length];
        match rest[length] {
            b'"' => {
                self.last_piece(part, role);
                match role {
                    Role::Key => self.at = At::Colon,
                    Role::Value => {
                        self.path.end_value();
                        self.listener.end();
                        self.whole();
                    }
                }
            }
            b'\\' => {
                self.piece(part, role);
                self.at = At::Escape(role);
            }
            _ => {
                self.piece(part, role);
                return Err((at + length, "a control character in a string"));
            }
        }
        Ok(at + length + 1)
    }

    fn escape(&mut self, byte: u8, role: Role) -> Result<(), &'static str> {
        let meant = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at = At::Unicode(role, 4, 0);
                return Ok(());
            }
            _ => return Err("a wrong escape in a string"),
        };
        self.piece(&[meant], role);
        self.at = At::Text(role);
        Ok(())
    }

    /// A part of a string that is not known to be its end.
    fn piece(&mut self, part: &[u8], role: Role) {
        self.hear(part, role);
        if self.path.weighs() {
            let (path, value) = (&mut self.path, self.value);
            self.scanner.feed(part, &mut |token: Token| path.take(&token, value, role == Role::Key));
        }
    }

    /// The end of a string, or all of it.
    fn last_piece(&mut self, part: &[u8], role: Role) {
        self.hear(part, role);
        if self.path.weighs() && (part.len() >= 11 || self.scanner.in_value()) {
            let (path, value) = (&mut self.path, self.value);
            let found = &mut |token: Token| path.take(&token, value, role == Role::Key);
            if self.scanner.in_value() {
                self.scanner.feed(part, found);
                self.scanner.end(found);
            } else {
                scan_whole(part, found);
            }
        }
    }

    fn hear(&mut self, part: &[u8], role: Role) {
        self.path.piece(part, role == Role::Key);
        if role == Role::Value {
            self.listener.piece(part);
        }
    }

    fn end_word(&mut self) -> Result<(), &'static str> {
        let word = std::mem::take(&mut self.word);
        self.listener.word(&self.path, &word);
        if self.path.weighs() {
            let (path, value) = (&mut self.path, self.value);
            scan_whole(&word, &mut |token| path.take(&token, value, false));
        }
        if !is_number(&word) && !matches!(word.as_slice(), b"true" | b"false" | b"null") {
            return Err("not JSON: neither a number nor true, false or null");
        }
        self.whole();
        Ok(())
    }

    /// What the scanner still has of a value that is not whole.
    fn end_scan(&mut self) {
        let (path, value) = (&mut self.path, self.value);
        self.scanner.end(&mut |token| path.take(&token, value, false));
    }

    fn report(&mut self, offset: u64, what: &str, sink: &mut dyn Sink) {
        self.broken = true;
        sink.notice(Notice { class: Class::Malformed, offset: Some(offset), message: what.into() });
    }
}

/// Bytes at which a string stops: its end, an escape, control characters.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut byte = 0;
    while byte < 32 {
        stops[byte] = true;
        byte += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

/// Whether a word is a number by RFC 8259.
fn is_number(word: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with(b"0")) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

impl Reader for Json {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let mut rest = bytes;
        if !self.broken
            && let Err((at, what)) = self.walk(bytes)
        {
            self.report(self.offset + at as u64, what, sink);
            self.end_scan();
            self.value = self.offset + at as u64;
            rest = bytes.get(at..).unwrap_or_default();
        }
        if self.broken {
            // What follows has no known places, but is looked through.
            self.path.forget();
            let (path, value) = (&mut self.path, self.value);
            if path.weighs() {
                self.scanner.feed(rest, &mut |token| path.take(&token, value, false));
            }
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if self.at == At::Word
            && !self.broken
            && let Err(what) = self.end_word()
        {
            self.report(self.offset, what, sink);
        }
        if !self.broken && (self.path.depth() > 0 || !matches!(self.at, At::Value | At::Line)) {
            self.report(self.offset, "the file ends within a value: it may have been cut off", sink);
        }
        if !self.broken && !self.lines && self.values == 0 {
            self.report(0, "not JSON: no value at all", sink);
        }
        self.end_scan();
        self.between_lines.tell(Class::Malformed, sink, "an object that goes on after the end of its line");
        if self.listener.names_too_many() {
            let message = "a manifest with more files than are compared with it".into();
            sink.notice(Notice { class: Class::NotInspected, offset: None, message });
        }
        self.path.finish(sink);
    }

    fn bulk(&mut self) -> Option<Bulk> {
        self.listener.finish()
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
