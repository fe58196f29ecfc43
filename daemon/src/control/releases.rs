//! What must hold before a dataset may leave quarantine, checked again each time, and the grant that says so.

use super::failure::{Failure, refuse};
use super::shared::Control;
use super::store::reviews::{self, Made};
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, agreements, rooms, sources, transition};
use rusqlite::Connection;
use serde_json::json;
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::ids::TransferId;
use sluse_protocol::policy::{self, Cleared, Decision};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::review::Review;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::{Event, State};

/// `rule` of a [`sluse_protocol::receipt::DecisionRecord`] that a rule made.
pub const AUTOMATIC: &str = "automatic";

/// `rule` of a [`sluse_protocol::receipt::DecisionRecord`] that a person made.
pub const OPERATOR: &str = "operator";

/// `rule` of a [`sluse_protocol::receipt::DecisionRecord`] that several persons made.
pub const REVIEWERS: &str = "reviewers";

/// Whether a transfer's agreement allows anything now.
///
/// # Errors
/// The refusal that says why not.
pub fn check_in_force(sql: &Connection, transfer: &Transfer, now: Timestamp) -> Result<(), Failure> {
    let stored = agreements::get(sql, &transfer.agreement)?;
    policy::check_in_force(&stored.agreement, stored.standing(), now)?;
    Ok(())
}

/// Whether a transfer's agreement still allows its release.
///
/// # Errors
/// The refusal that says why not.
pub fn check_allowed(sql: &Connection, transfer: &Transfer, now: Timestamp) -> Result<(), Failure> {
    let stored = agreements::get(sql, &transfer.agreement)?;
    let others = transfers::disclosures(sql, &transfer.agreement, Some(&transfer.id))?;
    policy::check_release(&stored.agreement, stored.standing(), others, now)?;
    if let Some(room) = rooms::find(sql, &transfer.room)? {
        policy::check_until(&room, now)?;
    }
    Ok(())
}

/// Rebuilds the proof that a released transfer was cleared, from what was reported and decided.
///
/// # Errors
/// When the stored report and decision do not clear it.
pub fn cleared(sql: &Connection, transfer: &Transfer) -> Result<Cleared, Failure> {
    decided(sql, transfer)?
        .ok_or_else(|| Failure::broken(format!("transfer {} is {} and was not cleared", transfer.id, transfer.state)))
}

/// What was decided of a transfer, if that clears it by what was reported.
///
/// # Errors
/// When the database fails.
fn decided(sql: &Connection, transfer: &Transfer) -> Result<Option<Cleared>, Failure> {
    let (Some(report), Some(seal)) = (transfers::full_report(sql, transfer)?, &transfer.seal) else { return Ok(None) };
    let (manifest, files) = (seal.manifest_sha256, transfer.totals.files);
    let stored = agreements::get(sql, &transfer.agreement)?;
    if report.transfer != transfer.id {
        return Ok(None);
    }
    Ok(match transfer.decision.as_ref().map(|decision| decision.rule.as_str()) {
        Some(AUTOMATIC) => match policy::decide(&stored.agreement, manifest, files, &report) {
            Decision::Release(cleared) => Some(cleared),
            _ => None,
        },
        Some(OPERATOR | REVIEWERS) => {
            let counted: Vec<Review> = reviews::standing(sql, &transfer.id)?.iter().map(Made::review).collect();
            let cleared = policy::decide_by_reviews(&stored.agreement, manifest, files, &report, &counted).ok();
            cleared.filter(|cleared| cleared.part() == transfer.part)
        }
        _ => None,
    })
}

/// What speaks against a release besides the findings.
///
/// # Errors
/// When the database fails.
pub fn obstacle(sql: &Connection, transfer: &Transfer, now: Timestamp) -> Result<Option<Refusal>, Failure> {
    if sources::find(sql, &transfer.source)?.is_none_or(|source| source.revoked.is_some()) {
        return Ok(Some(Refusal::new(Code::RevokedSource, "the source was shut out since")));
    }
    match check_allowed(sql, transfer, now) {
        Ok(()) => Ok(None),
        Err(Failure::Refused(refusal)) => Ok(Some(refusal)),
        Err(fault) => Err(fault),
    }
}

/// What speaks against going on with a transfer that was decided: an obstacle, or that the decision would be another by now.
///
/// # Errors
/// When the database fails.
pub fn objection(sql: &Connection, transfer: &Transfer, now: Timestamp) -> Result<Option<Refusal>, Failure> {
    if let Some(why) = obstacle(sql, transfer, now)? {
        return Ok(Some(why));
    }
    let stale = || Refusal::new(Code::Held, "what was decided no longer stands under its agreement");
    Ok(decided(sql, transfer)?.is_none().then(stale))
}

