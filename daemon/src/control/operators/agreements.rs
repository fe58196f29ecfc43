//! Agreements as operators suspend, resume and end them. Each act is in the audit log in the same transaction as what
//! follows for the transfers under it.

use super::acts::{check_reason, digest};
use crate::control::failure::{Failure, refuse};
use crate::control::releases;
use crate::control::shared::Control;
use crate::control::store::transfers::{self, Transfer};
use crate::control::store::{Who, Write, agreements};
use serde_json::json;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::operator::Suspended;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::transfer::State;

/// Suspends an agreement: what was released under it and is not being delivered yet is held until it is resumed. One that is
/// suspended already keeps its reason.
///
/// # Errors
/// When it was ended.
pub fn suspend(control: &Control, operator: &Who, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let stored = agreements::get(&write.sql, id)?;
        if stored.ended.is_some() {
            return refuse(Code::WrongState, format!("agreement {id} was ended"));
        }
        if stored.suspended.is_some() {
            return Ok(());
        }
        let by = match operator {
            Who::Operator(name) => name.clone(),
            other => other.to_string(),
        };
        let suspended = Suspended { since: write.now, by, reason: reason.to_owned() };
        agreements::set_suspended(write, id, Some(&suspended))?;
        note(write, operator, "agreement-suspended", id, reason)?;
        let why = Refusal::new(Code::AgreementSuspended, format!("agreement {id} is suspended"));
        under(write, id, State::Released)?.iter().try_for_each(|transfer| releases::hold(write, &transfer.id, &why))
    })
}

/// Resumes a suspended agreement: what waited for that alone is released as it was decided.
///
/// # Errors
/// When it is not suspended, or was ended since.
pub fn resume(control: &Control, operator: &Who, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let stored = agreements::get(&write.sql, id)?;
        if stored.ended.is_some() {
            return refuse(Code::WrongState, format!("agreement {id} was ended"));
        }
        if stored.suspended.is_none() {
            return refuse(Code::WrongState, format!("agreement {id} is not suspended"));
        }
        agreements::set_suspended(write, id, None)?;
        note(write, operator, "agreement-resumed", id, reason)?;
        let waiting = under(write, id, State::Held)?.into_iter().filter(releases::waits_for_agreement);
        waiting.collect::<Vec<_>>().iter().try_for_each(|transfer| releases::go_on(write, operator, transfer))
    })
}

/// Ends an agreement: what was released under it and is not being delivered yet is held, and what waited for it to be resumed
/// waits for a person.
///
/// # Errors
/// While a delivery was begun under an agreement that is suspended: nothing could end it then.
pub fn end(control: &Control, operator: &Who, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let stored = agreements::get(&write.sql, id)?;
        if stored.ended.is_some() {
            return Ok(());
        }
        let delivering = under(write, id, State::Delivering)?.len();
        if stored.suspended.is_some() && delivering > 0 {
            let message = format!("agreement {id} is suspended, and {delivering} deliveries were begun before");
            let refusal = Refusal::new(Code::WrongState, message);
            return Err(refusal
                .hint("Nothing leaves meanwhile. `sluse cancel` takes them back; or resume it, and end it when they came to their end.")
                .into());
        }
        agreements::set_ended(write, id, reason)?;
        note(write, operator, "agreement-ended", id, reason)?;
        let why = Refusal::new(Code::AgreementInactive, format!("agreement {id} was ended"));
        for transfer in under(write, id, State::Held)?.iter().filter(|transfer| releases::waits_for_agreement(transfer))
        {
            transfers::set_reason(write, &transfer.id, Some(&releases::held_for(&why)))?;
        }
        under(write, id, State::Released)?.iter().try_for_each(|transfer| releases::hold(write, &transfer.id, &why))
    })
}

fn note(write: &mut Write<'_>, operator: &Who, act: &str, id: &AgreementId, reason: &str) -> Result<(), Failure> {
    write.record(operator, act, None, json!({"agreement": id, "reason_sha256": digest(reason)})).map(drop)
}

/// The transfers under an agreement that are in a state.
pub fn under(write: &Write<'_>, id: &AgreementId, state: State) -> Result<Vec<Transfer>, Failure> {
    let all = transfers::all_in(&write.sql, &[state])?;
    Ok(all.into_iter().filter(|transfer| transfer.agreement == *id).collect())
}
