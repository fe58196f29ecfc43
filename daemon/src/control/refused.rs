//! Refused offers: each is logged, and a source that offers garbage thousands of times does not grow the audit log with it.

use super::failure::Failure;
use super::store::{Store, Who};
use serde_json::json;
use sluse_protocol::ids::{AgreementId, SourceName};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Seconds in which a source gets one audit entry for each code.
const QUIET_SECONDS: i64 = 60;

/// The last entry for each source and code, and how many refusals since have none.
#[derive(Debug, Default)]
pub struct RefusedOffers(Mutex<HashMap<(SourceName, Code), (Timestamp, u64)>>);

impl RefusedOffers {
    /// Logs a refused offer, and writes its audit entry unless the source had one for the same code a moment ago: the next
    /// entry counts those.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn note(
        &self,
        store: &Store,
        source: &SourceName,
        agreement: &AgreementId,
        refusal: &Refusal,
    ) -> Result<(), Failure> {
        let code = refusal.code.as_str();
        tracing::info!(%source, %agreement, code, "offer refused");
        let Some(silent) = self.entry_is_due(source, refusal.code, store.now()) else { return Ok(()) };
        store.write(|write| {
            let details = json!({"agreement": agreement, "code": code, "more_since_the_last": silent});
            write.record(&Who::Source(source.clone()), "offer-refused", None, details)
        })?;
        Ok(())
    }

    /// How many refusals passed without an entry, when one is due now.
    fn entry_is_due(&self, source: &SourceName, code: Code, now: Timestamp) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&(source.clone(), code)) {
            Some((last, silent)) if now < last.plus(QUIET_SECONDS) && now >= *last => {
                *silent += 1;
                None
            }
            other => {
                let silent = other.map_or(0, |(_, silent)| *silent);
                all.insert((source.clone(), code), (now, 0));
                Some(silent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_has_one_entry_a_minute_and_none_is_uncounted() {
        let refused = RefusedOffers::default();
        let source: SourceName = "lab".parse().unwrap();
        let at = |seconds| refused.entry_is_due(&source, Code::NoSpace, Timestamp::from_unix(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!((0..50).filter_map(at).count(), 0);
        assert_eq!(refused.entry_is_due(&source, Code::QuotaExceeded, Timestamp::from_unix(1)), Some(0));
        assert_eq!(at(60), Some(50));
        assert_eq!(at(61), None);
    }

    #[test]
    fn a_clock_set_back_does_not_silence_the_log() {
        let refused = RefusedOffers::default();
        let source: SourceName = "lab".parse().unwrap();
        let at = |seconds| refused.entry_is_due(&source, Code::NoSpace, Timestamp::from_unix(seconds));
        assert_eq!(at(1_000_000), Some(0));
        assert_eq!(at(5), Some(0));
    }
}
