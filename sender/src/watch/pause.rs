//! Pauses before something is tried again. Pure: the time and the randomness come in.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);

/// How long something rests after it failed: twice as long each time up to a bound, scattered so that many hosts do not come
/// back to a zone at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pause {
    failures: u32,
    /// Since the watcher began.
    until: Option<Duration>,
}

impl Pause {
    /// It failed at `now`: it rests, at most for `longest`. `random` places the end within the second half of the pause.
    pub fn failed(&mut self, now: Duration, longest: Duration, random: u8) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(20)).min(longest);
        let pause = full / 2 + full * u32::from(random) / 510;
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
        pause
    }

    /// It rests until then, and nothing failed.
    pub fn rest(&mut self, until: Duration) {
        *self = Self { failures: 0, until: Some(until) };
    }

    /// It may be tried at once; a further failure is one more.
    pub fn cut_short(&mut self) {
        self.until = None;
    }

    /// It worked.
    pub fn over(&mut self) {
        *self = Self::default();
    }

    /// Whether it may be tried at `now`.
    pub fn is_over(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// When it may be tried again, where it rests.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_begin_anew_after_success() {
        let (mut pause, longest) = (Pause::default(), Duration::from_secs(60));
        let lengths: Vec<u64> = (0..8).map(|_| pause.failed(Duration::ZERO, longest, 255).as_secs()).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(!pause.is_over(Duration::from_secs(59)) && pause.is_over(Duration::from_secs(60)));
        pause.over();
        assert_eq!(pause.failed(Duration::ZERO, longest, 0), Duration::from_millis(500));
    }
}
