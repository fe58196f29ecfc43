//! The `inspect` role: faces quarantined content, and holds the quarantine's private key. It never reaches a network, nor
//! writes to a room.
//!
//! It asks `control` for work and does what comes: [`mint`] makes transfer identities, [`take_over`] takes sealed transfers
//! out of `receive`'s reach, [`assembly`] puts those together of which only a difference came, [`inspection`] reads them with every engine, [`wrap`] hands a released transfer's identity to
//! `deliver`, [`purge`] destroys one. Inspections have threads of their own, so that nothing quick waits behind them.

use crate::RoleError;
use crate::confine;
use crate::control_link::Link;
use crate::leases::Leases;
use crate::pulse;
use crate::quarantine::ReadError;
use crate::quarantine::dataset::Dataset;
use crate::quarantine::identity::{self, RoleKey};
use crate::work::Pool;
use crate::zone_signers::ZoneSigners;
use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_host::layout::transfer_folder;
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits;
use sluse_protocol::roles::{Base, FaultCause, InspectOutcome, InspectReply, InspectRequest, QuickTask, Role};
use sluse_protocol::sharing;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

mod assembly;
pub mod engine;
pub mod engines;
mod findings;
mod identities;
mod inspection;
pub mod jail;
mod lanes;
mod mint;
mod purge;
mod rewrap;
mod self_test;
mod take_over;
mod watch;
mod wrap;

use engines::signatures::SignaturesEngine;
use jail::Jail;
use lanes::Slots;
use watch::Watch;

/// Files of one transfer that are read at once, if there are so many processors; of all transfers one more for each other inspection.
/// Parsers are as many.
const FILES: std::ops::RangeInclusive<usize> = 2..=8;

/// Inspections that wait. `control` gives no more than there are workers, unless it was started anew meanwhile; beyond them it is told
/// to come again.
const QUEUED_INSPECTIONS: usize = 1024;

/// Threads for quick tasks, and how many of these wait.
const QUICK: (usize, usize) = (4, 256);

/// What the role works with.
struct Inspect {
    zone: Zone,
    quarantine: RoleKey,
    signers: ZoneSigners,
    deliver: Recipient,
    watch: Watch,
    jail: Arc<Jail>,
    slots: Arc<Slots>,
    leases: Leases,
    minting: Mutex<()>,
    link: Link<InspectRequest, InspectReply>,
}

/// A sealed transfer that is to be inspected.
struct Sealed {
    transfer: TransferId,
    /// The public half of its identity.
    recipient: String,
    /// SHA-256 of its manifest.
    manifest: Sha256,
    /// What it is the difference from.
    base: Option<Base>,
}

/// What the role reads before it gives up the right to.
struct Held {
    quarantine: RoleKey,
    signers: ZoneSigners,
    deliver: Recipient,
    signatures: SignaturesEngine,
    jail: Arc<Jail>,
    slots: Arc<Slots>,
    leases: Leases,
}

/// Runs the role until the link to `control` is lost. At the socket `leases`, if there is one, somebody says who still writes to a
/// file.
///
/// # Errors
/// When keys or signatures cannot be used, or the link to `control` is lost.
pub fn run(zone: Zone, control: UnixStream, leases: Option<&Path>) -> Result<(), RoleError> {
    crate::work::name_no_content_in_panics();
    // First, while this process still may, and before it has read a key.
    let leases = Leases::open(&zone, leases)?;
    let allow_unconfined = zone.settings.zone.allow_unconfined;
    let (clamd, icap) = (zone.clamd_socket(), zone.icap_socket());
    let jail = Jail::start(jail::Settings { allow_unconfined, clamd, icap, ..Default::default() })?;
    let held = Held::load(&zone, jail, leases)?;
    confine::apply(Role::Inspect, &zone)?;
    work(zone, held, control)
}

impl Held {
    fn load(zone: &Zone, jail: Jail, leases: Leases) -> Result<Self, RoleError> {
        let layout = &zone.layout;
        Ok(Self {
            quarantine: rewrap::settled(layout, RoleKey::read(&layout.quarantine_key())?),
            signers: ZoneSigners::load(zone)?,
            deliver: read_recipient(zone)?,
            signatures: SignaturesEngine::load(&zone.signatures())?,
            jail: Arc::new(jail),
            slots: slots(),
            leases,
        })
    }
}

/// To be called before this process is confined: to count processors opens files.
fn slots() -> Arc<Slots> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let of_transfer = processors.clamp(*FILES.start(), *FILES.end());
    Slots::new(of_transfer, of_transfer + sharing::WORKERS - 1)
}

