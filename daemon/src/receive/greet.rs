//! The beginning of a connection: hello, version, whose certificate it is. An invite's certificate may enrol, once, and
//! nothing else.

use super::control::unexpected;
use super::frames::{Inbox, Outbox, close};
use super::intake::Intake;
use super::refusals::{Stop, violation};
use super::session::Session;
use super::share::Share;
use super::{bounds, client_certificates, control};
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use sluse_host::clock;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::SourceName;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request, VERSIONS, negotiate};
use std::sync::Arc;
use tokio::time::timeout;

/// Serves a connection from its handshake to its end; calls `greeted` once it is known who is there.
pub async fn serve(intake: Arc<Intake>, connection: Connection, greeted: impl FnOnce()) {
    let opened = timeout(sluse_protocol::limits::HELLO_TIMEOUT, connection.accept_bi()).await;
    let Ok(Ok((outgoing, incoming))) = opened else {
        let silent = violation("no hello in time");
        tracing::warn!(peer = %connection.remote_address(), code = %silent.code, "refused: {}", silent.message);
        return close(&connection, &silent);
    };
    let (outbox, mut inbox) = (Outbox::new(outgoing), Inbox::new(incoming));
    match greet(&intake, &connection, &outbox, &mut inbox).await {
        Ok(Peer::Source(source)) => {
            greeted();
            serve_source(&intake, connection, outbox, inbox, source).await;
        }
        Ok(Peer::Enrolled) => drop(timeout(bounds::LINGER, connection.closed()).await),
        Err(Stop::Gone) => {}
        Err(Stop::Refused(refusal)) => {
            tracing::warn!(peer = %connection.remote_address(), code = %refusal.code, "refused: {}", refusal.message);
            outbox.refuse(&connection, &refusal).await;
        }
    }
}

async fn serve_source(intake: &Arc<Intake>, connection: Connection, outbox: Outbox, inbox: Inbox, source: SourceName) {
    let session = Session::new(Share::of(&intake.zone.settings, source, None), connection, outbox);
    let entered = intake.enter(&session);
    let welcome = match &entered {
        // Asked once more, now that a source that is shut out from here on would be found among the connections.
        // The same holds for certificates that are taken back, which are not `control`'s to tell.
        Ok(_) => {
            identify(intake, session.connection()).await.and_then(|_| client_certificates::check(intake, &session))
        }
        Err(refusal) => Err(refusal.clone()),
    };
    match welcome {
        Ok(()) => Arc::clone(&session).serve(intake, inbox).await,
        Err(refusal) => {
            tracing::warn!(source = %session.source(), code = %refusal.code, "refused: {}", refusal.message);
            session.outbox().refuse(session.connection(), &refusal).await;
        }
    }
}

enum Peer {
    Source(SourceName),
    /// It came with an invite, and all it came for is done.
    Enrolled,
}

async fn greet(intake: &Intake, connection: &Connection, outbox: &Outbox, inbox: &mut Inbox) -> Result<Peer, Stop> {
    let hello = inbox.request(sluse_protocol::limits::HELLO_TIMEOUT).await?;
    let Some(Request::Hello { versions, agent, clock }) = hello else {
        return Err(violation("a connection begins with a hello").into());
    };
    if agent.len() > bounds::AGENT_BYTES {
        return Err(violation("the agent's name is too long").into());
    }
    let version = negotiate(VERSIONS, &versions)
        .ok_or_else(|| Refusal::new(Code::ProtocolVersion, "no protocol version in common"))?;
    let source = identify(intake, connection).await?;
    check_clock(connection, source.as_ref(), clock);
    let zone = intake.zone.settings.zone.name.clone();
    let welcome = Reply::Welcome { version, zone, source: source.clone(), clock: clock::now() };
    outbox.send(&welcome, &[]).await?;
    match source {
        Some(source) => Ok(Peer::Source(source)),
        None => enrol(intake, outbox, inbox, Sha256::of(&certificate(connection)?)).await,
    }
}

/// Whose certificate the connection showed; none for an invite's.
async fn identify(intake: &Intake, connection: &Connection) -> Result<Option<SourceName>, Refusal> {
    let certificate = certificate(connection)?;
    match intake.control.ask(ReceiveRequest::Identify, certificate.to_vec()).await? {
        (ReceiveReply::Peer { source }, _) => Ok(source),
        (other, _) => Err(unexpected(&other)),
    }
}

/// The certificate that the peer showed.
///
/// # Errors
/// Never, unless the TLS library broke its word.
pub fn certificate(connection: &Connection) -> Result<CertificateDer<'static>, Refusal> {
    let chain =
        connection.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.and_then(|chain| chain.into_iter().next());
    // The handshake does not end without one.
    certificate.ok_or_else(|| control::broken("a connection without a certificate"))
}

fn check_clock(connection: &Connection, source: Option<&SourceName>, theirs: Timestamp) {
    let apart = theirs.unix().abs_diff(clock::now().unix());
    if apart > bounds::CLOCK_SECONDS {
        let source = source.map_or("an invite", SourceName::as_str);
        tracing::warn!(source, peer = %connection.remote_address(), seconds = apart, "clocks are apart");
    }
}

async fn enrol(intake: &Intake, outbox: &Outbox, inbox: &mut Inbox, certificate: Sha256) -> Result<Peer, Stop> {
    match inbox.request(bounds::FRAME).await? {
        Some(Request::Enrol { invite, request, identity, proof }) => {
            let ask = ReceiveRequest::Enrol { certificate, invite, request, identity, proof };
            match intake.control.ask(ask, Vec::new()).await? {
                (ReceiveReply::Enrolled { source, certificate, signer }, _) => {
                    tracing::info!(%source, "a source enrolled");
                    outbox.send(&Reply::Enrolled { source, certificate, signer }, &[]).await?;
                    Ok(Peer::Enrolled)
                }
                (other, _) => Err(unexpected(&other).into()),
            }
        }
        Some(_) => Err(Refusal::new(Code::EnrolmentOnly, "an invite's certificate is good for enrolling only").into()),
        None => Err(violation("nothing was asked in time").into()),
    }
}
