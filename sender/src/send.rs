//! Sending a dataset: plan, hand over, follow; again and again while the zone is away.

use crate::carried::Carried;
use crate::connection::Link;
use crate::error::Error;
use crate::follow::{Follow, Wait};
use crate::given::Files;
use crate::handover::Handover;
use crate::identity::Identity;
use crate::journal::{Journal, Sealed, Subject};
use crate::outcome::{AGAIN, End, Outcome};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::receipts::Receipts;
use crate::retry::Retry;
use crate::sync::{Synced, Way};
use sluse_host::quic;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::transfer::State;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Clocks further apart than this are named. Nothing depends on them up to five minutes, by which certificates are good before they are
/// issued; the zone's clock decides what is valid.
const CLOCK_SECONDS: u64 = 30;

/// What is to be sent, and how long it is waited for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its files.
    pub files: Files,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset's name.
    pub dataset: DatasetName,
    /// Whether an unchanged dataset whose transfer has ended is sent as a new one.
    pub again: Again,
    /// What sets this dataset apart: the same files under another word are another transfer.
    pub apart: Option<String>,
    /// Whether the dataset is kept in sync: of a version only what is new travels, and of an unchanged one nothing.
    pub sync: bool,
    /// How far the transfer is followed.
    pub wait: Wait,
    /// For how long it is followed after it was received.
    pub wait_timeout: Duration,
    /// How long the zone may be away, without any progress, before the sender gives up.
    pub give_up: Duration,
}

impl Options {
    /// A dataset of these paths, followed until the zone has it durably; the zone may be away for a day meanwhile.
    pub fn new(paths: Vec<PathBuf>, agreement: AgreementId, dataset: DatasetName) -> Self {
        Self {
            files: Files::At(paths),
            agreement,
            dataset,
            again: Again::Never,
            apart: None,
            sync: false,
            wait: Wait::Received,
            wait_timeout: Duration::from_secs(3600),
            give_up: Duration::from_secs(24 * 3600),
        }
    }
}

/// When an unchanged dataset is sent as a new transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Never: the transfer that there was is its transfer.
    Never,
    /// When the transfer before did not reach its room.
    Lost,
    /// When the transfer before ended, however it did.
    Ended,
}

impl Again {
    pub(crate) fn wants(self, state: State) -> bool {
        match self {
            Again::Never => false,
            Again::Lost => state.is_lost(),
            Again::Ended => state.is_settled(),
        }
    }
}

/// Sends a dataset and follows it as far as [`Options::wait`] says. The same unchanged dataset is the same transfer: it is
/// not sent twice, and an interrupted one goes on where it was.
///
/// # Errors
/// When the paths cannot be sent or change meanwhile, the zone refuses, or nothing gets through for too long.
pub fn send(identity: &Identity, options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, Error> {
    let began = sluse_host::clock::now();
    let plan = Arc::new(options.files.plan()?);
    progress(Progress::Planned { totals: plan.totals() });
    let journal = Journal::new(identity.folder());
    let synced = match options.sync {
        true => Some(Arc::new(Synced::survey(&journal, options, &plan, began)?)),
        false => None,
    };
    let sending = Sending { identity, options, journal: &journal, stamps: plan.stamps(began), plan, synced };
    crate::runtime()?.block_on(sending.run(progress))
}

/// A dataset that is sent.
struct Sending<'a> {
    identity: &'a Identity,
    options: &'a Options,
    journal: &'a Journal,
    plan: Arc<Plan>,
    /// What the file system says of the plan's files.
    stamps: Option<Sha256>,
    /// Of a dataset that is kept in sync, the version.
    synced: Option<Arc<Synced>>,
}

/// A transfer that has its dataset, and the connection over which that was learnt.
struct Handed {
    transfer: TransferId,
    state: State,
    link: Link,
    sent_bytes: u64,
}

