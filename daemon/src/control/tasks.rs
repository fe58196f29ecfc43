//! What there is to do for `inspect` and `deliver`, as it follows from the state of the transfers.

use super::acknowledgements;
use super::archives;
use super::deliveries::{PART_LIST, WHOLE_LIST};
use super::failure::Failure;
use super::live::LinkId;
use super::releases;
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, agreements, identities, rooms, transition};
use super::syncs::{self, changes, keeping};
use super::withdrawals;
use super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::ids::{AgreementId, RoomName, TransferId};
use sluse_protocol::limits::POLL_TIMEOUT;
use sluse_protocol::policy;
use sluse_protocol::roles::{DeliverReply, InspectReply};
use sluse_protocol::sharing::{Size, Weights};
use sluse_protocol::sync::CHANGES;
use sluse_protocol::transfer::{Event, State};
use std::collections::BTreeSet;
use std::time::Duration;

/// New identities are made when fewer than this are unused, …
const POOL_LOW: u64 = 32;

/// … until there are so many.
const POOL_FULL: u64 = 48;

/// A task that waits after a failure becomes due without anything else changing: so often is looked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Documents that `deliver` puts into a bag of a whole dataset.
pub const BAG_DOCUMENTS: &[&str] = &[
    "receipts/received.json",
    "receipts/received.json.sig",
    "receipts/released.json",
    "receipts/released.json.sig",
    "findings.json",
    "decision.json",
    "source-manifest.jsonl",
    "source-manifest.jsonl.sig",
    "agreement.toml",
];

/// Those of a bag out of which files were left: the whole list names them, and has no place there.
fn bag_documents(transfer: &Transfer) -> Vec<String> {
    let name = |name: &str| match transfer.part {
        Some(_) => name.replace(WHOLE_LIST, PART_LIST),
        None => name.to_owned(),
    };
    BAG_DOCUMENTS.iter().map(|one| name(one)).collect()
}

/// A long poll of `inspect`.
///
/// # Errors
/// When the database fails.
pub fn next_for_inspect(control: &Control, link: LinkId) -> Result<InspectReply, Failure> {
    let found = control.store.wake.wait_for(POLL_TIMEOUT, LOOK_AGAIN, || find_for_inspect(control, link))?;
    Ok(found.unwrap_or(InspectReply::Idle))
}

/// A long poll of `deliver`; the reply, and the re-wrapped identity that goes with it.
///
/// # Errors
/// When the database fails.
pub fn next_for_deliver(control: &Control, link: LinkId) -> Result<(DeliverReply, Vec<u8>), Failure> {
    let found = control.store.wake.wait_for(POLL_TIMEOUT, LOOK_AGAIN, || find_for_deliver(control, link))?;
    Ok(found.unwrap_or((DeliverReply::Idle, Vec::new())))
}

