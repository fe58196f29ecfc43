//! Handing one mail to a relay: the client's side of SMTP (RFC 5321) with STARTTLS (RFC 3207), without sockets. Bytes of the server come in,
//! what is to be sent goes out.

use crate::time::Timestamp;
use serde::Serialize;

/// Bytes of the longest reply, all of its lines together: the standard's line has 512.
const MAX_REPLY: usize = 16 * 1024;

/// A mail and its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who sends.
    pub from: Address,
    /// Who receives: at least one.
    pub to: Vec<Address>,
    /// When.
    pub time: Timestamp,
    /// What makes its identifier unique: letters and digits.
    pub unique: String,
    /// One line of ASCII.
    pub subject: String,
    /// Lines of ASCII.
    pub text: String,
}

/// A mail address that can stand in an envelope and a header as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address(String);

/// The text is no address that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mail address of plain ASCII such as drift@sykehus.example")]
pub struct BadAddress;

impl Address {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl std::str::FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let plain = |part: &str, more: &[u8]| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            !part.is_empty()
                && part.bytes().all(known)
                && !part.starts_with('.')
                && !part.ends_with('.')
                && !part.contains("..")
        };
        match text.rsplit_once('@') {
            Some((local, domain))
                if text.len() <= 254 && plain(local, b".!#$%&'*+-/=?^_`{|}~") && plain(domain, b".-") =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(BadAddress),
        }
    }
}

impl Letter {
    /// The mail as it travels: header, empty line, text, with what SMTP wants of lines.
    fn data(&self) -> Vec<u8> {
        let to = self.to.iter().map(Address::as_str).collect::<Vec<_>>().join(",\r\n ");
        let mut data = format!(
            "From: <{}>\r\nTo: {to}\r\nDate: {}\r\nMessage-ID: <{}@{}>\r\nSubject: {}\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\nAuto-Submitted: auto-generated\r\n\r\n",
            self.from.as_str(),
            self.time.mail(),
            self.unique,
            self.from.domain(),
            self.subject,
        );
        for line in self.text.lines() {
            // A line of one dot ends the mail.
            let dot = if line.starts_with('.') { "." } else { "" };
            data += &format!("{dot}{line}\r\n");
        }
        (data + ".\r\n").into_bytes()
    }
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The relay said no: its code.
    #[error("the relay answered {code} to {to}")]
    Refused {
        /// Its reply code.
        code: u16,
        /// What it was answering to.
        to: &'static str,
    },
    /// The relay does not speak SMTP, or too much of it.
    #[error("the relay does not answer as SMTP does")]
    Protocol,
    /// Encryption is asked for, and the relay does not offer it.
    #[error("the relay offers no STARTTLS")]
    NoTls,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Wait for more of the server's bytes.
    Read,
    /// Send this, then wait.
    Send(Vec<u8>),
    /// Begin TLS, then call [`Session::encrypted`].
    Encrypt,
    /// The relay has taken the mail; send this and close.
    Taken(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Hello,
    StartTls,
    From,
    /// The recipient of this number was named.
    To(usize),
    Data,
    Text,
}

/// One conversation.
#[derive(Debug)]
pub struct Session<'a> {
    letter: &'a Letter,
    hello: &'a str,
    stage: Stage,
    /// Whether encryption is yet to begin.
    encrypt: bool,
    input: Vec<u8>,
}

impl<'a> Session<'a> {
    /// A conversation in which a host that is called `hello` hands `letter` over; over TLS if `encrypt`.
    pub fn new(letter: &'a Letter, hello: &'a str, encrypt: bool) -> Self {
        Self { letter, hello, stage: Stage::Greeting, encrypt, input: Vec::new() }
    }

