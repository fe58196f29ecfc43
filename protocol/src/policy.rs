//! Decisions: may this be offered, and may it be released? Facts come in, a decision goes out.

use crate::agreement::{Agreement, Delivery, ReleaseRule};
use crate::digest::Sha256;
use crate::document::{Kind, Totals};
use crate::finding::{Action, Class, EngineReport, Finding, Report};
use crate::hours::{self, Hours};
use crate::ids::{RoomName, SourceName, TransferId};
use crate::limits;
use crate::operator::RoomInfo;
use crate::part::Part;
use crate::path::{self, DataPath, NameRule};
use crate::refusal::{Code, Refusal};
use crate::review::{self, Review, Tally};
use crate::time::Timestamp;
use crate::tsd_names;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

mod glob;

/// What operators made of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it is as its text says.
    Added,
    /// It allows nothing until it is resumed.
    Suspended,
    /// It allows nothing any more.
    Ended,
}

/// What is known when an offer is decided.
#[derive(Debug, Clone)]
pub struct OfferFacts<'a> {
    /// Who offers.
    pub source: &'a SourceName,
    /// What operators made of the agreement.
    pub standing: Standing,
    /// The room out of which that exports, where it is a room's.
    pub of_room: Option<&'a RoomName>,
    /// The agreement's room, where the zone knows it.
    pub room: Option<&'a RoomName>,
    /// What is offered.
    pub totals: Totals,
    /// Bytes of the other transfers under this agreement that are not settled, and of their plans.
    pub open_bytes: u64,
    /// Datasets delivered under this agreement, or being delivered.
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
    check_in_force(agreement, facts.standing, facts.now)?;
    check_direction(agreement, facts.of_room)?;
    if facts.room != Some(&agreement.to) {
        return refuse(Code::ForbiddenRoom, format!("the zone has no room called {}", agreement.to));
    }
    check_disclosures(agreement, facts.delivered)?;
    check_size(agreement, facts)
}

/// Whether an agreement goes in the direction in which its source sends: what leaves a room, which is `of_room`, does so under an
/// agreement of exports and to somewhere else, and nothing else does.
///
/// # Errors
/// The refusal, with its code and what to do.
pub fn check_direction(agreement: &Agreement, of_room: Option<&RoomName>) -> Result<(), Refusal> {
    let (id, from) = (&agreement.id, &agreement.from);
    match (&agreement.export, of_room) {
        (None, None) => Ok(()),
        (Some(_), Some(room)) if *room != agreement.to => Ok(()),
        (Some(_), Some(room)) => {
            Err(Refusal::new(Code::ForbiddenRoom, format!("agreement {id} exports out of room {room} and into it")))
        }
        (None, Some(room)) => {
            let message = format!("source {from} is of room {room}, and agreement {id} is not one of exports");
            let hint = "What leaves a room leaves it under an agreement with `[export]`, by two reviewers.";
            Err(Refusal::new(Code::Forbidden, message).hint(hint))
        }
        (Some(_), None) => {
            let message = format!("agreement {id} is one of exports, and source {from} is of no room");
            let hint = "The zone's administrator invites it as a room's: `sluse source invite NAME --room ROOM`.";
            Err(Refusal::new(Code::Forbidden, message).hint(hint))
        }
    }
}

/// Whether something may be sent now: in the source's hours, and in the agreement's.
///
/// # Errors
/// The refusal, which says when it may.
pub fn check_hours(hours: &[&Hours], now: Timestamp) -> Result<(), Refusal> {
    let closed: Vec<String> = hours.iter().filter(|hours| !hours.contain(now)).map(|hours| hours.to_string()).collect();
    if closed.is_empty() {
        return Ok(());
    }
    let message = format!("it is taken in these hours only, in UTC: {}", closed.join("; and "));
    match hours::first_in_all(hours, now) {
        Some(next) => Err(Refusal::new(Code::OutsideHours, format!("{message}: next from {next}")).until(next)),
        None => Err(Refusal::new(Code::OutsideHours, message).hint(
            "No hour of the week is both the source's and the agreement's: the zone's administrator must change one.",
        )),
    }
}

