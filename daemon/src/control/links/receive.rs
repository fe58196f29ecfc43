//! What `receive` asks, most of it for a source.

use crate::control::enrolment::{self, Renewal, Request};
use crate::control::failure::{Failure, refuse};
use crate::control::keys;
use crate::control::offers::{self, Offer};
use crate::control::seals::{self, Sealing};
use crate::control::server_certificate;
use crate::control::shared::Control;
use crate::control::store::{receipts, sources, transfers};
use crate::control::syncs;
use crate::control::uploads::Uploads;
use crate::control::views;
use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::limits::POLL_TIMEOUT;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;
use std::sync::Arc;
use std::time::Duration;

/// Transfers of one answer to a source.
const MAX_LIST: u16 = 1000;

type Answer = Result<(ReceiveReply, Vec<u8>), Failure>;

/// One connection of `receive`, with the documents that are arriving on it.
pub struct Link {
    control: Arc<Control>,
    uploads: Uploads,
    /// The latest change when the connection began: what came before concerns no connection of its.
    began: u64,
}

impl Link {
    /// A connection that begins.
    pub fn new(control: Arc<Control>) -> Self {
        let began = control.store.changes.latest();
        Self { control, uploads: Uploads::default(), began }
    }

    /// Answers one request.
    pub fn answer(&self, request: ReceiveRequest, body: &[u8]) -> (ReceiveReply, Vec<u8>) {
        match self.handle(request, body) {
            Ok(answer) => answer,
            Err(failure) => (ReceiveReply::Refused(failure.into_refusal()), Vec::new()),
        }
    }

    fn handle(&self, request: ReceiveRequest, body: &[u8]) -> Answer {
        let control = &*self.control;
        match request {
            ReceiveRequest::Identify => enrolment::identify(control, body).map(bare),
            ReceiveRequest::Enrol { certificate, invite, request, identity, proof } => {
                enrol(control, &Request { certificate, invite, request, identity, proof })
            }
            ReceiveRequest::Renew { source, certificate, request, proof } => {
                enrolment::renew(control, &Renewal { source, certificate, request, proof }).map(bare)
            }
            ReceiveRequest::Certify => server_certificate::renew(control, body).map(bare),
            ReceiveRequest::Keys { after } => Ok((ReceiveReply::Keys, keys::page(control, after).into_bytes())),
            ReceiveRequest::Part { upload } => {
                self.uploads.part(&control.documents, upload, body).map(|()| bare(ReceiveReply::Done))
            }
            ReceiveRequest::Drop { upload } => {
                self.uploads.forget(upload);
                Ok(bare(ReceiveReply::Done))
            }
            ReceiveRequest::Offer {
                source,
                upload,
                agreement,
                dataset,
                key,
                totals,
                plan_sha256,
                delta,
                free_bytes,
            } => {
                let offer = Offer { source, agreement, dataset, key, totals, plan_sha256, delta, free_bytes };
                offers::offer(control, &offer, self.uploads.take(upload)).map(bare)
            }
            ReceiveRequest::Seal { source, transfer, upload, manifest_sha256, signature, chunks, chunk_list } => {
                let sealing = Sealing { source, transfer, manifest_sha256, signature, chunks, chunk_list };
                seals::seal(control, &sealing, self.uploads.take(upload))
                    .map(|receipt| (ReceiveReply::Sealed { signature: receipt.signature }, receipt.statement.into()))
            }
            ReceiveRequest::Versions { source, agreement, dataset } => {
                syncs::versions(control, &source, &agreement, &dataset).map(|found| bare(ReceiveReply::Versions(found)))
            }
            ReceiveRequest::Status { source, transfer, unless, wait_seconds } => {
                status(control, &source, &transfer, unless, wait_seconds)
            }
            ReceiveRequest::List { source, limit } => list(control, &source, limit.min(MAX_LIST)),
            ReceiveRequest::Receipt { source, transfer, kind } => control.store.read(|sql| {
                sources::enrolled(sql, &source)?;
                transfers::of_source(sql, &source, &transfer)?;
                match receipts::find(sql, &transfer, kind)? {
                    Some(receipt) => {
                        Ok((ReceiveReply::Receipt { signature: receipt.signature }, receipt.statement.into()))
                    }
                    None => refuse(Code::WrongState, format!("the transfer has no {kind} receipt yet")),
                }
            }),
            ReceiveRequest::Progress { transfer, chunks } => progress(control, &transfer, chunks),
            ReceiveRequest::Changes { after } => self.changes(after),
        }
    }

    fn changes(&self, after: u64) -> Answer {
        let after = after.max(self.began);
        let store = &self.control.store;
        let found = store.wake.wait_for(POLL_TIMEOUT, POLL_TIMEOUT, || Ok::<_, Failure>(store.changes.since(after)))?;
        let nothing = || ReceiveReply::Changes { upto: after, revoked: Vec::new(), ended: Vec::new() };
        Ok(bare(found.unwrap_or_else(nothing)))
    }
}

fn bare(reply: ReceiveReply) -> (ReceiveReply, Vec<u8>) {
    (reply, Vec::new())
}

fn enrol(control: &Control, request: &Request) -> Answer {
    let enrolled = enrolment::enrol(control, request);
    if let Err(Failure::Refused(refusal)) = &enrolled {
        tracing::info!(code = refusal.code.as_str(), "enrolment refused");
    }
    enrolled.map(bare)
}

fn status(control: &Control, source: &SourceName, id: &TransferId, unless: Option<State>, wait_seconds: u16) -> Answer {
    let look = || {
        control.store.read(|sql| {
            sources::enrolled(sql, source)?;
            transfers::of_source(sql, source, id)
        })
    };
    let patience = Duration::from_secs(u64::from(wait_seconds)).min(POLL_TIMEOUT);
    let moved = control.store.wake.wait_for(patience, patience.max(Duration::from_millis(1)), || {
        look().map(|transfer| (Some(transfer.state) != unless).then_some(transfer))
    })?;
    let transfer = moved.map_or_else(look, Ok)?;
    let status = control.store.read(|sql| views::status(sql, &transfer))?;
    Ok(bare(ReceiveReply::Status(status)))
}

fn list(control: &Control, source: &SourceName, limit: u16) -> Answer {
    let transfers = control.store.read(|sql| {
        sources::enrolled(sql, source)?;
        transfers::latest(sql, source, limit)?.iter().map(|transfer| views::status(sql, transfer)).collect()
    })?;
    let (transfers, _) = views::fitting(transfers);
    Ok(bare(ReceiveReply::Transfers { transfers }))
}

fn progress(control: &Control, id: &TransferId, chunks: u32) -> Answer {
    let transfer = control.store.read(|sql| transfers::get(sql, id))?;
    if transfer.state == State::Receiving {
        control.progress.note(id, chunks.min(transfer.chunks()), control.store.now());
    }
    Ok(bare(ReceiveReply::Done))
}
