//! The one way to change a transfer's state: table, history, audit entry, receipt and, for a
//! release, the register of disclosures, in one transaction.

use super::{Who, Write, agreements, receipts, register, transfers};
use crate::control::failure::{Failure, refuse};
use rusqlite::params;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::{Event, State};

/// The receipt that an event is attested by.
fn receipt_of(event: Event) -> Option<ReceiptKind> {
    match event {
        Event::Seal => Some(ReceiptKind::Received),
        Event::Reject => Some(ReceiptKind::Rejected),
        Event::Release => Some(ReceiptKind::Released),
        Event::Delivered => Some(ReceiptKind::Delivered),
        Event::Acknowledge => Some(ReceiptKind::Acknowledged),
        Event::Purge => Some(ReceiptKind::Purged),
        _ => None,
    }
}

/// Lets `event` happen to a transfer.
///
/// # Errors
/// [`Code::WrongState`] when the table does not allow it.
pub fn apply(
    write: &mut Write<'_>,
    id: &TransferId,
    event: Event,
    who: &Who,
    details: serde_json::Value,
) -> Result<State, Failure> {
    let transfer = transfers::get(&write.sql, id)?;
    let Ok(to) = transfer.state.apply(event, who.actor()) else {
        return refuse(Code::WrongState, format!("the transfer is {}", transfer.state));
    };
    let now = write.now;
    let purge_after = if to == State::Acknowledged {
        // The time that bytes are kept counts from the delivery, whenever the room answers.
        transfer.purge_after.map(|time| time.unix())
    } else if to.is_settled() && to != State::Purged {
        let retention = agreements::get(&write.sql, &transfer.agreement)?.agreement.retention;
        Some(now.plus(i64::from(retention.quarantine_days) * 86_400).unix())
    } else {
        None
    };
    write
        .sql
        .prepare_cached("UPDATE transfers SET state = ?, since = ?, purge_after = ? WHERE id = ?")?
        .execute(params![to.as_str(), now.unix(), purge_after, id.as_str()])?;
    write
        .sql
        .prepare_cached("INSERT INTO history SELECT ?1, max(number) + 1, ?2, ?3 FROM history WHERE transfer = ?1")?
        .execute(params![id.as_str(), to.as_str(), now.unix()])?;
    if !matches!(to, State::Released | State::Delivering) && transfer.wrapped_to.is_some() {
        transfers::clear_wrapped(write, id)?;
    }
    let stated = write.record(who, &format!("transfer-{to}"), Some(id), details)?;
    match receipt_of(event) {
        // Nobody holds a receipt of what never arrived whole: there is nothing to carry on from.
        Some(ReceiptKind::Purged) if receipts::kinds(&write.sql, id)?.is_empty() => {}
        Some(kind) => {
            let (receipt, statement) = receipts::issue(write, id, kind, stated)?;
            if kind == ReceiptKind::Released {
                register::record(write, &receipt, &statement)?;
            }
        }
        None => {}
    }
    if transfer.state == State::Receiving && to.is_lost() {
        write.announce_ended(id);
    }
    Ok(to)
}
