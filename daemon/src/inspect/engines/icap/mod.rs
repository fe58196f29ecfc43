//! A scanner of the site's own, through an ICAP service (RFC 3507) on a Unix socket: a relay carries it to the scanner's address.
//!
//! Only 204, given after the whole file was sent, is clean. A file above the limit is told as such; a time-out, an error, a lost connection, an
//! answer before the end of the file or any other answer: *not inspected*. That a service changes a file without saying why is a
//! finding as well.

use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Seen, Verdict};
use crate::inspect::engines::signatures::eicar;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::icap::{Answer, Service};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod session;
use session::Session;

const CHANGED: &str = "the scanner would give another file instead, and does not say why";
const EARLY: &str = "the scanner answered before it had read the whole file: its settings let it pass over such files";

/// Makes a connection to the relay.
pub type Dial = Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// How the service is reached, and what it takes.
#[derive(Clone)]
pub struct Settings {
    /// Makes a connection.
    pub dial: Dial,
    /// The service.
    pub service: Service,
    /// The largest file that it is given, bytes.
    pub max_bytes: u64,
    /// How long it may keep silent.
    pub timeout: Duration,
}

/// The engine.
pub struct IcapEngine {
    shared: Arc<Shared>,
    name: String,
    preview: Option<usize>,
}

struct Shared {
    settings: Settings,
    /// The state that the service was last in, as it says: another one has other signatures.
    tag: Mutex<String>,
}

impl IcapEngine {
    /// Asks the service what it is.
    ///
    /// # Errors
    /// Why it cannot be used, in a sentence.
    pub fn connect(settings: Settings) -> Result<Self, String> {
        let options = session::options(&settings)?;
        let tag = Mutex::new(options.tag);
        let shared = Arc::new(Shared { settings, tag });
        Ok(Self { shared, name: options.name, preview: options.preview })
    }
}

impl Engine for IcapEngine {
    fn name(&self) -> &'static str {
        "icap"
    }

    fn version(&self) -> String {
        self.name.clone()
    }

    fn signatures(&self) -> String {
        format!("state {}", self.shared.tag.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sample(&self) -> Sample {
        Sample { bytes: eicar::bytes(), class: Class::Malware }
    }

    fn optional(&self) -> bool {
        true
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        let most = self.shared.settings.max_bytes;
        // A preview that is all of the file would not tell what was scanned from what was passed over.
        let preview = self.preview.and_then(|bytes| Some(bytes.min(usize::try_from(file.size.checked_sub(1)?).ok()?)));
        let state = match file.size {
            // It has nothing to scan, and services differ in what they say of nothing.
            0 => State::Empty,
            size if size > most => State::No(Verdict::AboveLimit(most)),
            size => match Session::begin(&self.shared.settings, size, preview) {
                Ok(session) => State::Sending(session, preview.map(|bytes| (bytes, Vec::with_capacity(bytes)))),
                Err(reason) => no(reason),
            },
        };
        Box::new(IcapScan { shared: Arc::clone(&self.shared), state, bytes: 0 })
    }
}

struct IcapScan {
    shared: Arc<Shared>,
    state: State,
    bytes: u64,
}

enum State {
    /// The file has no bytes.
    Empty,
    /// It is sent; first so many bytes are gathered for the preview, if there is one.
    Sending(Session, Option<(usize, Vec<u8>)>),
    /// The service has named what it found.
    Found(String),
    /// This can be said already, and it is not that the file was read.
    No(Verdict),
}

impl Scan for IcapScan {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let state = std::mem::replace(&mut self.state, State::Empty);
        self.state = match state {
            State::Empty if bytes.is_empty() => State::Empty,
            State::Empty => no("it has more bytes than it should"),
            State::Sending(session, preview) => send(session, preview, bytes),
            over => over,
        };
    }

    fn finish(self: Box<Self>, _: &Sha256) -> Verdict {
        let Self { shared, state, bytes } = *self;
        let seen = match state {
            State::Empty => Vec::new(),
            State::Sending(_, Some(_)) => return Verdict::NotInspected("it has fewer bytes than it should".into()),
            State::Sending(session, None) => match session.end() {
                Ok(Answer::Unchanged(tag)) => {
                    *shared.tag.lock().unwrap_or_else(PoisonError::into_inner) = tag;
                    Vec::new()
                }
                Ok(Answer::Found(name)) => vec![found(&name)],
                Ok(Answer::Changed) => vec![Seen::new(Class::NotInspected, CHANGED)],
                Ok(Answer::Continue) => return Verdict::NotInspected("the scanner asks for more than the file".into()),
                Err(reason) => return Verdict::NotInspected(reason),
            },
            State::Found(name) => vec![found(&name)],
            State::No(verdict) => return verdict,
        };
        Verdict::Read { bytes, seen }
    }
}

fn found(name: &str) -> Seen {
    Seen::new(Class::Malware, format!("signature {name}"))
}

fn no(reason: impl Into<String>) -> State {
    State::No(Verdict::NotInspected(reason.into()))
}

/// Sends bytes, or gathers them for the preview and sends that.
fn send(mut session: Session, preview: Option<(usize, Vec<u8>)>, bytes: &[u8]) -> State {
    let sent = match preview {
        None => session.send(bytes),
        Some((wanted, mut held)) => {
            held.extend_from_slice(bytes);
            if held.len() < wanted {
                return State::Sending(session, Some((wanted, held)));
            }
            let (first, rest) = held.split_at(wanted);
            session.preview(first).and_then(|answer| match answer {
                Some(Answer::Continue) => session.send(rest),
                other => Ok(other),
            })
        }
    };
    match sent {
        Ok(None) => State::Sending(session, None),
        // It has seen enough: what it says of the rest does not matter.
        Ok(Some(Answer::Found(name))) => State::Found(name),
        Ok(Some(Answer::Changed | Answer::Unchanged(_) | Answer::Continue)) => no(EARLY),
        Err(reason) => no(reason),
    }
}

#[cfg(test)]
mod tests;
