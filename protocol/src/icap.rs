//! What the zone and an ICAP service (RFC 3507) say to each other: the client's half, as far as a scanner needs it.
//!
//! A file is shown as the body of an answer (`RESPMOD`). A service that would not change it says 204, and that alone is clean, if
//! it comes after the whole file. Many services say 204 of what they do not scan as well, as soon as they have seen its beginning: so
//! a file is shown by a preview that is never all of it, and a 204 to that is none.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Bytes of the longest head of an answer, and lines in it.
pub const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 100;

/// Bytes of a preview, whatever the service would take.
const MAX_PREVIEW: usize = 4096;

/// Characters that are kept of what a service states.
const MAX_STATED: usize = 100;

/// What ends a body.
pub const BODY_END: &[u8] = b"0\r\n\r\n";

/// The request whose answer the file would be.
const GET: &str = "GET http://sluse.invalid/file HTTP/1.1\r\nHost: sluse.invalid\r\n\r\n";

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(&'static str);

/// A service: `icap://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(into = "String")]
pub struct Service {
    host: String,
    path: String,
}

impl FromStr for Service {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        const FORM: Wrong = Wrong("it is `icap://host:port/service`");
        let (host, path) = text.strip_prefix("icap://").and_then(|rest| rest.split_once('/')).ok_or(FORM)?;
        let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~/?=&%+,;:@".contains(&byte);
        let good = (1..=300).contains(&host.len()) && host.bytes().all(in_host);
        let good = good && (1..=300).contains(&path.len()) && path.bytes().all(in_path);
        good.then(|| Self { host: host.into(), path: path.into() }).ok_or(FORM)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "icap://{}/{}", self.host, self.path)
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        service.to_string()
    }
}

impl Service {
    /// Asks what the service is.
    pub fn options(&self) -> Vec<u8> {
        format!("OPTIONS {self} ICAP/1.0\r\nHost: {}\r\nEncapsulated: null-body=0\r\n\r\n", self.host).into_bytes()
    }

    /// Begins to show a file of `size` bytes, of which `preview` are shown first, if any.
    pub fn respmod(&self, size: u64, preview: Option<usize>) -> Vec<u8> {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        let mut head = format!("RESPMOD {self} ICAP/1.0\r\nHost: {}\r\nAllow: 204\r\n", self.host);
        if let Some(preview) = preview {
            // Writing to a text cannot fail.
            let _ = write!(head, "Preview: {preview}\r\n");
        }
        let (second, body) = (GET.len(), GET.len() + answer.len());
        let _ = write!(head, "Encapsulated: req-hdr=0, res-hdr={second}, res-body={body}\r\n\r\n");
        [head.as_str(), GET, &answer].concat().into_bytes()
    }
}

/// What stands before the bytes of a piece of a body, of which there is one at least; behind them stands `\r\n`.
pub fn piece_head(bytes: usize) -> String {
    format!("{bytes:x}\r\n")
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    status: u16,
    /// Names in small letters, and values.
    fields: Vec<(String, String)>,
}

/// What a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What it calls itself.
    pub name: String,
    /// Which state it is in: another after its signatures have changed.
    pub tag: String,
    /// Bytes that it wants to see first.
    pub preview: Option<usize>,
}

/// What a service says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It wants the rest.
    Continue,
    /// It would not change it; it is in the state of this tag.
    Unchanged(String),
    /// It names what it found.
    Found(String),
    /// It would give something else, and does not name why.
    Changed,
}

