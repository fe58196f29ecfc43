//! Ends a delivery's work at its target when the zone no longer waits for it.
//!
//! What was given up must not go on beside the next attempt: it would remove, write or rename by their names files that that one sent and
//! compared. So a closed connection ends the request that is under way, and whatever it waits for.

use crate::target::{Told, Trouble};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Held as long as the zone waits.
#[derive(Debug, Default)]
pub struct Leash(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    let_go: bool,
    child: Option<Arc<Mutex<Child>>>,
}

impl Leash {
    /// One that is let go when the other end of `stream` is closed.
    ///
    /// # Errors
    /// When that cannot be watched.
    pub fn of(stream: &UnixStream) -> io::Result<Arc<Self>> {
        let (leash, stream) = (Arc::new(Self::default()), stream.try_clone()?);
        let held = Arc::clone(&leash);
        std::thread::Builder::new().name("leash".into()).spawn(move || {
            wait_for_its_end(&stream);
            held.let_go();
        })?;
        Ok(leash)
    }

    /// Whether the zone still waits.
    ///
    /// # Errors
    /// When it does not.
    pub fn holds(&self) -> Told<()> {
        if self.held().let_go { Err(Trouble::new("the zone no longer waits for this")) } else { Ok(()) }
    }

    /// Binds a process to it, which is killed when it is let go.
    ///
    /// # Errors
    /// When it was let go already.
    pub fn bind(&self, child: &Arc<Mutex<Child>>) -> Told<()> {
        self.holds()?;
        self.held().child = Some(Arc::clone(child));
        // It may have been let go in between, when there was nothing to kill.
        self.holds()
    }

    fn let_go(&self) {
        let child = {
            let mut held = self.held();
            held.let_go = true;
            held.child.take()
        };
        if let Some(child) = child {
            // It may have ended by itself.
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    }

    /// Nothing is half-done in it.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns also when it cannot be watched any more: then nobody would hear of the end.
fn wait_for_its_end(stream: &UnixStream) {
    loop {
        // Of nothing but a hang-up, which is told unasked.
        let mut watched = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        if poll(&mut watched, PollTimeout::NONE) != Err(Errno::EINTR) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn what_is_bound_ends_with_the_connection_and_nothing_is_bound_after_it() {
        let (zone, courier) = UnixStream::pair().unwrap();
        let leash = Leash::of(&courier).unwrap();
        let child = || Arc::new(Mutex::new(Command::new("sleep").arg("600").spawn().unwrap()));
        let (bound, late) = (child(), child());
        assert_eq!((leash.holds(), leash.bind(&bound)), (Ok(()), Ok(())));
        drop(zone);
        let ended = || bound.lock().unwrap().try_wait().unwrap();
        let status = std::iter::repeat_with(ended).find_map(|ended| {
            std::thread::sleep(Duration::from_millis(10));
            ended
        });
        assert!(!status.unwrap().success());
        assert!(leash.holds().is_err() && leash.bind(&late).is_err());
        let mut late = late.lock().unwrap();
        late.kill().unwrap();
        late.wait().unwrap();
    }
}
