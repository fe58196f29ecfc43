//! Sessions on a connection (RFC 4254): each runs the subsystem `sftp`, and nothing else. One thread reads and answers, so that
//! what is slow to store is slow to be taken: the connection's own flow control is the only buffer.

use super::data::{Reader, Write as _};
use super::{Broken, Transport, message};
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Sessions on one connection.
const MAX_SESSIONS: usize = 2;

/// Bytes that a client may send in a session before it is told that it may send more.
const WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of data in one message.
const MAX_DATA: u32 = 32 * 1024;

/// Bytes of data that a client must take in one message at least.
const MIN_DATA: u32 = 1024;

/// What a session runs.
pub trait Subsystem {
    /// Takes bytes of the client, and adds to the answers.
    ///
    /// # Errors
    /// When what came means nothing: the session is closed.
    fn take(&mut self, bytes: &[u8], answers: &mut VecDeque<u8>) -> Result<(), Broken>;
}

struct Session<S> {
    /// What the client calls it.
    peer: u32,
    /// None before the subsystem was asked for.
    subsystem: Option<S>,
    /// Bytes that the client may still send.
    incoming: u32,
    /// Bytes that we may still send.
    outgoing: u32,
    most: u32,
    answers: VecDeque<u8>,
    ended: bool,
}

/// Serves a client that logged in, until it hangs up.
///
/// # Errors
/// When the connection ends otherwise.
pub fn serve<S: Subsystem>(transport: &mut Transport, begin: impl Fn() -> S) -> Result<(), Broken> {
    let mut sessions = Sessions { all: BTreeMap::new(), count: 0 };
    loop {
        let received = match transport.receive() {
            Err(Broken::HungUp) => return Ok(()),
            other => other?,
        };
        let mut reader = Reader(&received[1..]);
        const BROKEN: Broken = Broken::Garbage("a message that cannot be read");
        match received[0] {
            message::GLOBAL_REQUEST => {
                reader.string().ok_or(BROKEN)?;
                if reader.flag().ok_or(BROKEN)? {
                    transport.send(&[message::REQUEST_FAILURE])?;
                }
            }
            message::CHANNEL_OPEN => {
                let answer = sessions.open(reader).ok_or(BROKEN)?;
                transport.send(&answer)?;
            }
            kind @ (message::CHANNEL_WINDOW_ADJUST..=message::CHANNEL_REQUEST) => {
                let number = reader.number().ok_or(BROKEN)?;
                let session = sessions.all.get_mut(&number).ok_or(Broken::Garbage("a session that is not there"))?;
                let answers = session.message(kind, reader, &begin)?;
                for answer in answers {
                    transport.send(&answer)?;
                }
                if kind == message::CHANNEL_CLOSE {
                    sessions.all.remove(&number);
                }
            }
            _ => transport.unimplemented()?,
        }
    }
}

struct Sessions<S> {
    all: BTreeMap<u32, Session<S>>,
    count: u32,
}

impl<S> Sessions<S> {
    fn open(&mut self, mut reader: Reader<'_>) -> Option<Vec<u8>> {
        let (kind, peer, outgoing, most) = (reader.string()?, reader.number()?, reader.number()?, reader.number()?);
        if kind != b"session" || self.all.len() >= MAX_SESSIONS || most < MIN_DATA {
            let mut refusal = vec![message::CHANNEL_OPEN_FAILURE];
            refusal.put_number(peer);
            // Administratively prohibited.
            refusal.put_number(1);
            refusal.put_string(b"only a few sessions are served here, and nothing else");
            refusal.put_string(b"");
            return Some(refusal);
        }
        let own = self.count;
        // A connection ends before so many were opened.
        self.count = self.count.checked_add(1)?;
        let (subsystem, answers) = (None, VecDeque::new());
        let session = Session { peer, subsystem, incoming: WINDOW, outgoing, most, answers, ended: false };
        self.all.insert(own, session);
        let mut answer = vec![message::CHANNEL_OPEN_CONFIRMATION];
        for number in [peer, own, WINDOW, MAX_DATA] {
            answer.put_number(number);
        }
        Some(answer)
    }
}

