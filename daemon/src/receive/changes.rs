//! What `control` tells without being asked by a source: who was shut out, which transfers ended; and what it is told: how
//! far transfers are.

use super::control::unexpected;
use super::intake::Intake;
use super::session::Session;
use super::{asks, bounds};
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait after a poll that failed other than by the link's end.
const RETRY: Duration = Duration::from_secs(1);

/// Follows what changes, for as long as the role runs.
pub async fn follow(intake: Arc<Intake>) {
    let mut after = 0;
    loop {
        match intake.control.ask(ReceiveRequest::Changes { after }, Vec::new()).await {
            Ok((ReceiveReply::Changes { upto, revoked, ended }, _)) => {
                after = upto;
                for session in revoked.iter().flat_map(|source| intake.sessions_of(source)) {
                    session.end(Refusal::new(Code::RevokedSource, "this source was shut out"));
                }
                for transfer in &ended {
                    end(&intake, transfer).await;
                }
            }
            Ok((other, _)) => {
                unexpected(&other);
                tokio::time::sleep(RETRY).await;
            }
            Err(refusal) => {
                tracing::debug!(code = %refusal.code, "the poll for changes had no answer");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn end(intake: &Arc<Intake>, transfer: &TransferId) {
    // One that is not received by anybody was sealed, or its source is away.
    if let Some(session) = intake.registry.session_of(transfer) {
        session.end(why(intake, &session, transfer).await);
    }
}

async fn why(intake: &Intake, session: &Session, transfer: &TransferId) -> Refusal {
    match asks::state(intake, session, transfer).await {
        Ok(State::Expired) => Refusal::new(Code::Expired, "the transfer waited too long and expired"),
        Ok(State::Cancelled) => Refusal::new(Code::Cancelled, "the transfer was cancelled"),
        _ => Refusal::new(Code::WrongState, "the transfer is not receiving any more"),
    }
}

/// Tells `control` how many chunks of each transfer are durable, whenever that changed.
pub async fn report(intake: Arc<Intake>) {
    let mut told: HashMap<TransferId, u32> = HashMap::new();
    loop {
        tokio::time::sleep(bounds::PROGRESS).await;
        let transfers = intake.registry.transfers();
        told.retain(|id, _| transfers.iter().any(|transfer| transfer.id() == id));
        for transfer in transfers {
            let (chunks, _) = transfer.progress();
            if told.get(transfer.id()) == Some(&chunks) {
                continue;
            }
            let request = ReceiveRequest::Progress { transfer: transfer.id().clone(), chunks };
            match intake.control.ask(request, Vec::new()).await {
                Ok(_) => drop(told.insert(transfer.id().clone(), chunks)),
                Err(refusal) => tracing::debug!(code = %refusal.code, "progress was not taken"),
            }
        }
    }
}
