//! An offer: bounds first, then the plan to `control`, then its decision; and what is durable of the transfer already.

use super::asks;
use super::control::unexpected;
use super::folder;
use super::frames::Inbox;
use super::intake::Intake;
use super::refusals::{Stop, panicked, storage};
use super::session::Session;
use super::share::Share;
use super::transfer::Transfer;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::limits::{CHUNK_BYTES, MAX_CHUNKS, MAX_DOCUMENT_BYTES, MAX_ENTRIES, PART_BYTES};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::sync::Delta;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{DurableRecord, Reply};
use std::sync::Arc;

/// What a source offers: see [`sluse_protocol::wire::Request::Offer`].
#[derive(Debug)]
pub struct Offer {
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset.
    pub dataset: DatasetName,
    /// The idempotency key.
    pub key: Sha256,
    /// What the plan adds up to.
    pub totals: Totals,
    /// Bytes of the plan.
    pub plan_bytes: u64,
    /// SHA-256 of the plan.
    pub plan_sha256: Sha256,
    /// That it travels as its difference from another version.
    pub delta: Option<Delta>,
}

/// Answers an offer.
///
/// # Errors
/// When it is refused.
pub async fn answer(intake: &Arc<Intake>, session: &Arc<Session>, inbox: &mut Inbox, offer: Offer) -> Result<(), Stop> {
    inbox.announce(offer.plan_bytes);
    check(&offer)?;
    let announced = intake.documents.announce(session.source(), offer.plan_bytes)?;
    let upload = intake.control.upload();
    while let Some(part) = inbox.part().await? {
        upload.part(part).await?;
    }
    let free = {
        let intake = Arc::clone(intake);
        intake.clone().pool.run(session.share(), 0, move || folder::free_bytes(&intake.zone)).await.map_err(panicked)?
    };
    let share = Share::of(&intake.zone.settings, session.source().clone(), Some(offer.agreement.clone()));
    let request = ReceiveRequest::Offer {
        source: session.source().clone(),
        upload: upload.keep(),
        agreement: offer.agreement,
        dataset: offer.dataset,
        key: offer.key,
        totals: offer.totals,
        plan_sha256: offer.plan_sha256,
        delta: offer.delta,
        free_bytes: free.map_err(|error| storage("ask for free space", &error))?,
    };
    let answer = intake.control.ask(request, Vec::new()).await;
    drop(announced);
    match answer? {
        (ReceiveReply::Accepted { transfer, state: State::Receiving, recipient, bytes }, _) => {
            receive(intake, session, transfer, share, recipient, bytes).await
        }
        (ReceiveReply::Accepted { transfer, state, .. }, _) => {
            let accepted = Reply::Accepted { transfer, state, chunk_bytes: CHUNK_BYTES, durable: 0 };
            session.outbox().send(&accepted, &[]).await
        }
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// The protocol's own bounds, before a byte of the plan is read.
fn check(offer: &Offer) -> Result<(), Refusal> {
    let totals = &offer.totals;
    if offer.plan_bytes > MAX_DOCUMENT_BYTES {
        return Err(Refusal::new(Code::TooLarge, "the plan is larger than the protocol allows"));
    }
    if totals.entries() == 0 {
        return Err(Refusal::new(Code::EmptyDataset, "the offer has no files and no folders"));
    }
    if totals.entries() > MAX_ENTRIES {
        return Err(Refusal::new(Code::TooManyFiles, "the offer has more files than the protocol allows"));
    }
    if totals.chunks(CHUNK_BYTES) > u64::from(MAX_CHUNKS) {
        return Err(Refusal::new(Code::DatasetTooLarge, "the offer has more bytes than the protocol allows"));
    }
    Ok(())
}

/// Takes the transfer over from whoever received it, and tells the source what is durable.
async fn receive(
    intake: &Arc<Intake>,
    session: &Arc<Session>,
    id: TransferId,
    share: Share,
    recipient: String,
    bytes: u64,
) -> Result<(), Stop> {
    let transfer = open(intake, session, &id, share, recipient, bytes).await?;
    // Asked now that an end of the transfer would find this connection: what ended a moment ago must not be written.
    let state = asks::state(intake, session, &id).await?;
    if state != State::Receiving {
        let_go(intake, session, &transfer).await?;
        return Err(Refusal::new(Code::WrongState, "the transfer ended just now").into());
    }
    session.widen(intake);
    let (durable, chunks) = transfer.progress();
    tracing::info!(source = %session.source(), transfer = %id, durable, chunks, "receiving");
    let accepted = Reply::Accepted { transfer: id, state: State::Receiving, chunk_bytes: CHUNK_BYTES, durable };
    session.outbox().send(&accepted, &[]).await?;
    send_durable(session, &transfer).await
}

async fn open(
    intake: &Arc<Intake>,
    session: &Arc<Session>,
    id: &TransferId,
    share: Share,
    recipient: String,
    bytes: u64,
) -> Result<Arc<Transfer>, Stop> {
    // A connection carries one transfer at a time.
    if let Some(other) = session.transfer().filter(|other| other.id() != id) {
        let_go(intake, session, &other).await?;
    }
    let mut claim = intake.registry.claim(id)?;
    claim.take_over(session).await?;
    session.set_transfer(None);
    let (zone, id) = (intake.zone.clone(), id.clone());
    // The claim goes along: when the connection ends meanwhile, nobody else opens the folder before this is done with it.
    let opened =
        tokio::task::spawn_blocking(move || (Transfer::open(&zone, &id, share, bytes, &recipient), claim)).await;
    let (transfer, claim) = opened.map_err(|_| super::control::broken("a folder was not opened"))?;
    let transfer = transfer?;
    session.set_transfer(Some(Arc::clone(&transfer)));
    claim.settle(Arc::clone(&transfer), Arc::clone(session));
    Ok(transfer)
}

async fn let_go(intake: &Intake, session: &Session, transfer: &Arc<Transfer>) -> Result<(), Refusal> {
    transfer.quiesce().await?;
    intake.registry.forget(transfer);
    session.set_transfer(None);
    Ok(())
}

async fn send_durable(session: &Session, transfer: &Transfer) -> Result<(), Stop> {
    let mut from = Some(0);
    while let Some(index) = from {
        let (records, next) = transfer.durable_records(index, PART_BYTES / DurableRecord::BYTES);
        if !records.is_empty() {
            session.outbox().send(&Reply::Part, &records).await?;
        }
        from = next;
    }
    session.outbox().send(&Reply::Part, &[]).await
}
