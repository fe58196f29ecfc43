//! Transfers and agreements as sources and operators see them.

use super::failure::Failure;
use super::progress::Progress;
use super::store::agreements::Stored;
use super::store::receipts;
use super::store::transfers::{self, Transfer};
use rusqlite::Connection;
use serde::Serialize;
use sluse_protocol::limits::{CHUNK_BYTES, MAX_HEAD_BYTES};
use sluse_protocol::operator::{AgreementInfo, TransferDetails, TransferInfo};
use sluse_protocol::policy;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::TransferStatus;

/// States of a transfer's history that are shown: the latest. One that is held and inspected again has few more.
const MAX_HISTORY: usize = 500;

/// Bytes of a list in a frame's head; the rest is for what stands around it.
const MAX_LIST_BYTES: usize = MAX_HEAD_BYTES as usize - 8 * 1024;

/// What a source may know.
pub fn status(sql: &Connection, transfer: &Transfer) -> Result<TransferStatus, Failure> {
    Ok(TransferStatus {
        transfer: transfer.id.clone(),
        agreement: transfer.agreement.clone(),
        dataset: transfer.dataset.clone(),
        state: transfer.state,
        since: transfer.since,
        totals: transfer.totals,
        reason: transfer.reason.clone(),
        receipts: receipts::kinds(sql, &transfer.id)?,
    })
}

/// What stands in an operator's list.
pub fn info(sql: &Connection, progress: &Progress, transfer: &Transfer) -> Result<TransferInfo, Failure> {
    let durable = match transfer.state {
        State::Receiving => u64::from(progress.of(transfer)) * u64::from(CHUNK_BYTES),
        _ => transfer.totals.bytes,
    };
    Ok(TransferInfo {
        status: status(sql, transfer)?,
        source: transfer.source.clone(),
        room: transfer.room.clone(),
        durable_bytes: durable.min(transfer.totals.bytes),
        offered: transfer.offered,
    })
}

/// Everything about a transfer but its findings.
pub fn details(sql: &Connection, progress: &Progress, transfer: &Transfer) -> Result<TransferDetails, Failure> {
    let mut history = transfers::history(sql, &transfer.id)?;
    history.drain(..history.len().saturating_sub(MAX_HISTORY));
    Ok(TransferDetails {
        info: info(sql, progress, transfer)?,
        manifest_sha256: transfer.seal.as_ref().map(|seal| seal.manifest_sha256),
        identity: Some(transfer.identity.clone()),
        report: transfer.report.clone(),
        decision: transfer.decision.clone(),
        bag: transfer.bag.clone(),
        purge_after: transfer.purge_after,
        retained: transfer.retained.clone(),
        history,
    })
}

/// An agreement as operators see it.
pub fn agreement(stored: &Stored, now: Timestamp) -> AgreementInfo {
    let agreement = &stored.agreement;
    let (valid_from, valid_to) = policy::in_force(agreement);
    let status = if stored.ended.is_some() {
        "ended"
    } else if stored.suspended.is_some() {
        "suspended"
    } else if now < valid_from {
        "not-yet-valid"
    } else if now > valid_to {
        "expired"
    } else {
        "active"
    };
    AgreementInfo {
        id: agreement.id.clone(),
        title: agreement.title.clone(),
        from: agreement.from.clone(),
        to: agreement.to.clone(),
        valid_from,
        valid_to,
        status: status.to_owned(),
        suspended: stored.suspended.clone(),
        ending: stored.ending(now),
        sha256: stored.sha256,
    }
}

/// As many items of a list as fit a frame's head, and whether some are left out.
pub fn fitting<T: Serialize>(items: Vec<T>) -> (Vec<T>, bool) {
    let (mut bytes, all) = (0, items.len());
    let fitting: Vec<T> = items
        .into_iter()
        .take_while(|item| {
            bytes += super::store::to_json(item).len() + 1;
            bytes <= MAX_LIST_BYTES
        })
        .collect();
    let more = fitting.len() < all;
    (fitting, more)
}
