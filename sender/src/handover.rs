//! Handing a dataset over: offer, chunks, seal; ends with the zone's *received* receipt, or with a transfer that ended
//! otherwise. What is known of the transfer is kept here across connections.

use crate::buffers::{BUFFERS, Pool};
use crate::carried::Carried;
use crate::chunks::Sender;
use crate::connection::Link;
use crate::error::{BadEvidence, Error};
use crate::identity::Identity;
use crate::journal::{Journal, Sealed, Subject};
use crate::ledger::{self, Ledger};
use crate::pipeline::{self, Reading, fault};
use crate::plan;
use crate::progress::Progress;
use crate::receipts::Receipts;
use crate::send::Again;
use crate::sync::Synced;
use sluse_host::limiter::Limiter;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Header;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::sshsig::{MessageHash, NAMESPACE_MANIFEST};
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{DurableRecord, Reply, Request, TransferStatus};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Transfers of one plan that are found to have carried other bytes, one after the other, before the zone is not believed.
const MOST_ANEW: u32 = 100;

/// A dataset on its way to the zone.
pub(crate) struct Handover<'a> {
    pub identity: &'a Identity,
    pub journal: &'a Journal,
    pub subject: Subject,
    carried: Arc<Carried>,
    /// Of a dataset that is kept in sync, the version.
    synced: Option<Arc<Synced>>,
    /// What the file system says of the plan's files.
    stamps: Option<Sha256>,
    /// Whether an attempt that ended is followed by a new one.
    pub again: Again,
    pub progress: &'a mut dyn FnMut(Progress),
    /// Transfers that were found to have carried other bytes.
    anew: u32,
    /// Plain bytes that were sent.
    pub sent: u64,
    pool: Arc<Pool>,
    limiter: Arc<Limiter>,
    ledger: Ledger,
    /// The first and only reading of all files.
    reading: Reading,
}

/// What an offer was answered.
struct Accepted {
    transfer: TransferId,
    state: State,
}

/// A manifest, measured and remembered.
struct Manifest {
    header: Header,
    bytes: u64,
    hash: MessageHash,
    sealed: Sealed,
}

impl<'a> Handover<'a> {
    /// Begins to read at once, so that the first chunks are there when the zone accepts.
    pub fn new(
        identity: &'a Identity,
        journal: &'a Journal,
        subject: Subject,
        (carried, stamps): (Carried, Option<Sha256>),
        synced: Option<Arc<Synced>>,
        again: Again,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let (carried, pool) = (Arc::new(carried), Pool::new(BUFFERS, limits::CHUNK_BYTES as usize));
        let ledger = Ledger::of(carried.bytes());
        let reading = pipeline::read(&carried, Arc::clone(&pool))?;
        let limiter = identity.network().limiter();
        Ok(Self {
            limiter,
            identity,
            journal,
            subject,
            carried,
            synced,
            stamps,
            again,
            progress,
            anew: 0,
            sent: 0,
            pool,
            ledger,
            reading,
        })
    }

    /// Bytes that are durable at the zone.
    pub fn durable_bytes(&self) -> u64 {
        self.ledger.durable_bytes()
    }

    /// Everything that one connection can do. The transfer and its state: sealed with the receipt in the journal, or ended.
    pub async fn over(&mut self, link: &mut Link) -> Result<(TransferId, State), Error> {
        let Accepted { transfer, state } = self.offer(link).await?;
        self.note(&transfer, state)?;
        (self.progress)(Progress::Accepted { transfer: transfer.clone(), state });
        match state {
            State::Receiving => {
                self.send_chunks(link, &transfer).await?;
                let manifest = self.begin_manifest(&transfer);
                self.settle(link, &transfer).await?;
                let manifest = manifest.await.map_err(|_| fault("making the manifest ended early"))??;
                self.seal(link, &transfer, &manifest).await?;
                Ok((transfer, State::Received))
            }
            State::Offered => Err(Error::Protocol("an accepted offer that is not decided")),
            State::Refused | State::Expired | State::Cancelled => Ok((transfer, state)),
            _ if self.recall(link, &transfer).await? => Ok((transfer, state)),
            _ => Err(ledger::conflict().into()),
        }
    }

    /// Remembers the transfer from here on, whatever becomes of this process.
    fn note(&self, transfer: &TransferId, state: State) -> Result<(), Error> {
        if self.journal.noted(transfer)?.is_some() {
            return Ok(());
        }
        self.journal.note(&TransferStatus {
            transfer: transfer.clone(),
            agreement: self.subject.agreement.clone(),
            dataset: self.subject.dataset.clone(),
            state,
            since: sluse_host::clock::now(),
            totals: self.carried.plan().totals(),
            reason: None,
            receipts: Vec::new(),
        })
    }

