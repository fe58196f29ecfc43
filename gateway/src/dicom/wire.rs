//! PDUs on a connection (PS3.8 section 9.3): each bounded before it is read, each with a deadline.

use super::documents::{self, Request};
use crate::system::Timed;
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of the longest PDU with data that a peer may send, as it is told.
pub const MAX_PDU: u32 = 128 * 1024;

/// Bytes of the longest other PDU: 128 presentation contexts with 40 transfer syntaxes each have less.
const MAX_OTHER: u32 = 1024 * 1024;

/// Types of PDUs.
const REQUEST: u8 = 1;
const P_DATA: u8 = 4;
const RELEASE: u8 = 5;
const ABORT: u8 = 7;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection failed, or the peer was silent for too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer hung up between two PDUs.
    #[error("the peer hung up")]
    HungUp,
    /// What came is not DICOM.
    #[error("what came is not DICOM: {0}")]
    Garbage(&'static str),
}

/// What came.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// Presentation data values, one behind the other ([`values`]).
    Data(&'a [u8]),
    /// A request for an association.
    Request(Request),
    /// The caller is done.
    Release,
    /// The caller breaks off.
    Abort,
}

/// A connection.
pub struct Wire {
    input: BufReader<Timed>,
    idle: Duration,
    pdu: Vec<u8>,
}

impl Wire {
    /// On a connection whose peer may be silent for `idle`.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub fn new(stream: TcpStream, idle: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(idle))?;
        let timed = Timed { stream, deadline: Instant::now() };
        Ok(Self { input: BufReader::with_capacity(2 * MAX_PDU as usize, timed), idle, pdu: Vec::new() })
    }

    /// The next PDU: it must begin, and be whole, within the time of silence.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no PDU, or too long.
    pub fn receive(&mut self) -> Result<Incoming<'_>, Broken> {
        self.input.get_mut().deadline = Instant::now() + self.idle;
        let mut head = [0; 6];
        match self.input.read(&mut head[..1])? {
            0 => return Err(Broken::HungUp),
            _ => self.input.read_exact(&mut head[1..])?,
        }
        let [kind, _, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        let most = if kind == P_DATA { MAX_PDU } else { MAX_OTHER };
        if length > most {
            return Err(Broken::Garbage("a PDU that is longer than was agreed"));
        }
        self.pdu.clear();
        self.pdu.resize(length as usize, 0);
        self.input.read_exact(&mut self.pdu)?;
        match kind {
            P_DATA => Ok(Incoming::Data(&self.pdu)),
            REQUEST => documents::request(&self.pdu).map(Incoming::Request).ok_or(Broken::Garbage("a request")),
            RELEASE => Ok(Incoming::Release),
            ABORT => Ok(Incoming::Abort),
            _ => Err(Broken::Garbage("a PDU that does not belong here")),
        }
    }

    /// Sends a PDU.
    ///
    /// # Errors
    /// When the connection fails, or the peer does not take it in time.
    pub fn send(&mut self, pdu: &[u8]) -> io::Result<()> {
        self.input.get_mut().stream.write_all(pdu)
    }

    /// Sends a whole command without a data set.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn send_command(&mut self, context: u8, command: &[u8]) -> io::Result<()> {
        let value = u32::try_from(command.len() + 2).map_err(io::Error::other)?;
        let mut bytes = vec![P_DATA, 0];
        bytes.extend((value + 4).to_be_bytes());
        bytes.extend(value.to_be_bytes());
        // A command, and the last of it.
        bytes.extend([context, 0b11]);
        bytes.extend(command);
        self.input.get_mut().stream.write_all(&bytes)
    }
}

/// A presentation data value: a piece of a command or of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// Its presentation context.
    pub context: u8,
    /// Whether it is a command's.
    pub command: bool,
    /// Whether it is the last.
    pub last: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The values in a PDU with data; an error where they do not fill it.
pub fn values(mut pdu: &[u8]) -> impl Iterator<Item = Result<Value<'_>, Broken>> {
    std::iter::from_fn(move || {
        if pdu.is_empty() {
            return None;
        }
        let read = value(pdu);
        pdu = read.as_ref().map_or(&[][..], |(_, rest)| *rest);
        Some(read.map(|(value, _)| value).ok_or(Broken::Garbage("data that do not fill their PDU")))
    })
}

fn value(pdu: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (length, rest) = pdu.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let [context, control, bytes @ ..] = value else { return None };
    Some((Value { context: *context, command: control & 1 != 0, last: control & 2 != 0, bytes }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_where_their_lengths_say_and_refused_where_they_do_not_fill_the_pdu() {
        let two = [0, 0, 0, 4, 1, 0b11, 7, 8, 0, 0, 0, 2, 3, 0];
        let read: Vec<_> = values(&two).map(Result::unwrap).collect();
        assert_eq!(read[0], Value { context: 1, command: true, last: true, bytes: &[7, 8] });
        assert_eq!(read[1], Value { context: 3, command: false, last: false, bytes: &[] });
        for wrong in [&two[..13], &two[..3], &[0, 0, 0, 1, 1], &[0xff, 0xff, 0xff, 0xff, 1, 2]] {
            assert!(values(wrong).any(|value| value.is_err()), "{wrong:?}");
        }
    }
}
