//! Whether anybody can still write to a file: asked by `inspect` when it seals, answered by the kernel, which grants a read lease
//! only while nobody can.
//!
//! The kernel grants a lease on another user's file only with `CAP_LEASE`. So that `inspect` keeps no capability, a [`process`]
//! of its own has that one and nothing else. It is handed open files and answers for all of them together; it keeps nothing.
//! Whoever gets no answer knows nothing: then nothing is sealed.

use crate::RoleError;
use crate::supervise::{ENVIRONMENT, PROGRAM};
use crate::sys::{self, CAP_LEASE, Capabilities, Start};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::Uid;
use sluse_host::config::Zone;
use std::fs::File;
use std::io::{self, IoSlice, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub mod process;

/// Files that are asked about at once: the most descriptors that the kernel takes in one message (`SCM_MAX_FD`), but for the
/// socket of the answer.
pub const MAX_FILES: usize = sys::MAX_DESCRIPTORS_SENT - 1;

/// How long an answer may take. The process may have to be started first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a question: how many files come with it, in little-endian order.
const QUESTION_BYTES: usize = 2;

/// The answers, of one byte each. There is none where the kernel does not say.
const NOBODY: u8 = b'n';
const SOMEBODY: u8 = b's';

/// Who is asked.
#[derive(Debug)]
pub struct Leases {
    asked: Asked,
    lost: AtomicBool,
}

#[derive(Debug)]
enum Asked {
    /// The kernel, by this process: the files are its own user's.
    Kernel,
    /// A process with the capability; where it is this one's child, it ends with it.
    Process { socket: OwnedFd, _child: Option<Child> },
}

impl Leases {
    /// Asks at the socket `unit` where the service manager has one; otherwise the kernel, where `receive` and this process are one
    /// user; otherwise a child, which keeps the capability that this process is about to give up. To be called before this
    /// process is confined.
    ///
    /// # Errors
    /// When nobody listens at the socket; when the files are another user's and nobody has the capability.
    pub fn open(zone: &Zone, unit: Option<&Path>) -> Result<Self, RoleError> {
        if let Some(path) = unit {
            let socket = connect(path).map_err(RoleError::io(format!("connecting to {}", path.display())))?;
            return Ok(Self::of(Asked::Process { socket, _child: None }));
        }
        let incoming = zone.layout.incoming().metadata().map_err(RoleError::io("the quarantine's incoming folder"))?;
        if incoming.uid() == Uid::effective().as_raw() {
            return Ok(Self::of(Asked::Kernel));
        }
        let has = sys::permitted_capabilities().map_err(RoleError::io("reading capabilities"))?;
        if !has.contain(Capabilities::only(CAP_LEASE)) {
            return Err(RoleError::Unsafe(
                "inspect is another user than receive and lacks CAP_LEASE, by which it sees who still writes".into(),
            ));
        }
        let (socket, child) = start(zone.settings.zone.allow_unconfined)
            .map_err(RoleError::io("starting the process that sees who still writes"))?;
        Ok(Self::of(Asked::Process { socket, _child: Some(child) }))
    }

    fn of(asked: Asked) -> Self {
        Self { asked, lost: AtomicBool::new(false) }
    }

    /// Whether nobody can write to any of `files`, which are open for reading alone and [`MAX_FILES`] at most.
    ///
    /// # Errors
    /// When nobody answers in time, or the kernel does not say.
    pub fn nobody_writes(&self, files: &[File]) -> io::Result<bool> {
        match &self.asked {
            Asked::Kernel => every_lease(files),
            Asked::Process { socket, .. } => self.ask(socket, files),
        }
    }

    /// Whether no question reaches anybody any more. Then this process must be started anew.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn ask(&self, socket: &OwnedFd, files: &[File]) -> io::Result<bool> {
        let question = u16::try_from(files.len()).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
        let (mut answer, theirs) = UnixStream::pair()?;
        answer.set_read_timeout(Some(PATIENCE))?;
        let rights: Vec<_> =
            std::iter::once(theirs.as_raw_fd()).chain(files.iter().map(|file| file.as_raw_fd())).collect();
        let messages = [ControlMessage::ScmRights(&rights)];
        let parts = [IoSlice::new(&question)];
        sendmsg::<()>(socket.as_raw_fd(), &parts, &messages, MsgFlags::MSG_NOSIGNAL, None).inspect_err(|&error| {
            // A queue that is full may be empty the next time.
            if error != Errno::EAGAIN {
                self.lost.store(true, Ordering::Relaxed);
            }
        })?;
        // So that the answer's end is seen where nobody gives one.
        drop(theirs);
        let mut said = [0];
        answer.read_exact(&mut said)?;
        match said {
            [NOBODY] => Ok(true),
            [SOMEBODY] => Ok(false),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Asks the kernel about each of them.
fn every_lease(files: &[File]) -> io::Result<bool> {
    for file in files {
        if !sys::nobody_writes(file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The service manager's socket. It outlives whoever answers there.
fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

fn start(allow_unconfined: bool) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::SendTimeout, &TimeVal::new(PATIENCE.as_secs().cast_signed(), 0))?;
    let mut command = Command::new(PROGRAM);
    command.arg0("slused").arg("lease");
    if allow_unconfined {
        command.arg("--allow-unconfined");
    }
    command.env_clear().envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).current_dir("/");
    sys::start(&mut command, Start { keep: Vec::new(), user: None, capability: Some(CAP_LEASE) });
    Ok((ours, command.spawn()?))
}
