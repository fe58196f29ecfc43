//! Versions that are not kept in their rooms any more.

use super::super::failure::{Failure, refuse};
use super::super::live::LinkId;
use super::super::shared::Control;
use super::super::store::{Who, rooms, transfers};
use super::super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{DeliverReply, FaultCause, RemoveOutcome};

/// The version that is to be removed now, if there is one.
///
/// # Errors
/// When the database fails.
pub fn find_due(control: &Control, choice: &Choice<'_>) -> Result<Option<(Task, DeliverReply)>, Failure> {
    let now = control.store.now();
    control.store.read(|sql| {
        let free = |it: &transfers::Transfer| choice.allows(&Task::Remove(it.id.clone()), 0);
        let Some(transfer) = transfers::first_to_remove(sql, now, free)? else { return Ok(None) };
        let room = rooms::find(sql, &transfer.room)?
            .ok_or_else(|| Failure::broken(format!("the room of transfer {} is not there", transfer.id)))?;
        let (task, room_folder, dataset) = (Task::Remove(transfer.id.clone()), room.folder, transfer.dataset);
        Ok(Some((task, DeliverReply::Remove { transfer: transfer.id, room_folder, dataset })))
    })
}

/// Removing a version ended.
///
/// # Errors
/// When that connection was not told to, or the database fails.
pub fn removed(control: &Control, link: LinkId, id: &TransferId, outcome: RemoveOutcome) -> Result<(), Failure> {
    let task = Task::Remove(id.clone());
    if !control.work.has(link, &task) {
        return refuse(Code::WrongState, format!("nobody asked for {id} to be removed from its room"));
    }
    if let RemoveOutcome::Fault { reason } = outcome {
        control.work.failed(link, task, FaultCause::Retrying, &reason, control.store.now());
        return Ok(());
    }
    let noted = control.store.write(|write| {
        transfers::set_removed(write, id)?;
        write.record(&Who::Deliver, "version-removed", Some(id), json!({})).map(drop)
    });
    match &noted {
        Ok(()) => control.work.done(link, &task),
        Err(failure) => {
            control.work.failed(link, task, FaultCause::Retrying, &failure.to_string(), control.store.now())
        }
    }
    noted
}
