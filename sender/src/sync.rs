//! Datasets that are kept in sync: whether a version travels at all, whole, or as its difference from one that the zone has.

use crate::carried::Difference;
use crate::connection::Link;
use crate::error::Error;
use crate::journal::{Journal, Subject};
use crate::plan::Plan;
use crate::send::Options;
use crate::survey;
use crate::versions::{Version, Versions};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::sync::{Latest, align};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request, SYNC_VERSION};
use std::sync::Arc;

/// Percent of the version's bytes: a difference that is larger is not worth its trouble.
const WORTH: u64 = 90;

/// Bytes that pass quickly in small packets, too.
const SMALL: u64 = 1024 * 1024;

/// A version of a dataset that is kept in sync.
pub(crate) struct Synced {
    versions: Versions,
    /// The version itself.
    pub version: Arc<Version>,
}

/// How a version travels.
pub(crate) enum Way {
    /// Not at all: the zone has it.
    Unchanged(Latest),
    /// As the difference.
    Difference(Difference),
    /// Whole; the latest version is the one that it follows.
    Whole(Option<TransferId>),
}

impl Synced {
    /// Surveys the files of a plan, which was walked at `began`.
    pub fn survey(journal: &Journal, options: &Options, plan: &Plan, began: Timestamp) -> Result<Self, Error> {
        let versions = Versions::of(journal, &options.agreement, &options.dataset);
        let version = Arc::new(survey::survey(plan, began, versions.last()?.as_ref())?);
        Ok(Self { versions, version })
    }

    /// Asks the zone what it has, and decides.
    pub async fn way(&self, link: &mut Link, options: &Options) -> Result<Way, Error> {
        if link.version() < SYNC_VERSION {
            tracing::warn!("the zone does not know datasets that are kept in sync: this one is sent whole");
            return Ok(Way::Whole(None));
        }
        let request = Request::Versions { agreement: options.agreement.clone(), dataset: options.dataset.clone() };
        let (Reply::Versions(told), _) = link.ask(&request).await? else {
            return Err(Error::Protocol("an answer that does not belong to the request"));
        };
        let needed = told.base.iter().chain(told.latest.as_ref().map(|latest| &latest.transfer)).min();
        if let Some(oldest) = needed {
            self.versions.forget_before(oldest)?;
        }
        let latest = told.latest.as_ref().map(|latest| latest.transfer.clone());
        if let Some(latest) = told.latest
            && self.versions.load(&latest.transfer)?.is_some_and(|version| version.has_the_content_of(&self.version))
        {
            return Ok(Way::Unchanged(latest));
        }
        let base = match told.base {
            Some(base) => self.versions.load(&base)?.map(|version| (base, version)),
            None => None,
        };
        let difference = base.and_then(|(base, version)| difference(base, &version, &self.version));
        Ok(difference.map_or(Way::Whole(latest), Way::Difference))
    }

    /// Remembers that a transfer carries this version, if its manifest has the digests that were surveyed.
    pub fn remember(&self, transfer: &TransferId, digests: &[Sha256]) -> Result<(), Error> {
        if self.version.digests() != digests {
            tracing::warn!("the files were changed between two readings: the next version is sent whole");
            return Ok(());
        }
        self.versions.keep(transfer, &self.version)
    }
}

/// The difference of a version from the base, if it is worth it.
fn difference(base: TransferId, old: &Version, new: &Version) -> Option<Difference> {
    let pieces = new.pieces();
    let bytes: u64 = pieces.iter().map(|piece| u64::from(piece.length)).sum();
    let steps = align::steps(&old.pieces(), &pieces).filter(|steps| !steps.is_empty())?;
    let difference = Difference::new(base, &steps, new.digests());
    (difference.delta().bytes() < bytes / 100 * WORTH).then_some(difference)
}

impl Way {
    /// Whether so little travels that the connection over which was asked is good for it.
    pub fn is_small(&self) -> bool {
        match self {
            Way::Unchanged(_) => true,
            Way::Difference(difference) => difference.delta().bytes() <= SMALL,
            Way::Whole(_) => false,
        }
    }

    /// The version that it is built on.
    pub fn base(&self) -> Option<TransferId> {
        match self {
            Way::Difference(difference) => Some(difference.delta().base.clone()),
            Way::Whole(_) | Way::Unchanged(_) => None,
        }
    }

    /// What makes the transfer another than one that carried the same files before: what it follows, or is built on.
    pub fn mark(&self, subject: Subject) -> Subject {
        let follows = match self {
            Way::Difference(difference) => format!("{} {}", difference.delta().base, difference.recipe_sha256()),
            Way::Whole(Some(latest)) => latest.to_string(),
            Way::Whole(None) | Way::Unchanged(_) => return subject,
        };
        Subject { follows: Some(follows), ..subject }
    }
}
