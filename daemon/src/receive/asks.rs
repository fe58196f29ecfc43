//! What a source may ask of its own transfers. `control` answers; the source's name is that of its certificate.

use super::control::unexpected;
use super::intake::Intake;
use super::refusals::Stop;
use super::session::Session;
use super::{bounds, greet};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::limits::POLL_TIMEOUT;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;
use sluse_protocol::wire::Reply;

/// The state of one of the source's transfers now.
///
/// # Errors
/// When it is not the source's, or `control` does not answer.
pub async fn state(intake: &Intake, session: &Session, transfer: &TransferId) -> Result<State, Refusal> {
    let (source, transfer) = (session.source().clone(), transfer.clone());
    let request = ReceiveRequest::Status { source, transfer, unless: None, wait_seconds: 0 };
    match intake.control.ask(request, Vec::new()).await? {
        (ReceiveReply::Status(status), _) => Ok(status.state),
        (other, _) => Err(unexpected(&other)),
    }
}

/// Tells the source the state of a transfer, after some waiting.
///
/// # Errors
/// When it is not the source's, or the peer is gone.
pub async fn status(
    intake: &Intake,
    session: &Session,
    transfer: TransferId,
    unless: Option<State>,
    wait_seconds: u16,
) -> Result<(), Stop> {
    let longest = u16::try_from(POLL_TIMEOUT.as_secs()).unwrap_or(u16::MAX);
    let wait_seconds = wait_seconds.min(longest);
    let request = ReceiveRequest::Status { source: session.source().clone(), transfer, unless, wait_seconds };
    match intake.control.ask(request, Vec::new()).await? {
        (ReceiveReply::Status(status), _) => session.outbox().send(&Reply::Status(status), &[]).await,
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Passes another certificate on to the source.
///
/// # Errors
/// When `control` refuses it, or the peer is gone.
pub async fn renew(intake: &Intake, session: &Session, request: String, proof: String) -> Result<(), Stop> {
    let certificate = Sha256::of(&greet::certificate(session.connection())?);
    let ask = ReceiveRequest::Renew { source: session.source().clone(), certificate, request, proof };
    match intake.control.ask(ask, Vec::new()).await? {
        (ReceiveReply::Renewed { certificate }, _) => {
            tracing::info!(source = %session.source(), "a certificate was renewed");
            session.outbox().send(&Reply::Renewed { certificate }, &[]).await
        }
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Passes on what the zone stated of its keys.
///
/// # Errors
/// When the peer is gone.
pub async fn keys(intake: &Intake, session: &Session, after: u64) -> Result<(), Stop> {
    match intake.control.ask(ReceiveRequest::Keys { after }, Vec::new()).await? {
        (ReceiveReply::Keys, statements) => session.outbox().send(&Reply::Keys, &statements).await,
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Tells the source what there is of a dataset of its own.
///
/// # Errors
/// When `control` refuses it, or the peer is gone.
pub async fn versions(
    intake: &Intake,
    session: &Session,
    agreement: AgreementId,
    dataset: DatasetName,
) -> Result<(), Stop> {
    let request = ReceiveRequest::Versions { source: session.source().clone(), agreement, dataset };
    match intake.control.ask(request, Vec::new()).await? {
        (ReceiveReply::Versions(versions), _) => session.outbox().send(&Reply::Versions(versions), &[]).await,
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Tells the source its transfers.
///
/// # Errors
/// When the peer is gone.
pub async fn list(intake: &Intake, session: &Session, limit: u16) -> Result<(), Stop> {
    let request = ReceiveRequest::List { source: session.source().clone(), limit: limit.min(bounds::LIST) };
    match intake.control.ask(request, Vec::new()).await? {
        (ReceiveReply::Transfers { transfers }, _) => session.outbox().send(&Reply::Transfers { transfers }, &[]).await,
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Passes a receipt on.
///
/// # Errors
/// When there is none, or the peer is gone.
pub async fn receipt(intake: &Intake, session: &Session, transfer: TransferId, kind: ReceiptKind) -> Result<(), Stop> {
    let request = ReceiveRequest::Receipt { source: session.source().clone(), transfer, kind };
    match intake.control.ask(request, Vec::new()).await? {
        (ReceiveReply::Receipt { signature }, statement) => {
            session.outbox().send(&Reply::Receipt { signature }, &statement).await
        }
        (other, _) => Err(unexpected(&other).into()),
    }
}
