//! One file's way to an ICAP service, on a connection of its own.

use super::Settings;
use sluse_protocol::icap::{Answer, BODY_END, Head, MAX_HEAD, Options, piece_head};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of one piece.
const PIECE: usize = 256 * 1024;

/// Bytes of a file for which a service is given one second more.
const BYTES_A_SECOND: u64 = 1024 * 1024;

/// A connection.
pub struct Session {
    stream: UnixStream,
    timeout: Duration,
    /// How long the service may make us wait in all.
    patience: Duration,
}

/// Asks what the service is, on a connection of its own.
///
/// # Errors
/// Why it does not say, in a sentence.
pub fn options(settings: &Settings) -> Result<Options, String> {
    let mut session = Session::open(settings, 0)?;
    session.write(&settings.service.options())?;
    session.head()?.options().map_err(|wrong| format!("the scanner's options: {wrong}"))
}

impl Session {
    fn open(settings: &Settings, size: u64) -> Result<Self, String> {
        let stream = (settings.dial)().map_err(|error| format!("the scanner's socket: {error}"))?;
        let timeout = settings.timeout;
        Ok(Self { stream, timeout, patience: timeout + Duration::from_secs(size / BYTES_A_SECOND) })
    }

    /// Begins a file of `size` bytes, of which so many are the preview.
    ///
    /// # Errors
    /// Why the service cannot be used, in a sentence.
    pub fn begin(settings: &Settings, size: u64, preview: Option<usize>) -> Result<Self, String> {
        let mut session = Self::open(settings, size)?;
        session.write(&settings.service.respmod(size, preview))?;
        Ok(session)
    }

    /// Sends the preview, and waits for what the service says to it.
    ///
    /// # Errors
    /// Why that is no answer, in a sentence.
    pub fn preview(&mut self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        let mut piece = Vec::with_capacity(bytes.len() + 32);
        if !bytes.is_empty() {
            piece.extend_from_slice(piece_head(bytes.len()).as_bytes());
            piece.extend_from_slice(bytes);
            piece.extend_from_slice(b"\r\n");
        }
        piece.extend_from_slice(BODY_END);
        self.write(&piece)?;
        self.answer().map(Some)
    }

    /// Sends the file's next bytes; what the service says to them, which is too early.
    ///
    /// # Errors
    /// Why the service cannot be used, in a sentence.
    pub fn send(&mut self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        for piece in bytes.chunks(PIECE) {
            if self.speaks()? {
                return self.answer().map(Some);
            }
            let head = piece_head(piece.len());
            for part in [head.as_bytes(), piece, b"\r\n"] {
                if let Err(reason) = self.write(part) {
                    // A service that has said why it hears no more.
                    return if self.speaks().unwrap_or(false) { self.answer().map(Some) } else { Err(reason) };
                }
            }
        }
        Ok(None)
    }

    /// Ends the file and reads what the service says of it.
    ///
    /// # Errors
    /// Why that is no verdict, in a sentence.
    pub fn end(mut self) -> Result<Answer, String> {
        // What speaks before it has heard everything has not looked at everything.
        if self.speaks()? {
            return match self.answer()? {
                Answer::Found(name) => Ok(Answer::Found(name)),
                _ => Err(super::EARLY.into()),
            };
        }
        self.write(BODY_END)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer, String> {
        self.head()?.answer().map_err(|wrong| format!("the scanner's answer: {wrong}"))
    }

    /// Reads the head of an answer, and nothing behind it but what came with it.
    fn head(&mut self) -> Result<Head, String> {
        let mut bytes = Vec::new();
        let mut more = [0; 4096];
        loop {
            if let Some((head, length)) =
                Head::read(&bytes).map_err(|wrong| format!("the scanner's answer: {wrong}"))?
            {
                // Only what is instead of the file may follow.
                let good =
                    bytes.len() == length || !matches!(head.answer(), Ok(Answer::Continue | Answer::Unchanged(_)));
                return if good { Ok(head) } else { Err("the scanner says more than one thing".into()) };
            }
            let room = (MAX_HEAD - bytes.len()).min(more.len());
            match self.wait(|stream| stream.read(&mut more[..room]))? {
                0 => return Err("the scanner closed the connection".into()),
                read => bytes.extend_from_slice(&more[..read]),
            }
        }
    }

    /// Whether the service has said something, or has closed the connection.
    fn speaks(&self) -> Result<bool, String> {
        let failed = |error: io::Error| format!("the scanner's socket: {error}");
        let mut waiting =
            [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&self.stream), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut waiting, nix::poll::PollTimeout::ZERO).map_err(|error| failed(error.into()))?;
        Ok(waiting[0].any().unwrap_or(true))
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.wait(|stream| stream.write(bytes))? {
                0 => return Err("the scanner takes no more".into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Does something with the socket, for no longer than the service may keep silent, nor than is left of our patience.
    fn wait(&mut self, mut act: impl FnMut(&mut UnixStream) -> io::Result<usize>) -> Result<usize, String> {
        let too_late = format!("the scanner kept silent for {} seconds, or is too slow", self.timeout.as_secs());
        loop {
            let most = self.timeout.min(self.patience);
            if most.is_zero() {
                return Err(too_late);
            }
            let stream = &mut self.stream;
            let bounded = stream.set_read_timeout(Some(most)).and_then(|()| stream.set_write_timeout(Some(most)));
            bounded.map_err(|error| format!("the scanner's socket: {error}"))?;
            let start = Instant::now();
            let done = act(stream);
            self.patience = self.patience.saturating_sub(start.elapsed());
            match done {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(too_late);
                }
                Err(error) => return Err(format!("the scanner's socket: {error}")),
            }
        }
    }
}