    /// Offers the current attempt; the next one when that ended and a new one is wanted.
    async fn offer(&mut self, link: &mut Link) -> Result<Accepted, Error> {
        let attempt = self.journal.attempt(&self.subject)?;
        let accepted = self.offer_attempt(link, attempt).await?;
        if !self.again.wants(accepted.state) {
            return Ok(accepted);
        }
        self.again = Again::Never;
        self.journal.begin_attempt(&self.subject, attempt + 1)?;
        self.offer_attempt(link, attempt + 1).await
    }

    /// Begins a transfer of its own for files that are listed as those of the one before, and have other bytes.
    pub fn begin_anew(&mut self) -> Result<(), Error> {
        if self.anew == MOST_ANEW {
            return Err(Error::Protocol("it names other bytes for every transfer of these files"));
        }
        self.anew += 1;
        self.journal.begin_attempt(&self.subject, self.journal.attempt(&self.subject)? + 1)
    }

    async fn offer_attempt(&mut self, link: &mut Link, attempt: u32) -> Result<Accepted, Error> {
        let plan = self.carried.plan();
        let offer = Request::Offer {
            agreement: self.subject.agreement.clone(),
            dataset: self.subject.dataset.clone(),
            key: self.subject.key(attempt),
            totals: plan.totals(),
            plan_bytes: plan.document_bytes(),
            plan_sha256: plan.sha256(),
            delta: self.carried.delta().cloned(),
        };
        link.send(&offer, &[]).await?;
        link.send_document(plan.document()).await?;
        let (Reply::Accepted { transfer, state, chunk_bytes, durable }, _) = link.answer().await? else {
            return Err(Error::Protocol("an answer that does not belong to the request"));
        };
        if chunk_bytes != limits::CHUNK_BYTES || durable > self.ledger.count() {
            return Err(Error::Protocol("chunks that this version does not know"));
        }
        if state == State::Receiving {
            let records = read_records(link, durable).await?;
            self.ledger.offered(records.iter().map(|record| (record.index, record.digest)))?;
        }
        Ok(Accepted { transfer, state })
    }

    /// Sends what was read and is not durable, and then what was not read yet.
    async fn send_chunks(&mut self, link: &mut Link, transfer: &TransferId) -> Result<(), Error> {
        let lost = self.ledger.lost();
        let limiter = Arc::clone(&self.limiter);
        let mut sender = Sender::new(link, transfer, &mut self.ledger, &mut self.sent, self.progress, limiter);
        if !lost.is_empty() {
            let mut again = pipeline::reread(Arc::clone(&self.carried), Arc::clone(&self.pool), lost)?;
            sender.send(&mut again).await?;
        }
        sender.send(&mut self.reading).await
    }

    /// Waits until every chunk is durable.
    async fn settle(&mut self, link: &mut Link, transfer: &TransferId) -> Result<(), Error> {
        let limiter = Arc::clone(&self.limiter);
        Sender::new(link, transfer, &mut self.ledger, &mut self.sent, self.progress, limiter).settle().await
    }

    async fn seal(&mut self, link: &mut Link, transfer: &TransferId, manifest: &Manifest) -> Result<(), Error> {
        (self.progress)(Progress::Sealing);
        let seal = Request::Seal {
            transfer: transfer.clone(),
            manifest_bytes: manifest.bytes,
            manifest_sha256: manifest.sealed.manifest_sha256,
            signature: self.identity.signing_key().sign_hashed(NAMESPACE_MANIFEST, &manifest.hash),
        };
        link.send(&seal, &[]).await?;
        let digests = self.reading.digests();
        link.send_document(self.carried.plan().manifest(&manifest.header, &digests)).await?;
        let (Reply::Sealed { signature }, statement) = link.answer().await? else {
            return Err(Error::Protocol("an answer that does not belong to the request"));
        };
        let receipts = Receipts::new(self.identity, self.journal, transfer, &manifest.sealed);
        let file = receipts.keep(ReceiptKind::Received, &statement, &signature)?;
        (self.progress)(Progress::Receipt { kind: ReceiptKind::Received, file });
        Ok(())
    }

