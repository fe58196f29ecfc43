//! What operators do. Each act is in the audit log in the same transaction as its effect; reasons stand with what they
//! are about, and in the log as digests.

use super::Answer;
use crate::control::enrolment;
use crate::control::failure::{Failure, refuse};
use crate::control::releases;
use crate::control::shared::Control;
use crate::control::store::{Who, Write, reviews, sources, transfers, transition};
use crate::control::withdrawals;
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{RoomName, SourceName, TransferId};
use sluse_protocol::limits::MAX_REASON_BYTES;
use sluse_protocol::operator::OperatorReply;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::review::Choice;
use sluse_protocol::transfer::{Event, State};

pub fn invite(control: &Control, operator: &Who, name: &SourceName, hours: u16, room: Option<&RoomName>) -> Answer {
    let (text, expires) = enrolment::invite(control, operator, name, hours, room)?;
    Ok((OperatorReply::Invite { expires }, text.as_bytes().to_vec()))
}

/// Shuts a source out: its connections close, what it is sending ends, what it sent waits for a person.
pub fn revoke_source(control: &Control, operator: &Who, name: &SourceName, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let invites = sources::withdraw_invites(write, name)?;
        match sources::find(&write.sql, name)? {
            None if invites == 0 => return refuse(Code::UnknownName, format!("there is no source {name}")),
            Some(source) if source.revoked.is_some() && invites == 0 => return Ok(()),
            _ => {}
        }
        sources::set_revoked(write, name, reason)?;
        let details = json!({"source": name, "invites": invites, "reason_sha256": digest(reason)});
        write.record(operator, "source-revoked", None, details)?;
        write.announce_revoked(name);
        for transfer in transfers::of_source_in(&write.sql, name, State::Receiving)? {
            let message = "the source was shut out";
            transfers::set_reason(write, &transfer.id, Some(&Refusal::new(Code::RevokedSource, message)))?;
            let details = json!({"code": Code::RevokedSource.as_str()});
            transition::apply(write, &transfer.id, Event::Cancel, operator, details)?;
        }
        for transfer in transfers::of_source_in(&write.sql, name, State::Released)? {
            releases::hold(write, &transfer.id, &Refusal::new(Code::RevokedSource, "the source was shut out since"))?;
        }
        Ok(())
    })
}

/// Ends a transfer. One whose delivery was begun ends when `deliver` has taken it back.
pub fn cancel(control: &Control, operator: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    if control.store.read(|sql| transfers::get(sql, id))?.state == State::Delivering {
        return withdrawals::ask(control, operator, id, reason);
    }
    control.store.write(|write| {
        transfers::set_reason(write, id, Some(&Refusal::new(Code::Cancelled, reason)))?;
        act(write, operator, id, Event::Cancel, reason)
    })
}

/// Has a held transfer inspected once more.
pub fn inspect_again(control: &Control, operator: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        if transfer.state != State::Held {
            return refuse(Code::WrongState, format!("the transfer is {}, not held", transfer.state));
        }
        transfers::set_reason(write, id, None)?;
        // The manifest is the same: who keeps it out does so whatever else is found in it.
        reviews::void(write, operator, id, |made| made.choice == Choice::Release, "inspected again")?;
        act(write, operator, id, Event::InspectAgain, reason)
    })
}

fn act(write: &mut Write<'_>, operator: &Who, id: &TransferId, event: Event, reason: &str) -> Result<(), Failure> {
    transition::apply(write, id, event, operator, json!({"reason_sha256": digest(reason)}))?;
    Ok(())
}

/// A reason is a sentence that a person gave: not empty, not endless, fit for a line of text.
pub fn check_reason(reason: &str) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return refuse(Code::Invalid, "a reason is needed");
    }
    if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
        return refuse(Code::Invalid, format!("a reason is one line of at most {MAX_REASON_BYTES} bytes"));
    }
    Ok(())
}

/// A reason as it stands in the log.
pub fn digest(reason: &str) -> Sha256 {
    Sha256::of(reason.as_bytes())
}
