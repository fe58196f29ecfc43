//! Points in time, as whole seconds of UTC. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z; shown and stored as RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// What is wrong with the text of a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time such as 2026-11-22T10:00:00Z")]
pub struct InvalidTime;

/// What is wrong with the text of a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is a whole number and s, m, h or d, for example 90s")]
pub struct InvalidDuration;

/// The range that a time may lie in: what RFC 3339 can write, less the last day, which `jiff` leaves to time zones.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_200;

impl Timestamp {
    /// A time from seconds since 1970; what lies outside the years 1 to 9999 is moved to their border.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(*RANGE.start(), *RANGE.end()))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// This time and some seconds more (or fewer, when negative).
    pub fn plus(self, seconds: i64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// Reads a time as `asctime(3)` writes it (`Sat Jan  4 09:44:31 2025`), which says no time zone: it is taken as UTC.
    ///
    /// # Errors
    /// When it is written in another way.
    pub fn from_asctime(text: &str) -> Result<Self, InvalidTime> {
        let civil = jiff::civil::DateTime::strptime("%a %b %e %H:%M:%S %Y", text).map_err(|_| InvalidTime)?;
        let time = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| InvalidTime)?.timestamp().as_second();
        RANGE.contains(&time).then_some(Self(time)).ok_or(InvalidTime)
    }

    /// The calendar date and time without separators, as it begins a transfer's id: `20261122-101500`.
    pub fn compact(self) -> String {
        self.civil().strftime("%Y%m%d-%H%M%S").to_string()
    }

    /// As the header of a mail has it (RFC 5322): `Sun, 22 Nov 2026 10:15:00 +0000`.
    pub fn mail(self) -> String {
        self.civil().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    fn civil(self) -> jiff::civil::DateTime {
        jiff::Timestamp::from_second(self.0)
            .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime())
            .unwrap_or_default()
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.civil().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl std::fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
        RANGE.contains(&time.as_second()).then(|| Self(time.as_second())).ok_or(InvalidTime)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTime;

    fn try_from(text: String) -> Result<Self, InvalidTime> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

/// Reads how long something lasts: a whole number and `s`, `m`, `h` or `d`.
///
/// # Errors
/// When it is written in another way.
pub fn duration(text: &str) -> Result<std::time::Duration, InvalidDuration> {
    let unit = text.chars().next_back().ok_or(InvalidDuration)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(InvalidDuration),
    };
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidDuration);
    }
    let number: u32 = digits.parse().map_err(|_| InvalidDuration)?;
    Ok(std::time::Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_have_a_unit() {
        use std::time::Duration;
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "90", "-1s", "+1s", "1.5h", "1 h", "9999999999s", "1µ"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    use super::*;

    #[test]
    fn times_are_written_and_read_as_rfc_3339() {
        let time = Timestamp::from_unix(1_795_342_500);
        assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(0).compact(), "19700101-000000");
        assert_eq!(Timestamp::from_unix(i64::MAX).to_string(), "9999-12-30T22:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_time_as_c_writes_it_is_read() {
        let read = |text| Timestamp::from_asctime(text).map(|time| time.to_string());
        assert_eq!(read("Sat Jan  4 09:44:31 2025"), Ok("2025-01-04T09:44:31Z".into()));
        assert_eq!(read("Sun Nov 22 10:00:00 2026"), Ok("2026-11-22T10:00:00Z".into()));
        for wrong in ["", "Sat Jan  4 2025", "Mon Jan  4 09:44:31 2025", "Sat Jan 34 09:44:31 2025", "2025-01-04"] {
            assert_eq!(read(wrong), Err(InvalidTime), "{wrong}");
        }
    }
}
