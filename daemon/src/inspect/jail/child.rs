//! `inspect`'s ends of the sockets: to the nursery, and to one parser.

use super::heard::Heard;
use super::limits::{LAST_WORDS, Limits, QUEUE_BYTES};
use super::messages::{Incoming, KEY_BYTES, ToParser};
use super::nursery::{Ended, Outside, Request};
use crate::RoleError;
use crate::supervise::{ENVIRONMENT, PROGRAM};
use crate::sys::{self, Start};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt, socket, socketpair, sockopt,
};
use nix::sys::time::TimeVal;
use sluse_protocol::agreement::Content;
use sluse_protocol::frame;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes on their way to a parser: it reads one piece while the next is put there.
const DATA_BUFFER: usize = 1024 * 1024;

/// Bytes read at once of what a parser says: of archives it says what is in them.
const ANSWER_BUFFER: usize = 128 * 1024;

/// How the jail is to be.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Go on where the kernel has no Landlock.
    pub allow_unconfined: bool,
    /// The sockets to which this process may be connected: clamd's, and that of the relay to a scanner.
    pub clamd: Option<PathBuf>,
    /// The second.
    pub icap: Option<PathBuf>,
    /// What parsers may take of time.
    pub limits: Limits,
}

/// The nursery, as `inspect` holds it.
pub struct Jail {
    nursery: Mutex<OwnedFd>,
    /// It ends with this process: the socket closes, and the kernel kills it.
    _process: Option<process::Child>,
    lost: AtomicBool,
    limits: Limits,
}

impl Jail {
    /// Starts the nursery. To be called before this process is confined.
    ///
    /// # Errors
    /// When the process or its socket cannot be made.
    pub fn start(settings: Settings) -> Result<Self, RoleError> {
        let failed = || RoleError::io("starting the nursery of parsers");
        let (ours, theirs) = pair().map_err(failed())?;
        let mut command = Command::new(PROGRAM);
        command.arg0("slused").arg("nursery");
        if settings.allow_unconfined {
            command.arg("--allow-unconfined");
        }
        for (option, socket) in [("--clamd", &settings.clamd), ("--icap", &settings.icap)] {
            if let Some(socket) = socket {
                command.arg(option).arg(socket);
            }
        }
        command.env_clear().envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).current_dir("/");
        sys::start(&mut command, Start { keep: Vec::new(), user: None, capability: None });
        let process = command.spawn().map_err(failed())?;
        // Its copy of the nursery's end goes with it.
        drop(command);
        Ok(Self::of(ours, Some(process), settings.limits))
    }

    pub(super) fn of(nursery: OwnedFd, process: Option<process::Child>, limits: Limits) -> Self {
        Self { nursery: Mutex::new(nursery), _process: process, lost: AtomicBool::new(false), limits }
    }

    /// Whether the nursery is gone, so that nothing can be parsed any more.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has a parser started for a transfer of so many bytes, of which the agreement asks `content`; `key` is for hashes of
    /// identifiers.
    pub(super) fn parser(&self, content: &Content, key: &[u8; KEY_BYTES], bytes: u64) -> io::Result<Child> {
        let queue = frame::encode(&ToParser::Content(Box::new(content.clone())), key).map_err(io::Error::other)?;
        let (data, their_data) = UnixStream::pair()?;
        let (life, their_life) = UnixStream::pair()?;
        setsockopt(&data, sockopt::SndBuf, &DATA_BUFFER)?;
        data.set_nonblocking(true)?;
        life.set_read_timeout(Some(LAST_WORDS))?;
        self.ask(Request::Parser(self.limits.cpu(bytes).as_secs()), [their_data.as_fd(), their_life.as_fd()])?;
        let patience = self.limits.patience(bytes);
        let renewed = Instant::now() + self.limits.cpu(bytes) / 2;
        let (incoming, buffer) = (Incoming::default(), vec![0; ANSWER_BUFFER]);
        Ok(Child { data, life, queue, incoming, buffer, stall: self.limits.stall, patience, renewed })
    }

    /// A connection to an engine of the zone.
    ///
    /// # Errors
    /// When there is none, or it takes no connection.
    pub fn engine(&self, which: Outside) -> io::Result<UnixStream> {
        let engine = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let (mut answer, theirs) = UnixStream::pair()?;
        answer.set_read_timeout(Some(LAST_WORDS))?;
        self.ask(Request::Engine(which), [engine.as_fd(), theirs.as_fd()])?;
        drop(theirs);
        let mut error = [0];
        answer.read_exact(&mut error)?;
        if error != [0] {
            return Err(io::Error::from_raw_os_error(error[0].into()));
        }
        let engine = UnixStream::from(engine);
        engine.set_nonblocking(false)?;
        Ok(engine)
    }

    fn ask(&self, request: Request, sockets: [BorrowedFd<'_>; 2]) -> io::Result<()> {
        let rights = sockets.map(|socket| socket.as_raw_fd());
        let messages = [ControlMessage::ScmRights(&rights)];
        let nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        let request = request.encode();
        let sent =
            sendmsg::<()>(nursery.as_raw_fd(), &[IoSlice::new(&request)], &messages, MsgFlags::MSG_NOSIGNAL, None);
        drop(nursery);
        sent.inspect_err(|_| self.lost.store(true, Ordering::Relaxed))?;
        Ok(())
    }

    /// Ends a parser that is of no more use, and says why in a sentence that completes a file's name.
    pub(super) fn bury(&self, child: Child, lost: Lost) -> String {
        let ended = child.end();
        if ended.is_none() && self.nursery_is_gone() {
            self.lost.store(true, Ordering::Relaxed);
        }
        tracing::warn!(?lost, ?ended, "a parser is lost");
        lost.sentence(ended)
    }

    fn nursery_is_gone(&self) -> bool {
        let nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = [PollFd::new(nursery.as_fd(), PollFlags::POLLIN)];
        // It says nothing on this socket: what is there to read is its end.
        poll(&mut waiting, PollTimeout::ZERO) != Ok(0)
    }
}