/// Whether a room can keep what an agreement asks of it.
///
/// # Errors
/// The refusal, with its code and what to do.
pub fn check_room(agreement: &Agreement, room: &RoomInfo) -> Result<(), Refusal> {
    let (id, name) = (&agreement.id, &room.name);
    if agreement.acknowledgement.is_some() && room.key.is_none() {
        let message = format!("agreement {id} waits for room {name} to acknowledge, and the room has no key");
        return Err(Refusal::new(Code::ForbiddenRoom, message)
            .hint("The zone's administrator gives it one: `sluse room change NAME --key FILE --reason TEXT`."));
    }
    if agreement.delivery == Delivery::Archive && room.elsewhere.is_some() {
        let message = format!("agreement {id} archives in room {name}, which is elsewhere");
        return Err(Refusal::new(Code::ForbiddenRoom, message)
            .hint("An archive is read again for as long as it is kept: let it go to a room on the zone's host."));
    }
    if agreement.sync.is_some() && room.elsewhere.is_some() {
        let message = format!("agreement {id} keeps its datasets in sync in room {name}, which is elsewhere");
        return Err(Refusal::new(Code::ForbiddenRoom, message).hint(
            "Versions are kept side by side in rooms on the zone's host alone: take [sync] out, or name such a room.",
        ));
    }
    if agreement.delivery == Delivery::Archive && room.recipient.is_some() {
        let message =
            format!("agreement {id} archives in room {name}, where everything is encrypted to the room's key");
        return Err(Refusal::new(Code::ForbiddenRoom, message)
            .hint("An archive is read for decades: let it go to a room without a recipient."));
    }
    Ok(())
}

/// Whether a room may be delivered to now.
///
/// # Errors
/// The refusal, when its endpoint or credential has ended.
pub fn check_until(room: &RoomInfo, now: Timestamp) -> Result<(), Refusal> {
    match room.elsewhere.and_then(|elsewhere| elsewhere.until) {
        Some(until) if until < now => {
            let message = format!("what room {} is reached by ended at {until}", room.name);
            Err(Refusal::new(Code::ForbiddenRoom, message)
                .hint("The zone's administrator says until when: `sluse room change NAME --until TIME --reason TEXT`."))
        }
        _ => Ok(()),
    }
}

/// Whether an agreement allows anything now.
///
/// # Errors
/// The refusal, with its code.
pub fn check_in_force(agreement: &Agreement, standing: Standing, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |code, message: String| Err(Refusal::new(code, message));
    match standing {
        Standing::Added => {}
        Standing::Suspended => {
            return refuse(Code::AgreementSuspended, format!("agreement {} is suspended", agreement.id));
        }
        Standing::Ended => {
            return refuse(Code::AgreementInactive, format!("agreement {} was ended", agreement.id));
        }
    }
    let (starts, ends) = in_force(agreement);
    if now < starts {
        return refuse(Code::AgreementNotYetValid, format!("agreement {} is valid from {starts}", agreement.id));
    }
    if now > ends {
        return refuse(Code::AgreementExpired, format!("agreement {} ended at {ends}", agreement.id));
    }
    Ok(())
}

/// The first and the last moment at which an agreement allows anything, its legal basis and approval included.
pub fn in_force(agreement: &Agreement) -> (Timestamp, Timestamp) {
    (agreement.valid_from.max(agreement.legal_basis.valid_from), agreement.first_end().1)
}

/// Whether an agreement still allows a release or a delivery. `disclosures` is how many other datasets were delivered under
/// it, or are being delivered.
///
/// # Errors
/// The refusal, with its code.
pub fn check_release(
    agreement: &Agreement,
    standing: Standing,
    disclosures: u64,
    now: Timestamp,
) -> Result<(), Refusal> {
    check_in_force(agreement, standing, now)?;
    check_disclosures(agreement, disclosures)
}

fn check_disclosures(agreement: &Agreement, disclosures: u64) -> Result<(), Refusal> {
    if agreement.legal_basis.periodic || disclosures == 0 {
        return Ok(());
    }
    let message = "the legal basis covers one disclosure, and that was made";
    Err(Refusal::new(Code::AgreementExpired, message))
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
    let most = limits.max_bytes.min(u64::from(limits::MAX_CHUNKS) * u64::from(limits::CHUNK_BYTES));
    if totals.bytes > most {
        let message = format!("{} bytes; {most} are allowed", totals.bytes);
        return Err(Refusal::new(Code::DatasetTooLarge, message));
    }
    if facts.open_bytes.saturating_add(totals.bytes) > limits.max_open_bytes {
        let message =
            format!("{} bytes are under way already; {} are allowed", facts.open_bytes, limits.max_open_bytes);
        return Err(Refusal::new(Code::QuotaExceeded, message));
    }
    Ok(())
}

