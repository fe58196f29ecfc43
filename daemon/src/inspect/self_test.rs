//! Tests an engine on its sample, through the same code that guards it on real files.

use super::engine::{Dated, Engine, FileFacts, Guarded, Verdict};
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Why an engine is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It does not read its test file, for this reason.
    Away(String),
    /// It read its test file and did not find what it must.
    Blind(String),
    /// Its signatures are too old, or it does not say how old.
    Stale(String),
}

/// By how much the clock of who makes signatures, and their time zone, may be ahead of ours.
const AHEAD: i64 = 2 * 86_400;

/// Whether `engine` finds in its sample what it must.
///
/// # Errors
/// Why it is not to be trusted.
pub fn run(engine: &dyn Engine) -> Result<(), Unfit> {
    let sample = engine.sample();
    let own = engine.for_transfer(sample.bytes.len() as u64);
    let engine = own.as_deref().unwrap_or(engine);
    // A name that every engine takes: it must judge by content.
    let Ok(path) = "self-test".parse::<DataPath>() else { return Err(Unfit::Away("no name for the test file".into())) };
    let file = FileFacts { path, size: sample.bytes.len() as u64, content: Arc::default() };
    let mut scan = Guarded::begin(engine, &file);
    let (first, second) = sample.bytes.split_at(sample.bytes.len() / 2);
    scan.feed(first);
    scan.feed(second);
    match scan.finish(&Sha256::of(&sample.bytes)) {
        Verdict::NotInspected(reason) => Err(Unfit::Away(reason)),
        Verdict::AboveLimit(_) => Err(Unfit::Away("its test file is too large for it".into())),
        Verdict::Read { seen, .. } if seen.iter().any(|one| one.class == sample.class) => Ok(()),
        Verdict::Read { .. } => Err(Unfit::Blind(format!("it did not find {} in its test file", sample.class))),
    }
}

/// Whether signatures of this date are good at `now`, if they may be `max_age` old.
///
/// # Errors
/// Why not.
pub fn check_age(dated: &Dated, max_age: Option<Duration>, now: Timestamp) -> Result<(), Unfit> {
    let Some(max_age) = max_age else { return Ok(()) };
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let why = match dated {
        Dated::Not => return Ok(()),
        Dated::At(date) if date.plus(seconds) < now => format!("its signatures are of {date}, older than they may be"),
        Dated::At(date) if *date > now.plus(AHEAD) => format!("its signatures are of {date}, which is to come"),
        Dated::At(_) => return Ok(()),
        Dated::Unknown => "it does not say of what date its signatures are".into(),
    };
    Err(Unfit::Stale(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_stale_from_their_age_on_or_when_that_is_not_known() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let age = |dated, days: Option<u64>| {
            check_age(&dated, days.map(|days| Duration::from_secs(days * 86_400)), now).is_ok()
        };
        let days = |days: i64| Dated::At(now.plus(days * 86_400));
        assert!(age(Dated::Not, Some(7)) && age(days(-7), Some(7)) && age(days(1), Some(7)));
        assert!(!age(Dated::At(now.plus(-7 * 86_400 - 1)), Some(7)));
        assert!(!age(Dated::Unknown, Some(7)) && !age(days(3), Some(7)));
        assert!(age(Dated::Unknown, None) && age(days(-4000), None));
    }
}