impl Head {
    /// Reads the head at the start of `bytes`, and says how long it is; none if more must come.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Wrong> {
        let head = &bytes[..bytes.len().min(MAX_HEAD)];
        let Some(length) = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            let begins = head.iter().zip(b"ICAP/1.").all(|(one, other)| one == other);
            return match (begins, bytes.len() < MAX_HEAD) {
                (false, _) => Err(Wrong("it is no answer of ICAP")),
                (true, false) => Err(Wrong("its head has no end")),
                (true, true) => Ok(None),
            };
        };
        let text = std::str::from_utf8(&head[..length - 4]).map_err(|_| Wrong("its head is no text"))?;
        if text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)) {
            return Err(Wrong("its head has control characters"));
        }
        let mut lines = text.split("\r\n");
        let status = status(lines.next().unwrap_or_default())?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n']) {
                return Err(Wrong("its lines end in several ways"));
            }
            match (line.strip_prefix([' ', '\t']), fields.last_mut()) {
                (Some(more), Some((_, value))) => {
                    value.push(' ');
                    value.push_str(more.trim());
                }
                (Some(_), None) => return Err(Wrong("its first field has no name")),
                (None, _) => fields.push(field(line)?),
            }
            if fields.len() > MAX_FIELDS {
                return Err(Wrong("its head has too many fields"));
            }
        }
        Ok(Some((Self { status, fields }, length)))
    }

    /// What the service says that it is.
    ///
    /// # Errors
    /// Why it is of no use here.
    pub fn options(&self) -> Result<Options, Wrong> {
        let lists = |name, word: &str| {
            self.all(name).any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
        };
        if self.status != 200 {
            return Err(Wrong("the service is not there under this name"));
        }
        if !lists("methods", "RESPMOD") {
            return Err(Wrong("the service does not take RESPMOD"));
        }
        if !lists("allow", "204") {
            return Err(Wrong("the service does not say 204 of what it leaves as it is"));
        }
        let preview = match self.one("preview")? {
            None => None,
            Some(number) => Some(number.parse::<usize>().map_err(|_| Wrong("its preview is no number"))?),
        };
        Ok(Options {
            name: stated(self.one("service")?.unwrap_or("ICAP")),
            tag: self.tag()?,
            preview: preview.map(|bytes| bytes.min(MAX_PREVIEW)),
        })
    }

    /// What the service says of a file.
    ///
    /// # Errors
    /// Why that is no verdict.
    pub fn answer(&self) -> Result<Answer, Wrong> {
        match (self.status, self.found()) {
            (100, None) => Ok(Answer::Continue),
            (200..=299, Some(name)) => Ok(Answer::Found(name)),
            (204, None) => Ok(Answer::Unchanged(self.tag()?)),
            (200 | 206, None) => Ok(Answer::Changed),
            (404, _) => Err(Wrong("it knows no such service")),
            (408, _) => Err(Wrong("it had waited too long")),
            (503, _) => Err(Wrong("it has too much to do")),
            (500..=599, _) => Err(Wrong("it could not scan the file")),
            _ => Err(Wrong("it answered what is no verdict")),
        }
    }

    /// What was found, as the services that there are name it.
    fn found(&self) -> Option<String> {
        let infection = self.all("x-infection-found").next();
        let threat = infection.map(|value| {
            let named = value.split(';').find_map(|part| part.trim().strip_prefix("Threat="));
            stated(named.unwrap_or(value))
        });
        let other = ["x-virus-id", "x-virus-name", "x-violations-found", "x-blocked-reason"];
        threat.or_else(|| other.into_iter().find_map(|name| self.all(name).next().map(stated)))
    }

    fn tag(&self) -> Result<String, Wrong> {
        let tag = self.one("istag")?.ok_or(Wrong("it does not say in which state it is (ISTag)"))?;
        Ok(stated(tag.trim_matches('"')))
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &'static str) -> Result<Option<&str>, Wrong> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Wrong("it says something twice")) } else { Ok(first) }
    }
}

fn status(line: &str) -> Result<u16, Wrong> {
    let rest = line.strip_prefix("ICAP/1.").and_then(|rest| rest.strip_prefix(['0', '1']));
    let code = rest.and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.get(..3));
    let ends = rest.is_some_and(|rest| matches!(rest.as_bytes().get(4), None | Some(b' ')));
    let digits = code.filter(|code| ends && code.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|code| code.parse().ok()).ok_or(Wrong("it is no answer of ICAP"))
}

fn field(line: &str) -> Result<(String, String), Wrong> {
    let (name, value) = line.split_once(':').ok_or(Wrong("a line of its head is no field"))?;
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good { Ok((name.to_ascii_lowercase(), value.trim().to_owned())) } else { Err(Wrong("a field without a name")) }
}

/// What a service states, bounded.
fn stated(text: &str) -> String {
    let clean: String = text.trim().chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_STATED).collect();
    if clean.is_empty() { "(no name)".into() } else { clean }
}

#[cfg(test)]
mod tests;
