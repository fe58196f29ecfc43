//! What the two processes ask of the operating system beyond files: signals, the service manager, sockets with deadlines.

use crate::Error;
use sd_notify::NotifyState;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::linux::net::TcpStreamExt as _;
use std::time::Instant;

/// Calls `stop` once somebody asks this process to end: SIGTERM or SIGINT.
///
/// # Errors
/// When signals cannot be waited for.
pub fn on_stop(stop: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    sluse_host::on_stop(stop).map_err(Error::fault("waiting for signals"))
}

/// Tells the service manager, where there is one.
pub fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}

/// Starts a thread.
///
/// # Errors
/// When there is no room for one.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(Error::fault(format!("starting the thread `{name}`")))
}

/// A socket that is read from until a deadline.
pub(crate) struct Timed {
    pub stream: TcpStream,
    /// When it is too late for what is being read.
    pub deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        // Many callers hold back the rest of what they send until its beginning is acknowledged, for which the kernel takes 40 ms; it
        // forgets this wish, so it is told each time.
        self.stream.set_quickack(true)?;
        self.stream.read(buffer)
    }
}
