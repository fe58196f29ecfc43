//! Hours of the week in which something is allowed: `Mon-Fri 18:00-06:00`. All of it in UTC, to the minute.

use crate::time::Timestamp;

/// Spans of one [`Hours`].
pub const MAX_SPANS: usize = 32;

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A time of each of some days until a later one, which may lie in the day after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    /// The first and the last day on which it begins; Monday is 0. The last may lie before the first: `Sat-Mon`.
    days: (u16, u16),
    /// Minute of the day at which it begins.
    from: u16,
    /// Minutes that it lasts, 1 to a day.
    lasts: u16,
}

/// What is wrong with the text of a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hours are written as \"18:00-06:00\", \"Sat\" or \"Mon-Fri 18:00-06:00\", in UTC")]
pub struct InvalidSpan;

/// When something is allowed; without a span, always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours(Vec<Span>);

impl Hours {
    /// The hours of these spans.
    pub fn new(spans: Vec<Span>) -> Self {
        Self(spans)
    }

    /// Whether they leave nothing out.
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is allowed at that time.
    pub fn contain(&self, time: Timestamp) -> bool {
        self.contain_minute(minute_of_week(time))
    }

    fn contain_minute(&self, minute: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|span| span.contains(minute))
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            write!(out, "{}{}", if at == 0 { "" } else { ", " }, span.text)?;
        }
        Ok(())
    }
}

/// The first time from `now` on that lies in all of these hours; `None` where there is none in any week.
pub fn first_in_all(hours: &[&Hours], now: Timestamp) -> Option<Timestamp> {
    let in_all = |minute: u16| hours.iter().all(|hours| hours.contain_minute(minute));
    let (begun, minute) = (now.plus(-now.unix().rem_euclid(60)), minute_of_week(now));
    let wait = (0..WEEK).find(|wait| in_all((minute + wait) % WEEK))?;
    Some(begun.plus(i64::from(wait) * 60).max(now))
}

fn minute_of_week(time: Timestamp) -> u16 {
    // 1970 began on a Thursday.
    let minutes = (time.unix().div_euclid(60) + 3 * i64::from(DAY)).rem_euclid(i64::from(WEEK));
    u16::try_from(minutes).unwrap_or(0)
}

impl Span {
    fn contains(&self, minute: u16) -> bool {
        let (first, last) = self.days;
        let count = (last + 7 - first) % 7 + 1;
        (0..count).any(|day| {
            let begins = (first + day) % 7 * DAY + self.from;
            (minute + WEEK - begins) % WEEK < self.lasts
        })
    }
}

impl std::str::FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let is_time = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
        let (days, times) = match text.split_once(' ') {
            Some((days, times)) => (Some(days), Some(times)),
            None if is_time(text) => (None, Some(text)),
            None => (Some(text), None),
        };
        let days = days.map_or(Ok((0, 6)), |days| pair(days, day))?;
        let (from, until) = times.map_or(Ok((0, DAY)), |times| {
            let (from, until) = times.split_once('-').ok_or(InvalidSpan)?;
            Ok((minute(from)?, minute(until)?))
        })?;
        if from == DAY || from == until {
            return Err(InvalidSpan);
        }
        let lasts = if until > from { until - from } else { until + DAY - from };
        Ok(Self { text: text.to_owned(), days, from, lasts })
    }
}

/// One word, or two with a hyphen between them.
fn pair<T: Copy>(text: &str, read: impl Fn(&str) -> Result<T, InvalidSpan>) -> Result<(T, T), InvalidSpan> {
    match text.split_once('-') {
        Some((first, last)) => Ok((read(first)?, read(last)?)),
        None => read(text).map(|one| (one, one)),
    }
}

fn day(text: &str) -> Result<u16, InvalidSpan> {
    let day = DAYS.iter().position(|day| *day == text).ok_or(InvalidSpan)?;
    u16::try_from(day).map_err(|_| InvalidSpan)
}