    /// Takes what the server sent.
    ///
    /// # Errors
    /// When the relay refuses, or does not speak SMTP.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Next, NotTaken> {
        if self.input.len() + bytes.len() > MAX_REPLY {
            return Err(NotTaken::Protocol);
        }
        self.input.extend_from_slice(bytes);
        let Some((reply, length)) = Reply::read(&self.input)? else { return Ok(Next::Read) };
        // Nothing may come before it was asked for: what does could be another's, put in ahead of the encryption.
        if length != self.input.len() {
            return Err(NotTaken::Protocol);
        }
        self.input.clear();
        self.answer(&reply)
    }

    /// TLS has begun: everything said before does not count.
    pub fn encrypted(&mut self) -> Next {
        (self.encrypt, self.stage) = (false, Stage::Hello);
        Next::Send(self.greet())
    }

    fn greet(&self) -> Vec<u8> {
        format!("EHLO {}\r\n", self.hello).into_bytes()
    }

    fn answer(&mut self, reply: &Reply) -> Result<Next, NotTaken> {
        let expect = |class: u16, to| {
            if reply.code / 100 == class { Ok(()) } else { Err(NotTaken::Refused { code: reply.code, to }) }
        };
        let (stage, send) = match self.stage {
            Stage::Greeting => {
                expect(2, "the connection")?;
                (Stage::Hello, self.greet())
            }
            Stage::Hello => {
                expect(2, "EHLO")?;
                match (self.encrypt, reply.offers("STARTTLS")) {
                    (true, true) => (Stage::StartTls, b"STARTTLS\r\n".to_vec()),
                    (true, false) => return Err(NotTaken::NoTls),
                    (false, _) => (Stage::From, format!("MAIL FROM:<{}>\r\n", self.letter.from.as_str()).into_bytes()),
                }
            }
            Stage::StartTls => {
                expect(2, "STARTTLS")?;
                return Ok(Next::Encrypt);
            }
            Stage::From => {
                expect(2, "MAIL")?;
                self.name(0)
            }
            Stage::To(number) => {
                expect(2, "RCPT")?;
                self.name(number + 1)
            }
            Stage::Data => {
                expect(3, "DATA")?;
                (Stage::Text, self.letter.data())
            }
            Stage::Text => {
                expect(2, "the mail")?;
                return Ok(Next::Taken(b"QUIT\r\n".to_vec()));
            }
        };
        self.stage = stage;
        Ok(Next::Send(send))
    }

    /// Names the next recipient, or begins the mail after the last.
    fn name(&self, number: usize) -> (Stage, Vec<u8>) {
        match self.letter.to.get(number) {
            Some(to) => (Stage::To(number), format!("RCPT TO:<{}>\r\n", to.as_str()).into_bytes()),
            None => (Stage::Data, b"DATA\r\n".to_vec()),
        }
    }
}

/// A whole reply: its code, and each line's text.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// The first reply in `bytes` and its length; none while it is not whole.
    fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, NotTaken> {
        let (mut lines, mut code, mut at) = (Vec::new(), None, 0);
        while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            let line = bytes[at..at + end].strip_suffix(b"\r").ok_or(NotTaken::Protocol)?;
            at += end + 1;
            let line = std::str::from_utf8(line).map_err(|_| NotTaken::Protocol)?;
            let (digits, rest) = line.split_at_checked(3).ok_or(NotTaken::Protocol)?;
            let number: u16 = digits.parse().map_err(|_| NotTaken::Protocol)?;
            if !(200..600).contains(&number) || code.is_some_and(|code| code != number) {
                return Err(NotTaken::Protocol);
            }
            code = Some(number);
            match rest.as_bytes().first() {
                None | Some(b' ') => {
                    lines.push(rest.trim_start().to_owned());
                    return Ok(Some((Self { code: number, lines }, at)));
                }
                Some(b'-') => lines.push(rest[1..].to_owned()),
                Some(_) => return Err(NotTaken::Protocol),
            }
        }
        Ok(None)
    }

    fn offers(&self, what: &str) -> bool {
        self.lines.iter().skip(1).any(|line| line.trim().eq_ignore_ascii_case(what))
    }
}

#[cfg(test)]
mod tests;
