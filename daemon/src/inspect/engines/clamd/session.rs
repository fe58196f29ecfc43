//! One connection to clamd, on which file after file is sent (`IDSESSION`).

use super::Settings;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of the longest answer that is read.
const MAX_ANSWER: usize = 1024;

/// Bytes of one piece: clamd takes up to its `StreamMaxLength`, and buffers little.
const PIECE: usize = 256 * 1024;

/// A clean file, or the name of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `stream: OK`
    Clean,
    /// `stream: NAME FOUND`
    Found(String),
}

/// A session.
pub struct Session {
    stream: UnixStream,
    timeout: Duration,
    /// Commands sent: answers bear their number.
    commands: u64,
}

/// Asks for clamd's version, on a connection of its own.
///
/// # Errors
/// Why it does not say, in a sentence.
pub fn version(settings: &Settings) -> Result<String, String> {
    let mut session = connect(settings)?;
    session.write(b"zVERSION\0")?;
    let version = session.read_answer()?;
    if version.starts_with("ClamAV ") { Ok(version) } else { Err("clamd does not state its version".into()) }
}

fn connect(settings: &Settings) -> Result<Session, String> {
    let stream = (settings.dial)().map_err(|error| format!("clamd's socket: {error}"))?;
    let timeout = settings.timeout;
    let bounded = stream.set_read_timeout(Some(timeout)).and_then(|()| stream.set_write_timeout(Some(timeout)));
    bounded.map_err(|error| format!("clamd's socket: {error}"))?;
    Ok(Session { stream, timeout, commands: 0 })
}

impl Session {
    /// Opens a session.
    ///
    /// # Errors
    /// Why clamd cannot be used, in a sentence.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let mut session = connect(settings)?;
        session.write(b"zIDSESSION\0")?;
        Ok(session)
    }

    /// Begins a file.
    ///
    /// # Errors
    /// Why clamd cannot be used, in a sentence.
    pub fn begin(&mut self) -> Result<(), String> {
        self.silent()?;
        self.commands += 1;
        self.write(b"zINSTREAM\0")
    }

    /// Sends the file's next bytes.
    ///
    /// # Errors
    /// Why clamd cannot be used, in a sentence.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in bytes.chunks(PIECE) {
            self.write(&(piece.len() as u32).to_be_bytes())?;
            self.write(piece)?;
        }
        Ok(())
    }

    /// Ends the file and reads what clamd says of it.
    ///
    /// # Errors
    /// Why that is no verdict, in a sentence.
    pub fn end(&mut self) -> Result<Answer, String> {
        // What speaks before it has heard everything has not looked at everything.
        self.silent()?;
        self.write(&[0; 4])?;
        let answer = self.read_answer()?;
        let ours = answer.strip_prefix(&format!("{}: stream: ", self.commands));
        match ours {
            Some("OK") => Ok(Answer::Clean),
            Some(found) if found.ends_with(" FOUND") => Ok(Answer::Found(found.trim_end_matches(" FOUND").to_owned())),
            _ => Err(format!("clamd answered: {answer}")),
        }
    }

    fn silent(&mut self) -> Result<(), String> {
        let waiting = self.stream.set_nonblocking(true).and_then(|()| {
            let mut byte = [0];
            let read = (&self.stream).read(&mut byte);
            self.stream.set_nonblocking(false)?;
            read
        });
        match waiting {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(0) => Err("clamd closed the connection".into()),
            Ok(_) => Err("clamd answered before the file had ended".into()),
            Err(error) => Err(format!("clamd's socket: {error}")),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Reads one answer; the whole of it must come in time.
    fn read_answer(&mut self) -> Result<String, String> {
        let start = Instant::now();
        let mut answer = Vec::new();
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return Err("clamd closed the connection".into()),
                Ok(_) if byte == [0] => break,
                Ok(_) => answer.extend_from_slice(&byte),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error)),
            }
            if answer.len() > MAX_ANSWER {
                return Err("clamd's answer has no end".into());
            }
            if start.elapsed() > self.timeout {
                return Err(self.too_late());
            }
        }
        String::from_utf8(answer).map_err(|_| "clamd's answer is no text".into())
    }

    fn failed(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.too_late(),
            _ => format!("clamd's socket: {error}"),
        }
    }

    fn too_late(&self) -> String {
        format!("clamd kept silent for {} seconds", self.timeout.as_secs())
    }
}