impl Sending<'_> {
    async fn run(self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, Error> {
        let mut retry = Retry::new(self.options.give_up);
        let (way, link) = match &self.synced {
            None => (Way::Whole(None), None),
            Some(synced) => {
                let (way, link) = ask_way(self.identity, synced, self.options, &mut retry, progress).await?;
                match way.is_small() {
                    true => (way, Some(link)),
                    false => {
                        link.finish().await;
                        (way, None)
                    }
                }
            }
        };
        match (way, link) {
            (Way::Unchanged(latest), Some(link)) => {
                let (transfer, state) = (latest.transfer, latest.state);
                progress(Progress::Accepted { transfer: transfer.clone(), state });
                let handed = Handed { transfer, state, link, sent_bytes: 0 };
                Ok(Outcome { unchanged: true, ..self.conclude(handed, retry, progress).await? })
            }
            (way, link) => {
                let base = way.base();
                if let Some(handed) = self.hand_over_by(way, link, &mut retry, progress).await? {
                    let outcome = self.conclude(handed, retry, progress).await?;
                    if base.is_none() || outcome.state != State::Failed {
                        return Ok(outcome);
                    }
                }
                // The zone cannot put the version together after all.
                let mut retry = Retry::new(self.options.give_up);
                match self.hand_over_by(Way::Whole(base), None, &mut retry, progress).await? {
                    Some(handed) => self.conclude(handed, retry, progress).await,
                    None => Err(Error::Protocol("it builds on another version though everything was sent")),
                }
            }
        }
    }

    /// Hands the dataset over; nothing, when it went as a difference that the zone cannot use.
    async fn hand_over_by(
        &self,
        way: Way,
        link: Option<Link>,
        retry: &mut Retry,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Handed>, Error> {
        let (agreement, dataset) = (self.options.agreement.clone(), self.options.dataset.clone());
        let apart = self.options.apart.clone();
        let subject = way.mark(Subject { agreement, dataset, plan: self.plan.sha256(), follows: apart });
        let difference = match way {
            Way::Difference(difference) => Some(difference),
            Way::Whole(_) | Way::Unchanged(_) => None,
        };
        let differs = difference.is_some();
        let carried = (Carried::new(Arc::clone(&self.plan), difference), self.stamps);
        let (synced, again) = (self.synced.clone(), self.options.again);
        let mut handover = Handover::new(self.identity, self.journal, subject, carried, synced, again, progress)?;
        match hand_over(&mut handover, retry, link).await {
            Err(Error::Refused(refusal)) if differs && refusal.code == Code::UnknownBase => Ok(None),
            Ok((_, State::Failed, _)) if differs => Ok(None),
            Ok((transfer, state, link)) => Ok(Some(Handed { transfer, state, link, sent_bytes: handover.sent })),
            Err(error) => Err(error),
        }
    }

    /// Follows the transfer as far as was asked for.
    async fn conclude(
        &self,
        handed: Handed,
        retry: Retry,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Error> {
        let Handed { transfer, state, link, sent_bytes } = handed;
        let Self { identity, options, journal, .. } = *self;
        let sealed: Option<Sealed> = journal.sealed(&transfer)?;
        let (state, reason) = if state == State::Received && options.wait == Wait::Received {
            link.finish().await;
            (state, None)
        } else {
            let sealed = sealed.as_ref();
            let followed = Follow { identity, journal, transfer: &transfer, sealed, progress, last: None };
            follow(followed, link, options, retry).await?
        };
        let receipts = sealed.map(|sealed| Receipts::new(identity, journal, &transfer, &sealed).files());
        let receipts = receipts.unwrap_or_default();
        let end = End::of(state, options.wait, &receipts);
        let (dataset, totals) = (options.dataset.clone(), self.plan.totals());
        Ok(Outcome { transfer, dataset, end, state, totals, sent_bytes, unchanged: false, receipts, reason })
    }
}

/// Asks the zone what it has of the dataset, however often it is lost meanwhile.
async fn ask_way(
    identity: &Identity,
    synced: &Synced,
    options: &Options,
    retry: &mut Retry,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Way, Link), Error> {
    loop {
        let error = match open_briefly(identity).await {
            Ok(mut link) => match synced.way(&mut link, options).await {
                Ok(way) => return Ok((way, link)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        wait(retry, error, progress).await?;
    }
}

/// Hands the dataset over, however often the zone is lost meanwhile.
async fn hand_over(
    handover: &mut Handover<'_>,
    retry: &mut Retry,
    mut link: Option<Link>,
) -> Result<(TransferId, State, Link), Error> {
    let mut clock_told = false;
    loop {
        let before = handover.durable_bytes();
        let opened = match link.take() {
            Some(link) => Ok(link),
            None => open(handover.identity).await,
        };
        let error = match opened {
            Ok(mut link) => match told_clock(handover, &mut link, &mut clock_told).await {
                Ok((transfer, state)) => return Ok((transfer, state, link)),
                Err(Error::Refused(refusal)) if refusal.code == Code::ChunkConflict => {
                    // The same list of files, other bytes: what the zone has stays, and these are a transfer of their own.
                    handover.begin_anew()?;
                    continue;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if handover.durable_bytes() > before {
            retry.progress();
        }
        wait(retry, explain(error), handover.progress).await?;
    }
}

/// Hands over on one connection, after naming a clock that is far from the zone's, once.
async fn told_clock(
    handover: &mut Handover<'_>,
    link: &mut Link,
    told: &mut bool,
) -> Result<(TransferId, State), Error> {
    if link.clock_ahead().unsigned_abs() > CLOCK_SECONDS && !std::mem::replace(told, true) {
        (handover.progress)(Progress::Clock { ahead_seconds: link.clock_ahead() });
    }
    handover.over(link).await
}

/// Follows a transfer as far as was asked for, however often the zone is lost meanwhile.
async fn follow(
    mut follow: Follow<'_>,
    link: Link,
    options: &Options,
    mut retry: Retry,
) -> Result<(State, Option<Refusal>), Error> {
    let deadline = Instant::now() + options.wait_timeout;
    let mut link = Some(link);
    loop {
        let opened = match link.take() {
            Some(link) => Ok(link),
            None => open(follow.identity).await,
        };
        let error = match opened {
            Ok(mut link) => match follow.until(&mut link, options.wait, deadline).await {
                Ok(status) => {
                    link.finish().await;
                    return Ok((status.state, status.reason));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(error);
        }
        wait(&mut retry, error, follow.progress).await?;
    }
}

/// A connection to the zone that this identity belongs to; its certificate is renewed there when it is time.
pub(crate) async fn open(identity: &Identity) -> Result<Link, Error> {
    renewed(identity, connect(identity).await?).await
}

/// The same, for little.
async fn open_briefly(identity: &Identity) -> Result<Link, Error> {
    let mut config = identity.tls();
    config.transport_config(Arc::new(quic::brief_transport(identity.network())));
    renewed(identity, connect_by(identity, &config).await?).await
}

async fn renewed(identity: &Identity, mut link: Link) -> Result<Link, Error> {
    match crate::renewal::over(identity, &mut link).await {
        Ok(None) => Ok(link),
        Ok(Some(until)) => {
            tracing::info!(%until, "the certificate was renewed");
            Ok(link)
        }
        // The one in force is still good: what is asked for comes first. Another connection tries again.
        Err(Error::Connection(lost)) => Err(lost.into()),
        Err(error) => {
            tracing::warn!("the certificate cannot be renewed: {error}");
            Ok(link)
        }
    }
}

/// A connection to the zone that this identity belongs to; what the zone stated of its keys is followed.
pub(crate) async fn connect(identity: &Identity) -> Result<Link, Error> {
    connect_by(identity, &identity.tls()).await
}

async fn connect_by(identity: &Identity, config: &quinn::ClientConfig) -> Result<Link, Error> {
    let mut link = Link::open(identity.addresses(), config, identity.network()).await?;
    if link.zone() != identity.zone() || link.source() != Some(identity.source()) {
        return Err(Error::Protocol("it takes this identity for another one, or is another zone"));
    }
    crate::trust::follow(identity, &mut link).await?;
    Ok(link)
}

/// Waits before the next try, unless `error` is one that waiting does not help.
async fn wait(retry: &mut Retry, error: Error, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    let (after, error) = retry.after(error)?;
    progress(Progress::Retrying { why: error.to_string(), after });
    tokio::time::sleep(after).await;
    Ok(())
}

/// A transfer that ends while it is sent: how to begin anew.
fn explain(error: Error) -> Error {
    match error {
        Error::Refused(refusal) if matches!(refusal.code, Code::Cancelled | Code::Expired) => {
            Error::Refused(refusal.hint(AGAIN))
        }
        other => other,
    }
}
