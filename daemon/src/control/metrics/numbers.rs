//! The numbers, as they are at one moment.

use crate::control::failure::Failure;
use crate::control::health::health;
use crate::control::shared::Control;
use crate::control::store::totals::{self, Entered, Inside};
use crate::control::store::{agreements, sources};
use crate::control::views;
use sluse_protocol::ids::{AgreementId, SourceName, ZoneName};
use sluse_protocol::operator::HealthProblem;
use sluse_protocol::roles::Role;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub struct Numbers {
    /// The zone.
    pub zone: ZoneName,
    /// Its clock.
    pub now: Timestamp,
    /// What entered each state, ever.
    pub entered: Vec<Entered>,
    /// What is in each state in which something is still to happen.
    pub inside: Vec<Inside>,
    /// Each role, and whether it is connected.
    pub roles: Vec<(Role, bool)>,
    /// Each engine that `inspect` named, and whether it can be used. One whose signatures are too old is there, and cannot.
    pub engines: BTreeMap<String, bool>,
    /// When the signatures of each engine that grows old were made, where it says so.
    pub signatures: BTreeMap<String, Timestamp>,
    /// When the authority that issues certificates ends.
    pub authority: Timestamp,
    /// Each agreement that was not ended: its status, and until when it is good.
    pub agreements: Vec<(AgreementId, String, Timestamp)>,
    /// When each enrolled source's certificate of this zone ends.
    pub certificates: Vec<(SourceName, Timestamp)>,
    /// The quarantine's free bytes at the last offer.
    pub free_bytes: Option<u64>,
    /// How many of them stay free.
    pub keep_free_bytes: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// How many problems `health` has of each code.
    pub problems: BTreeMap<String, u64>,
    /// How many warnings.
    pub warnings: BTreeMap<String, u64>,
}

impl Numbers {
    /// The numbers of now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn of(control: &Control) -> Result<Self, Failure> {
        let health = health(control)?;
        let now = health.time;
        let there = health.engines.iter().map(|engine| (engine.engine.clone(), true));
        let failing = health.failing_engines.iter().map(|engine| (engine.engine.clone(), false));
        let enrolled = control.store.read(sources::all)?.into_iter().filter(|source| source.status == "enrolled");
        let agreements = control.store.read(agreements::all)?.into_iter().filter(|stored| stored.ended.is_none());
        let status = |stored: &agreements::Stored| {
            let info = views::agreement(stored, now);
            (info.id, info.status, info.valid_to)
        };
        Ok(Self {
            entered: control.store.read(totals::entered)?,
            inside: control.store.read(totals::inside)?,
            roles: Role::ALL.iter().map(|role| (*role, health.roles.contains(role))).collect(),
            engines: there.chain(failing).collect(),
            signatures: control.live.engines().dated,
            authority: control.authority.expires(),
            agreements: agreements.map(|stored| status(&stored)).collect(),
            certificates: enrolled.filter_map(|source| Some((source.name, source.expires?))).collect(),
            free_bytes: control.live.free_bytes(),
            keep_free_bytes: control.settings.receive.keep_free_bytes,
            audit_entries: health.audit.size,
            problems: by_code(&health.problems),
            warnings: by_code(&health.warnings),
            zone: health.zone,
            now,
        })
    }
}

fn by_code(found: &[HealthProblem]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for problem in found {
        *counts.entry(problem.code.clone()).or_default() += problem.count;
    }
    counts
}