/// A socket that keeps messages apart, to be waited for no longer than for a parser's last words.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::SendTimeout, &TimeVal::new(LAST_WORDS.as_secs().cast_signed(), 0))?;
    Ok((ours, theirs))
}

/// Why a parser is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It took too long over one piece, or in all.
    Stalled,
    /// It said what cannot be.
    Garbage,
    /// It said more than it may.
    Babbled,
    /// It ended.
    Ended,
    /// It counted other bytes than it was given.
    Miscounted,
}

impl Lost {
    /// What `sluse show` prints behind the file's name.
    fn sentence(self, ended: Option<Ended>) -> String {
        let signal = |signal: Signal| Some(Ended::Killed(signal as u8));
        let what = match self {
            Self::Stalled => "did not get on with it in time and was stopped",
            Self::Garbage => "answered nonsense and was stopped",
            Self::Babbled => "said more than it may and was stopped",
            Self::Miscounted => "read another number of bytes than the file has",
            Self::Ended if ended == signal(Signal::SIGSYS) => "tried what no parser may do and was stopped",
            Self::Ended if ended == signal(Signal::SIGXCPU) => "took more processor time than it may and was stopped",
            Self::Ended if ended == signal(Signal::SIGABRT) => "ran out of memory and ended",
            Self::Ended if ended == signal(Signal::SIGKILL) => {
                "was killed, by the kernel for want of memory or by somebody"
            }
            Self::Ended if ended.is_none() => "could not be started, or was lost",
            Self::Ended => "crashed or ended without an answer",
        };
        format!("the parser that read it {what}; the file may be damaged, or made to break programs")
    }
}

/// One parser, as `inspect` holds it. Dropping it cuts its lifeline, and it is killed.
pub struct Child {
    data: UnixStream,
    life: UnixStream,
    queue: Vec<u8>,
    incoming: Incoming,
    buffer: Vec<u8>,
    stall: Duration,
    patience: Duration,
    /// From when on another serves the next file.
    renewed: Instant,
}

impl Child {
    /// Whether another parser is to serve the next file: this one may have used up half of its processor time, and files must not
    /// pay for those before them.
    pub(super) fn is_spent(&self) -> bool {
        Instant::now() >= self.renewed
    }

    /// Sends a message with its body, or keeps it to be sent with the next if they are small; hears what the parser says
    /// meanwhile.
    pub(super) fn send(&mut self, message: &ToParser, body: &[u8], heard: &mut Heard) -> Result<(), Lost> {
        self.queue.extend(frame::encode_before(message, body.len()).map_err(|_| Lost::Garbage)?);
        if self.queue.len() + body.len() <= QUEUE_BYTES {
            self.queue.extend_from_slice(body);
            return Ok(());
        }
        self.flush(heard, |_| true)?;
        self.exchange(body, heard, |_| true)
    }