    /// Takes up a transfer that was sealed before, if it carries the bytes that the files have now. Where the file system does
    /// not vouch for that, everything is read once more.
    async fn recall(&mut self, link: &mut Link, transfer: &TransferId) -> Result<bool, Error> {
        let noted = self.journal.sealed(transfer)?;
        if noted.as_ref().is_some_and(|sealed| sealed.plan != self.subject.plan) {
            return Err(Error::evidence("answer to the offer", BadEvidence::Field("plan")));
        }
        let unchanged = |sealed: &&Sealed| self.stamps.is_some() && sealed.stamps == self.stamps;
        let sealed = match noted.as_ref().filter(unchanged) {
            Some(sealed) => sealed.clone(),
            None => {
                self.read_without_sending().await?;
                let made = tokio::task::spawn_blocking(self.manifest(transfer)).await;
                made.map_err(|_| fault("making the manifest ended early"))?.sealed
            }
        };
        if noted.as_ref().is_some_and(|noted| noted.manifest_sha256 != sealed.manifest_sha256) {
            return Ok(false);
        }
        let receipts = Receipts::new(self.identity, self.journal, transfer, &sealed);
        if noted.is_none() {
            receipts.discard(ReceiptKind::Received)?;
        }
        let fetched = match receipts.fetch(link, &[ReceiptKind::Received]).await {
            // Nobody here knows what was sealed, but the zone signed it: it was something else.
            Err(Error::Evidence { error: BadEvidence::Field("manifest"), .. }) if noted.is_none() => return Ok(false),
            fetched => fetched?,
        };
        self.journal.keep_sealed(transfer, &sealed)?;
        for (kind, file) in fetched {
            (self.progress)(Progress::Receipt { kind, file });
        }
        Ok(true)
    }

    async fn read_without_sending(&mut self) -> Result<(), Error> {
        while let Some(chunk) = self.reading.next().await? {
            self.ledger.read(chunk.index, chunk.digest)?;
        }
        Ok(())
    }

    /// Makes the manifest of what was read and remembers it, beside what else is to be done.
    fn begin_manifest(&self, transfer: &TransferId) -> JoinHandle<Result<Manifest, Error>> {
        let (make, journal, transfer) = (self.manifest(transfer), self.journal.clone(), transfer.clone());
        let (synced, digests) = (self.synced.clone(), self.reading.digests());
        tokio::task::spawn_blocking(move || {
            let manifest = make();
            // Before the zone has it: a version that it has and nobody remembers would be sent again.
            if let Some(synced) = synced {
                synced.remember(&transfer, &digests)?;
            }
            journal.keep_sealed(&transfer, &manifest.sealed)?;
            Ok(manifest)
        })
    }

    /// What makes the manifest of what was read: work for a thread of its own.
    fn manifest(&self, transfer: &TransferId) -> impl FnOnce() -> Manifest + Send + 'static {
        let Subject { agreement, dataset, plan: plan_sha256, .. } = self.subject.clone();
        let chunk_list = self.ledger.chunk_list();
        let header = Header::Manifest {
            transfer: transfer.clone(),
            source: self.identity.source().clone(),
            agreement: agreement.clone(),
            dataset: dataset.clone(),
            plan: plan_sha256,
            totals: self.carried.plan().totals(),
            chunk_bytes: limits::CHUNK_BYTES,
            chunks: self.ledger.count(),
            chunk_list,
            delta: self.carried.delta().cloned(),
        };
        let (plan, digests, stamps) = (Arc::clone(self.carried.plan()), self.reading.digests(), self.stamps);
        move || {
            let (bytes, manifest_sha256, hash) = plan::measure(plan.manifest(&header, &digests));
            let totals = plan.totals();
            let sealed = Sealed { agreement, dataset, plan: plan_sha256, totals, manifest_sha256, chunk_list, stamps };
            Manifest { header, bytes, hash, sealed }
        }
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// The durable chunks that follow an accepted offer, up to an empty part.
async fn read_records(link: &mut Link, announced: u32) -> Result<Vec<DurableRecord>, Error> {
    let malformed = || Error::Protocol("the list of durable chunks is not as announced");
    let mut records = Vec::with_capacity(announced as usize);
    loop {
        let (Reply::Part, body) = link.answer().await? else { return Err(malformed()) };
        let (whole, rest) = body.as_chunks::<{ DurableRecord::BYTES }>();
        if !rest.is_empty() || records.len() + whole.len() > announced as usize {
            return Err(malformed());
        }
        if body.is_empty() {
            return if records.len() == announced as usize { Ok(records) } else { Err(malformed()) };
        }
        records.extend(whole.iter().map(DurableRecord::decode));
    }
}
