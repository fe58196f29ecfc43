//! Alerts: what somebody should notice, as stable codes and numbers; and what of that is mailed when.
//!
//! `control` gives [`Alerts`] to whoever mails them. There is nothing in them that names a person, a file or a dataset.

use crate::ids::ZoneName;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of the longest [`Alerts`] as JSON: a few dozen codes.
pub const MAX_BYTES: u64 = 64 * 1024;

/// The code of the alert that whoever mails raises when `control` gives none.
pub const UNREACHABLE: &str = "control-unreachable";

/// All that stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The zone.
    pub zone: ZoneName,
    /// When they were looked for.
    pub time: Timestamp,
    /// One for each code, by code.
    pub alerts: Vec<Alert>,
}

/// One kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its stable code.
    pub code: String,
    /// How many of it.
    pub count: u64,
    /// Whether it is a problem, for which `sluse health` ends with 70, or a warning.
    pub problem: bool,
}

/// A mail's subject and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Lines, each with a line feed.
    pub text: String,
}

/// What was mailed, and when: what is new is mailed at once, what ended once, and what stands again after a while. What only changes its
/// number waits for that.
#[derive(Debug, Clone, Default)]
pub struct Mailed {
    standing: BTreeMap<String, Alert>,
    last: Option<Timestamp>,
}

impl Alerts {
    /// Adds up what has the same code; a problem outweighs a warning.
    pub fn collect(zone: ZoneName, time: Timestamp, found: impl IntoIterator<Item = Alert>) -> Self {
        let mut by_code: BTreeMap<String, Alert> = BTreeMap::new();
        for alert in found {
            match by_code.get_mut(&alert.code) {
                Some(known) => {
                    known.count = known.count.saturating_add(alert.count);
                    known.problem |= alert.problem;
                }
                None => {
                    by_code.insert(alert.code.clone(), alert);
                }
            }
        }
        Self { zone, time, alerts: by_code.into_values().collect() }
    }
}

impl Mailed {
    /// The mail that is due now, if one is; `remind` is after how many seconds what stands is mailed again.
    pub fn due(&self, now: &Alerts, remind: i64) -> Option<Mail> {
        let new = now.alerts.iter().filter(|alert| self.is_new(alert)).count();
        let ended: Vec<&str> = self
            .standing
            .keys()
            .filter(|code| now.alerts.iter().all(|alert| alert.code != **code))
            .map(String::as_str)
            .collect();
        // A clock that was set back reminds once too often rather than never.
        let waited = self.last.is_none_or(|last| now.time < last || last.plus(remind) <= now.time);
        let reminds = waited && !now.alerts.is_empty();
        (new > 0 || !ended.is_empty() || reminds).then(|| self.write(now, &ended))
    }

    /// The mail that was due is on its way.
    pub fn sent(&mut self, now: &Alerts) {
        self.standing = now.alerts.iter().map(|alert| (alert.code.clone(), alert.clone())).collect();
        self.last = Some(now.time);
    }

    /// A code that did not stand before, or was a warning.
    fn is_new(&self, alert: &Alert) -> bool {
        self.standing.get(&alert.code).is_none_or(|known| alert.problem && !known.problem)
    }

    fn write(&self, now: &Alerts, ended: &[&str]) -> Mail {
        let count = |problem| now.alerts.iter().filter(|alert| alert.problem == problem).count();
        let subject =
            format!("Sluse {}: {}, {}", now.zone, times(count(true), "problem"), times(count(false), "warning"));
        let mut text = format!("zone {} at {}\n\n", now.zone, now.time);
        for (kind, problem) in [("problem", true), ("warning", false)] {
            for alert in now.alerts.iter().filter(|alert| alert.problem == problem) {
                let news = if self.is_new(alert) { "  (new)" } else { "" };
                text += &format!("{kind}  {:32} {:>6}{news}\n", alert.code, alert.count);
            }
        }
        for code in ended {
            text += &format!("ended    {code}\n");
        }
        text += "\n`sluse health` at the zone says what each is about, and what to do.\n";
        Mail { subject, text }
    }
}

fn times(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn alert(code: &str, count: u64, problem: bool) -> Alert {
        Alert { code: code.into(), count, problem }
    }

    fn at(seconds: i64, found: &[(&str, u64, bool)]) -> Alerts {
        let found = found.iter().map(|(code, count, problem)| alert(code, *count, *problem));
        Alerts::collect("midt".parse().unwrap(), Timestamp::from_unix(1_800_000_000 + seconds), found)
    }

    #[test]
    fn the_same_code_is_added_up_and_a_problem_outweighs() {
        let alerts = at(0, &[("held", 2, false), ("role-missing", 1, true), ("held", 3, true)]).alerts;
        assert_eq!(alerts, [alert("held", 5, true), alert("role-missing", 1, true)]);
    }

    #[test]
    fn what_is_new_is_mailed_at_once_what_stands_after_a_day_and_what_ended_once() {
        let mut mailed = Mailed::default();
        assert_eq!(mailed.due(&at(0, &[]), DAY), None, "nothing stands, nothing is mailed");
        let now = at(1, &[("held", 2, false)]);
        let mail = mailed.due(&now, DAY).unwrap();
        assert_eq!(mail.subject, "Sluse midt: 0 problems, 1 warning");
        assert!(mail.text.contains("held") && mail.text.contains("(new)"), "{}", mail.text);
        mailed.sent(&now);
        assert_eq!(mailed.due(&at(60, &[("held", 9, false)]), DAY), None, "only its number changed");
        assert!(mailed.due(&at(60, &[("held", 9, true)]), DAY).is_some(), "it is a problem now");
        let more = at(120, &[("held", 9, false), ("no-space", 1, true)]);
        let mail = mailed.due(&more, DAY).unwrap();
        assert_eq!(mail.subject, "Sluse midt: 1 problem, 1 warning");
        assert_eq!(mail.text.matches("(new)").count(), 1);
        mailed.sent(&more);
        assert_eq!(mailed.due(&at(119 + DAY, &[("held", 9, false), ("no-space", 1, true)]), DAY), None);
        assert!(mailed.due(&at(120 + DAY, &[("held", 9, false), ("no-space", 1, true)]), DAY).is_some());
        let over = at(180, &[("held", 9, false)]);
        assert!(mailed.due(&over, DAY).unwrap().text.contains("ended    no-space"));
        mailed.sent(&over);
        mailed.sent(&at(200, &[]));
        assert_eq!(mailed.due(&at(200 + 3 * DAY, &[]), DAY), None);
    }

    #[test]
    fn a_mail_that_was_not_sent_stays_due() {
        let mailed = Mailed::default();
        let now = at(1, &[("held", 2, false)]);
        assert_eq!(mailed.due(&now, DAY), mailed.due(&now, DAY));
    }
}
