//! How long to wait before trying again, and when to give up.

use crate::error::{Error, Lost};
use sluse_protocol::refusal::{Code, Exit};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// Waiting times that double up to a bound, begin anew after progress, and are scattered so that many senders do not come
/// back at once.
#[derive(Debug)]
pub(crate) struct Retry {
    give_up: Duration,
    since: Instant,
    next: Duration,
}

impl Retry {
    /// Gives up when there was no progress for `give_up`.
    pub fn new(give_up: Duration) -> Self {
        Self { give_up, since: Instant::now(), next: FIRST }
    }

    /// Something worked.
    pub fn progress(&mut self) {
        (self.since, self.next) = (Instant::now(), FIRST);
    }

    /// How long to wait after `error`, or the error that ends it all.
    pub fn after(&mut self, error: Error) -> Result<(Duration, Error), Error> {
        if !is_worth_a_retry(&error) {
            return Err(error);
        }
        if self.since.elapsed() + self.next > self.give_up {
            return Err(Error::GaveUp { after: self.give_up, last: Box::new(error) });
        }
        let delay = scatter(self.next);
        self.next = (self.next * 2).min(LONGEST);
        Ok((delay, error))
    }
}

/// Whether the same may succeed later. A fault of the zone may be mended while we wait.
fn is_worth_a_retry(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) if refusal.code == Code::TakenOver => false,
        // Hours are waited for by who can: `send` ends with the time. One who was interrupted by their end asks for it.
        Error::Refused(refusal) if refusal.code == Code::OutsideHours => refusal.until.is_none(),
        Error::Refused(refusal) => matches!(refusal.code.exit(), Exit::Temporary | Exit::Fault),
        Error::Connection(Lost::Impostor(_)) => false,
        Error::Connection(_) => true,
        _ => false,
    }
}

/// Between half the time and all of it.
fn scatter(delay: Duration) -> Duration {
    // Without randomness the full time is as good.
    let random = sluse_host::random::bytes::<1>().map_or(255, |bytes| bytes[0]);
    delay / 2 + delay * u32::from(random) / 510
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::refusal::Refusal;
    use sluse_protocol::time::Timestamp;

    fn lost() -> Error {
        Lost::Ended("gone".into()).into()
    }

    #[test]
    fn waiting_times_double_to_a_bound_and_begin_anew_after_progress() {
        let mut retry = Retry::new(Duration::from_secs(3600));
        let mut wait = || retry.after(lost()).unwrap().0;
        assert!(wait() <= FIRST);
        for _ in 0..20 {
            assert!(wait() <= LONGEST);
        }
        assert!(wait() >= LONGEST / 2);
        retry.progress();
        assert!(retry.after(lost()).unwrap().0 <= FIRST);
    }

    #[test]
    fn it_gives_up_in_time_and_at_once_when_waiting_cannot_help() {
        assert!(matches!(Retry::new(Duration::ZERO).after(lost()), Err(Error::GaveUp { .. })));
        for code in [Code::TakenOver, Code::UnknownAgreement, Code::ChunkConflict] {
            let refusal = Refusal::new(code, "no");
            assert!(matches!(Retry::new(LONGEST).after(refusal.into()), Err(Error::Refused(_))));
        }
        assert!(Retry::new(LONGEST).after(Refusal::new(Code::NoSpace, "full").into()).is_ok());
        let closed = Refusal::new(Code::OutsideHours, "at night only");
        assert!(Retry::new(LONGEST).after(closed.clone().into()).is_ok());
        let closed = closed.until(Timestamp::from_unix(0));
        assert!(matches!(Retry::new(LONGEST).after(closed.into()), Err(Error::Refused(_))));
    }
}
