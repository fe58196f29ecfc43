//! The connection of an enrolled source: its requests, one after another, and whatever ends it.

use super::frames::{Inbox, Outbox};
use super::intake::Intake;
use super::pool::lock;
use super::refusals::{Stop, ends_connection, violation};
use super::share::Share;
use super::transfer::Transfer;
use super::windows::Lease;
use super::{asks, bounds, chunks, offer, seal};
use quinn::Connection;
use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::refusal::Refusal;
use sluse_protocol::wire::{Reply, Request};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::timeout;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A connection of an enrolled source.
#[derive(Debug)]
pub struct Session {
    id: u64,
    share: Share,
    connection: Connection,
    outbox: Outbox,
    transfer: Mutex<Option<Arc<Transfer>>>,
    window: Mutex<Option<Lease>>,
    /// Chunk streams that began, and those that ended: what they are is more than silence.
    begun: AtomicU64,
    ended: AtomicU64,
    end: watch::Sender<Option<Refusal>>,
    /// No chunk stream is taken any more.
    quiet: watch::Sender<bool>,
}

impl Session {
    /// The connection of `source`, greeted.
    pub fn new(share: Share, connection: Connection, outbox: Outbox) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            share,
            connection,
            outbox,
            transfer: Mutex::default(),
            window: Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            end: watch::Sender::new(None),
            quiet: watch::Sender::new(false),
        })
    }

    /// Its number, unique in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whose it is.
    pub fn source(&self) -> &SourceName {
        self.share.source()
    }

    /// Whose it is, and how much that source gets beside others, before it is known under which agreement.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Answers to the source.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The transfer that it receives.
    pub fn transfer(&self) -> Option<Arc<Transfer>> {
        lock(&self.transfer).clone()
    }

    /// The transfer that it receives, if that is `id`.
    pub fn transfer_named(&self, id: &TransferId) -> Option<Arc<Transfer>> {
        self.transfer().filter(|transfer| transfer.id() == id)
    }

    /// From here on the connection receives `transfer`, or none.
    pub fn set_transfer(&self, transfer: Option<Arc<Transfer>>) {
        *lock(&self.transfer) = transfer;
    }

    /// Gives the connection a wider window, once.
    pub fn widen(&self, intake: &Intake) {
        let mut window = lock(&self.window);
        if window.is_none() {
            *window = Some(intake.windows.widen(self.source(), &self.connection));
        }
    }

    /// Ends the connection; the first reason counts.
    pub fn end(&self, refusal: Refusal) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(refusal);
            first
        });
    }

    /// Returns when no chunk stream is to be taken any more.
    pub async fn quiet(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.quiet.subscribe().wait_for(|quiet| *quiet).await;
    }

    /// Counts a chunk's stream for as long as the guard lives.
    pub fn chunk_begins(self: &Arc<Self>) -> ChunkCount {
        self.begun.fetch_add(1, Ordering::Relaxed);
        ChunkCount(Arc::clone(self))
    }

    /// Serves the connection until it ends.
    pub async fn serve(self: Arc<Self>, intake: &Arc<Intake>, inbox: Inbox) {
        let chunks = tokio::spawn(chunks::receive_all(Arc::clone(intake), Arc::clone(&self)));
        let mut reasons = self.end.subscribe();
        let (refusal, give_up) = tokio::select! {
            refusal = self.converse(intake, inbox) => (refusal, true),
            reason = reasons.wait_for(Option::is_some) => (reason.ok().and_then(|reason| reason.clone()), true),
            _ = self.connection.closed() => (None, true),
            () = intake.control.lost() => (Some(super::control::unavailable()), true),
            () = intake.stopping() => (Some(super::control::unavailable()), false),
        };
        self.quiet.send_replace(true);
        if give_up {
            self.give_up();
        }
        // When the role stops, what is in flight is acknowledged before the source hears that we go.
        let settled = timeout(bounds::SETTLE, chunks);
        if !give_up && settled.await.is_err() {
            self.give_up();
        }
        self.part(refusal).await;
        self.release(intake).await;
    }

    async fn converse(self: &Arc<Self>, intake: &Arc<Intake>, mut inbox: Inbox) -> Option<Refusal> {
        loop {
            let answered = match self.next_request(&mut inbox).await {
                Ok(request) => self.answer(intake, &mut inbox, request).await,
                Err(stop) => Err(stop),
            };
            match answered {
                Ok(()) => {}
                Err(Stop::Gone) => return None,
                Err(Stop::Refused(refusal)) if ends_connection(refusal.code) => return Some(refusal),
                Err(Stop::Refused(refusal)) => {
                    tracing::warn!(source = %self.share.source(), code = %refusal.code, "refused: {}", refusal.message);
                    self.outbox.send(&Reply::Refused(refusal), &[]).await.ok()?;
                }
            }
        }
    }

    async fn next_request(&self, inbox: &mut Inbox) -> Result<Request, Stop> {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            if let Some(request) = inbox.request(bounds::SILENCE).await? {
                return Ok(request);
            }
            let now = self.begun.load(Ordering::Relaxed);
            if now == begun && now == self.ended.load(Ordering::Relaxed) {
                return Err(violation("nothing was asked or sent for too long").into());
            }
        }
    }

    async fn answer(self: &Arc<Self>, intake: &Arc<Intake>, inbox: &mut Inbox, request: Request) -> Result<(), Stop> {
        match request {
            Request::Offer { agreement, dataset, key, totals, plan_bytes, plan_sha256, delta } => {
                let offer = offer::Offer { agreement, dataset, key, totals, plan_bytes, plan_sha256, delta };
                offer::answer(intake, self, inbox, offer).await
            }
            Request::Seal { transfer, manifest_bytes, manifest_sha256, signature } => {
                let seal = seal::Seal { transfer, manifest_bytes, manifest_sha256, signature };
                seal::answer(intake, self, inbox, seal).await
            }
            Request::Status { transfer, unless, wait_seconds } => {
                asks::status(intake, self, transfer, unless, wait_seconds).await
            }
            Request::Versions { agreement, dataset } => asks::versions(intake, self, agreement, dataset).await,
            Request::Renew { request, proof } => asks::renew(intake, self, request, proof).await,
            Request::Keys { after } => asks::keys(intake, self, after).await,
            Request::List { limit } => asks::list(intake, self, limit).await,
            Request::Receipt { transfer, kind } => asks::receipt(intake, self, transfer, kind).await,
            Request::Enrol { .. } => Err(violation("an enrolled source enrols no more").into()),
            Request::Hello { .. } => Err(violation("a second hello").into()),
            Request::Part => Err(violation("a part of nothing").into()),
        }
    }

    /// What has not arrived whole is not waited for.
    fn give_up(&self) {
        if let Some(transfer) = self.transfer() {
            transfer.close();
        }
    }

    async fn part(&self, refusal: Option<Refusal>) {
        let Some(refusal) = refusal else {
            self.connection.close(0u32.into(), b"");
            return tracing::info!(source = %self.share.source(), "the connection ended");
        };
        tracing::warn!(source = %self.share.source(), code = %refusal.code, "connection ended: {}", refusal.message);
        self.outbox.refuse(&self.connection, &refusal).await;
    }

    async fn release(&self, intake: &Intake) {
        let Some(transfer) = self.transfer() else { return };
        match transfer.quiesce().await {
            Ok(()) => intake.registry.forget(&transfer),
            // It stays in the registry: whoever offers it next waits for what is being written.
            Err(_) => tracing::error!(transfer = %transfer.id(), "chunks did not settle after their connection ended"),
        }
    }
}

/// A chunk's stream that is being worked on.
#[derive(Debug)]
pub struct ChunkCount(Arc<Session>);

impl Drop for ChunkCount {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