fn work(zone: Zone, held: Held, control: UnixStream) -> Result<(), RoleError> {
    let Held { quarantine, signers, deliver, signatures, jail, slots, leases } = held;
    let link = Link::new(control).map_err(RoleError::io("the link to control"))?;
    let watch = Watch::new(&zone, signatures, Arc::clone(&jail), identifier_key(&quarantine.newest));
    link.tell(&watch.tested().report(), &[])?;
    let minting = Mutex::default();
    let inspect = Arc::new(Inspect { zone, quarantine, signers, deliver, watch, jail, slots, leases, minting, link });
    let untold = mint::untold(&inspect.zone.layout, &inspect.quarantine).map_err(RoleError::io("untold identities"))?;
    if let Some(recipients) = untold {
        inspect.tell_minted(recipients);
    }
    keep_watching(&inspect)?;
    serve(&inspect)
}

/// What the key for hashes of identifiers is derived for: another purpose has another sentence, and so another key.
const IDENTIFIER_KEY: &str = "sluse 2026-11-22 keyed hashes of identifiers in findings";

/// The zone's key for hashes of identifiers, derived from its quarantine key (BLAKE3 in its mode for that). Parsers get it: who
/// takes it from one can tell the numbers of hashes by trying, but nothing of the quarantine key.
fn identifier_key(quarantine: &Identity) -> [u8; jail::KEY_BYTES] {
    blake3::derive_key(IDENTIFIER_KEY, quarantine.to_string().expose_secret().as_bytes())
}

fn read_recipient(zone: &Zone) -> Result<Recipient, RoleError> {
    let bytes =
        files::read_bounded(&zone.layout.deliver_recipient(), 4096).map_err(RoleError::io("deliver's public key"))?;
    let text = String::from_utf8_lossy(&bytes);
    identity::recipient(&text).map_err(|error| RoleError::State(format!("trust/deliver.pub: {error}")))
}

/// Asks for work and hands it to the threads, until the link is lost.
fn serve(inspect: &Arc<Inspect>) -> Result<(), RoleError> {
    let threads = |name, threads, queued| Pool::start(name, threads, queued).map_err(RoleError::io("starting threads"));
    let inspections = threads("inspection", sharing::WORKERS, QUEUED_INSPECTIONS)?;
    let quick = threads("quick", QUICK.0, QUICK.1)?;
    // `control` answers a poll, with work or without, or this role ends.
    let pulse = pulse::of("work", limits::ROLE_TIMEOUT * 2);
    loop {
        pulse.beat();
        let (task, _) = inspect.link.ask(&InspectRequest::Next, &[])?;
        let doing = Arc::clone(inspect);
        let given = match task {
            InspectReply::Idle => continue,
            InspectReply::Inspect { transfer, recipient, manifest_sha256, content, base } => {
                let id = transfer.clone();
                let what = Sealed { transfer, recipient, manifest: manifest_sha256, base };
                let given = inspections.give(move || doing.inspect(&what, *content));
                if given.is_err() {
                    let outcome = InspectOutcome::Fault { reason: "inspect has all it can take".into() };
                    inspect.link.tell(&InspectRequest::Inspected { transfer: id, outcome }, &[])?;
                }
                continue;
            }
            InspectReply::Done | InspectReply::Refused(_) => {
                return Err(RoleError::State("control answered a request for work with what is no work".into()));
            }
            quick_task => quick.give(move || doing.quick(quick_task)),
        };
        if given.is_err() {
            // Not to be forgotten: `control` hands out again what was in work when the link ends.
            return Err(RoleError::State("more tasks than inspect can do".into()));
        }
    }
}

/// Tests the engines again and again, and tells `control` when that changes anything.
fn keep_watching(inspect: &Arc<Inspect>) -> Result<(), RoleError> {
    let inspect = Arc::clone(inspect);
    let watch = move || {
        while !inspect.link.is_lost() {
            std::thread::sleep(inspect.watch.pause());
            if inspect.watch.test_again() {
                inspect.link.tell_or_end(&inspect.watch.tested().report(), &[]);
            }
        }
    };
    std::thread::Builder::new().name("watch".into()).spawn(watch).map_err(RoleError::io("starting threads"))?;
    Ok(())
}

impl Inspect {
    /// Does a quick task. One that panics ends the link: `control` hands it out again.
    fn quick(&self, task: InspectReply) {
        let done = catch_unwind(AssertUnwindSafe(|| match task {
            InspectReply::Mint { count } => self.mint(count),
            InspectReply::TakeOver { transfer, chunks, chunk_list, delta } => {
                self.take_over(&transfer, take_over::Sealed { chunks, chunk_list, delta });
            }
            InspectReply::Wrap { transfer, grant, signature } => self.wrap(&transfer, &grant, &signature),
            InspectReply::Purge { transfer, recipient } => self.purge(&transfer, &recipient),
            InspectReply::Done | InspectReply::Idle | InspectReply::Inspect { .. } | InspectReply::Refused(_) => {}
        }));
        if done.is_err() {
            self.link.end();
        }
    }