impl<S: Subsystem> Session<S> {
    fn message(&mut self, kind: u8, mut reader: Reader<'_>, begin: &impl Fn() -> S) -> Result<Vec<Vec<u8>>, Broken> {
        const BROKEN: Broken = Broken::Garbage("a session's message that cannot be read");
        let mut out = Vec::new();
        match kind {
            message::CHANNEL_WINDOW_ADJUST => {
                let more = reader.number().ok_or(BROKEN)?;
                self.outgoing = self.outgoing.checked_add(more).ok_or(BROKEN)?;
            }
            message::CHANNEL_DATA => self.data(reader.string().ok_or(BROKEN)?, &mut out)?,
            message::CHANNEL_EXTENDED_DATA => {
                reader.number().ok_or(BROKEN)?;
                // A client's standard error is nothing to us, but it counts.
                self.count(reader.string().ok_or(BROKEN)?, &mut out)?;
            }
            message::CHANNEL_EOF => {
                // What was open is left as it is: nobody said that it is whole.
                self.subsystem = None;
                self.close(&mut out);
            }
            message::CHANNEL_CLOSE => {
                self.subsystem = None;
                self.close(&mut out);
            }
            message::CHANNEL_REQUEST => {
                let (what, answered) = (reader.string().ok_or(BROKEN)?, reader.flag().ok_or(BROKEN)?);
                let good = what == b"subsystem" && reader.string() == Some(b"sftp") && self.subsystem.is_none();
                if good && !self.ended {
                    self.subsystem = Some(begin());
                }
                if answered && !self.ended {
                    out.push(self.to_peer(if good { message::CHANNEL_SUCCESS } else { message::CHANNEL_FAILURE }));
                }
            }
            _ => return Err(Broken::Garbage("a message that only we may send")),
        }
        self.drain(&mut out);
        Ok(out)
    }

    fn data(&mut self, bytes: &[u8], out: &mut Vec<Vec<u8>>) -> Result<(), Broken> {
        if let Some(subsystem) = &mut self.subsystem
            && let Err(error) = subsystem.take(bytes, &mut self.answers)
        {
            tracing::info!("a session was closed: {error}");
            self.subsystem = None;
            self.close(out);
        }
        self.count(bytes, out)
    }

    /// Counts what came, and lets more come.
    fn count(&mut self, bytes: &[u8], out: &mut Vec<Vec<u8>>) -> Result<(), Broken> {
        // Of what was closed here nothing is said any more.
        if self.ended {
            return Ok(());
        }
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.incoming = self.incoming.checked_sub(count).ok_or(Broken::Garbage("more than a client may send"))?;
        if self.incoming <= WINDOW / 2 {
            let mut adjust = self.to_peer(message::CHANNEL_WINDOW_ADJUST);
            adjust.put_number(WINDOW - self.incoming);
            out.push(adjust);
            self.incoming = WINDOW;
        }
        Ok(())
    }

    /// Sends answers, as far as the client takes them.
    fn drain(&mut self, out: &mut Vec<Vec<u8>>) {
        while !self.ended && self.outgoing > 0 && !self.answers.is_empty() {
            let most = self.outgoing.min(self.most).min(MAX_DATA) as usize;
            let count = most.min(self.answers.len());
            let bytes: Vec<u8> = self.answers.drain(..count).collect();
            let mut data = self.to_peer(message::CHANNEL_DATA);
            data.put_string(&bytes);
            out.push(data);
            self.outgoing -= count as u32;
        }
    }

    fn close(&mut self, out: &mut Vec<Vec<u8>>) {
        if !self.ended {
            self.drain(out);
            self.ended = true;
            let mut status = self.to_peer(message::CHANNEL_REQUEST);
            status.put_string(b"exit-status");
            status.push(0);
            status.put_number(0);
            out.extend([self.to_peer(message::CHANNEL_EOF), status, self.to_peer(message::CHANNEL_CLOSE)]);
        }
    }

    fn to_peer(&self, kind: u8) -> Vec<u8> {
        let mut message = vec![kind];
        message.put_number(self.peer);
        message
    }
}
