//! Transfers and agreements as sources and operators see them.

use super::failure::{Failure, refuse};
use super::people::Person;
use super::progress::Progress;
use super::reviews;
use super::store::agreements::{self, Stored};
use super::store::receipts;
use super::store::transfers::{self, Transfer};
use super::store::versions::{self, Version};
use rusqlite::Connection;
use serde::Serialize;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::limits::{CHUNK_BYTES, MAX_HEAD_BYTES};
use sluse_protocol::operator::{AgreementInfo, DraftInfo, TransferDetails, TransferInfo, VersionInfo};
use sluse_protocol::policy;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::TransferStatus;
use std::collections::BTreeMap;

/// States of a transfer's history that are shown: the latest. One that is held and inspected again has few more.
const MAX_HISTORY: usize = 500;

/// Versions of an agreement that are shown: the latest; each has a reason of up to two thousand bytes.
const MAX_VERSIONS: usize = 50;

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

/// Everything about a transfer but its findings, as a person may see it.
pub fn details(
    sql: &Connection,
    progress: &Progress,
    transfer: &Transfer,
    viewer: &Person,
) -> Result<TransferDetails, Failure> {
    let mut history = transfers::history(sql, &transfer.id)?;
    history.drain(..history.len().saturating_sub(MAX_HISTORY));
    Ok(TransferDetails {
        info: info(sql, progress, transfer)?,
        manifest_sha256: transfer.seal.as_ref().map(|seal| seal.manifest_sha256),
        identity: Some(transfer.identity.clone()),
        report: transfer.report.clone(),
        decision: transfer.decision.clone(),
        part: transfer.part,
        bag: transfer.bag.clone(),
        stored: transfer.stored.clone(),
        remains: transfer.remains,
        removed: transfer.removed,
        purge_after: transfer.purge_after,
        retained: transfer.retained.clone(),
        reviews: reviews::seen_by(sql, transfer, viewer)?,
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
        draft: None,
        versions: Vec::new(),
        suspended: stored.suspended.clone(),
        ending: stored.ending(now),
        sha256: stored.sha256,
    }
}

/// An agreement that was never in force.
fn draft(version: &Version) -> AgreementInfo {
    let head = &version.head;
    AgreementInfo {
        id: head.id.clone(),
        title: head.title.clone(),
        from: head.from.clone(),
        to: head.to.clone(),
        valid_from: head.valid_from,
        valid_to: head.valid_to,
        status: "draft".to_owned(),
        draft: Some(DraftInfo { version: version.number, lacks: version.lacks.clone() }),
        versions: Vec::new(),
        suspended: None,
        ending: None,
        sha256: Sha256::of(version.text.as_bytes()),
    }
}

/// All agreements by id, in force or not, without their versions.
pub fn agreements(sql: &Connection, now: Timestamp) -> Result<Vec<AgreementInfo>, Failure> {
    let mut all: BTreeMap<AgreementId, AgreementInfo> = BTreeMap::new();
    for stored in agreements::all(sql)? {
        all.insert(stored.agreement.id.clone(), agreement(&stored, now));
    }
    for version in versions::drafts(sql)? {
        let new = draft(&version);
        let info = all.entry(new.id.clone()).or_insert_with(|| new.clone());
        info.draft = new.draft;
    }
    Ok(all.into_values().collect())
}

/// One agreement with its versions.
pub fn whole_agreement(
    sql: &Connection,
    id: &AgreementId,
    now: Timestamp,
) -> Result<(AgreementInfo, Vec<Version>), Failure> {
    let versions = versions::all(sql, id)?;
    let Some(latest) = versions.last() else {
        return refuse(Code::UnknownName, format!("there is no agreement {id}"));
    };
    let new = draft(latest);
    let mut info = agreements::find(sql, id)?.map_or_else(|| new.clone(), |stored| agreement(&stored, now));
    info.draft = new.draft.filter(|_| latest.activated.is_none());
    let name = |person: &Option<Person>| person.as_ref().map(|person| person.name.clone());
    let listed = |version: &Version| VersionInfo {
        version: version.number,
        sha256: Sha256::of(version.text.as_bytes()),
        added: version.added,
        author: name(&version.author),
        reason: version.reason.clone(),
        activated: version.activated,
        activated_by: name(&version.activated_by),
    };
    info.versions = versions.iter().rev().take(MAX_VERSIONS).rev().map(listed).collect();
    Ok((info, versions))
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
