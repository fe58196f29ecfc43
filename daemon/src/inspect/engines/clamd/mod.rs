//! ClamAV, through clamd's Unix socket (clamd(8), `INSTREAM`).
//!
//! Only `stream: OK`, given after the whole file was sent, is clean. A file above clamd's `StreamMaxLength` is told as such; a time-out, an
//! error, a lost connection, an answer before the end of the file or any other answer: *not inspected*.

use crate::inspect::engine::{Dated, Engine, FileFacts, Sample, Scan, Seen, Verdict};
use crate::inspect::engines::signatures::eicar;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::time::Timestamp;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod session;
use session::{Answer, Session};

/// Sessions that are kept open for the next file.
const KEPT_SESSIONS: usize = 4;

/// Makes a connection to clamd.
pub type Dial = Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// How clamd is reached, and what it takes.
#[derive(Clone)]
pub struct Settings {
    /// Makes a connection.
    pub dial: Dial,
    /// Its `StreamMaxLength`, bytes.
    pub max_bytes: u64,
    /// How long it may keep silent.
    pub timeout: Duration,
}

/// The engine.
pub struct ClamdEngine {
    shared: Arc<Shared>,
    version: String,
    signatures: String,
}

struct Shared {
    settings: Settings,
    idle: Mutex<Vec<Session>>,
}

impl ClamdEngine {
    /// Asks clamd for its version.
    ///
    /// # Errors
    /// Why it cannot be used, in a sentence.
    pub fn connect(settings: Settings) -> Result<Self, String> {
        let stated = session::version(&settings)?;
        // `ClamAV 1.4.2/27500/Sat Jan  4 09:44:31 2025`; without an official database there is no slash.
        let (version, signatures) = stated.split_once('/').unwrap_or((&stated, ""));
        let (version, signatures) = (version.trim().to_owned(), signatures.trim().to_owned());
        Ok(Self { shared: Arc::new(Shared { settings, idle: Mutex::default() }), version, signatures })
    }

    /// Whether it has ClamAV's official signatures, by what it says of itself.
    pub fn has_official_signatures(&self) -> bool {
        !self.signatures.is_empty()
    }
}

impl Engine for ClamdEngine {
    fn name(&self) -> &'static str {
        "clamd"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn signatures(&self) -> String {
        self.signatures.clone()
    }

    fn dated(&self) -> Dated {
        // Behind the number of the daily signatures.
        let date = self.signatures.rsplit_once('/').map_or("", |(_, date)| date);
        Timestamp::from_asctime(date).map_or(Dated::Unknown, Dated::At)
    }

    fn sample(&self) -> Sample {
        Sample { bytes: eicar::bytes(), class: Class::Malware }
    }

    fn optional(&self) -> bool {
        true
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        let shared = Arc::clone(&self.shared);
        let most = shared.settings.max_bytes;
        let session = if file.size > most {
            Err(Verdict::AboveLimit(most))
        } else {
            shared.begin().map_err(Verdict::NotInspected)
        };
        Box::new(ClamdScan { shared, session, bytes: 0 })
    }
}

impl Shared {
    fn begin(&self) -> Result<Session, String> {
        let idle = self.idle().pop();
        // clamd closes a session that was idle for long: then a new one.
        if let Some(mut session) = idle
            && session.begin().is_ok()
        {
            return Ok(session);
        }
        let mut session = Session::open(&self.settings)?;
        session.begin()?;
        Ok(session)
    }

    fn keep(&self, session: Session) {
        let mut idle = self.idle();
        if idle.len() < KEPT_SESSIONS {
            idle.push(session);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ClamdScan {
    shared: Arc<Shared>,
    session: Result<Session, Verdict>,
    bytes: u64,
}

impl Scan for ClamdScan {
    fn feed(&mut self, bytes: &[u8]) {
        if let Ok(session) = &mut self.session {
            match session.send(bytes) {
                Ok(()) => self.bytes += bytes.len() as u64,
                Err(reason) => self.session = Err(Verdict::NotInspected(reason)),
            }
        }
    }

    fn finish(self: Box<Self>, _: &Sha256) -> Verdict {
        let Self { shared, session, bytes } = *self;
        let answered = session.and_then(|mut session| {
            let answer = session.end().map_err(Verdict::NotInspected)?;
            Ok((session, answer))
        });
        match answered {
            Err(verdict) => verdict,
            Ok((session, answer)) => {
                shared.keep(session);
                let seen = match answer {
                    Answer::Clean => Vec::new(),
                    Answer::Found(name) => vec![Seen::new(Class::Malware, format!("signature {name}"))],
                };
                Verdict::Read { bytes, seen }
            }
        }
    }
}

#[cfg(test)]
mod tests;
