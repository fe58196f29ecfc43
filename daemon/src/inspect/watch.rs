//! Which engines are there and to be trusted: tested at start and ever after.

use super::engine::Engine;
use super::engines::clamd::{self, ClamdEngine};
use super::engines::signatures::SignaturesEngine;
use super::inspection;
use super::jail::{Jail, Jailed, KEY_BYTES, Tools};
use super::self_test;
use sluse_host::config::Zone;
use sluse_protocol::finding::EngineReport;
use sluse_protocol::roles::{EngineFailure, InspectRequest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How soon engines are tested again when all are well.
const WELL: Duration = Duration::from_secs(600);

/// How soon when one is missing.
const MISSING: Duration = Duration::from_secs(60);

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
    failing: Vec<EngineFailure>,
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
        if self.tested().failing.is_empty() { WELL } else { MISSING }
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
        let signatures = tested.add("signatures", signatures).then_some(good).flatten();
        tested.add("file-type", Ok(Jailed::new(Tools { jail: Arc::clone(jail), key, signatures })));
        if zone.clamd_socket().is_some() {
            let jail = Arc::clone(jail);
            let settings = &zone.settings.inspect;
            let timeout = Duration::from_secs(u64::from(settings.engine_timeout_seconds.max(1)));
            let clamd = ClamdEngine::connect(clamd::Settings {
                dial: Arc::new(move || jail.engine()),
                max_bytes: settings.clamd_max_bytes,
                timeout,
            });
            let official = clamd.as_ref().is_ok_and(ClamdEngine::has_official_signatures);
            tested.full_malware_engine = tested.add("clamd", clamd) && official;
        }
        tested
    }

    fn add<E: Engine + 'static>(&mut self, name: &str, engine: Result<E, String>) -> bool {
        let passed = engine.and_then(|engine| self_test::run(&engine).map(|()| engine));
        let good = passed.is_ok();
        match passed {
            Ok(engine) => self.engines.push(Arc::new(engine)),
            Err(reason) => self.failing.push(EngineFailure { engine: name.to_owned(), reason }),
        }
        good
    }

    /// What `control` is told.
    pub fn report(&self) -> InspectRequest {
        let engines: Vec<EngineReport> =
            self.engines.iter().map(|engine| inspection::report(engine.as_ref())).collect();
        let (failing, full_malware_engine) = (self.failing.clone(), self.full_malware_engine);
        InspectRequest::Engines { engines, failing, full_malware_engine }
    }

    fn log(&self) {
        for engine in &self.engines {
            tracing::info!(engine = engine.name(), version = engine.version(), "engine passed its self-test");
        }
        for failure in &self.failing {
            tracing::error!(engine = failure.engine, reason = failure.reason, "ENGINE FAILED ITS SELF-TEST");
        }
        if !self.full_malware_engine {
            tracing::warn!(
                "THIS ZONE HAS NO FULL MALWARE ENGINE: only file types and the signature folder are checked"
            );
        }
    }
}
