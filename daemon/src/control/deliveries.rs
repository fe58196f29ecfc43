//! What `deliver` asks for a bag, and how its deliveries end.

use super::documents::Which;
use super::failure::{Failure, refuse};
use super::live::LinkId;
use super::parts;
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{Who, agreements, archives, receipts, to_json, transition};
use super::syncs::changes;
use super::withdrawals;
use super::work::Task;
use serde_json::json;
use sluse_protocol::agreement::Delivery;
use sluse_protocol::courier::Stored;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::path::DataPath;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{DeliverOutcome, FaultCause};
use sluse_protocol::sync::CHANGES;
use sluse_protocol::transfer::{Event, State};

/// The list of everything that was sent, as its source signed it.
pub const WHOLE_LIST: &str = "source-manifest.jsonl";

/// The list of what was released, where files were left out; the zone signs it.
pub const PART_LIST: &str = "released-manifest.jsonl";

/// Bytes of a document in one answer.
const STEP: usize = 512 * 1024;

/// `deliver` says which key it has: it must be the one that identities are wrapped to.
///
/// # Errors
/// When it is another.
pub fn recipient(control: &Control, recipient: &str) -> Result<(), Failure> {
    if recipient == control.deliver_recipient {
        return Ok(());
    }
    tracing::error!("deliver has another key than trust/deliver.pub names");
    refuse(Code::Invalid, "trust/deliver.pub names another key")
}

/// Bytes of a document that goes into the bag of a transfer that is being delivered.
///
/// # Errors
/// When there is no such document, or the transfer is not being delivered.
pub fn document(control: &Control, id: &TransferId, name: &str, offset: u64) -> Result<Vec<u8>, Failure> {
    let transfer = control.store.read(|sql| transfers::get(sql, id))?;
    if !matches!(transfer.state, State::Delivering | State::Delivered | State::Acknowledged) {
        return refuse(Code::WrongState, format!("the transfer is {}", transfer.state));
    }
    let long = [(PART_LIST, Which::Part), (WHOLE_LIST, Which::Manifest)];
    if let Some((_, which)) = long.iter().find(|(list, _)| name == *list) {
        check_list(&transfer, *which)?;
        return control.documents.bytes(id, *which, offset, STEP);
    }
    if name == CHANGES {
        changes::make_list(control, &transfer)?;
        return control.documents.bytes(id, Which::Changes, offset, STEP);
    }
    let whole = small_document(control, &transfer, name)?;
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
    let to = whole.len().min(from + STEP);
    Ok(whole[from..to].to_vec())
}

/// The list of everything that was sent does not leave with a part of it: it names what was left out.
fn check_list(transfer: &Transfer, which: Which) -> Result<(), Failure> {
    if transfer.part.is_some() == (which == Which::Part) {
        return Ok(());
    }
    refuse(Code::WrongState, "that is not the list of what was released")
}

/// A document that is held in memory: all but the lists of files.
fn small_document(control: &Control, transfer: &Transfer, name: &str) -> Result<Vec<u8>, Failure> {
    let receipt = |kind| {
        let found = control.store.read(|sql| receipts::find(sql, &transfer.id, kind))?;
        found.ok_or_else(|| Failure::broken(format!("transfer {} has no {kind} receipt", transfer.id)))
    };
    Ok(match name {
        "receipts/received.json" => receipt(ReceiptKind::Received)?.statement.into_bytes(),
        "receipts/received.json.sig" => receipt(ReceiptKind::Received)?.signature.into_bytes(),
        "receipts/released.json" => receipt(ReceiptKind::Released)?.statement.into_bytes(),
        "receipts/released.json.sig" => receipt(ReceiptKind::Released)?.signature.into_bytes(),
        "findings.json" => findings(control, transfer)?,
        "decision.json" => to_json(&transfer.decision).into_bytes(),
        "released-manifest.jsonl.sig" => {
            check_list(transfer, Which::Part)?;
            parts::sign(control, &transfer.id)?.into_bytes()
        }
        "source-manifest.jsonl.sig" => {
            check_list(transfer, Which::Manifest)?;
            transfer.seal.as_ref().map(|seal| seal.signature.clone()).unwrap_or_default().into_bytes()
        }
        "agreement.toml" => control.store.read(|sql| agreements::get(sql, &transfer.agreement))?.text.into_bytes(),
        _ => return refuse(Code::UnknownName, "no such document"),
    })
}

