//! Reviews: what persons say of a held transfer, and what that adds up to.
//!
//! Nothing is decided before as many different persons have chosen as the agreement asks for, a rejection neither: as long as a
//! transfer is held, the second cannot tell what the first chose. Who releases may leave files out; what enters the room is what all
//! of them chose, file by file, or nothing.

use crate::agreement::ReleaseRule;
use crate::digest::Sha256;
use crate::part::Part;
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
    /// What of it may enter the room, where the person chose to release and left files out.
    pub part: Option<Part>,
}

/// What reviews add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// So many persons have yet to choose.
    Waiting(usize),
    /// All chose to release the same: the whole, or this part of it.
    Release(Option<Part>),
    /// All chose to release, but not the same files.
    Differ,
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
        return Tally::Waiting(missing);
    }
    let Some((first, others)) = about.split_first() else { return Tally::Waiting(needed(rule)) };
    if about.iter().any(|review| review.choice == Choice::Reject) {
        Tally::Reject
    } else if others.iter().all(|review| review.part == first.part) {
        Tally::Release(first.part)
    } else {
        Tally::Differ
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Totals;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const RULES: [ReleaseRule; 3] = [ReleaseRule::Automatic, ReleaseRule::OneReviewer, ReleaseRule::TwoReviewers];

    fn manifest(number: u8) -> Sha256 {
        Sha256([number; 32])
    }

    fn review(by: u32, choice: Choice) -> Review {
        Review { by, choice, manifest: manifest(1), part: None }
    }

    /// A choice that leaves out files of three, by their numbers.
    fn without(by: u32, left_out: u8) -> Review {
        let files = |files: u32| Totals { files: u64::from(files), ..Totals::default() };
        let (totals, left_out_totals) = (files((!left_out & 7).count_ones()), files(left_out.count_ones()));
        let part = Part { manifest_sha256: manifest(100 + left_out), totals, left_out: left_out_totals };
        Review { part: (left_out != 0).then_some(part), ..review(by, Choice::Release) }
    }

    #[test]
    fn two_reviewers_are_two_persons_and_one_rejection_is_one() {
        use Choice::{Reject, Release};
        let two = |reviews: &[Review]| tally(ReleaseRule::TwoReviewers, &manifest(1), reviews);
        assert_eq!(two(&[]), Tally::Waiting(2));
        assert_eq!(two(&[review(1, Release)]), Tally::Waiting(1));
        assert_eq!(two(&[review(1, Reject)]), Tally::Waiting(1), "the second would know");
        assert_eq!(two(&[review(1, Release), review(1, Release)]), Tally::Waiting(1));
        assert_eq!(two(&[review(1, Release), review(2, Release)]), Tally::Release(None));
        assert_eq!(two(&[review(1, Reject), review(2, Release)]), Tally::Reject);
        assert_eq!(
            tally(ReleaseRule::TwoReviewers, &manifest(2), &[review(1, Release), review(2, Release)]),
            Tally::Waiting(2)
        );
    }

    #[test]
    fn two_persons_who_leave_out_different_files_release_nothing() {
        let two = |one, other| tally(ReleaseRule::TwoReviewers, &manifest(1), &[without(1, one), without(2, other)]);
        assert_eq!(two(1, 1), Tally::Release(without(1, 1).part));
        assert_eq!(two(1, 2), Tally::Differ);
        assert_eq!(two(0, 2), Tally::Differ);
        assert_eq!(two(3, 1), Tally::Differ);
        let rejected = [without(1, 1), review(2, Choice::Reject)];
        assert_eq!(tally(ReleaseRule::TwoReviewers, &manifest(1), &rejected), Tally::Reject);
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
            steps in proptest::collection::vec((0..6u32, proptest::option::of(0..8u8), 1..3u8), 0..40)
        ) {
            let (rule, mut reviews) = (RULES[rule], Vec::<Review>::new());
            for (by, released, about) in steps {
                let chosen = released.map_or(review(by, Choice::Reject), |left_out| without(by, left_out));
                if admit(by, &manifest(about), &requesters, &reviews).is_ok() {
                    reviews.push(Review { manifest: manifest(about), ..chosen });
                }
                for about in [1, 2] {
                    let ours: Vec<_> = reviews.iter().filter(|review| review.manifest == manifest(about)).collect();
                    let persons: BTreeSet<u32> = ours.iter().map(|review| review.by).collect();
                    prop_assert_eq!(persons.len(), ours.len());
                    prop_assert!(persons.iter().all(|person| !requesters.contains(person)));
                    match tally(rule, &manifest(about), &reviews) {
                        Tally::Release(part) => {
                            prop_assert!(persons.len() >= needed(rule));
                            prop_assert!(ours.iter().all(|review| review.choice == Choice::Release && review.part == part));
                        }
                        Tally::Differ => prop_assert!(persons.len() >= 2),
                        Tally::Reject => prop_assert!(persons.len() >= needed(rule)),
                        Tally::Waiting(missing) => prop_assert_eq!(missing, needed(rule) - persons.len()),
                    }
                }
            }
        }
    }
}
