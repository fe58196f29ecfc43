//! Decisions: may this be offered, and may it be released? Facts come in, a decision goes out.

use crate::agreement::{Agreement, ReleaseRule};
use crate::digest::Sha256;
use crate::document::{Kind, Totals};
use crate::finding::{Action, Class, Report};
use crate::ids::{RoomName, SourceName, TransferId};
use crate::limits;
use crate::path::{self, DataPath, NameRule};
use crate::refusal::{Code, Refusal};
use crate::time::Timestamp;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

mod glob;

/// What is known when an offer is decided.
#[derive(Debug, Clone)]
pub struct OfferFacts<'a> {
    /// Who offers.
    pub source: &'a SourceName,
    /// Whether an operator revoked the agreement.
    pub revoked: bool,
    /// The agreement's room, where the zone knows it.
    pub room: Option<&'a RoomName>,
    /// What is offered.
    pub totals: Totals,
    /// Bytes under this agreement that are not settled.
    pub open_bytes: u64,
    /// Datasets delivered under this agreement.
    pub delivered: u64,
    /// Now.
    pub now: Timestamp,
}

/// Decides what can be decided of an offer without its plan's entries.
///
/// # Errors
/// The refusal, with its code.
pub fn check_offer(agreement: &Agreement, facts: &OfferFacts<'_>) -> Result<(), Refusal> {
    let refuse = |code, message: String| Err(Refusal::new(code, message));
    if agreement.from != *facts.source {
        return refuse(Code::UnknownAgreement, "no such agreement for this source".into());
    }
    check_in_force(agreement, facts.revoked, facts.now)?;
    if facts.room != Some(&agreement.to) {
        return refuse(Code::ForbiddenRoom, format!("the zone has no room called {}", agreement.to));
    }
    if !agreement.legal_basis.periodic && facts.delivered > 0 {
        let message = "the legal basis covers one disclosure, and that was made";
        return refuse(Code::AgreementExpired, message.into());
    }
    check_size(agreement, facts)
}

/// Whether an agreement allows anything now.
///
/// # Errors
/// The refusal, with its code.
pub fn check_in_force(agreement: &Agreement, revoked: bool, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |code, message: String| Err(Refusal::new(code, message));
    if revoked {
        return refuse(Code::AgreementInactive, format!("agreement {} was revoked", agreement.id));
    }
    let starts = agreement.valid_from.max(agreement.legal_basis.valid_from);
    if now < starts {
        return refuse(Code::AgreementNotYetValid, format!("agreement {} is valid from {starts}", agreement.id));
    }
    let mut ends = agreement.valid_to.min(agreement.legal_basis.valid_to);
    if let Some(rek) = &agreement.rek {
        ends = ends.min(rek.expires);
    }
    if now > ends {
        return refuse(Code::AgreementExpired, format!("agreement {} ended at {ends}", agreement.id));
    }
    Ok(())
}

fn check_size(agreement: &Agreement, facts: &OfferFacts<'_>) -> Result<(), Refusal> {
    let (limits, totals) = (&agreement.limits, &facts.totals);
    if totals.entries() == 0 {
        return Err(Refusal::new(Code::EmptyDataset, "the dataset has no files and no folders"));
    }
    let most = limits.max_files.min(limits::MAX_ENTRIES);
    if totals.entries() > most {
        let message = format!("{} files and folders; {most} are allowed", totals.entries());
        return Err(Refusal::new(Code::TooManyFiles, message));
    }
    if totals.bytes > limits.max_bytes || totals.chunks(limits::CHUNK_BYTES) > u64::from(limits::MAX_CHUNKS) {
        let message = format!("{} bytes; {} are allowed", totals.bytes, limits.max_bytes);
        return Err(Refusal::new(Code::DatasetTooLarge, message));
    }
    if facts.open_bytes.saturating_add(totals.bytes) > limits.max_open_bytes {
        let message =
            format!("{} bytes are under way already; {} are allowed", facts.open_bytes, limits.max_open_bytes);
        return Err(Refusal::new(Code::QuotaExceeded, message));
    }
    Ok(())
}