/// `00:00` to `24:00`.
fn minute(text: &str) -> Result<u16, InvalidSpan> {
    let two = |digits: &str| match digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse::<u16>().map_err(|_| InvalidSpan),
        false => Err(InvalidSpan),
    };
    let (hour, minute) = text.split_once(':').ok_or(InvalidSpan)?;
    let (hour, minute) = (two(hour)?, two(minute)?);
    let whole = hour * 60 + minute;
    if minute < 60 && whole <= DAY { Ok(whole) } else { Err(InvalidSpan) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(spans: &[&str]) -> Hours {
        Hours::new(spans.iter().map(|span| span.parse().unwrap()).collect())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let nights = hours(&["Mon-Fri 18:00-06:00"]);
        // 2026-11-22 is a Sunday.
        for (time, contained) in [
            ("2026-11-22T18:00:00Z", false),
            ("2026-11-23T05:59:59Z", false),
            ("2026-11-23T17:59:59Z", false),
            ("2026-11-23T18:00:00Z", true),
            ("2026-11-24T05:59:59Z", true),
            ("2026-11-24T06:00:00Z", false),
            ("2026-11-28T05:59:00Z", true),
            ("2026-11-28T18:00:00Z", false),
        ] {
            assert_eq!(nights.contain(at(time)), contained, "{time}");
        }
        assert!(hours(&["Sat-Mon"]).contain(at("2026-11-23T23:59:59Z")), "days go on after Sunday");
        assert!(!hours(&["Sat-Mon"]).contain(at("2026-11-24T00:00:00Z")));
        assert!(hours(&["22:00-24:00", "00:00-02:00"]).contain(at("2026-11-24T00:00:00Z")));
        assert!(hours(&[]).contain(at("2026-11-24T00:00:00Z")) && hours(&[]).is_always());
    }

    #[test]
    fn the_next_time_lies_in_all_hours_at_once() {
        let (nights, weekend) = (hours(&["18:00-06:00"]), hours(&["Sat-Sun"]));
        let first = |now: &str| first_in_all(&[&nights, &weekend], at(now)).map(|time| time.to_string());
        assert_eq!(first("2026-11-23T12:00:30Z").as_deref(), Some("2026-11-28T00:00:00Z"));
        assert_eq!(first("2026-11-28T05:59:59Z").as_deref(), Some("2026-11-28T05:59:59Z"), "now");
        assert_eq!(first("2026-11-28T06:00:01Z").as_deref(), Some("2026-11-28T18:00:00Z"));
        let never = [&hours(&["Mon 08:00-09:00"]), &hours(&["Mon 09:00-10:00"])];
        assert_eq!(first_in_all(&never, at("2026-11-23T12:00:00Z")), None);
    }

    #[test]
    fn what_is_not_written_as_hours_is_told_apart() {
        for text in [
            "",
            " ",
            "mon",
            "Mon-",
            "Mon-Fri-Sun",
            "18-06",
            "18:00",
            "8:00-9:00",
            "24:00-06:00",
            "06:00-06:00",
            "18:60-19:00",
            "24:01-02:00",
            "Mon  18:00-06:00",
            "+1:00-02:00",
            "Mon 18:00-06:00 Tue",
        ] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan), "{text:?}");
        }
        assert_eq!(hours(&["Mon-Fri 18:00-06:00", "Sat"]).to_string(), "Mon-Fri 18:00-06:00, Sat");
    }

    proptest! {
        #[test]
        fn the_next_time_is_in_the_hours_and_none_before_it_is(
            first in 0usize..7, last in 0usize..7, from in 0u16..DAY, until in 1u16..=DAY, now in -3_000_000_000i64..4_000_000_000,
        ) {
            prop_assume!(from != until);
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let text = format!("{}-{} {}-{}", DAYS[first], DAYS[last], clock(from), clock(until));
            let hours = hours(&[&text]);
            let now = Timestamp::from_unix(now);
            let next = first_in_all(&[&hours], now).unwrap();
            prop_assert!(hours.contain(next) && next >= now && next <= now.plus(i64::from(WEEK) * 60));
            let minutes = (next.unix() - now.unix()).div_euclid(60);
            prop_assert!((0..minutes.min(300)).all(|minute| !hours.contain(now.plus(minute * 60))));
        }
    }
}
