//! Seals: the source's word on every digest, and the *received* receipt.
//!
//! A seal that was checked is noted with its transfer; then `inspect` takes the bytes over, and with its answer the transfer
//! is received. Should anyone die in between, the note is still there, and `inspect` is asked again.

use super::documents::Which;
use super::failure::{Failure, refuse};
use super::releases;
use super::shared::Control;
use super::store::transfers::{self, Seal, Transfer};
use super::store::{Who, Write, receipts, sources, transition};
use super::uploads::Arrived;
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Header;
use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::limits::{CHUNK_BYTES, ROLE_TIMEOUT};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::{self, NAMESPACE_MANIFEST, PublicKey};
use sluse_protocol::transfer::{Event, State};
use std::time::Duration;

/// `receive` waits for [`ROLE_TIMEOUT`]; the answer must come before.
const PATIENCE: Duration = ROLE_TIMEOUT.saturating_sub(Duration::from_secs(10));

/// Bytes of an armored signature; one has about 300.
const MAX_SIGNATURE_BYTES: usize = 4096;

/// What `receive` says of a transfer that its source seals.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Who.
    pub source: SourceName,
    /// The transfer.
    pub transfer: TransferId,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256,
    /// The source's signature.
    pub signature: String,
    /// Durable chunks.
    pub chunks: u32,
    /// Digest over their digests, from the chunk index.
    pub chunk_list: Sha256,
}

/// Seals a transfer; the *received* receipt, the same however often it is sealed with the same manifest.
///
/// # Errors
/// The refusal; the transfer is receiving as before then, or [`Code::Unavailable`] while it is unknown how it ends.
pub fn seal(
    control: &Control,
    sealing: &Sealing,
    manifest: Result<Arrived, Failure>,
) -> Result<receipts::Signed, Failure> {
    let id = &sealing.transfer;
    if let Some(receipt) = sealed_before(control, sealing)? {
        return Ok(receipt);
    }
    let checked = manifest.and_then(|manifest| check_and_note(control, sealing, &manifest));
    if let Err(Failure::Refused(refusal)) = &checked {
        tracing::info!(transfer = %id, code = refusal.code.as_str(), "seal refused");
    }
    checked?;
    let ended = control.store.wake.wait_for(PATIENCE, PATIENCE, || outcome(control, id))?;
    ended.unwrap_or_else(|| refuse(Code::Unavailable, "the transfer's bytes are not taken over yet"))
}

/// The receipt, when this very seal was made before.
fn sealed_before(control: &Control, sealing: &Sealing) -> Result<Option<receipts::Signed>, Failure> {
    control.store.read(|sql| {
        sources::enrolled(sql, &sealing.source)?;
        let transfer = transfers::of_source(sql, &sealing.source, &sealing.transfer)?;
        if transfer.state == State::Receiving {
            return Ok(None);
        }
        match transfer.seal {
            Some(seal) if seal.manifest_sha256 == sealing.manifest_sha256 => {
                receipts::find(sql, &transfer.id, ReceiptKind::Received)
            }
            _ => refuse(Code::WrongState, format!("the transfer is {}", transfer.state)),
        }
    })
}

fn check_and_note(control: &Control, sealing: &Sealing, manifest: &Arrived) -> Result<(), Failure> {
    let id = &sealing.transfer;
    let (transfer, identity) = control.store.read(|sql| {
        let source = sources::enrolled(sql, &sealing.source)?;
        Ok((transfers::of_source(sql, &sealing.source, id)?, source.identity))
    })?;
    if let Some(noted) = &transfer.seal {
        // Noted before, and still to be taken over: this call waits for it too.
        return same_seal(noted, sealing);
    }
    // Said before the manifest is read, and once more when it was.
    control.store.read(|sql| releases::check_in_force(sql, &transfer, control.store.now()))?;
    let seal = check(control, &transfer, &identity, sealing, manifest)?;
    manifest.sync()?;
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        if transfer.state != State::Receiving {
            return refuse(Code::WrongState, format!("the transfer is {}", transfer.state));
        }
        if let Some(noted) = &transfer.seal {
            return same_seal(noted, sealing);
        }
        releases::check_in_force(&write.sql, &transfer, write.now)?;
        control.documents.keep(write, manifest.path(), id, Which::Manifest)?;
        transfers::set_seal(write, id, &seal)
    })
}

fn same_seal(noted: &Seal, sealing: &Sealing) -> Result<(), Failure> {
    if noted.manifest_sha256 == sealing.manifest_sha256 {
        return Ok(());
    }
    refuse(Code::WrongState, "the transfer is being sealed with another manifest")
}