    /// Sends what is kept, and waits until the parser is done with the file: how many bytes it counted.
    pub(super) fn answer(&mut self, heard: &mut Heard) -> Result<u64, Lost> {
        self.flush(heard, |heard| heard.done().is_some())?;
        // Nothing may come after that.
        heard.done().filter(|_| self.incoming.is_empty()).ok_or(Lost::Garbage)
    }

    fn flush(&mut self, heard: &mut Heard, enough: impl Fn(&Heard) -> bool) -> Result<(), Lost> {
        let mut queue = std::mem::take(&mut self.queue);
        let flushed = self.exchange(&queue, heard, enough);
        queue.clear();
        self.queue = queue;
        flushed
    }

    /// Writes all of `bytes` and hears what is said, until all is written and `enough` was heard.
    fn exchange(&mut self, mut bytes: &[u8], heard: &mut Heard, enough: impl Fn(&Heard) -> bool) -> Result<(), Lost> {
        let started = Instant::now();
        let deadline = started + self.stall.min(self.patience);
        loop {
            self.write(&mut bytes)?;
            if bytes.is_empty() && enough(heard) {
                break;
            }
            self.wait(!bytes.is_empty(), deadline)?;
            self.hear(heard)?;
        }
        self.patience = self.patience.saturating_sub(started.elapsed());
        Ok(())
    }

    /// Writes what there is room for.
    fn write(&self, bytes: &mut &[u8]) -> Result<(), Lost> {
        while !bytes.is_empty() {
            match (&self.data).write(bytes) {
                Ok(written) => *bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Lost::Ended),
            }
        }
        Ok(())
    }

    /// Waits until there is something to hear or, if that is wanted, room for more.
    fn wait(&self, to_write: bool, deadline: Instant) -> Result<(), Lost> {
        let wanted = if to_write { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Lost::Stalled);
            }
            // Rounded up, so that the deadline has passed when the wait ends.
            let timeout = i32::try_from(left.as_millis().saturating_add(1)).ok();
            let timeout = timeout.and_then(|left| PollTimeout::try_from(left).ok()).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.data.as_fd(), wanted)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(_) => return Err(Lost::Ended),
            }
        }
    }

    fn hear(&mut self, heard: &mut Heard) -> Result<(), Lost> {
        match (&self.data).read(&mut self.buffer) {
            Ok(0) => return Err(Lost::Ended),
            Ok(count) => self.incoming.take(&self.buffer[..count]),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {}
            Err(_) => return Err(Lost::Ended),
        }
        while let Some((said, body)) = self.incoming.turn().map_err(|_| Lost::Garbage)? {
            heard.hear(said, body)?;
        }
        Ok(())
    }

    /// Has it killed if it still lives, and hears how it ended; `None` when nobody says so in time.
    pub(super) fn end(mut self) -> Option<Ended> {
        // One that has ended has done so by itself.
        let _ = self.life.shutdown(Shutdown::Write);
        let mut words = [0; 2];
        self.life.read_exact(&mut words).ok()?;
        Ended::decode(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    #[test]
    fn each_end_has_a_sentence_of_its_own() {
        let killed = |signal: i32| Some(Ended::Killed(u8::try_from(signal).unwrap()));
        let ends = [
            (Lost::Stalled, killed(libc::SIGKILL)),
            (Lost::Garbage, killed(libc::SIGKILL)),
            (Lost::Babbled, killed(libc::SIGKILL)),
            (Lost::Miscounted, killed(libc::SIGKILL)),
            (Lost::Ended, killed(libc::SIGSYS)),
            (Lost::Ended, killed(libc::SIGXCPU)),
            (Lost::Ended, killed(libc::SIGABRT)),
            (Lost::Ended, killed(libc::SIGKILL)),
            (Lost::Ended, killed(libc::SIGSEGV)),
            (Lost::Ended, None),
        ];
        let sentences: std::collections::BTreeSet<_> = ends.iter().map(|(lost, ended)| lost.sentence(*ended)).collect();
        assert_eq!(sentences.len(), ends.len());
        assert_eq!(Lost::Ended.sentence(killed(libc::SIGSEGV)), Lost::Ended.sentence(Some(Ended::Exited(101))));
    }

    #[test]
    fn how_a_parser_ended_is_read_as_it_was_written() {
        for ended in [Ended::Exited(0), Ended::Exited(101), Ended::Killed(9)] {
            assert_eq!(Ended::decode(ended.encode()), Some(ended));
        }
        assert_eq!(Ended::decode([0, 0]), None);
    }
}
