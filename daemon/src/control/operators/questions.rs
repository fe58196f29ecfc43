//! What operators look at.

use super::Answer;
use crate::control::documents::Which;
use crate::control::failure::refuse;
use crate::control::people::Person;
use crate::control::shared::Control;
use crate::control::snapshot;
use crate::control::store::{Who, audit, receipts, rooms, sources, transfers};
use crate::control::views;
use serde::Serialize;
use sluse_protocol::audit::checkpoint as checkpoint_text;
use sluse_protocol::ids::{AgreementId, RoomName, SourceName, TransferId};
use sluse_protocol::operator::OperatorReply;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::NAMESPACE_CHECKPOINT;
use sluse_protocol::transfer::State;

/// Bytes of a document, or of audit lines, in one answer.
const STEP: usize = 512 * 1024;

/// Transfers of one page.
const PAGE: u16 = 500;

pub fn sources(control: &Control, after: Option<&SourceName>) -> Answer {
    let (sources, more) = page(control.store.read(sources::all)?, after, |source| &source.name);
    Ok((OperatorReply::Sources { sources, more }, Vec::new()))
}

pub fn rooms(control: &Control, after: Option<&RoomName>) -> Answer {
    let (rooms, more) = page(control.store.read(rooms::all)?, after, |room| &room.name);
    Ok((OperatorReply::Rooms { rooms, more }, Vec::new()))
}

pub fn agreements(control: &Control, after: Option<&AgreementId>) -> Answer {
    let now = control.store.now();
    let infos = control.store.read(|sql| views::agreements(sql, now))?;
    let (agreements, more) = page(infos, after, |agreement| &agreement.id);
    Ok((OperatorReply::Agreements { agreements, more }, Vec::new()))
}

/// What of a list, which is in the order of its names, comes after a name and fits one answer; and whether more follows.
pub fn page<T: Serialize, N: Ord>(items: Vec<T>, after: Option<&N>, name: impl Fn(&T) -> &N) -> (Vec<T>, bool) {
    views::fitting(items.into_iter().skip_while(|item| after.is_some_and(|after| name(item) <= after)).collect())
}

pub fn agreement(control: &Control, id: &AgreementId, version: Option<u32>) -> Answer {
    let now = control.store.now();
    control.store.read(|sql| {
        let (info, versions) = views::whole_agreement(sql, id, now)?;
        let shown = match version {
            Some(number) => versions.iter().find(|one| one.number == number),
            None => versions.iter().rfind(|one| one.activated.is_some()).or(versions.last()),
        };
        match shown {
            Some(shown) => Ok((OperatorReply::Agreement(info), shown.text.clone().into_bytes())),
            None => refuse(Code::UnknownName, format!("agreement {id} has no such version")),
        }
    })
}

pub fn transfers(control: &Control, state: Option<State>, before: Option<&TransferId>) -> Answer {
    let (infos, longer) = control.store.read(|sql| {
        let mut page = transfers::page(sql, state, before, PAGE + 1)?;
        let longer = page.len() > usize::from(PAGE);
        page.truncate(usize::from(PAGE));
        let infos: Result<Vec<_>, _> =
            page.iter().map(|transfer| views::info(sql, &control.progress, transfer)).collect();
        Ok((infos?, longer))
    })?;
    let (transfers, cut) = views::fitting(infos);
    Ok((OperatorReply::Transfers { transfers, more: longer || cut }, Vec::new()))
}

pub fn show(control: &Control, person: &Person, id: &TransferId) -> Answer {
    control.store.read(|sql| {
        let transfer = transfers::get(sql, id)?;
        let details = views::details(sql, &control.progress, &transfer, person)?;
        Ok((OperatorReply::Transfer(Box::new(details)), transfers::findings_json(sql, id)?))
    })
}

pub fn manifest(control: &Control, id: &TransferId, part: bool, offset: u64) -> Answer {
    let transfer = control.store.read(|sql| transfers::get(sql, id))?;
    if transfer.state == State::Receiving {
        return refuse(Code::WrongState, "the transfer is not sealed");
    }
    let which = if part { Which::Part } else { Which::Manifest };
    if part && transfer.part.is_none() {
        return refuse(Code::WrongState, "no files were left out of the transfer");
    }
    let bytes = control.documents.bytes(id, which, offset, STEP)?;
    Ok((OperatorReply::Document, bytes))
}

pub fn receipt(control: &Control, id: &TransferId, kind: ReceiptKind) -> Answer {
    control.store.read(|sql| {
        transfers::get(sql, id)?;
        match receipts::find(sql, id, kind)? {
            Some(receipt) => Ok((OperatorReply::Receipt { signature: receipt.signature }, receipt.statement.into())),
            None => refuse(Code::WrongState, format!("the transfer has no {kind} receipt")),
        }
    })
}

pub fn audit_lines(control: &Control, from: u64) -> Answer {
    let (count, text) = control.store.read(|sql| audit::lines(sql, from, STEP))?;
    Ok((OperatorReply::Audit { count }, text.into_bytes()))
}

pub fn snapshot(control: &Control, operator: &Who) -> Answer {
    let taken = snapshot::take(control, operator)?;
    let (bytes, sha256, signature) = (taken.bytes, taken.sha256, taken.signature);
    Ok((OperatorReply::Snapshot { bytes, sha256, signature }, taken.checkpoint.into_bytes()))
}

pub fn checkpoint(control: &Control) -> (OperatorReply, Vec<u8>) {
    let signer = &control.store.signer;
    let text = checkpoint_text(signer.zone.as_str(), &control.store.audit_position());
    let signature = signer.key.sign(NAMESPACE_CHECKPOINT, text.as_bytes());
    (OperatorReply::Checkpoint { signature }, text.into_bytes())
}