/// What was found in what was released.
fn findings(control: &Control, transfer: &Transfer) -> Result<Vec<u8>, Failure> {
    let json = control.store.read(|sql| transfers::findings_json(sql, &transfer.id))?;
    if transfer.part.is_none() || json.is_empty() {
        return Ok(json);
    }
    let all = serde_json::from_slice(&json).map_err(|_| Failure::broken("stored findings cannot be read"))?;
    Ok(to_json(&parts::findings_of(control, &transfer.id, all)?).into_bytes())
}

/// A delivery ended; after success the *delivered* receipt, the same however often it is told.
///
/// # Errors
/// When the transfer was not being delivered, or the database fails.
pub fn delivered(
    control: &Control,
    link: LinkId,
    id: &TransferId,
    outcome: DeliverOutcome,
) -> Result<Option<receipts::Signed>, Failure> {
    let task = Task::Deliver(id.clone());
    let receipt = match outcome {
        DeliverOutcome::Fault { reason } => {
            control.work.failed(link, task, FaultCause::Retrying, &reason, control.store.now());
            return Ok(None);
        }
        DeliverOutcome::BadGrant { reason } => {
            control.work.failed(link, task, FaultCause::BadGrant, &reason, control.store.now());
            return Ok(None);
        }
        DeliverOutcome::Stopped => {
            control.work.put_back(link, &task);
            control.store.wake.bump();
            return Ok(None);
        }
        DeliverOutcome::Integrity { reason } => fail(control, id, &reason).map(|()| None),
        DeliverOutcome::Visible { bag, tagmanifest, stored } => {
            visible(control, id, (&bag, &tagmanifest), stored.as_deref()).map(Some)
        }
    };
    match &receipt {
        Ok(_) => {
            control.work.done(link, &task);
            // A worker is free: what waited for one may begin.
            control.store.wake.bump();
        }
        Err(failure) => {
            control.work.failed(link, task, FaultCause::Retrying, &failure.to_string(), control.store.now())
        }
    }
    receipt
}

fn fail(control: &Control, id: &TransferId, reason: &str) -> Result<(), Failure> {
    let message: String = reason.chars().filter(|c| !c.is_control()).take(300).collect();
    control.store.write(|write| {
        if transfers::get(&write.sql, id)?.state == State::Failed {
            return Ok(());
        }
        transfers::set_reason(write, id, Some(&Refusal::new(Code::DigestMismatch, message)))?;
        let details = json!({"code": Code::DigestMismatch.as_str()});
        transition::apply(write, id, Event::Fail, &Who::Deliver, details)?;
        Ok(())
    })
}

fn visible(
    control: &Control,
    id: &TransferId,
    (bag, tagmanifest): (&str, &Sha256),
    stored: Option<&Stored>,
) -> Result<receipts::Signed, Failure> {
    if bag.parse::<DataPath>().is_err() {
        return refuse(Code::Invalid, "the bag's folder is not a relative path");
    }
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        if transfer.delivered.is_none() {
            transfers::set_delivered(write, id, (bag, tagmanifest), stored)?;
            if agreements::get(&write.sql, &transfer.agreement)?.agreement.delivery == Delivery::Archive {
                archives::insert(write, id)?;
            }
            transfers::set_reason(write, id, None)?;
            withdrawals::too_late(write, id)?;
            let mut details = json!({"tagmanifest": tagmanifest});
            if let Some(stored) = stored {
                details["stored"] = json!(stored);
            }
            transition::apply(write, id, Event::Delivered, &Who::Deliver, details)?;
        }
        receipts::find(&write.sql, id, ReceiptKind::Delivered)?
            .ok_or_else(|| Failure::broken(format!("transfer {id} has no delivered receipt")))
    })
}
