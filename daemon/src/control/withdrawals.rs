//! Deliveries that were begun and are taken back: by an operator, or since what their room elsewhere is reached by ended long ago.
//!
//! `deliver` removes what it wrote, and then the transfer ends. A room of this host is waited for; one elsewhere may be gone for good. So
//! that is tried for a day, or once where what the room is reached by has ended, and then given up: the transfer ends all the same, and
//! the log and its row say what may be left there.

use super::failure::{Failure, refuse};
use super::live::LinkId;
use super::operators::digest;
use super::shared::Control;
use super::store::transfers::{self, Transfer, Withdrawal};
use super::store::{Who, Write, agreements, rooms, transition};
use super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::courier::Remains;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::WITHDRAWAL_PATIENCE;
use sluse_protocol::operator::RoomInfo;
use sluse_protocol::policy;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{DeliverReply, FaultCause, WithdrawOutcome};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::{Event, State};
use std::collections::BTreeMap;

const DAY: i64 = 86_400;

/// Has a delivery taken back that was begun: it hangs in a full room, say, or nobody needs it any more. An attempt that is being made is
/// ended; then `deliver` removes what it wrote under a temporary name, and the transfer is cancelled.
///
/// # Errors
/// When it is not being delivered any more, or the database fails.
pub fn ask(control: &Control, who: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    let by = match who {
        Who::Operator(name) => name.clone(),
        other => other.to_string(),
    };
    control.store.write(|write| {
        if transfers::get(&write.sql, id)?.state != State::Delivering {
            return refuse(Code::WrongState, "the transfer is not being delivered any more");
        }
        note(write, who, id, Some(by), reason)
    })
}

/// Has deliveries taken back whose room elsewhere is not reached any more, and was given no other end for as long as what is held may wait.
///
/// # Errors
/// When the database fails.
pub fn ask_of_ended_rooms(control: &Control) -> Result<(), Failure> {
    let rooms = control.store.read(rooms::all)?;
    let until: BTreeMap<_, _> =
        rooms.into_iter().filter_map(|room| Some((room.name, room.elsewhere?.until?))).collect();
    for transfer in control.store.read(|sql| transfers::all_in(sql, &[State::Delivering]))? {
        let Some(until) = until.get(&transfer.room).filter(|_| transfer.withdrawal.is_none()) else { continue };
        let retention = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?.agreement.retention;
        let waited = (*until).max(transfer.since).plus(i64::from(retention.hold_days) * DAY);
        if waited >= control.store.now() {
            continue;
        }
        control.store.write(|write| {
            let room = rooms::find(&write.sql, &transfer.room)?;
            let same = room.and_then(|room| room.elsewhere?.until) == Some(*until);
            if !same || transfers::get(&write.sql, &transfer.id)?.state != State::Delivering {
                return Ok(());
            }
            let reason = format!("what room {} is reached by ended at {until}", transfer.room);
            note(write, &Who::Control, &transfer.id, None, &reason)
        })?;
    }
    Ok(())
}

fn note(write: &mut Write<'_>, who: &Who, id: &TransferId, by: Option<String>, reason: &str) -> Result<(), Failure> {
    if transfers::get(&write.sql, id)?.withdrawal.is_some() {
        // Since when it is tried stays.
        return Ok(());
    }
    let withdrawal = Withdrawal { by, reason: reason.to_owned(), asked: Some(write.now) };
    transfers::set_withdrawal(write, id, Some(&withdrawal))?;
    write.record(who, "withdrawal-asked", Some(id), json!({"reason_sha256": digest(reason)})).map(drop)
}

