//! Which engines are there and to be trusted: tested at start and ever after.

use super::engine::{Dated, Engine};
use super::engines::clamd::{self, ClamdEngine};
use super::engines::icap::{self, IcapEngine};
use super::engines::signatures::SignaturesEngine;
use super::inspection;
use super::jail::{Jail, Jailed, KEY_BYTES, Outside, Tools};
use super::self_test::{self, Unfit};
use sluse_host::clock;
use sluse_host::config::Zone;
use sluse_protocol::finding::EngineReport;
use sluse_protocol::roles::{EngineFailure, InspectRequest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How soon engines are tested again when one is missing, at the latest.
const MISSING: Duration = Duration::from_secs(60);

/// Engines that every zone has.
const BUILT_IN: [&str; 2] = ["signatures", "file-type"];

/// The engines in use, renewed by every test.
pub struct Watch {
    zone: Zone,
    jail: Arc<Jail>,
    key: [u8; KEY_BYTES],
    current: Mutex<Tested>,
}

/// What a test of all engines found.
#[derive(Clone, Default)]
pub struct Tested {
    /// The engines that passed.
    pub engines: Vec<Arc<dyn Engine>>,
    /// What is wrong with those that did not, or that are not up to date.
    pub failing: Vec<EngineFailure>,
    full_malware_engine: bool,
}

impl Watch {
    /// Tests every engine that the zone is configured with; `signatures` were loaded already, `key` is for hashes of
    /// identifiers.
    pub fn new(zone: &Zone, signatures: SignaturesEngine, jail: Arc<Jail>, key: [u8; KEY_BYTES]) -> Self {
        let tested = Tested::of(zone, Ok(signatures), &jail, key);
        tested.log();
        Self { zone: zone.clone(), jail, key, current: Mutex::new(tested) }
    }

    /// The engines that are to be used now.
    pub fn tested(&self) -> Tested {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long to wait before the next test.
    pub fn pause(&self) -> Duration {
        let every = self.zone.settings.inspect.engine_test_every;
        if self.tested().failing.is_empty() { every } else { every.min(MISSING) }
    }

    /// Reads the signatures and tests the engines again; says whether what can be used has changed.
    pub fn test_again(&self) -> bool {
        let signatures = SignaturesEngine::load(&self.zone.signatures()).map_err(|error| error.to_string());
        let tested = Tested::of(&self.zone, signatures, &self.jail, self.key);
        let changed = tested.report() != self.tested().report();
        if changed {
            tested.log();
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = tested;
        changed
    }
}

impl Tested {
    fn of(zone: &Zone, signatures: Result<SignaturesEngine, String>, jail: &Arc<Jail>, key: [u8; KEY_BYTES]) -> Self {
        let mut tested = Self::default();
        let good = signatures.as_ref().ok().cloned();
        let signatures = tested.add(zone, "signatures", signatures).then_some(good).flatten();
        tested.add(zone, "file-type", Ok(Jailed::new(Tools { jail: Arc::clone(jail), key, signatures })));
        let settings = &zone.settings.inspect;
        let timeout = Duration::from_secs(u64::from(settings.engine_timeout_seconds.max(1)));
        if zone.clamd_socket().is_some() {
            let jail = Arc::clone(jail);
            let clamd = ClamdEngine::connect(clamd::Settings {
                dial: Arc::new(move || jail.engine(Outside::Clamd)),
                max_bytes: settings.clamd_max_bytes,
                timeout,
            });
            let official = clamd.as_ref().is_ok_and(ClamdEngine::has_official_signatures);
            tested.full_malware_engine = tested.add(zone, "clamd", clamd) && official;
        }
        if let Some(icap) = &settings.icap {
            let jail = Arc::clone(jail);
            let engine = IcapEngine::connect(icap::Settings {
                dial: Arc::new(move || jail.engine(Outside::Icap)),
                service: icap.service.clone(),
                max_bytes: icap.max_bytes,
                timeout,
            });
            tested.full_malware_engine |= tested.add(zone, "icap", engine);
        }
        tested
    }

    /// Adds an engine if it is to be used; says whether it is. One that cannot be reached is missed by the agreements that require
    /// it. What is built in, what reads its test file and does not see it, and what is stale speaks against all that it passed.
    fn add<E: Engine + 'static>(&mut self, zone: &Zone, name: &str, engine: Result<E, String>) -> bool {
        let passed = engine.map_err(Unfit::Away).and_then(|engine| self_test::run(&engine).map(|()| engine));
        let mut fail = |unfit: Unfit, optional: bool| {
            let (reason, holds_everything) = match unfit {
                Unfit::Away(reason) => (reason, !optional),
                Unfit::Blind(reason) | Unfit::Stale(reason) => (reason, true),
            };
            self.failing.push(EngineFailure { engine: name.to_owned(), reason, holds_everything });
        };
        match passed {
            Ok(engine) => {
                let max_age = zone.settings.inspect.signatures_max_age;
                if let Err(stale) = self_test::check_age(&engine.dated(), max_age, clock::now()) {
                    fail(stale, engine.optional());
                }
                // What is stale still finds what it knows.
                self.engines.push(Arc::new(engine));
                true
            }
            Err(unfit) => {
                fail(unfit, !BUILT_IN.contains(&name));
                false
            }
        }
    }

    /// Engines for which everything is held.
    pub fn holding(&self) -> impl Iterator<Item = &EngineFailure> {
        self.failing.iter().filter(|failure| failure.holds_everything)
    }

    /// What `control` is told.
    pub fn report(&self) -> InspectRequest {
        let engines: Vec<EngineReport> =
            self.engines.iter().map(|engine| inspection::report(engine.as_ref())).collect();
        let dated = self.engines.iter().filter_map(|engine| match engine.dated() {
            Dated::At(time) => Some((engine.name().to_owned(), time)),
            Dated::Not | Dated::Unknown => None,
        });
        let (failing, full_malware_engine) = (self.failing.clone(), self.full_malware_engine);
        InspectRequest::Engines { engines, failing, dated: dated.collect(), full_malware_engine }
    }

    fn log(&self) {
        for engine in &self.engines {
            tracing::info!(engine = engine.name(), version = engine.version(), "engine passed its self-test");
        }
        for failure in &self.failing {
            let (engine, reason) = (&failure.engine, &failure.reason);
            if failure.holds_everything {
                tracing::error!(engine, reason, "ENGINE IS NOT TO BE TRUSTED: EVERYTHING IS HELD");
            } else {
                tracing::error!(engine, reason, "ENGINE FAILED ITS SELF-TEST");
            }
        }
        if !self.full_malware_engine {
            tracing::warn!(
                "THIS ZONE HAS NO FULL MALWARE ENGINE: only file types and the signature folder are checked"
            );
        }
    }
}