/// What is quick and what others wait for comes first; inspecting, which is long, last.
fn find_for_inspect(control: &Control, link: LinkId) -> Result<Option<InspectReply>, Failure> {
    let Some(mut choice) = control.work.choose(link, control.store.now()) else { return Ok(Some(InspectReply::Idle)) };
    if let Some(count) = mint(control, &choice)? {
        choice.give(Task::Mint, Size::Small);
        return Ok(Some(InspectReply::Mint { count }));
    }
    let finders = [take_over, wrap, purge, inspect];
    for find in finders {
        if let Some((task, transfer, reply)) = find(control, &choice)? {
            choice.hand_out(task, &transfer, weights(control, &transfer));
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

/// A task, the transfer that it is about, and what the role is told.
type Found = Result<Option<(Task, Transfer, InspectReply)>, Failure>;

fn mint(control: &Control, choice: &Choice<'_>) -> Result<Option<u16>, Failure> {
    let unused = control.store.read(identities::unused)?;
    if unused >= POOL_LOW || !choice.allows(&Task::Mint, 0) {
        return Ok(None);
    }
    Ok(Some(u16::try_from(POOL_FULL - unused).unwrap_or(1)))
}

fn weights(control: &Control, transfer: &Transfer) -> Weights {
    control.settings.weights(&transfer.source, Some(&transfer.agreement))
}

/// The next transfer for a kind of task: the source's and agreement's whose turn it is.
fn next(
    control: &Control,
    choice: &Choice<'_>,
    states: &[State],
    task: fn(TransferId) -> Task,
    wanted: impl Fn(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let allowed = |transfer: &Transfer| choice.allows(&task(transfer.id.clone()), transfer.totals.bytes);
    next_allowed(control, choice, states, task, |transfer| wanted(transfer) && allowed(transfer))
}

/// The same of those that are `allowed`.
fn next_allowed(
    control: &Control,
    choice: &Choice<'_>,
    states: &[State],
    task: fn(TransferId) -> Task,
    allowed: impl Fn(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let now = control.store.now();
    let firsts = control.store.read(|sql| transfers::first_of_each_agreement(sql, states, now, &allowed))?;
    let kind = firsts.first().map(|transfer| task(transfer.id.clone()).as_str());
    Ok(kind.and_then(|kind| choice.next(kind, firsts)))
}

fn take_over(control: &Control, choice: &Choice<'_>) -> Found {
    let sealed = |transfer: &Transfer| transfer.seal.is_some();
    let found = next(control, choice, &[State::Receiving], Task::TakeOver, sealed)?;
    Ok(found.and_then(|transfer| {
        let (chunks, chunk_list) = (transfer.chunks(), transfer.seal.as_ref()?.chunk_list);
        let delta = transfer.delta.is_some();
        let reply = InspectReply::TakeOver { transfer: transfer.id.clone(), chunks, chunk_list, delta };
        Some((Task::TakeOver(transfer.id.clone()), transfer, reply))
    }))
}

fn wrap(control: &Control, choice: &Choice<'_>) -> Found {
    let ours = Some(control.deliver_recipient.as_str());
    let standing = Standing::now(control)?;
    let unwrapped = |transfer: &Transfer| transfer.wrapped_to.as_deref() != ours && !standing.withhold(transfer);
    let states = [State::Released, State::Delivering];
    let Some(transfer) = next(control, choice, &states, Task::Wrap, unwrapped)? else { return Ok(None) };
    let granted = control.store.write(|write| granted(control, write, &transfer.id))?;
    Ok(granted.map(|(transfer, grant, signature)| {
        let reply = InspectReply::Wrap { transfer: transfer.id.clone(), grant, signature };
        (Task::Wrap(transfer.id.clone()), transfer, reply)
    }))
}

/// A transfer as it is now, and its grant: statement and signature. One that may not leave after all is held, and none. All of it
/// in the transaction in which the caller acts on it, so that no other version of the agreement comes into force in between.
fn granted(
    control: &Control,
    write: &mut Write<'_>,
    id: &TransferId,
) -> Result<Option<(Transfer, String, String)>, Failure> {
    let transfer = transfers::get(&write.sql, id)?;
    match transfer.state {
        State::Released => match releases::check_allowed(&write.sql, &transfer, write.now) {
            Ok(()) => {}
            Err(Failure::Refused(refusal)) => {
                releases::hold(write, id, &refusal)?;
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        },
        State::Delivering
            if transfer.withdrawal.is_none()
                && agreements::get(&write.sql, &transfer.agreement)?.suspended.is_none()
                && rooms::find(&write.sql, &transfer.room)?
                    .is_none_or(|room| policy::check_until(&room, write.now).is_ok()) => {}
        _ => return Ok(None),
    }
    let (grant, signature) = releases::grant(control, &write.sql, &transfer, write.now)?;
    Ok(Some((transfer, grant, signature)))
}

/// Which rooms are elsewhere, and what keeps deliveries that were begun and interrupted from going on.
struct Standing {
    suspended: BTreeSet<AgreementId>,
    elsewhere: BTreeSet<RoomName>,
    /// Rooms elsewhere that are not reached any more.
    ended: BTreeSet<RoomName>,
}

impl Standing {
    fn now(control: &Control) -> Result<Self, Failure> {
        let now = control.store.now();
        let (agreements, rooms) = control.store.read(|sql| Ok((agreements::all(sql)?, rooms::all(sql)?)))?;
        let suspended = agreements.into_iter().filter(|stored| stored.suspended.is_some());
        let elsewhere = rooms.iter().filter(|room| room.elsewhere.is_some());
        let ended = rooms.iter().filter(|room| policy::check_until(room, now).is_err());
        Ok(Self {
            suspended: suspended.map(|stored| stored.agreement.id).collect(),
            elsewhere: elsewhere.map(|room| room.name.clone()).collect(),
            ended: ended.map(|room| room.name.clone()).collect(),
        })
    }

    /// Whether a delivery is to end that is being made.
    fn ends(&self, transfer: &Transfer) -> bool {
        transfer.state == State::Delivering
            && (transfer.withdrawal.is_some() || self.suspended.contains(&transfer.agreement))
    }

    /// Whether a delivery that was begun and interrupted waits: until its agreement is resumed or its room is reached again, or to be taken
    /// back. It is not held: its bag may stand in the room already.
    fn withhold(&self, transfer: &Transfer) -> bool {
        self.ends(transfer) || transfer.state == State::Delivering && self.ended.contains(&transfer.room)
    }
}

fn purge(control: &Control, choice: &Choice<'_>) -> Found {
    // What was deleted could not be taken out of the write-ahead log until then.
    if control.store.is_being_copied() {
        return Ok(None);
    }
    let now = control.store.now();
    let allowed = |transfer: &Transfer| choice.allows(&Task::Purge(transfer.id.clone()), transfer.totals.bytes);
    let found = control.store.read(|sql| transfers::first_to_purge(sql, now, allowed))?;
    Ok(found.map(|transfer| {
        let reply = InspectReply::Purge { transfer: transfer.id.clone(), recipient: transfer.identity.clone() };
        (Task::Purge(transfer.id.clone()), transfer, reply)
    }))
}

fn inspect(control: &Control, choice: &Choice<'_>) -> Found {
    let any = |_: &Transfer| true;
    let found = next(control, choice, &[State::Received, State::Inspecting], Task::Inspect, any)?;
    let Some(transfer) = found else { return Ok(None) };
    let Some(seal) = &transfer.seal else {
        return Err(Failure::broken(format!("transfer {} is {} and not sealed", transfer.id, transfer.state)));
    };
    // The rules and the state in one transaction: no other version comes into force while it is inspected.
    let content = control.store.write(|write| {
        match transfers::get(&write.sql, &transfer.id)?.state {
            State::Received => {
                transition::apply(write, &transfer.id, Event::Inspect, &Who::Inspect, json!({}))?;
            }
            State::Inspecting => {}
            _ => return Ok(None),
        }
        Ok(Some(agreements::get(&write.sql, &transfer.agreement)?.agreement.content))
    })?;
    let Some(content) = content else { return Ok(None) };
    let base = control.store.read(|sql| syncs::base_of(sql, &transfer))?;
    let reply = InspectReply::Inspect {
        transfer: transfer.id.clone(),
        recipient: transfer.identity.clone(),
        manifest_sha256: seal.manifest_sha256,
        content: Box::new(content),
        base,
    };
    Ok(Some((Task::Inspect(transfer.id.clone()), transfer, reply)))
}

fn find_for_deliver(control: &Control, link: LinkId) -> Result<Option<(DeliverReply, Vec<u8>)>, Failure> {
    let idle = || (DeliverReply::Idle, Vec::new());
    let Some(mut choice) = control.work.choose(link, control.store.now()) else { return Ok(Some(idle())) };
    let standing = Standing::now(control)?;
    for id in choice.deliveries() {
        if standing.ends(&control.store.read(|sql| transfers::get(sql, &id))?) {
            choice.stop(&id);
            return Ok(Some((DeliverReply::Stop { transfer: id }, Vec::new())));
        }
    }
    if let Some((task, reply)) = withdrawals::find(control, &choice)? {
        choice.give(task, Size::Small);
        return Ok(Some((reply, Vec::new())));
    }
    let ours = Some(control.deliver_recipient.as_str());
    let wrapped = |transfer: &Transfer| transfer.wrapped_to.as_deref() == ours && !standing.withhold(transfer);
    let may_begin = |transfer: &Transfer| {
        let (task, bytes) = (Task::Deliver(transfer.id.clone()), transfer.totals.bytes);
        choice.allows_delivery(&task, bytes, standing.elsewhere.get(&transfer.room))
    };
    let (states, allowed) = ([State::Delivering, State::Released], |it: &Transfer| wrapped(it) && may_begin(it));
    if let Some(transfer) = next_allowed(control, &choice, &states, Task::Deliver, allowed)? {
        let begun = control.store.write(|write| {
            let Some((transfer, grant, signature)) = granted(control, write, &transfer.id)? else { return Ok(None) };
            if transfer.wrapped_to.as_deref() != ours {
                return Ok(None);
            }
            let Some(identity) = transfers::wrapped(&write.sql, &transfer.id)? else {
                return Err(Failure::broken(format!("transfer {} has no wrapped identity", transfer.id)));
            };
            if transfer.state == State::Released {
                transition::apply(write, &transfer.id, Event::Deliver, &Who::Deliver, json!({}))?;
            }
            Ok(Some((grant, signature, identity)))
        })?;
        // Held, or another now: looked at anew, with what is suspended now.
        let Some((grant, signature, identity)) = begun else { return Ok(None) };
        let weights = weights(control, &transfer);
        let room = standing.elsewhere.get(&transfer.room).cloned();
        choice.hand_out_delivery(Task::Deliver(transfer.id.clone()), &transfer, weights, room);
        let mut documents = bag_documents(&transfer);
        if changes::has_list(control, &transfer)? {
            documents.push(CHANGES.to_owned());
        }
        let version = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?.agreement.sync.is_some();
        let elsewhere = standing.elsewhere.contains(&transfer.room);
        let task = DeliverReply::Deliver { transfer: transfer.id, grant, signature, documents, version, elsewhere };
        return Ok(Some((task, identity)));
    }
    let finders = [acknowledgements::find_due, keeping::find_due, archives::find_due];
    let due = finders.iter().find_map(|find| find(control, &choice).transpose()).transpose()?;
    Ok(due.map(|(task, reply)| {
        choice.give(task, Size::Small);
        (reply, Vec::new())
    }))
}
