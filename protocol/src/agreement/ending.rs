//! When an agreement ends, and that it is said in time: what it rests on may end before it does.

use super::Agreement;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// So many days before an agreement ends, it is said: loosest first.
pub const THRESHOLDS: [u16; 3] = [90, 30, 7];

const DAY: i64 = 86_400;

/// What of an agreement has an end of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The agreement itself.
    Agreement,
    /// Its legal basis.
    LegalBasis,
    /// The ethics committee's approval.
    RekApproval,
}

impl std::fmt::Display for Part {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Agreement => "agreement",
            Self::LegalBasis => "legal basis",
            Self::RekApproval => "REK approval",
        })
    }
}

/// That an agreement ends soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// What ends first.
    pub what: Part,
    /// The last moment at which the agreement allows anything.
    pub at: Timestamp,
    /// The narrowest of [`THRESHOLDS`] that was reached.
    pub within_days: u16,
}

impl Agreement {
    /// What ends first, and the last moment at which the agreement allows anything. Of what ends together, the agreement is
    /// named before its legal basis, and that before the approval.
    pub fn first_end(&self) -> (Part, Timestamp) {
        let mut first = (Part::Agreement, self.valid_to);
        let basis = (Part::LegalBasis, self.legal_basis.valid_to);
        let approval = self.rek.as_ref().map(|rek| (Part::RekApproval, rek.expires));
        for end in [Some(basis), approval].into_iter().flatten() {
            if end.1 < first.1 {
                first = end;
            }
        }
        first
    }

    /// That it ends soon; none while that is further away than the first of [`THRESHOLDS`], and once it has ended.
    pub fn ending(&self, now: Timestamp) -> Option<Ending> {
        let (what, at) = self.first_end();
        if now > at {
            return None;
        }
        let reached = |days: &u16| at <= now.plus(i64::from(*days) * DAY);
        let within_days = THRESHOLDS.into_iter().filter(reached).min()?;
        Some(Ending { what, at, within_days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{self, Rek};
    use proptest::prelude::*;

    const END: i64 = 1_800_000_000;

    /// An agreement of which one part ends at `END`, and the others later.
    fn ends_by(part: Part) -> Agreement {
        let mut agreement = agreement::parse(include_str!("../../../config/agreements/epic-nightly.toml")).unwrap();
        let at = |wanted| Timestamp::from_unix(if part == wanted { END } else { END + 1 });
        agreement.valid_to = at(Part::Agreement);
        agreement.legal_basis.valid_to = at(Part::LegalBasis);
        agreement.rek = Some(Rek { reference: "1".into(), expires: at(Part::RekApproval) });
        agreement
    }

    fn within(agreement: &Agreement, before: i64) -> Option<u16> {
        agreement.ending(Timestamp::from_unix(END - before)).map(|ending| ending.within_days)
    }

    #[test]
    fn each_threshold_is_reached_to_the_second_and_what_ended_is_not_ending() {
        for part in [Part::Agreement, Part::LegalBasis, Part::RekApproval] {
            let agreement = ends_by(part);
            assert_eq!(agreement.first_end(), (part, Timestamp::from_unix(END)));
            assert_eq!(within(&agreement, 90 * DAY + 1), None);
            assert_eq!(within(&agreement, 90 * DAY), Some(90));
            assert_eq!(within(&agreement, 30 * DAY + 1), Some(90));
            assert_eq!(within(&agreement, 30 * DAY), Some(30));
            assert_eq!(within(&agreement, 7 * DAY + 1), Some(30));
            assert_eq!(within(&agreement, 7 * DAY), Some(7));
            assert_eq!(within(&agreement, 0), Some(7));
            assert_eq!(within(&agreement, -1), None);
        }
    }

    #[test]
    fn an_agreement_without_an_approval_ends_by_what_it_has() {
        let mut agreement = ends_by(Part::RekApproval);
        agreement.rek = None;
        assert_eq!(agreement.first_end(), (Part::Agreement, Timestamp::from_unix(END + 1)));
    }

    proptest! {
        #[test]
        fn thresholds_only_narrow_as_time_goes_on(one in -10_000_000i64..10_000_000, later in 0i64..10_000_000) {
            let agreement = ends_by(Part::LegalBasis);
            let days = |before| within(&agreement, before).unwrap_or(u16::MAX);
            prop_assert!(one - later < 0 || days(one - later) <= days(one));
        }

        #[test]
        fn no_part_ends_before_the_one_that_is_named(ends in proptest::array::uniform3(-1_000i64..1_000)) {
            let mut agreement = ends_by(Part::Agreement);
            let [valid_to, basis, approval] = ends.map(Timestamp::from_unix);
            (agreement.valid_to, agreement.legal_basis.valid_to) = (valid_to, basis);
            agreement.rek = Some(Rek { reference: "1".into(), expires: approval });
            let (what, at) = agreement.first_end();
            prop_assert_eq!(at, valid_to.min(basis).min(approval));
            let named = match what {
                Part::Agreement => valid_to,
                Part::LegalBasis => basis,
                Part::RekApproval => approval,
            };
            prop_assert_eq!(named, at);
        }
    }
}
