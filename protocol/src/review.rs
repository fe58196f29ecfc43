//! Reviews: what persons say of a held transfer, and what that adds up to.
//!
//! Nothing is decided before as many different persons have chosen as the agreement asks for, a rejection neither: as long as a
//! transfer is held, the second cannot tell what the first chose.

use crate::agreement::ReleaseRule;
use crate::digest::Sha256;
use crate::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// What a person chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The transfer may enter its room.
    Release,
    /// It may not.
    Reject,
}

/// One person's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Review {
    /// The person's user id.
    pub by: u32,
    /// The choice.
    pub choice: Choice,
    /// SHA-256 of the manifest that it is about.
    pub manifest: Sha256,
}

/// What reviews add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// So many persons have yet to choose.
    Waiting(usize),
    /// All chose to release.
    Release,
    /// Somebody chose to reject.
    Reject,
}

/// How many persons must choose. What a rule would have released by itself is held for a finding, which one person decides.
pub fn needed(rule: ReleaseRule) -> usize {
    match rule {
        ReleaseRule::Automatic | ReleaseRule::OneReviewer => 1,
        ReleaseRule::TwoReviewers => 2,
    }
}

/// Whether a person may choose: none of the requesters, and nobody twice.
///
/// # Errors
/// The refusal, with its code.
pub fn admit(by: u32, manifest: &Sha256, requesters: &[u32], reviews: &[Review]) -> Result<(), Refusal> {
    if requesters.contains(&by) {
        let message = "who wrote or activated the agreement does not review under it";
        return Err(Refusal::new(Code::Forbidden, message).hint("Another reviewer must."));
    }
    if reviews.iter().any(|review| review.by == by && review.manifest == *manifest) {
        let message = "you have chosen already, and a choice is not changed";
        return Err(Refusal::new(Code::Forbidden, message).hint("Another reviewer must choose too."));
    }
    Ok(())
}

/// What the reviews of one manifest add up to.
pub fn tally(rule: ReleaseRule, manifest: &Sha256, reviews: &[Review]) -> Tally {
    let about: Vec<&Review> = reviews.iter().filter(|review| review.manifest == *manifest).collect();
    let mut persons: Vec<u32> = about.iter().map(|review| review.by).collect();
    persons.sort_unstable();
    persons.dedup();
    let missing = needed(rule).saturating_sub(persons.len());
    if missing > 0 {
        Tally::Waiting(missing)
    } else if about.iter().all(|review| review.choice == Choice::Release) {
        Tally::Release
    } else {
        Tally::Reject
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const RULES: [ReleaseRule; 3] = [ReleaseRule::Automatic, ReleaseRule::OneReviewer, ReleaseRule::TwoReviewers];

    fn manifest(number: u8) -> Sha256 {
        Sha256([number; 32])
    }

    fn review(by: u32, choice: Choice) -> Review {
        Review { by, choice, manifest: manifest(1) }
    }

    #[test]
    fn two_reviewers_are_two_persons_and_one_rejection_is_one() {
        use Choice::{Reject, Release};
        let two = |reviews: &[Review]| tally(ReleaseRule::TwoReviewers, &manifest(1), reviews);
        assert_eq!(two(&[]), Tally::Waiting(2));
        assert_eq!(two(&[review(1, Release)]), Tally::Waiting(1));
        assert_eq!(two(&[review(1, Reject)]), Tally::Waiting(1), "the second would know");
        assert_eq!(two(&[review(1, Release), review(1, Release)]), Tally::Waiting(1));
        assert_eq!(two(&[review(1, Release), review(2, Release)]), Tally::Release);
        assert_eq!(two(&[review(1, Reject), review(2, Release)]), Tally::Reject);
        assert_eq!(
            tally(ReleaseRule::TwoReviewers, &manifest(2), &[review(1, Release), review(2, Release)]),
            Tally::Waiting(2)
        );
    }

    #[test]
    fn requesters_and_whoever_chose_are_not_admitted() {
        let code = |by| admit(by, &manifest(1), &[7, 8], &[review(1, Choice::Release)]).map_err(|refusal| refusal.code);
        assert_eq!(code(7), Err(Code::Forbidden));
        assert_eq!(code(8), Err(Code::Forbidden));
        assert_eq!(code(1), Err(Code::Forbidden));
        assert_eq!(code(2), Ok(()));
        assert_eq!(admit(1, &manifest(2), &[], &[review(1, Choice::Release)]), Ok(()));
    }

    proptest! {
        #[test]
        fn no_sequence_of_choices_releases_without_as_many_persons_as_the_rule_asks(
            rule in 0..3usize,
            requesters in proptest::collection::vec(0..6u32, 0..2),
            steps in proptest::collection::vec((0..6u32, any::<bool>(), 1..3u8), 0..40)
        ) {
            let (rule, mut reviews) = (RULES[rule], Vec::new());
            for (by, release, about) in steps {
                let choice = if release { Choice::Release } else { Choice::Reject };
                if admit(by, &manifest(about), &requesters, &reviews).is_ok() {
                    reviews.push(Review { by, choice, manifest: manifest(about) });
                }
                for about in [1, 2] {
                    let ours: Vec<_> = reviews.iter().filter(|review| review.manifest == manifest(about)).collect();
                    let persons: BTreeSet<u32> = ours.iter().map(|review| review.by).collect();
                    prop_assert_eq!(persons.len(), ours.len());
                    prop_assert!(persons.iter().all(|person| !requesters.contains(person)));
                    match tally(rule, &manifest(about), &reviews) {
                        Tally::Release => {
                            prop_assert!(persons.len() >= needed(rule));
                            prop_assert!(ours.iter().all(|review| review.choice == Choice::Release));
                        }
                        Tally::Reject => prop_assert!(persons.len() >= needed(rule)),
                        Tally::Waiting(missing) => prop_assert_eq!(missing, needed(rule) - persons.len()),
                    }
                }
            }
        }
    }
}
