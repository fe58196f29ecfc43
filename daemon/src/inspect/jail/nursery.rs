//! The nursery: a small process with one thread that starts parsers for `inspect`, ends them, and says how they ended. It also
//! connects sockets for `inspect` to the zone's clamd and scanner, since `inspect` may connect to nothing.

use super::limits::MAX_PARSERS;
use crate::supervise::{ENVIRONMENT, PROGRAM};
use crate::sys::{self, Start};
use crate::{RoleError, confine};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{UnixAddr, connect};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// What starts the nursery.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Go on where the kernel has no Landlock, as the zone's setting of that name says
    #[arg(long)]
    pub allow_unconfined: bool,
    /// The Unix socket of the zone's clamd, to which `inspect` may be connected
    #[arg(long)]
    pub clamd: Option<PathBuf>,
    /// The Unix socket of the relay to the zone's scanner, the only other one
    #[arg(long)]
    pub icap: Option<PathBuf>,
}

/// Bytes of a request.
pub const REQUEST_BYTES: usize = 9;

/// What `inspect` asks for. Two sockets come with it: the one that it is about, and one for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A parser with this much processor time, seconds: its data socket, and its lifeline.
    Parser(u64),
    /// The first socket be connected to this engine. One byte is answered: the number of the error, 0 for none.
    Engine(Outside),
}

/// An engine that is another program, behind a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// clamd.
    Clamd,
    /// The relay to an ICAP service.
    Icap,
}

impl Request {
    /// What is sent.
    pub fn encode(self) -> [u8; REQUEST_BYTES] {
        let (kind, number) = match self {
            Self::Parser(seconds) => (b'p', seconds),
            Self::Engine(Outside::Clamd) => (b'e', 0),
            Self::Engine(Outside::Icap) => (b'e', 1),
        };
        let mut bytes = [kind; REQUEST_BYTES];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    /// What was sent.
    pub fn decode([kind, number @ ..]: [u8; REQUEST_BYTES]) -> Option<Self> {
        match (kind, u64::from_le_bytes(number)) {
            (b'p', seconds) => Some(Self::Parser(seconds)),
            (b'e', 0) => Some(Self::Engine(Outside::Clamd)),
            (b'e', 1) => Some(Self::Engine(Outside::Icap)),
            _ => None,
        }
    }
}

/// How a parser ended, as two bytes on its life socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(u8),
    /// By the signal of this number.
    Killed(u8),
}

impl Ended {
    /// What is written of it.
    pub fn encode(self) -> [u8; 2] {
        match self {
            Self::Exited(code) => [b'e', code],
            Self::Killed(signal) => [b'k', signal],
        }
    }

    /// What was written.
    pub fn decode(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [b'e', code] => Some(Self::Exited(code)),
            [b'k', signal] => Some(Self::Killed(signal)),
            _ => None,
        }
    }

    fn of(status: ExitStatus) -> Self {
        let number = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok());
        match (number(status.code()), number(status.signal())) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Killed(signal.unwrap_or(u8::MAX)),
        }
    }
}

/// Starts parsers as they are asked for on standard input, until `inspect` has closed it.
///
/// # Errors
/// When the kernel cannot confine it, or the socket fails.
pub fn run(args: Args) -> Result<(), RoleError> {
    let failed = |what: &str| RoleError::io(format!("the nursery of parsers: {what}"));
    // Before anything else is open: nothing here uses standard input otherwise.
    let requests = io::stdin().as_fd().try_clone_to_owned().map_err(failed("its socket"))?;
    nix::sys::prctl::set_name(c"slused-nursery").map_err(|error| failed("its name")(error.into()))?;
    let signals = take_signals().map_err(failed("taking signals"))?;
    confine::nursery(args.allow_unconfined, args.clamd.is_some() || args.icap.is_some())?;
    let mut nursery = Nursery { requests, signals, parsers: Vec::new(), waiting: VecDeque::new(), args };
    while nursery.step().map_err(failed("waiting"))? {}
    Ok(())
}

