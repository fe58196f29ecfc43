//! `slused lease`: the process that is handed open files and says whether anybody can write to them. It has `CAP_LEASE`, the
//! socket on which it is asked, and nothing else.

use super::{NOBODY, QUESTION_BYTES, SOMEBODY, every_lease};
use crate::notify::{self, Manager};
use crate::{RoleError, confine, sys};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

/// Bytes of memory that are there when it is confined: several times what a question with its files and a line of log take.
const ROOM: usize = 32 * 1024;

/// What starts it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Args {
    /// Go on where the kernel has no Landlock, as the zone's setting of that name says
    #[arg(long)]
    pub allow_unconfined: bool,
}

/// Answers on the socket that the service manager handed over, or on standard input, until that is closed.
///
/// # Errors
/// When the kernel cannot confine it, or the socket fails.
pub fn run(args: Args) -> Result<(), RoleError> {
    let failed = |what: &str| RoleError::io(format!("the process that sees who still writes: {what}"));
    let socket = match notify::activated()? {
        Some(number) => sys::inherited(number).map_err(failed("its socket"))?,
        None => io::stdin().as_fd().try_clone_to_owned().map_err(failed("its socket"))?,
    };
    let manager = Manager::from_environment()?;
    let interval = notify::watchdog_interval().and_then(|interval| PollTimeout::try_from(interval).ok());
    nix::sys::prctl::set_name(c"slused-lease").map_err(|error| failed("its name")(error.into()))?;
    // It has no call by which it could get memory later.
    drop(black_box(Vec::<u8>::with_capacity(ROOM)));
    confine::lease(args.allow_unconfined)?;
    serve(&socket, manager.as_ref(), interval.unwrap_or(PollTimeout::NONE)).map_err(failed("waiting"))
}

fn serve(socket: &OwnedFd, manager: Option<&Manager>, interval: PollTimeout) -> io::Result<()> {
    let tell = |said: io::Result<()>| {
        if let Err(error) = said {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    };
    if let Some(manager) = manager {
        tell(manager.ready(socket));
    }
    loop {
        if let Some(manager) = manager {
            tell(manager.alive(socket));
        }
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], interval) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => {
                let mut question = [0; QUESTION_BYTES];
                let (bytes, handed) = sys::receive_all_descriptors(socket.as_fd(), &mut question)?;
                if bytes == 0 {
                    return Ok(());
                }
                answer(question, handed);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Answers a question with what was handed over with it. Where there is no answer, whoever asked sees its socket close.
fn answer(question: [u8; QUESTION_BYTES], handed: Vec<OwnedFd>) {
    let mut handed = handed.into_iter();
    let Some(to) = handed.next() else { return };
    let files: Vec<File> = handed.map(File::from).collect();
    if files.len() != usize::from(u16::from_le_bytes(question)) {
        tracing::warn!(handed = files.len(), "other files were handed over than were asked about");
        return;
    }
    let said = match every_lease(&files) {
        Ok(true) => NOBODY,
        Ok(false) => SOMEBODY,
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say whether somebody writes");
            return;
        }
    };
    if let Err(error) = send(to.as_raw_fd(), &[said], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
        tracing::warn!(%error, "who asked cannot be answered");
    }
}