/// Names, of files and of the folders above them, that a plan may have: what bounds the memory of [`PathCheck`].
const MAX_NAMES: usize = 2 * limits::MAX_ENTRIES as usize;

/// An empty folder is none there, whatever its name.
fn tsd_keeps(number: u64, path: &DataPath, kind: Kind) -> Result<(), Refusal> {
    match tsd_names::check(path) {
        Err(unkept) if kind == Kind::File => {
            let message =
                format!("entry {number} of the plan: TSD, where the room is, does not keep its name: {unkept}");
            Err(Refusal::new(Code::ForbiddenPath, message))
        }
        _ => Ok(()),
    }
}

/// Checks a plan's paths one after the other, in their order. Where Windows names are asked for it remembers a hash of each
/// name, at most [`MAX_NAMES`] of 8 bytes, so about 40 MB.
#[derive(Debug)]
pub struct PathCheck {
    forbidden: Vec<glob::Pattern>,
    names: NameRule,
    seen: HashSet<u64>,
    hasher: RandomState,
    last: Option<DataPath>,
}

impl PathCheck {
    /// A check for one plan.
    pub fn new(agreement: &Agreement, names: NameRule) -> Self {
        Self {
            forbidden: agreement.content.forbidden_paths.iter().map(|text| glob::Pattern::new(text)).collect(),
            names,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            last: None,
        }
    }

    /// Checks the next path.
    ///
    /// # Errors
    /// The refusal; its message names no path, since the source's own command line knows which one it was: entry `number`.
    pub fn path(&mut self, number: u64, path: &DataPath, kind: Kind) -> Result<(), Refusal> {
        if self.forbidden.iter().any(|pattern| pattern.matches(path.as_str())) {
            let message = format!("entry {number} of the plan has a path that the agreement forbids");
            return Err(Refusal::new(Code::ForbiddenPath, message));
        }
        let held = match self.names {
            NameRule::Posix => return Ok(()),
            NameRule::TsdRefuse => return tsd_keeps(number, path, kind),
            NameRule::WindowsRefuse => path.clone(),
            NameRule::WindowsMap => path::map_windows(path),
        };
        if let Err(problem) = path::check_windows(&held) {
            let message = format!("entry {number} of the plan: {problem}");
            return Err(Refusal::new(Code::WindowsPath, message));
        }
        self.check_collisions(number, path, &held)
    }

    /// Paths come in order, so everything in one folder follows each other: a folder is new when the path before did not
    /// lie in it, and what Windows takes for its name must then be new too.
    fn check_collisions(&mut self, number: u64, path: &DataPath, held: &DataPath) -> Result<(), Refusal> {
        let last = self.last.replace(path.clone());
        let shared = last
            .map_or(0, |last| last.components().zip(path.components()).take_while(|(one, other)| one == other).count());
        let key = path::collision_key(held);
        let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
        for end in ends.skip(shared) {
            if !self.seen.insert(self.hasher.hash_one(&key[..end])) {
                let message = format!("entry {number} of the plan has the same name as one before it, to Windows");
                return Err(Refusal::new(Code::PathCollision, message));
            }
        }
        if self.seen.len() > MAX_NAMES {
            let message = format!("more than {MAX_NAMES} names of files and folders");
            return Err(Refusal::new(Code::TooManyFiles, message));
        }
        Ok(())
    }
}

/// Proof that one manifest of one transfer, or a part of it, may be released: made only by [`decide`] and [`decide_by_reviews`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    transfer: TransferId,
    manifest: Sha256,
    part: Option<Part>,
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

    /// What of it, where files were left out.
    pub fn part(&self) -> Option<Part> {
        self.part
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
    let blocking = classes_that(Action::Block, agreement, report);
    if !blocking.is_empty() {
        return Decision::Reject(format!("findings: {}", list(&blocking)));
    }
    if !covers(report, manifest, files) {
        return Decision::Hold("the inspection does not cover the whole dataset".into());
    }
    if let Some(engine) = agreement.content.engines.iter().find(|engine| lacks(agreement, report, files, engine)) {
        return Decision::Hold(format!("engine {engine}, which the agreement requires, did not read every file"));
    }
    let of_whole = |finding: &&Finding| finding.class == Class::NotInspected && finding.file.is_none();
    if let Some(finding) = report.findings.iter().find(of_whole) {
        return Decision::Hold(format!("engine {}: {}", finding.engine, finding.message));
    }
    let holding = classes_that(Action::Hold, agreement, report);
    if !holding.is_empty() {
        return Decision::Hold(format!("findings: {}", list(&holding)));
    }
    match agreement.release.rule {
        ReleaseRule::OneReviewer => Decision::Hold("the agreement asks for a reviewer".into()),
        ReleaseRule::TwoReviewers => Decision::Hold("the agreement asks for two reviewers".into()),
        ReleaseRule::Automatic => {
            Decision::Release(Cleared { transfer: report.transfer.clone(), manifest, part: None })
        }
    }
}

