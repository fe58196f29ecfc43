//! Which records are asked for, and what they add up to.

use super::{Disclosed, Outcome, Record};
use crate::ids::AgreementId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Which records are asked for; without anything, all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only those under this agreement.
    pub agreement: Option<AgreementId>,
    /// Only those whose data controller, source or room has this name, whatever the letters' case.
    pub institution: Option<String>,
    /// Only those released then or later.
    pub from: Option<Timestamp>,
    /// Only those released then or earlier.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is among those asked for.
    pub fn admits(&self, record: &Record) -> bool {
        let named = |name: &String| {
            let name = name.trim().to_lowercase();
            [record.terms.controller.trim(), record.source.as_str(), record.room.as_str()]
                .iter()
                .any(|institution| institution.to_lowercase() == name)
        };
        self.agreement.as_ref().is_none_or(|agreement| *agreement == record.agreement)
            && self.institution.as_ref().is_none_or(named)
            && self.from.is_none_or(|from| record.released >= from)
            && self.to.is_none_or(|to| record.released <= to)
    }

    /// Whether every record is asked for.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// What records add up to. A record that another one corrects counts as a correction only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Records.
    pub records: u64,
    /// Those of them that correct another one.
    pub corrections: u64,
    /// Releases, each with its corrections counted once.
    pub releases: u64,
    /// Releases that reached their rooms.
    pub delivered: u64,
    /// Releases that are on their way.
    pub underway: u64,
    /// Releases that did not get there.
    pub withdrawn: u64,
    /// Releases that may stand in their rooms, which could not be reached any more.
    #[serde(default)]
    pub uncertain: u64,
    /// Files of what was delivered.
    pub files: u64,
    /// Bytes of what was delivered.
    pub bytes: u64,
}

impl Sums {
    /// Counts one more record.
    pub fn add(&mut self, record: &Record, outcome: &Outcome) {
        self.records += 1;
        self.corrections += u64::from(record.correction.is_some());
        if outcome.corrected_by.is_some() {
            return;
        }
        self.releases += 1;
        match outcome.disclosed {
            Disclosed::Underway => self.underway += 1,
            Disclosed::Withdrawn => self.withdrawn += 1,
            Disclosed::Uncertain => self.uncertain += 1,
            Disclosed::Delivered => {
                self.delivered += 1;
                self.files = self.files.saturating_add(record.totals.files);
                self.bytes = self.bytes.saturating_add(record.totals.bytes);
            }
        }
    }
}
