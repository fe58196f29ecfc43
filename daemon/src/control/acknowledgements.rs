//! Rooms' acknowledgements: `deliver` looks for them, here they are checked; and what does not come in time is reported.

use super::failure::{Failure, refuse};
use super::live::LinkId;
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, acknowledgements, agreements, receipts, rooms, transition};
use super::views;
use super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::acknowledgement::{Acknowledgement, Delivered};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{AwaitedBag, DeliverReply};
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::{Event, State};
use std::sync::{Mutex, PoisonError};

/// The code of the lines that say that a room did not acknowledge in time, of the audit entry, and of the warning in `health`.
pub const MISSING: &str = "acknowledgement-missing";

/// Seconds from one look at the rooms to the next.
const LOOK_EVERY: i64 = 10;

/// Bags of one look: with more, each is looked for less often.
const AT_ONCE: usize = 500;

/// How far the rooms were looked at.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Look>);

#[derive(Debug, Default)]
struct Look {
    last: Option<Timestamp>,
    /// The next look begins behind this one.
    after: Option<TransferId>,
}

impl Looks {
    /// The bags of the next look, if it is time for one.
    fn next(
        &self,
        now: Timestamp,
        awaited: impl FnOnce(Option<&TransferId>) -> Result<Vec<AwaitedBag>, Failure>,
    ) -> Result<Vec<AwaitedBag>, Failure> {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not end all looking.
        if look.last.is_some_and(|last| last <= now && now < last.plus(LOOK_EVERY)) {
            return Ok(Vec::new());
        }
        look.last = Some(now);
        let found = awaited(look.after.as_ref())?;
        let whole = found.len() < AT_ONCE;
        let (mut bags, cut) = views::fitting(found);
        look.after = bags.last().filter(|_| cut || !whole).map(|bag| bag.transfer.clone());
        bags.sort_by(|one, other| one.room_folder.cmp(&other.room_folder));
        Ok(bags)
    }
}

/// The look at the rooms that is to be taken now, if there is one.
///
/// # Errors
/// When the database fails.
pub fn find_due(control: &Control, choice: &Choice<'_>) -> Result<Option<(Task, DeliverReply)>, Failure> {
    if !choice.allows(&Task::Look, 0) {
        return Ok(None);
    }
    let awaited = |after: Option<&TransferId>| control.store.read(|sql| acknowledgements::awaited(sql, after, AT_ONCE));
    let bags = control.looks.next(control.store.now(), awaited)?;
    Ok((!bags.is_empty()).then_some((Task::Look, DeliverReply::Look { bags })))
}

/// A room dropped an acknowledgement: the *acknowledged* receipt, the same however often it is told.
///
/// # Errors
/// When the room's key did not sign it, it is about something else, or nothing waits for it.
pub fn acknowledged(
    control: &Control,
    id: &TransferId,
    statement: &[u8],
    signature: &str,
) -> Result<receipts::Signed, Failure> {
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        match transfer.state {
            State::Acknowledged => {}
            State::Delivered => acknowledge(write, &transfer, statement, signature)?,
            state => return refuse(Code::WrongState, format!("the transfer is {state}")),
        }
        receipts::find(&write.sql, id, ReceiptKind::Acknowledged)?
            .ok_or_else(|| Failure::broken(format!("transfer {id} has no acknowledged receipt")))
    })
}

fn acknowledge(write: &mut Write<'_>, transfer: &Transfer, statement: &[u8], signature: &str) -> Result<(), Failure> {
    let id = &transfer.id;
    let broken = || Failure::broken(format!("transfer {id} is delivered and lacks what a delivery has"));
    let receipt = receipts::find(&write.sql, id, ReceiptKind::Delivered)?.ok_or_else(broken)?;
    let listed = transfer.released().ok_or_else(broken)?;
    let room = rooms::find(&write.sql, &transfer.room)?.ok_or_else(broken)?;
    let Some(key) = &room.key else {
        return refuse(Code::BadProof, format!("room {} has no key", room.name));
    };
    let key = PublicKey::from_openssh(key).map_err(|_| broken())?;
    let delivered = Delivered {
        zone: &write.signer().zone.clone(),
        room: &room.name,
        transfer: id,
        manifest_sha256: listed.manifest_sha256,
        receipt: Sha256::of(receipt.statement.as_bytes()),
    };
    let acknowledgement = match Acknowledgement::check(statement, signature, &key, &delivered) {
        Ok(acknowledgement) => acknowledgement,
        Err(bad) => return refuse(Code::BadProof, format!("the acknowledgement is not good: {bad}")),
    };
    acknowledgements::set(write, id, &acknowledgement)?;
    transfers::set_reason(write, id, None)?;
    let details = json!({"acknowledgement": acknowledgement.sha256(), "key": key.fingerprint()});
    transition::apply(write, id, Event::Acknowledge, &Who::Room(room.name), details)?;
    Ok(())
}

/// The receipt lies beside the bag.
///
/// # Errors
/// When that connection was not told to look, or the database fails.
pub fn laid(control: &Control, link: LinkId, id: &TransferId) -> Result<(), Failure> {
    check_looking(control, link)?;
    control.store.write(|write| acknowledgements::set_laid(write, id))
}

/// The look was taken.
///
/// # Errors
/// When that connection was not told to.
pub fn looked(control: &Control, link: LinkId) -> Result<(), Failure> {
    check_looking(control, link)?;
    control.work.done(link, &Task::Look);
    Ok(())
}

fn check_looking(control: &Control, link: LinkId) -> Result<(), Failure> {
    match control.work.has(link, &Task::Look) {
        true => Ok(()),
        false => refuse(Code::WrongState, "nobody asked for a look at the rooms"),
    }
}

/// Reports, once each, what rooms did not acknowledge within their agreements' time: in the journal, the log, and to the source.
///
/// # Errors
/// When the database fails.
pub fn report_missing(control: &Control) -> Result<(), Failure> {
    let now = control.store.now();
    for stored in control.store.read(agreements::all)? {
        let Some(awaited) = &stored.agreement.acknowledgement else { continue };
        let days = awaited.within_days;
        let before = now.plus(-i64::from(days) * 86_400);
        let missing = control.store.read(|sql| acknowledgements::missing(sql, &stored.agreement.id, before))?;
        for id in missing {
            tracing::warn!(code = MISSING, transfer = %id, "the room did not acknowledge within {days} days");
            control.store.write(|write| report(write, &id, days))?;
        }
    }
    Ok(())
}

fn report(write: &mut Write<'_>, id: &TransferId, days: u32) -> Result<(), Failure> {
    if transfers::get(&write.sql, id)?.state != State::Delivered {
        // It came in between.
        return Ok(());
    }
    let message = format!("the room did not acknowledge within {days} days of the delivery");
    transfers::set_reason(write, id, Some(&Refusal::new(Code::NotAcknowledged, message)))?;
    write.record(&Who::Control, MISSING, Some(id), json!({"within_days": days}))?;
    Ok(())
}
