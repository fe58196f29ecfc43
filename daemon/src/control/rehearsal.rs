//! What only a sandbox does: it refuses an offer with the code that the dataset's name asks for, and its days of waiting are
//! short, so that who integrates a source sees every answer. Most of what a sandbox answers needs none of this: its agreements
//! lead to real refusals and verdicts (docs/integrating/sandbox.md).
//!
//! No production zone can have it: there is no setting for it, a role that systemd started does not take the switch, and a zone
//! that is not called `sandbox` refuses to start with it. So every receipt of such a zone says what it is worth.

use super::failure::{Failure, refuse};
use crate::RoleError;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{DatasetName, ZoneName};
use sluse_protocol::refusal::Code;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The name of every sandbox, in which its receipts are signed.
const NAME: &str = "sandbox";

/// What a dataset's name begins with that asks for a refusal; its code follows.
const REFUSE: &str = "refuse-";

/// A dataset of this name is refused as `unavailable` for so many offers, and then taken.
const TEMPORARY: &str = "temporary";
const TIMES: u32 = 2;

/// Offers of such datasets that are remembered.
const MAX_COUNTED: usize = 10_000;

/// Seconds of a sandbox's day, for what waits for a person.
const DAY: i64 = 10;

/// What a sandbox does on request.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// How often an offer, by its idempotency key, was refused for the time being.
    refused: Mutex<HashMap<Sha256, u32>>,
}

impl Rehearsal {
    /// The rehearsal of a zone of this name.
    ///
    /// # Errors
    /// When it may not be a sandbox.
    pub fn of(zone: &ZoneName) -> Result<Self, RoleError> {
        if zone.as_str() != NAME {
            return Err(RoleError::Unsafe(format!("zone {zone} is none to rehearse in: only one called {NAME} is")));
        }
        tracing::warn!("this zone is a sandbox: it refuses what it is asked to refuse");
        Ok(Self::default())
    }

    /// Refuses an offer as its dataset's name asks.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, dataset: &DatasetName, key: &Sha256) -> Result<(), Failure> {
        if dataset.as_str() == TEMPORARY && self.is_early(key) {
            return refuse(Code::Unavailable, "the sandbox is away, as it was asked to be");
        }
        let asked = dataset.as_str().strip_prefix(REFUSE);
        match asked.and_then(|asked| Code::ALL.iter().find(|code| code.as_str() == asked)) {
            Some(code) => refuse(*code, "the sandbox refuses, as it was asked to"),
            None => Ok(()),
        }
    }

    /// Seconds of so many days of waiting.
    pub fn days(&self, days: u32) -> i64 {
        i64::from(days) * DAY
    }

    /// Counts an offer; whether it was not made often enough.
    fn is_early(&self, key: &Sha256) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MAX_COUNTED {
            refused.clear();
        }
        let times = refused.entry(*key).or_default();
        *times += 1;
        *times <= TIMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rehearsal: &Rehearsal, dataset: &str) -> Option<Code> {
        match rehearsal.check(&dataset.parse().unwrap(), &Sha256::of(dataset.as_bytes())) {
            Err(Failure::Refused(refusal)) => Some(refusal.code),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn every_code_can_be_asked_for_and_nothing_else_is_refused() {
        let rehearsal = Rehearsal::of(&NAME.parse().unwrap()).unwrap();
        for code in Code::ALL {
            assert_eq!(answer(&rehearsal, &format!("refuse-{code}")), Some(*code));
        }
        for other in ["refuse-", "refuse-nothing", "no-space", "x-refuse-held"] {
            assert_eq!(answer(&rehearsal, other), None, "{other}");
        }
    }

    #[test]
    fn what_is_refused_for_the_time_being_is_taken_in_the_end() {
        let rehearsal = Rehearsal::default();
        let asked = || answer(&rehearsal, "temporary");
        assert_eq!([asked(), asked(), asked()], [Some(Code::Unavailable), Some(Code::Unavailable), None]);
    }

    #[test]
    fn a_zone_of_another_name_is_no_sandbox() {
        assert!(matches!(Rehearsal::of(&"sluse".parse().unwrap()), Err(RoleError::Unsafe(_))));
    }
}
