//! Signals as something to wait for: SIGTERM and SIGINT stop, SIGCHLD is a child's end.

use super::child::Child;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::AsFd as _;
use std::process::ExitStatus;
use std::time::Instant;

/// The process's signals, taken from their default actions.
pub struct Signals(SignalFd);

impl Signals {
    /// Takes the signals from here on. Children must unblock them for themselves.
    ///
    /// # Errors
    /// When the kernel has no descriptor for them.
    pub fn take() -> io::Result<Self> {
        let taken: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().collect();
        taken.thread_block()?;
        Ok(Self(SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Waits for a signal until `deadline`, or for ever.
    ///
    /// # Errors
    /// When the kernel does not let us wait.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<Signal>> {
        let mut waiting = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout(deadline)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(signal) = self.0.read_signal()? else { return Ok(None) };
        Ok(i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()))
    }

    /// Waits until a child has ended; kills it at `deadline`.
    ///
    /// # Errors
    /// When the kernel does not let us wait.
    pub fn wait_for(&self, child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = child.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                child.signal(Signal::SIGKILL);
                return child.wait();
            }
            // Whoever asks a second time to stop gets no faster end: what is in flight is to become durable.
            self.wait(Some(deadline))?;
        }
    }
}

fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    // Rounded up, so that the deadline has passed when the wait ends.
    let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
    i32::try_from(left).ok().and_then(|left| PollTimeout::try_from(left).ok()).unwrap_or(PollTimeout::MAX)
}
