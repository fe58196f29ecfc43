//! Reviews: persons choose, each for himself or herself, and the last that the agreement asks for decides. Each choice is in the audit
//! log in the same transaction; what was chosen stands there only once it is decided, so that nobody is led by the log either.

use super::failure::{Failure, refuse};
use super::operators::{check_reason, digest};
use super::parts;
use super::people::Person;
use super::releases::{self, OPERATOR, REVIEWERS};
use super::shared::Control;
use super::store::reviews::{self, Made};
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, agreements, transition, versions};
use rusqlite::Connection;
use serde_json::json;
use sluse_protocol::agreement::ReleaseRule;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, TransferId};
use sluse_protocol::operator::ReviewInfo;
use sluse_protocol::part::Without;
use sluse_protocol::policy;
use sluse_protocol::powers::Power;
use sluse_protocol::receipt::DecisionRecord;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::review::{self, Choice, Review, Tally};
use sluse_protocol::transfer::{Event, State};

/// Reviews of a transfer that are shown: the latest; each has a reason of up to two thousand bytes.
const MAX_REVIEWS: usize = 50;

/// What a choice led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is decided.
    Decided,
    /// So many others have yet to choose.
    Waiting(usize),
    /// All would release, but not the same files: all are asked anew.
    Differing,
}

/// Why choices do not count that would release different files.
const DIFFERING: &str = "the reviewers leave out different files";

/// A person chooses, and may leave files out of what he or she would release.
///
/// # Errors
/// When he or she may not, or the transfer cannot be released whoever chooses so.
pub fn choose(
    control: &Control,
    person: &Person,
    id: &TransferId,
    (choice, without): (Choice, Option<Without>),
    reason: &str,
) -> Result<Settled, Failure> {
    check_reason(reason)?;
    // A sealed manifest stays as it is, so that it can be read before anything is locked.
    let chosen = match without {
        Some(without) => Some(parts::choose(control, &control.store.read(|sql| held(sql, id))?, &without)?),
        None => None,
    };
    control.store.write(|write| {
        let who = Who::Operator(person.name.clone());
        let transfer = held(&write.sql, id)?;
        let rule = agreements::get(&write.sql, &transfer.agreement)?.agreement.release.rule;
        check_possible(rule, control.people.separated())?;
        if choice == Choice::Release {
            check_releasable(write, &transfer)?;
        } else if releases::waits_for_agreement(&transfer) {
            // It was decided already, and is chosen about anew: it no longer waits for its agreement.
            reviews::void(write, &who, id, |_| true, "reconsidered")?;
            let why = Refusal::new(Code::Held, "what was decided is being reconsidered");
            transfers::set_reason(write, id, Some(&why))?;
        }
        let Some(manifest) = transfer.seal.as_ref().map(|seal| seal.manifest_sha256) else {
            return Err(Failure::broken(format!("transfer {id} is held and not sealed")));
        };
        void_of_those_who_left(control, write, id)?;
        let counted: Vec<Review> = reviews::standing(&write.sql, id)?.iter().map(Made::review).collect();
        let requesters = if control.people.separated() { requesters(&write.sql, &transfer.agreement)? } else { vec![] };
        review::admit(person.uid, &manifest, &requesters, &counted)?;
        let new = Review { by: person.uid, choice, manifest, part: chosen.as_ref().map(|chosen| chosen.part) };
        reviews::insert(write, id, person, &new, reason)?;
        if review::needed(rule) > 1 {
            let details = json!({"manifest": manifest, "reason_sha256": digest(reason)});
            write.record(&who, "review-made", Some(id), details)?;
        }
        let settled = settle(write, &who, &transfer, rule, &manifest)?;
        if let (Settled::Decided, Some(chosen)) = (settled, &chosen) {
            // Who chose last chose what is released, if anything is. It stands there before the state says so.
            chosen.keep(&control.documents, write, id)?;
        }
        Ok(settled)
    })
}

/// Two persons are only known where powers are separated.
///
/// # Errors
/// The refusal that says so.
pub fn check_possible(rule: ReleaseRule, separated: bool) -> Result<(), Failure> {
    if review::needed(rule) < 2 || separated {
        return Ok(());
    }
    let refusal = Refusal::new(Code::Forbidden, "two reviewers are asked for, and this zone knows no second person");
    Err(refusal.hint("Name `reviewers_group` in sluse.toml: docs/operations.md, who may do what.").into())
}

fn held(sql: &Connection, id: &TransferId) -> Result<Transfer, Failure> {
    let transfer = transfers::get(sql, id)?;
    if transfer.state != State::Held {
        return refuse(Code::WrongState, format!("the transfer is {}, not held", transfer.state));
    }
    Ok(transfer)
}

