//! Retention that a person extends: a legal hold keeps a transfer's key and bytes from being destroyed until it is lifted.

use super::acts::{check_reason, digest};
use crate::control::failure::{Failure, refuse};
use crate::control::shared::Control;
use crate::control::store::{Who, Write, transfers};
use crate::control::work::Task;
use serde_json::json;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::Retained;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::State;

/// Keeps a transfer. One that is retained already keeps its reason.
///
/// # Errors
/// When it is purged, or `inspect` has begun to.
pub fn retain(control: &Control, operator: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    let kept = control.work.unless_begun(&Task::Purge(id.clone()), || {
        control.store.write(|write| {
            let transfer = transfers::get(&write.sql, id)?;
            if transfer.state == State::Purged {
                return refuse(Code::WrongState, "the transfer is purged");
            }
            if transfer.retained.is_some() {
                return Ok(());
            }
            let by = match operator {
                Who::Operator(name) => name.clone(),
                other => other.to_string(),
            };
            let retained = Retained { since: write.now, by, reason: reason.to_owned() };
            transfers::set_retained(write, id, Some(&retained))?;
            note(write, operator, "retention-extended", id, reason)
        })
    });
    kept.unwrap_or_else(|| refuse(Code::WrongState, "the transfer's purge has begun"))
}

/// Lets a transfer be purged in its time again, which may be now.
///
/// # Errors
/// When it is not retained.
pub fn lift(control: &Control, operator: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        if transfers::get(&write.sql, id)?.retained.is_none() {
            return refuse(Code::WrongState, "the transfer is not retained");
        }
        transfers::set_retained(write, id, None)?;
        note(write, operator, "retention-lifted", id, reason)
    })
}

fn note(write: &mut Write<'_>, operator: &Who, act: &str, id: &TransferId, reason: &str) -> Result<(), Failure> {
    write.record(operator, act, Some(id), json!({"reason_sha256": digest(reason)})).map(drop)
}