fn take_signals() -> io::Result<SignalFd> {
    // Whoever stops all processes at once stops `inspect`, and that ends this one. A parser must not seem to have crashed
    // because the service was stopped.
    let left_alone: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    left_alone.thread_block()?;
    let children: SigSet = [Signal::SIGCHLD].into_iter().collect();
    children.thread_block()?;
    Ok(SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

struct Nursery {
    requests: OwnedFd,
    signals: SignalFd,
    parsers: Vec<Parser>,
    /// Asked for while as many were there as there may be: some of those are on their way out.
    waiting: VecDeque<Awaited>,
    args: Args,
}

/// A parser that is to be started.
struct Awaited {
    cpu_seconds: u64,
    data: OwnedFd,
    life: UnixStream,
}

struct Parser {
    process: Child,
    life: UnixStream,
    killed: bool,
}

impl Nursery {
    /// Waits for something and does it; whether to go on.
    fn step(&mut self) -> io::Result<bool> {
        let (asked, cut) = self.wait()?;
        while self.signals.read_signal()?.is_some() {}
        for index in cut {
            self.parsers[index].kill();
        }
        self.parsers.retain_mut(|parser| !parser.has_ended());
        self.start_waiting();
        if !asked {
            return Ok(true);
        }
        let mut request = [0; REQUEST_BYTES];
        let Some([socket, answer]) = sys::receive_descriptors(self.requests.as_fd(), &mut request)? else {
            // All parsers end with this process.
            return Ok(false);
        };
        match Request::decode(request) {
            Some(Request::Parser(_)) if self.waiting.len() >= MAX_PARSERS => {
                tracing::error!("more parsers are asked for than there may be");
            }
            Some(Request::Parser(cpu_seconds)) => {
                self.waiting.push_back(Awaited { cpu_seconds, data: socket, life: answer.into() });
                self.start_waiting();
            }
            Some(Request::Engine(engine)) => {
                let error = self.connect(&socket, engine).err().map_or(0, |error| error as u8);
                // Nobody may want to know any more.
                let _ = UnixStream::from(answer).write_all(&[error]);
            }
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(true)
    }

    fn start_waiting(&mut self) {
        while self.parsers.len() < MAX_PARSERS
            && let Some(Awaited { cpu_seconds, data, life }) = self.waiting.pop_front()
        {
            match self.start(cpu_seconds, data) {
                Ok(process) => self.parsers.push(Parser { process, life, killed: false }),
                Err(error) => tracing::error!(%error, "a parser cannot be started"),
            }
        }
    }

    /// Connects to the engine. It does not wait: an engine with a full queue is busy.
    fn connect(&self, socket: &OwnedFd, engine: Outside) -> nix::Result<()> {
        let path = match engine {
            Outside::Clamd => &self.args.clamd,
            Outside::Icap => &self.args.icap,
        };
        let path = path.as_deref().ok_or(Errno::EACCES)?;
        fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
    }

    /// Whether something was asked, and the parsers whose lifeline was cut.
    fn wait(&self) -> io::Result<(bool, Vec<usize>)> {
        let mut waiting = vec![
            PollFd::new(self.requests.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let cuttable: Vec<usize> = (0..self.parsers.len()).filter(|&index| !self.parsers[index].killed).collect();
        waiting.extend(cuttable.iter().map(|&index| PollFd::new(self.parsers[index].life.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok((false, Vec::new())),
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| waiting[at].any().unwrap_or(true);
        // `inspect` writes nothing on a lifeline: whatever is there to read is its end.
        let cut = cuttable.iter().enumerate().filter(|(at, _)| ready(at + 2)).map(|(_, &index)| index).collect();
        Ok((ready(0), cut))
    }

    fn start(&self, cpu_seconds: u64, data: OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(PROGRAM);
        command.arg0("slused").arg("parser").arg(format!("--cpu-seconds={cpu_seconds}"));
        if self.args.allow_unconfined {
            command.arg("--allow-unconfined");
        }
        command.env_clear().envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // Output goes where the nursery's goes, nowhere: it may not open that again.
        command.stdin(Stdio::from(data));
        sys::start(&mut command, Start { keep: Vec::new(), user: None, capability: None });
        command.spawn()
    }
}

impl Parser {
    fn kill(&mut self) {
        self.killed = true;
        // It has not been waited for, so its number is still its own.
        let pid = i32::try_from(self.process.id()).map(Pid::from_raw);
        if let Some(Err(error)) = pid.ok().map(|pid| kill(pid, Signal::SIGKILL)) {
            tracing::error!(%error, "a parser cannot be killed");
        }
    }

    fn has_ended(&mut self) -> bool {
        match self.process.try_wait() {
            Ok(None) => false,
            Ok(Some(status)) => {
                // Nobody may want to know any more.
                let _ = self.life.write_all(&Ended::of(status).encode());
                true
            }
            Err(error) => {
                tracing::error!(%error, "a parser cannot be waited for");
                self.killed
            }
        }
    }
}