/// The delivery that is to be taken back now, if there is one.
///
/// # Errors
/// When the database fails.
pub fn find(control: &Control, choice: &Choice<'_>) -> Result<Option<(Task, DeliverReply)>, Failure> {
    let now = control.store.now();
    control.store.read(|sql| {
        let begun = transfers::all_in(sql, &[State::Delivering])?;
        let free = |it: &Transfer| {
            let (deliver, withdraw) = (Task::Deliver(it.id.clone()), Task::Withdraw(it.id.clone()));
            it.withdrawal.is_some() && !choice.is_in_hands(&deliver) && choice.allows(&withdraw, 0)
        };
        let Some(transfer) = begun.into_iter().find(free) else { return Ok(None) };
        let room = rooms::find(sql, &transfer.room)?
            .ok_or_else(|| Failure::broken(format!("the room of transfer {} is not there", transfer.id)))?;
        let last = is_last(&transfer, &room, now);
        let task = Task::Withdraw(transfer.id.clone());
        let elsewhere = room.elsewhere.map(|_| room.name);
        let Transfer { id, dataset, .. } = transfer;
        let reply = DeliverReply::Withdraw { transfer: id, room_folder: room.folder, dataset, elsewhere, last };
        Ok(Some((task, reply)))
    })
}

/// Whether a withdrawal that fails is given up.
fn is_last(transfer: &Transfer, room: &RoomInfo, now: Timestamp) -> bool {
    let asked = transfer.withdrawal.as_ref().and_then(|withdrawal| withdrawal.asked).unwrap_or(transfer.since);
    let has_ended = policy::check_until(room, now).is_err();
    room.elsewhere.is_some() && (has_ended || asked.plus(WITHDRAWAL_PATIENCE) <= now)
}

/// Taking a delivery back ended.
///
/// # Errors
/// When that connection was not told to, or the database fails.
pub fn ended(control: &Control, link: LinkId, id: &TransferId, outcome: &WithdrawOutcome) -> Result<(), Failure> {
    let task = Task::Withdraw(id.clone());
    if !control.work.has(link, &task) {
        return refuse(Code::WrongState, format!("nobody asked for the delivery of {id} to be taken back"));
    }
    let failed = |reason: &str| {
        control.work.failed(link, task.clone(), FaultCause::Retrying, reason, control.store.now());
    };
    let noted = match outcome {
        WithdrawOutcome::Fault { reason } => {
            failed(reason);
            return Ok(());
        }
        WithdrawOutcome::Visible => control.store.write(|write| too_late(write, id)),
        WithdrawOutcome::Gone => control.store.write(|write| end(write, id, None)),
        WithdrawOutcome::Left { remains, reason } => {
            tracing::error!(transfer = %id, ?remains, reason, "a delivery was given up, and may have left something in its room");
            control.store.write(|write| end(write, id, Some(*remains)))
        }
    };
    match &noted {
        Ok(()) => control.work.done(link, &task),
        Err(failure) => failed(&failure.to_string()),
    }
    noted
}

/// Notes of a delivery that was to be taken back, and is visible, that it was disclosed: it comes to its end as such.
///
/// # Errors
/// When the database fails.
pub fn too_late(write: &mut Write<'_>, id: &TransferId) -> Result<(), Failure> {
    if transfers::get(&write.sql, id)?.withdrawal.is_none() {
        return Ok(());
    }
    transfers::set_withdrawal(write, id, None)?;
    write.record(&Who::Deliver, "withdrawal-too-late", Some(id), json!({})).map(drop)
}

fn end(write: &mut Write<'_>, id: &TransferId, remains: Option<Remains>) -> Result<(), Failure> {
    let Some(Withdrawal { by, reason, .. }) = transfers::get(&write.sql, id)?.withdrawal else { return Ok(()) };
    transfers::set_withdrawal(write, id, None)?;
    let mut details = json!({"reason_sha256": digest(&reason)});
    if let Some(remains) = remains {
        transfers::set_remains(write, id, remains)?;
        details["remains"] = json!(remains);
    }
    let (code, event, who) = match by {
        Some(name) => (Code::Cancelled, Event::Cancel, Who::Operator(name)),
        None => (Code::Expired, Event::Expire, Who::Control),
    };
    transfers::set_reason(write, id, Some(&Refusal::new(code, reason)))?;
    transition::apply(write, id, event, &who, details).map(drop)
}
