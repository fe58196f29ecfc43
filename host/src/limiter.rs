//! A bound on bytes a second, shared by everything that counts towards it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Lets bytes through at a bounded rate; after a pause at most a tenth of a second's worth at once.
#[derive(Debug)]
pub struct Limiter {
    per_second: Option<u64>,
    /// When what was let through is paid for.
    paid: Mutex<Option<Instant>>,
}

/// Bytes that pass at once, so that nothing waits long for its turn.
const PIECE: usize = 64 * 1024;

/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(100);

impl Limiter {
    /// A limiter; without a rate it never waits.
    pub fn new(per_second: Option<u64>) -> Self {
        Self { per_second: per_second.filter(|rate| *rate > 0), paid: Mutex::new(None) }
    }

    /// Whether there is a bound at all.
    pub fn is_bound(&self) -> bool {
        self.per_second.is_some()
    }

    /// Bytes that are asked for at a time: everything where there is no bound.
    pub fn piece(&self) -> usize {
        if self.per_second.is_some() { PIECE } else { usize::MAX }
    }

    /// Waits until `bytes` may pass.
    pub async fn pass(&self, bytes: usize) {
        if let Some(until) = self.book(bytes, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Books bytes: until when to wait.
    fn book(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let rate = self.per_second?;
        let nanoseconds = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000) / u128::from(rate);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = paid.map_or(now, |paid| paid.max(now));
        let end = begin + cost;
        *paid = Some(end);
        end.checked_sub(BURST).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_passes_than_the_rate_whoever_asks() {
        let (limiter, begun) = (Limiter::new(Some(1_000_000)), Instant::now());
        let mut now = begun;
        for _ in 0..100 {
            now = limiter.book(65_536, now).unwrap_or(now);
        }
        let took = (now - begun).as_millis();
        assert!((6400..=6600).contains(&took), "{took} ms for 6.5536 MB");
        // A pause saves up a tenth of a second's worth, no more.
        let later = now + Duration::from_secs(60);
        assert_eq!(limiter.book(50_000, later), None);
        assert!(limiter.book(500_000, later).is_some());
        assert_eq!(Limiter::new(None).book(usize::MAX, begun), None);
    }
}
