//! The loops by which a role shows that it goes on.
//!
//! A loop without which the role does nothing has a [`Pulse`], and beats it in every round. The service manager is told that
//! the process goes on ([`crate::notify`]) only while each has beaten as lately as it must: a role that is stopped or starved
//! falls silent, and so does one whose loop hangs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// This process's.
static LOOPS: Loops = Loops(Mutex::new(Vec::new()));

/// One loop's.
#[derive(Debug)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    name: &'static str,
    may_be_silent: Duration,
    last: Mutex<Instant>,
}

/// Loops that ran once: one that ended otherwise than with its process is silent for ever.
#[derive(Debug)]
struct Loops(Mutex<Vec<Arc<Beats>>>);

/// A loop that begins now; it beats at least once in `may_be_silent`.
pub fn of(name: &'static str, may_be_silent: Duration) -> Pulse {
    LOOPS.begin(name, may_be_silent)
}

/// A loop of this process that has been silent for longer than it may, if there is one.
pub fn silent() -> Option<&'static str> {
    LOOPS.silent()
}

impl Pulse {
    /// Says that the loop goes on.
    pub fn beat(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Beats {
    fn are_late(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > self.may_be_silent
    }
}

impl Loops {
    fn begin(&self, name: &'static str, may_be_silent: Duration) -> Pulse {
        let beats = Arc::new(Beats { name, may_be_silent, last: Mutex::new(Instant::now()) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&beats));
        Pulse(beats)
    }

    fn silent(&self) -> Option<&'static str> {
        let loops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().find(|beats| beats.are_late()).map(|beats| beats.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn earlier(pulse: &Pulse) {
        *pulse.0.last.lock().unwrap() = Instant::now().checked_sub(2 * HOUR).unwrap();
    }

    #[test]
    fn one_silent_loop_among_several_is_named_until_it_beats_again() {
        let loops = Loops(Mutex::default());
        assert_eq!(loops.silent(), None);
        let (_first, second) = (loops.begin("first", HOUR), loops.begin("second", HOUR));
        assert_eq!(loops.silent(), None);
        earlier(&second);
        assert_eq!(loops.silent(), Some("second"));
        second.beat();
        assert_eq!(loops.silent(), None);
    }

    #[test]
    fn a_loop_that_ended_is_silent() {
        let loops = Loops(Mutex::default());
        let ended = loops.begin("ended", HOUR);
        earlier(&ended);
        drop(ended);
        assert_eq!(loops.silent(), Some("ended"));
    }
}