/// Whether any number of persons could release it.
fn check_releasable(write: &Write<'_>, transfer: &Transfer) -> Result<(), Failure> {
    releases::check_allowed(&write.sql, transfer, write.now)?;
    let stored = agreements::get(&write.sql, &transfer.agreement)?;
    let (Some(seal), Some(report)) = (&transfer.seal, transfers::full_report(&write.sql, transfer)?) else {
        return refuse(Code::WrongState, "the transfer was not inspected");
    };
    policy::check_reviewable(&stored.agreement, seal.manifest_sha256, transfer.totals.files, &report)?;
    Ok(())
}

/// Who wrote the agreement's version in force, and who activated it.
fn requesters(sql: &Connection, agreement: &AgreementId) -> Result<Vec<u32>, Failure> {
    let version = versions::in_force(sql, agreement)?;
    let people = version.into_iter().flat_map(|version| [version.author, version.activated_by]);
    Ok(people.flatten().map(|person| person.uid).collect())
}

/// The choice of somebody who is no reviewer any more does not count.
fn void_of_those_who_left(control: &Control, write: &mut Write<'_>, id: &TransferId) -> Result<(), Failure> {
    if !control.people.separated() {
        return Ok(());
    }
    for made in reviews::standing(&write.sql, id)? {
        let theirs = |other: &Made| other.by.uid == made.by.uid;
        if !control.people.still(&made.by, Power::Reviewer)? {
            reviews::void(write, &Who::Control, id, theirs, "no reviewer any more")?;
        }
    }
    Ok(())
}

/// Decides, once everybody has chosen.
fn settle(
    write: &mut Write<'_>,
    who: &Who,
    transfer: &Transfer,
    rule: ReleaseRule,
    manifest: &Sha256,
) -> Result<Settled, Failure> {
    let id = &transfer.id;
    let made = reviews::standing(&write.sql, id)?;
    let counted: Vec<Review> = made.iter().map(Made::review).collect();
    let (event, part) = match review::tally(rule, manifest, &counted) {
        Tally::Waiting(missing) => return Ok(Settled::Waiting(missing)),
        Tally::Differ => {
            reviews::void(write, who, id, |_| true, DIFFERING)?;
            return Ok(Settled::Differing);
        }
        Tally::Release(part) => (Event::Release, part),
        Tally::Reject => (Event::Reject, None),
    };
    transfers::set_decision(write, id, &decision(&made), part.as_ref())?;
    // The source hears why, not who said so.
    let against = made.iter().find(|made| made.choice == Choice::Reject);
    let reason = against.map(|made| Refusal::new(Code::Rejected, made.reason.clone()));
    transfers::set_reason(write, id, reason.as_ref())?;
    let mut details = json!({"reason_sha256": made.last().map(|made| digest(&made.reason))});
    if let Some(part) = part {
        details["part"] = json!(part);
    }
    if made.len() > 1 {
        let told = |made: &Made| {
            json!({"by": made.by.name, "choice": made.choice, "manifest": made.manifest,
                "part": made.part.map(|part| part.manifest_sha256), "reason_sha256": digest(&made.reason)})
        };
        details["reviews"] = made.iter().map(told).collect();
    }
    transition::apply(write, id, event, who, details)?;
    Ok(Settled::Decided)
}

/// What receipt and register carry.
fn decision(made: &[Made]) -> DecisionRecord {
    match made {
        [one] => DecisionRecord { rule: OPERATOR.into(), by: Some(one.by.name.clone()), reason: one.reason.clone() },
        several => {
            let list =
                |of: &dyn Fn(&Made) -> String, between: &str| several.iter().map(of).collect::<Vec<_>>().join(between);
            DecisionRecord {
                rule: REVIEWERS.into(),
                by: Some(list(&|made| made.by.name.clone(), ", ")),
                reason: list(&|made| format!("{}: {}", made.by.name, made.reason), "; "),
            }
        }
    }
}

/// The reviews of a transfer as a person may see them: while it is undecided, what was chosen is for those alone who chose. Those whose
/// choices differed see these too: they have to agree.
pub fn seen_by(sql: &Connection, transfer: &Transfer, viewer: &Person) -> Result<Vec<ReviewInfo>, Failure> {
    let made = reviews::all(sql, &transfer.id)?;
    let open = transfer.state == State::Held && !releases::waits_for_agreement(transfer);
    let chose = made.iter().any(|made| made.void.is_none() && made.by.uid == viewer.uid);
    let differed = |made: &Made| made.void.as_deref() == Some(DIFFERING);
    let one_of_them = made.iter().any(|made| differed(made) && made.by.uid == viewer.uid);
    let all = !open || chose;
    let latest = made.len().saturating_sub(MAX_REVIEWS);
    let info = |made: Made| {
        let shown = all || (one_of_them && differed(&made));
        ReviewInfo {
            by: made.by.name,
            time: made.time,
            choice: shown.then_some(made.choice),
            reason: shown.then_some(made.reason),
            part: made.part.filter(|_| shown),
            void: made.void,
        }
    };
    Ok(made.into_iter().skip(latest).map(info).collect())
}