/// Whether persons may release a held transfer. What they may decide is what a finding or a missing engine leads to; not that a
/// dataset was inspected whole, nor what the agreement blocks.
///
/// # Errors
/// The refusal, with its code.
pub fn check_reviewable(agreement: &Agreement, manifest: Sha256, files: u64, report: &Report) -> Result<(), Refusal> {
    if !covers(report, manifest, files) {
        let refusal = Refusal::new(Code::WrongState, "the inspection does not cover the whole dataset");
        return Err(refusal.hint("Have it inspected again."));
    }
    let blocking = classes_that(Action::Block, agreement, report);
    if !blocking.is_empty() {
        let message = format!("the agreement blocks what was found: {}", list(&blocking));
        return Err(Refusal::new(Code::Forbidden, message).hint("Nobody can release this: reject it."));
    }
    Ok(())
}

/// Persons release a held transfer, or the same part of it: as many as the agreement asks for, by reviews of this very manifest.
///
/// # Errors
/// The refusal, with its code.
pub fn decide_by_reviews(
    agreement: &Agreement,
    manifest: Sha256,
    files: u64,
    report: &Report,
    reviews: &[Review],
) -> Result<Cleared, Refusal> {
    check_reviewable(agreement, manifest, files, report)?;
    match review::tally(agreement.release.rule, &manifest, reviews) {
        Tally::Release(part) => Ok(Cleared { transfer: report.transfer.clone(), manifest, part }),
        Tally::Waiting(_) | Tally::Differ | Tally::Reject => {
            Err(Refusal::new(Code::Held, "it was not released by as many persons as the agreement asks for"))
        }
    }
}

/// The classes that were found, kept or only counted, and that lead to `action`.
fn classes_that(action: Action, agreement: &Agreement, report: &Report) -> Vec<Class> {
    let named = report.findings.iter().map(|finding| finding.class);
    let counted = report.counts.iter().filter(|(_, count)| **count > 0).map(|(class, _)| *class);
    let mut classes: Vec<Class> = named.chain(counted).collect();
    classes.sort_unstable();
    classes.dedup();
    classes.retain(|class| agreement.content.action(*class) == action);
    classes
}

/// Whether every file of this very manifest had the digest that it declares.
fn covers(report: &Report, manifest: Sha256, files: u64) -> bool {
    report.manifest == manifest && report.files == files
}

/// Whether a required engine was not there, or skipped files where the agreement does not let it.
fn lacks(agreement: &Agreement, report: &Report, files: u64, engine: &str) -> bool {
    let read = |engine: &str| of_engine(report, engine).map(|there| there.files);
    match read(engine) {
        Some(read) if read == files => false,
        Some(few) if few.checked_add(read_instead(agreement, report, engine)) == Some(files) => false,
        // Some files were not for it (too large, perhaps): the agreement says what that leads to.
        Some(read) if read > 0 => agreement.content.action(Class::NotInspected) >= Action::Hold,
        _ => true,
    }
}

/// Files that were too large for `engine`, and were read by the engines that suffice then, all of them.
fn read_instead(agreement: &Agreement, report: &Report, engine: &str) -> u64 {
    let Some(above) = of_engine(report, engine).and_then(|there| there.above_limit.as_ref()) else { return 0 };
    let suffices = agreement.content.above_limit.get(engine) == Some(&above.read_by);
    let have_read = |other: &String| of_engine(report, other).is_some_and(|there| there.files >= above.files);
    if suffices && above.read_by.iter().all(have_read) { above.files } else { 0 }
}

fn of_engine<'r>(report: &'r Report, engine: &str) -> Option<&'r EngineReport> {
    report.engines.iter().filter(|there| there.engine == engine).max_by_key(|there| there.files)
}

fn list(classes: &[Class]) -> String {
    classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