    fn mint(&self, count: u16) {
        let _one_batch_at_a_time = self.minting.lock().unwrap_or_else(PoisonError::into_inner);
        match mint::mint(&self.zone.layout, &self.quarantine.newest.to_public(), count) {
            Ok(recipients) => self.tell_minted(recipients),
            Err(error) => self.not_done(QuickTask::Mint, FaultCause::Retrying, &format!("making identities: {error}")),
        }
    }

    /// Tells `control` of new identities; they are noted as untold until it has answered.
    fn tell_minted(&self, recipients: Vec<String>) {
        self.link.tell_or_end(&InspectRequest::Identities { recipients }, &[]);
        if !self.link.is_lost()
            && let Err(error) = mint::told(&self.zone.layout)
        {
            tracing::warn!(%error, "new identities are still noted as untold: they are told again at the next start");
        }
    }

    fn not_done(&self, task: QuickTask, cause: FaultCause, reason: &str) {
        tracing::error!(?task, code = cause.as_str(), reason, "a task was not done");
        let reason = reason.to_owned();
        self.link.tell_or_end(&InspectRequest::NotDone { task, cause, reason }, &[]);
    }

    fn take_over(&self, transfer: &TransferId, what: take_over::Sealed) {
        let refused = take_over::take_over(&self.zone.layout, &self.leases, transfer, what).err();
        if let Some(refusal) = &refused {
            tracing::warn!(%transfer, code = %refusal.code, "transfer was not taken over");
        }
        self.link.tell_or_end(&InspectRequest::Taken { transfer: transfer.clone(), refused }, &[]);
        if self.leases.is_lost() {
            // Whoever starts this role again has it connected anew.
            tracing::error!("nobody is there any more who sees who still writes");
            self.link.end();
        }
    }

    fn inspect(&self, what: &Sealed, content: Content) {
        let Sealed { transfer, recipient, manifest, base } = what;
        let manifest = *manifest;
        if self.link.is_lost() {
            // Nobody would hear of it: `control` hands it out again.
            return;
        }
        let content = Arc::new(content);
        let folder = transfer_folder(&self.zone.layout.sealed(), transfer);
        let inspected = catch_unwind(AssertUnwindSafe(|| {
            let identity = identities::open(&self.zone.layout, &self.quarantine, recipient)?;
            if let Some(base) = base {
                let base = || assembly::open_base(&self.zone.layout, &self.quarantine, base);
                assembly::assemble(&self.zone.layout.sealed(), transfer, &identity, manifest, base)?;
            }
            let dataset = Dataset::open(&folder, identity, transfer, manifest)?;
            inspection::inspect(dataset, transfer, manifest, &content, &|| self.watch.tested(), &self.slots)
        }));
        let inspected =
            inspected.unwrap_or_else(|_| Err(ReadError::Fault { reason: "inspect crashed over it".into() }));
        if self.jail.is_lost() {
            // Whoever starts this role again starts another nursery, and `control` hands out again what was in work. What was
            // not inspected for that reason says nothing of the files.
            tracing::error!("the nursery of parsers is gone");
            return self.link.end();
        }
        let (outcome, body) = match inspected {
            Ok((report, findings)) => {
                tracing::info!(%transfer, files = report.files, counts = ?report.counts, "transfer inspected");
                (InspectOutcome::Report { report }, findings)
            }
            Err(ReadError::Integrity { reason, file }) => {
                tracing::error!(%transfer, reason, "transfer is not what was declared");
                (InspectOutcome::Integrity { reason, file }, Vec::new())
            }
            Err(ReadError::Fault { reason }) => {
                tracing::error!(%transfer, reason, "transfer could not be inspected");
                (InspectOutcome::Fault { reason }, Vec::new())
            }
        };
        self.link.tell_or_end(&InspectRequest::Inspected { transfer: transfer.clone(), outcome }, &body);
    }

    fn wrap(&self, transfer: &TransferId, grant: &str, signature: &str) {
        let Self { zone, quarantine, signers, deliver, .. } = self;
        match wrap::wrap(&zone.layout, quarantine, signers, deliver, transfer, (grant, signature)) {
            Ok(wrapped) => self.link.tell_or_end(&InspectRequest::Wrapped { transfer: transfer.clone() }, &wrapped),
            Err(error) => {
                let task = QuickTask::Wrap { transfer: transfer.clone() };
                self.not_done(task, error.cause(), &format!("re-wrapping an identity: {error}"));
            }
        }
    }

    fn purge(&self, transfer: &TransferId, recipient: &str) {
        match purge::purge(&self.zone.layout, transfer, recipient) {
            Ok(()) => {
                tracing::info!(%transfer, "transfer purged");
                self.link.tell_or_end(&InspectRequest::Purged { transfer: transfer.clone() }, &[]);
            }
            Err(error) => {
                let task = QuickTask::Purge { transfer: transfer.clone() };
                self.not_done(task, FaultCause::Retrying, &format!("purging: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
