//! What there is to do for `inspect` and `deliver`, as it follows from the state of the transfers.

use super::failure::Failure;
use super::live::LinkId;
use super::releases;
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{Who, agreements, identities, transition};
use super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::POLL_TIMEOUT;
use sluse_protocol::roles::{DeliverReply, InspectReply};
use sluse_protocol::sharing::Size;
use sluse_protocol::transfer::{Event, State};
use std::time::Duration;

/// New identities are made when fewer than this are unused, …
const POOL_LOW: u64 = 32;

/// … until there are so many.
const POOL_FULL: u64 = 48;

/// A task that waits after a failure becomes due without anything else changing: so often is looked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Documents that `deliver` puts into every bag.
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
            choice.hand_out(task, &transfer, control.settings.weight(&transfer.source));
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

/// The next transfer for a kind of task: the source's whose turn it is.
fn next(
    control: &Control,
    choice: &Choice<'_>,
    states: &[State],
    task: fn(TransferId) -> Task,
    wanted: impl Fn(&Transfer) -> bool,
) -> Result<Option<Transfer>, Failure> {
    let now = control.store.now();
    let allowed = |transfer: &Transfer| choice.allows(&task(transfer.id.clone()), transfer.totals.bytes);
    let firsts = control.store.read(|sql| {
        transfers::first_of_each_source(sql, states, now, |transfer| wanted(transfer) && allowed(transfer))
    })?;
    let kind = firsts.first().map(|transfer| task(transfer.id.clone()).as_str());
    Ok(kind.and_then(|kind| choice.next(kind, firsts)))
}

fn take_over(control: &Control, choice: &Choice<'_>) -> Found {
    let sealed = |transfer: &Transfer| transfer.seal.is_some();
    let found = next(control, choice, &[State::Receiving], Task::TakeOver, sealed)?;
    Ok(found.and_then(|transfer| {
        let (chunks, chunk_list) = (transfer.chunks(), transfer.seal.as_ref()?.chunk_list);
        let reply = InspectReply::TakeOver { transfer: transfer.id.clone(), chunks, chunk_list };
        Some((Task::TakeOver(transfer.id.clone()), transfer, reply))
    }))
}

fn wrap(control: &Control, choice: &Choice<'_>) -> Found {
    let ours = Some(control.deliver_recipient.as_str());
    let unwrapped = |transfer: &Transfer| transfer.wrapped_to.as_deref() != ours;
    while let Some(transfer) = next(control, choice, &[State::Released, State::Delivering], Task::Wrap, unwrapped)? {
        if transfer.state == State::Released && !may_leave(control, &transfer)? {
            continue;
        }
        let now = control.store.now();
        let (grant, signature) = control.store.read(|sql| releases::grant(control, sql, &transfer, now))?;
        let reply = InspectReply::Wrap { transfer: transfer.id.clone(), grant, signature };
        return Ok(Some((Task::Wrap(transfer.id.clone()), transfer, reply)));
    }
    Ok(None)
}

/// Whether a released transfer may still be delivered; one that may not is held.
fn may_leave(control: &Control, transfer: &Transfer) -> Result<bool, Failure> {
    let now = control.store.now();
    match control.store.read(|sql| releases::check_allowed(sql, transfer, now)) {
        Ok(()) => Ok(true),
        Err(Failure::Refused(refusal)) => {
            let code = refusal.code.as_str();
            control.store.write(|write| releases::hold(write, &transfer.id, &refusal.message, code))?;
            Ok(false)
        }
        Err(fault) => Err(fault),
    }
}

fn purge(control: &Control, choice: &Choice<'_>) -> Found {
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
    let content = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?.agreement.content;
    if transfer.state == State::Received {
        let by = Who::Inspect;
        control.store.write(|write| transition::apply(write, &transfer.id, Event::Inspect, &by, json!({})))?;
    }
    let reply = InspectReply::Inspect {
        transfer: transfer.id.clone(),
        recipient: transfer.identity.clone(),
        manifest_sha256: seal.manifest_sha256,
        content,
    };
    Ok(Some((Task::Inspect(transfer.id.clone()), transfer, reply)))
}

fn find_for_deliver(control: &Control, link: LinkId) -> Result<Option<(DeliverReply, Vec<u8>)>, Failure> {
    let idle = || (DeliverReply::Idle, Vec::new());
    let Some(choice) = control.work.choose(link, control.store.now()) else { return Ok(Some(idle())) };
    let ours = Some(control.deliver_recipient.as_str());
    let wrapped = |transfer: &Transfer| transfer.wrapped_to.as_deref() == ours;
    let states = [State::Delivering, State::Released];
    while let Some(transfer) = next(control, &choice, &states, Task::Deliver, wrapped)? {
        if transfer.state == State::Released && !may_leave(control, &transfer)? {
            continue;
        }
        let now = control.store.now();
        let (grant, signature) = control.store.read(|sql| releases::grant(control, sql, &transfer, now))?;
        let Some(identity) = control.store.read(|sql| transfers::wrapped(sql, &transfer.id))? else {
            return Err(Failure::broken(format!("transfer {} has no wrapped identity", transfer.id)));
        };
        if transfer.state == State::Released {
            let by = Who::Deliver;
            control.store.write(|write| transition::apply(write, &transfer.id, Event::Deliver, &by, json!({})))?;
        }
        let weight = control.settings.weight(&transfer.source);
        choice.hand_out(Task::Deliver(transfer.id.clone()), &transfer, weight);
        let documents = BAG_DOCUMENTS.iter().map(|name| (*name).to_owned()).collect();
        let task = DeliverReply::Deliver { transfer: transfer.id, grant, signature, documents };
        return Ok(Some((task, identity)));
    }
    Ok(None)
}