/// Everything that must agree: counts, sizes, digests, plan, and the source's signature over it.
fn check(
    control: &Control,
    transfer: &Transfer,
    identity: &PublicKey,
    sealing: &Sealing,
    manifest: &Arrived,
) -> Result<Seal, Failure> {
    if sealing.signature.len() > MAX_SIGNATURE_BYTES {
        return refuse(Code::TooLarge, "the signature is longer than any");
    }
    if sealing.chunks != transfer.chunks() {
        let message = format!("{} of {} chunks are durable", sealing.chunks, transfer.chunks());
        return refuse(Code::MissingChunks, message);
    }
    let ended = compare_with_plan(control, &transfer.id, manifest)?;
    if ended.sha256 != sealing.manifest_sha256 {
        return refuse(Code::DigestMismatch, "the manifest's digest is another than the seal announces");
    }
    if let Err(bad) = sshsig::verify_hashed(identity, NAMESPACE_MANIFEST, &ended.message, &sealing.signature) {
        return refuse(Code::BadProof, format!("the manifest's signature: {bad}"));
    }
    check_header(transfer, &ended.header, &sealing.chunk_list)?;
    Ok(Seal { manifest_sha256: ended.sha256, signature: sealing.signature.clone(), chunk_list: sealing.chunk_list })
}

/// Reads manifest and plan side by side: the same entries, in the same order.
fn compare_with_plan(
    control: &Control,
    id: &TransferId,
    manifest: &Arrived,
) -> Result<super::documents::Ended, Failure> {
    let mut sealed = super::documents::Entries::open(manifest.path())?;
    let mut planned = control.documents.entries(id, Which::Plan)?;
    let mut number: u64 = 0;
    loop {
        number += 1;
        match (sealed.next()?, planned.next()?) {
            (None, None) => return sealed.finish(),
            (Some(sealed), Some(planned)) if sealed.agrees_with_plan(&planned) => {}
            _ => {
                let message = format!("entry {number} of the manifest is not what the plan announced");
                return refuse(Code::BadDocument, message);
            }
        }
    }
}

fn check_header(transfer: &Transfer, header: &Header, durable: &Sha256) -> Result<(), Failure> {
    let Header::Manifest { source, agreement, dataset, plan, totals, chunk_bytes, chunks, chunk_list, delta, .. } =
        header
    else {
        return refuse(Code::BadDocument, "a seal's document is a manifest");
    };
    let about_this = matches!(header, Header::Manifest { transfer: named, .. } if *named == transfer.id)
        && *source == transfer.source
        && *agreement == transfer.agreement
        && *dataset == transfer.dataset
        && *plan == transfer.plan_sha256
        && *delta == transfer.delta;
    if !about_this {
        return refuse(Code::BadDocument, "the manifest is about another transfer");
    }
    if *totals != transfer.totals || *chunk_bytes != CHUNK_BYTES || *chunks != transfer.chunks() {
        return refuse(Code::BadDocument, "the manifest's totals or chunks are not the transfer's");
    }
    if chunk_list != durable {
        return refuse(Code::DigestMismatch, "the manifest's chunk digests are not those of the durable chunks");
    }
    Ok(())
}

/// How the seal that was noted ended; `None` while it has not.
fn outcome(control: &Control, id: &TransferId) -> Result<Option<Result<receipts::Signed, Failure>>, Failure> {
    control.store.read(|sql| {
        let transfer = transfers::get(sql, id)?;
        match (transfer.state, transfer.seal, transfer.seal_refusal) {
            (State::Receiving, Some(_), _) => Ok(None),
            (State::Receiving, None, Some(refusal)) => Ok(Some(Err(refusal.into()))),
            (state, ..) => Ok(Some(match receipts::find(sql, id, ReceiptKind::Received)? {
                Some(receipt) => Ok(receipt),
                None => refuse(Code::WrongState, format!("the transfer is {state}")),
            })),
        }
    })
}

/// The bytes were taken over: the transfer is received.
///
/// # Errors
/// When the database fails.
pub fn commit(write: &mut Write<'_>, transfer: &Transfer) -> Result<(), Failure> {
    let Some(seal) = &transfer.seal else { return refuse(Code::WrongState, "the transfer is not being sealed") };
    let details = json!({
        "manifest": seal.manifest_sha256,
        "chunks": transfer.chunks(),
        "chunk_list": seal.chunk_list,
    });
    transition::apply(write, &transfer.id, Event::Seal, &Who::Source(transfer.source.clone()), details)?;
    Ok(())
}