/// Signs the grant for a transfer that was cleared: statement and signature.
///
/// # Errors
/// When its room is gone.
pub fn grant(
    control: &Control,
    sql: &Connection,
    transfer: &Transfer,
    now: Timestamp,
) -> Result<(String, String), Failure> {
    let cleared = cleared(sql, transfer)?;
    let Some(room) = rooms::find(sql, &transfer.room)? else {
        return refuse(Code::ForbiddenRoom, "the room is not known any more");
    };
    let signer = &control.store.signer;
    let statement = GrantStatement {
        zone: signer.zone.clone(),
        time: now,
        transfer: transfer.id.clone(),
        identity: transfer.identity.clone(),
        source: transfer.source.clone(),
        agreement: transfer.agreement.clone(),
        dataset: transfer.dataset.clone(),
        totals: transfer.totals,
        manifest_sha256: cleared.manifest(),
        part: cleared.part(),
        room: room.name,
        room_folder: room.folder,
        room_names: room.names,
        room_recipient: room.recipient,
        elsewhere: room.elsewhere.is_some(),
        delivery: agreements::get(sql, &transfer.agreement)?.agreement.delivery,
        deliver: control.deliver_recipient.clone(),
    };
    Ok(ReleaseGrant::sign(&cleared, statement, &signer.key))
}

/// Holds a released transfer that may not leave after all.
pub fn hold(write: &mut Write<'_>, id: &TransferId, why: &Refusal) -> Result<(), Failure> {
    transfers::set_reason(write, id, Some(&held_for(why)))?;
    if why.code != Code::AgreementSuspended {
        // Who chose did not know of this.
        reviews::void(write, &Who::Control, id, |_| true, &why.message)?;
    }
    transition::apply(write, id, Event::Hold, &Who::Control, json!({"code": why.code.as_str()}))?;
    Ok(())
}

/// Why a transfer is held for which everything else speaks: a person must decide, unless it waits for its agreement alone.
pub fn held_for(why: &Refusal) -> Refusal {
    match why.code {
        Code::AgreementSuspended => why.clone(),
        _ => Refusal::new(Code::Held, why.message.clone()),
    }
}

/// Whether a transfer was decided on, and is held for nothing but that its agreement is suspended.
pub fn waits_for_agreement(transfer: &Transfer) -> bool {
    let suspended = |reason: &Refusal| reason.code == Code::AgreementSuspended;
    transfer.state == State::Held && transfer.reason.as_ref().is_some_and(suspended)
}

/// Lets a transfer go on that waited for its agreement: what was decided of it stands, unless something else speaks against
/// it by now. Then it stays held for that.
///
/// # Errors
/// When the database fails.
pub fn go_on(write: &mut Write<'_>, operator: &Who, transfer: &Transfer) -> Result<(), Failure> {
    let id = &transfer.id;
    if let Some(why) = objection(&write.sql, transfer, write.now)? {
        reviews::void(write, operator, id, |_| true, &why.message)?;
        return transfers::set_reason(write, id, Some(&held_for(&why)));
    }
    transfers::set_reason(write, id, None)?;
    transition::apply(write, id, Event::Release, operator, json!({"code": "agreement-resumed"}))?;
    Ok(())
}

/// Decides anew, under the version of its agreement that is in force since, of a transfer that is released or held: what persons
/// chose does not count any more, and what was inspected by other rules is inspected again.
///
/// # Errors
/// When the database fails.
pub fn begin_anew(write: &mut Write<'_>, operator: &Who, transfer: &Transfer, inspect: bool) -> Result<(), Failure> {
    let id = &transfer.id;
    let why = Refusal::new(Code::Held, "another version of its agreement is in force");
    let by_rule = transfer.decision.as_ref().is_some_and(|decision| decision.rule == AUTOMATIC);
    if transfer.state == State::Released {
        hold(write, id, &why)?;
    } else {
        reviews::void(write, operator, id, |_| true, &why.message)?;
    }
    if inspect {
        transfers::set_reason(write, id, None)?;
        transition::apply(write, id, Event::InspectAgain, operator, json!({"code": "agreement-activated"}))?;
    } else if transfer.state == State::Released && by_rule {
        let objection = objection(&write.sql, transfer, write.now)?;
        transfers::set_reason(write, id, objection.as_ref().map(held_for).as_ref())?;
        if objection.is_none() {
            transition::apply(write, id, Event::Release, operator, json!({"code": "agreement-activated"}))?;
        }
    } else if waits_for_agreement(transfer) && !by_rule {
        transfers::set_reason(write, id, Some(&why))?;
    }
    Ok(())
}
