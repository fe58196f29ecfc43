//! Sending a dataset: plan, hand over, follow; again and again while the zone is away.

use crate::connection::Link;
use crate::error::Error;
use crate::follow::{Follow, Wait};
use crate::handover::Handover;
use crate::identity::Identity;
use crate::journal::{Journal, Subject};
use crate::outcome::{AGAIN, End, Outcome};
use crate::plan;
use crate::progress::Progress;
use crate::receipts::Receipts;
use crate::retry::Retry;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::transfer::State;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clocks further apart than this are named. Nothing depends on them up to five minutes, by which certificates are good before they are
/// issued; the zone's clock decides what is valid.
const CLOCK_SECONDS: u64 = 30;

/// What is to be sent, and how long it is waited for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders: one folder's contents, or several each under its last component.
    pub paths: Vec<PathBuf>,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset's name.
    pub dataset: DatasetName,
    /// Whether an unchanged dataset whose transfer has ended is sent as a new one.
    pub again: Again,
    /// How far the transfer is followed.
    pub wait: Wait,
    /// For how long it is followed after it was received.
    pub wait_timeout: Duration,
    /// How long the zone may be away, without any progress, before the sender gives up.
    pub give_up: Duration,
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
    let plan = plan::plan(&options.paths)?;
    let stamps = plan.stamps(began);
    progress(Progress::Planned { totals: plan.totals() });
    let totals = plan.totals();
    let subject =
        Subject { agreement: options.agreement.clone(), dataset: options.dataset.clone(), plan: plan.sha256() };
    let journal = Journal::new(identity.folder());
    crate::runtime()?.block_on(async {
        let mut retry = Retry::new(options.give_up);
        let mut handover = Handover::new(identity, &journal, subject, (plan, stamps), options.again, &mut *progress)?;
        let (transfer, state, link) = hand_over(&mut handover, &mut retry).await?;
        let sent_bytes = handover.sent;
        drop(handover);
        let sealed = journal.sealed(&transfer)?;
        let (state, reason) = if state == State::Received && options.wait == Wait::Received {
            link.finish().await;
            (state, None)
        } else {
            let sealed = sealed.as_ref();
            let followed = Follow { identity, journal: &journal, transfer: &transfer, sealed, progress, last: None };
            follow(followed, link, options, retry).await?
        };
        let receipts = sealed.map(|sealed| Receipts::new(identity, &journal, &transfer, &sealed).files());
        let receipts = receipts.unwrap_or_default();
        let end = End::of(state, options.wait, &receipts);
        let dataset = options.dataset.clone();
        Ok(Outcome { transfer, dataset, end, state, totals, sent_bytes, receipts, reason })
    })
}

/// Hands the dataset over, however often the zone is lost meanwhile.
async fn hand_over(handover: &mut Handover<'_>, retry: &mut Retry) -> Result<(TransferId, State, Link), Error> {
    let mut clock_told = false;
    loop {
        let before = handover.durable_bytes();
        let error = match open(handover.identity).await {
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
    let mut link = connect(identity).await?;
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
    let mut link = Link::open(identity.addresses(), &identity.tls(), identity.network()).await?;
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