/// Checks a plan's paths one after the other. Remembers a hash of each path where Windows names are asked for, so its
/// memory is at most 16 bytes times [`limits::MAX_ENTRIES`], twice while it grows.
#[derive(Debug)]
pub struct PathCheck {
    forbidden: Vec<glob::Pattern>,
    names: NameRule,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl PathCheck {
    /// A check for one plan.
    pub fn new(agreement: &Agreement, names: NameRule) -> Self {
        Self {
            forbidden: agreement.content.forbidden_paths.iter().map(|text| glob::Pattern::new(text)).collect(),
            names,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Checks the next path.
    ///
    /// # Errors
    /// The refusal; its message names no path, since the source's own command line knows which one it was: entry `number`.
    pub fn path(&mut self, number: u64, path: &DataPath, _kind: Kind) -> Result<(), Refusal> {
        if self.forbidden.iter().any(|pattern| pattern.matches(path.as_str())) {
            let message = format!("entry {number} of the plan has a path that the agreement forbids");
            return Err(Refusal::new(Code::ForbiddenPath, message));
        }
        let held = match self.names {
            NameRule::Posix => return Ok(()),
            NameRule::WindowsRefuse => path.clone(),
            NameRule::WindowsMap => path::map_windows(path),
        };
        if let Err(problem) = path::check_windows(&held) {
            let message = format!("entry {number} of the plan: {problem}");
            return Err(Refusal::new(Code::WindowsPath, message));
        }
        if !self.seen.insert(self.hasher.hash_one(path::collision_key(&held))) {
            let message = format!("entry {number} of the plan has the same name as one before it, to Windows");
            return Err(Refusal::new(Code::PathCollision, message));
        }
        Ok(())
    }
}

/// Proof that one manifest of one transfer may be released: made only by [`decide`] and [`decide_by_operator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    transfer: TransferId,
    manifest: Sha256,
}

impl Cleared {
    /// The transfer.
    pub fn transfer(&self) -> &TransferId {
        &self.transfer
    }

    /// The manifest.
    pub fn manifest(&self) -> Sha256 {
        self.manifest
    }
}

/// What becomes of an inspected transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may be released.
    Release(Cleared),
    /// A person must decide; the reason is for operators and source.
    Hold(String),
    /// It is kept out.
    Reject(String),
}

/// Decides by rule. `files` is the number of files of the manifest `manifest`; a report that does not cover all of them, with
/// every engine that the agreement requires, is never a release.
pub fn decide(agreement: &Agreement, manifest: Sha256, files: u64, report: &Report) -> Decision {
    let gravest = |wanted: Action| -> Vec<Class> {
        let named = report.findings.iter().map(|finding| finding.class);
        let counted = report.counts.iter().filter(|(_, count)| **count > 0).map(|(class, _)| *class);
        let mut classes: Vec<Class> = named.chain(counted).collect();
        classes.sort_unstable();
        classes.dedup();
        classes.retain(|class| agreement.content.action(*class) == wanted);
        classes
    };
    let blocking = gravest(Action::Block);
    if !blocking.is_empty() {
        return Decision::Reject(format!("findings: {}", list(&blocking)));
    }
    if report.manifest != manifest || report.files != files {
        return Decision::Hold("the inspection does not cover the whole dataset".into());
    }
    for required in &agreement.content.engines {
        let complete = report.engines.iter().any(|engine| engine.engine == *required && engine.files == files);
        if !complete && agreement.content.action(Class::NotInspected) >= Action::Hold {
            return Decision::Hold(format!("engine {required}, which the agreement requires, did not read every file"));
        }
    }
    let holding = gravest(Action::Hold);
    if !holding.is_empty() {
        return Decision::Hold(format!("findings: {}", list(&holding)));
    }
    match agreement.release.rule {
        ReleaseRule::OneReviewer => Decision::Hold("the agreement asks for a reviewer".into()),
        ReleaseRule::Automatic => Decision::Release(Cleared { transfer: report.transfer.clone(), manifest }),
    }
}

/// An operator releases a held transfer that was inspected.
pub fn decide_by_operator(report: &Report, manifest: Sha256) -> Result<Cleared, Refusal> {
    if report.manifest != manifest {
        return Err(Refusal::new(Code::WrongState, "the inspection was of another manifest"));
    }
    Ok(Cleared { transfer: report.transfer.clone(), manifest })
}

fn list(classes: &[Class]) -> String {
    classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")
}
