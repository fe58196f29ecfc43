//! The host's clock: the one place that reads it.

use sluse_protocol::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in whole seconds.
pub fn now() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    };
    Timestamp::from_unix(seconds)
}
