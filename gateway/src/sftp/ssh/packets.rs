//! Packets on a connection: each bounded, each with a deadline, numbered in each direction.

use super::Broken;
use super::cipher::{Opening, Sealing};
use crate::system::Timed;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of the longest first line, its end included (RFC 4253 section 4.2).
const MAX_LINE: u64 = 255;

/// Bytes that may come with the same keys: clients ask for others after 64 GiB or less.
const MAX_WITH_KEYS: u64 = 128 << 30;

/// Packets that may go with the same keys, both ways: no number comes twice with them, of which ChaCha20-Poly1305 makes its nonces.
const MAX_PACKETS: u64 = 1 << 31;

/// A connection.
pub struct Packets {
    input: BufReader<Timed>,
    /// How long the peer may be silent.
    idle: Duration,
    /// When the whole has to be done, as long as nobody has logged in.
    until: Option<Instant>,
    pub(super) opening: Opening,
    pub(super) sealing: Sealing,
    pub(super) received: u32,
    pub(super) sent: u32,
    with_keys: u64,
    packets: u64,
}

impl Packets {
    /// On a connection whose peer may be silent for `idle`, and must have logged in after `greeting`.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub fn new(stream: TcpStream, greeting: Duration, idle: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(greeting.min(idle)))?;
        let now = Instant::now();
        Ok(Self {
            input: BufReader::with_capacity(128 * 1024, Timed { stream, deadline: now }),
            idle,
            until: Some(now + greeting),
            opening: Opening::none(),
            sealing: Sealing::none(),
            received: 0,
            sent: 0,
            with_keys: 0,
            packets: 0,
        })
    }

    /// Somebody logged in: from now on it is only silence that ends the connection.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub fn logged_in(&mut self) -> io::Result<()> {
        self.until = None;
        self.input.get_ref().stream.set_write_timeout(Some(self.idle))
    }

    /// New keys are in use for what comes.
    pub fn rekeyed(&mut self) {
        (self.with_keys, self.packets) = (0, 0);
    }

    fn set_deadline(&mut self) {
        let silent = Instant::now() + self.idle;
        self.input.get_mut().deadline = self.until.map_or(silent, |until| until.min(silent));
    }

    /// The peer's first line, without its end.
    ///
    /// # Errors
    /// When the connection ends, or the line is too long.
    pub fn line(&mut self) -> Result<Vec<u8>, Broken> {
        self.set_deadline();
        let mut line = Vec::new();
        (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(if line.is_empty() { Broken::HungUp } else { Broken::Garbage("not SSH") });
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// The next packet's payload, which is never empty: it must begin, and be whole, within the time of silence.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no packet.
    pub fn receive(&mut self) -> Result<Vec<u8>, Broken> {
        self.set_deadline();
        let mut head = [0; 4];
        match self.input.read(&mut head[..1])? {
            0 => return Err(Broken::HungUp),
            _ => self.input.read_exact(&mut head[1..])?,
        }
        let payload = self.opening.open(self.received, head, &mut self.input)?;
        self.received = self.received.wrapping_add(1);
        self.with_keys += payload.len() as u64;
        self.count()?;
        Ok(payload)
    }

    fn count(&mut self) -> Result<(), Broken> {
        self.packets += 1;
        match self.with_keys > MAX_WITH_KEYS || self.packets > MAX_PACKETS {
            true => Err(Broken::Garbage("too much for one set of keys")),
            false => Ok(()),
        }
    }

    /// Sends a line or a packet as it is.
    ///
    /// # Errors
    /// When the connection fails, or the peer does not take it in time.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.input.get_mut().stream.write_all(bytes)
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// As [`Packets::send_raw`].
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Broken> {
        self.count()?;
        let packet = self.sealing.seal(self.sent, payload)?;
        self.sent = self.sent.wrapping_add(1);
        Ok(self.send_raw(&packet)?)
    }
}
