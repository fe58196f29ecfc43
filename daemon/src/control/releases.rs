//! What must hold before a dataset may leave quarantine, checked again each time, and the grant that says so.

use super::failure::{Failure, refuse};
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, agreements, rooms, transition};
use rusqlite::Connection;
use serde_json::json;
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::ids::TransferId;
use sluse_protocol::policy::{self, Cleared, Decision};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::Event;

/// `rule` of a [`sluse_protocol::receipt::DecisionRecord`] that a rule made.
pub const AUTOMATIC: &str = "automatic";

/// `rule` of a [`sluse_protocol::receipt::DecisionRecord`] that a person made.
pub const OPERATOR: &str = "operator";

/// Whether a transfer's agreement still allows its release.
///
/// # Errors
/// The refusal that says why not.
pub fn check_allowed(sql: &Connection, transfer: &Transfer, now: Timestamp) -> Result<(), Failure> {
    let stored = agreements::get(sql, &transfer.agreement)?;
    let others = transfers::disclosures(sql, &transfer.agreement, Some(&transfer.id))?;
    policy::check_release(&stored.agreement, stored.revoked.is_some(), others, now)?;
    Ok(())
}

/// Rebuilds the proof that a released transfer was cleared, from what was reported and decided.
///
/// # Errors
/// When the stored report and decision do not clear it.
pub fn cleared(sql: &Connection, transfer: &Transfer) -> Result<Cleared, Failure> {
    let not_cleared = || Failure::broken(format!("transfer {} is {} and was not cleared", transfer.id, transfer.state));
    let report = transfers::full_report(sql, transfer)?.ok_or_else(not_cleared)?;
    let manifest = transfer.seal.as_ref().ok_or_else(not_cleared)?.manifest_sha256;
    let stored = agreements::get(sql, &transfer.agreement)?;
    let files = transfer.totals.files;
    if report.transfer != transfer.id {
        return Err(not_cleared());
    }
    match transfer.decision.as_ref().map(|decision| decision.rule.as_str()) {
        Some(AUTOMATIC) => match policy::decide(&stored.agreement, manifest, files, &report) {
            Decision::Release(cleared) => Ok(cleared),
            _ => Err(not_cleared()),
        },
        Some(OPERATOR) => Ok(policy::decide_by_operator(&stored.agreement, manifest, files, &report)?),
        _ => Err(not_cleared()),
    }
}

/// Signs the grant for a transfer that was cleared: statement and signature.
///
/// # Errors
/// When its room is gone.
pub fn grant(
    control: &Control,
    sql: &Connection,
    transfer: &Transfer,
    now: Timestamp,
) -> Result<(String, String), Failure> {
    let cleared = cleared(sql, transfer)?;
    let Some(room) = rooms::find(sql, &transfer.room)? else {
        return refuse(Code::ForbiddenRoom, "the room is not known any more");
    };
    let signer = &control.store.signer;
    let statement = GrantStatement {
        zone: signer.zone.clone(),
        time: now,
        transfer: transfer.id.clone(),
        identity: transfer.identity.clone(),
        source: transfer.source.clone(),
        agreement: transfer.agreement.clone(),
        dataset: transfer.dataset.clone(),
        totals: transfer.totals,
        manifest_sha256: cleared.manifest(),
        room: room.name,
        room_folder: room.folder,
        room_names: room.names,
        delivery: agreements::get(sql, &transfer.agreement)?.agreement.delivery,
        deliver: control.deliver_recipient.clone(),
    };
    Ok(ReleaseGrant::sign(&cleared, statement, &signer.key))
}

/// Holds a released transfer that may not leave after all.
pub fn hold(write: &mut Write<'_>, id: &TransferId, why: &str, code: &str) -> Result<(), Failure> {
    transfers::set_reason(write, id, Some(&Refusal::new(Code::Held, why)))?;
    transition::apply(write, id, Event::Hold, &Who::Control, json!({"code": code}))?;
    Ok(())
}
