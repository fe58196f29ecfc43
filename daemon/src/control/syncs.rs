//! Datasets that are kept in sync: what there is of one, and what a new version may be built on. What it lacks and changes: [`changes`].

use super::failure::{Failure, refuse};
use super::offers::Offer;
use super::shared::Control;
use super::store::transfers::{self, Transfer};
use super::store::{agreements, sources};
use rusqlite::Connection;
use sluse_protocol::agreement::{Agreement, Sync};
use sluse_protocol::ids::{AgreementId, DatasetName, SourceName};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::Base;
use sluse_protocol::sync::{Latest, Versions};
use sluse_protocol::transfer::State;

pub mod changes;
pub mod keeping;

/// What a source may know of a dataset of its own.
///
/// # Errors
/// When the agreement is another's, or does not have its datasets kept in sync.
pub fn versions(
    control: &Control,
    source: &SourceName,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Versions, Failure> {
    control.store.read(|sql| {
        sources::enrolled(sql, source)?;
        match agreements::find(sql, agreement)?.filter(|stored| stored.agreement.from == *source) {
            Some(stored) => allowed(&stored.agreement)?,
            None => return refuse(Code::UnknownAgreement, "no such agreement for this source"),
        };
        let latest = transfers::latest_version(sql, source, agreement, dataset)?;
        let latest = latest.map(|transfer| Latest { transfer: transfer.id, state: transfer.state });
        let base = base(sql, source, agreement, dataset)?.map(|transfer| transfer.id);
        Ok(Versions { latest, base })
    })
}

fn allowed(agreement: &Agreement) -> Result<&Sync, Failure> {
    match &agreement.sync {
        Some(sync) => Ok(sync),
        None => refuse(Code::SyncNotAllowed, format!("agreement {} has no [sync]", agreement.id)),
    }
}

/// The version on which a new one can be built: the latest in the room, while its bytes are in quarantine.
fn base(
    sql: &Connection,
    source: &SourceName,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<Transfer>, Failure> {
    let current = transfers::delivered_version(sql, (source, agreement, dataset), None)?;
    Ok(current.filter(|transfer| matches!(transfer.state, State::Delivered | State::Acknowledged)))
}

/// Whether an offer's difference is one from the version that it may be one from.
///
/// # Errors
/// The refusal.
pub fn check_delta(sql: &Connection, agreement: &Agreement, offer: &Offer) -> Result<(), Failure> {
    let Some(delta) = &offer.delta else { return Ok(()) };
    allowed(agreement)?;
    if !delta.is_possible(offer.totals.bytes) {
        return refuse(Code::BadDocument, "no version can differ from another by so much");
    }
    let base = base(sql, &offer.source, &offer.agreement, &offer.dataset)?;
    if base.is_none_or(|base| base.id != delta.base) {
        return refuse(Code::UnknownBase, "the named version is not the current one, or its bytes are gone");
    }
    Ok(())
}

/// The version that `inspect` puts a difference together with.
///
/// # Errors
/// When the database fails.
pub fn base_of(sql: &Connection, transfer: &Transfer) -> Result<Option<Base>, Failure> {
    let Some(delta) = &transfer.delta else { return Ok(None) };
    let base = transfers::get(sql, &delta.base)?;
    let Some(seal) = base.seal else {
        return Err(Failure::broken(format!("transfer {} is a base and was not sealed", base.id)));
    };
    Ok(Some(Base { transfer: base.id, recipient: base.identity, manifest_sha256: seal.manifest_sha256 }))
}

/// The version after which another one comes: the latest in the room of those that were offered before it.
///
/// # Errors
/// When the database fails.
pub fn before(sql: &Connection, transfer: &Transfer) -> Result<Option<Transfer>, Failure> {
    let of = (&transfer.source, &transfer.agreement, &transfer.dataset);
    transfers::delivered_version(sql, of, Some(&transfer.id))
}
