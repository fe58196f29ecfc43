//! Inspects one transfer: every file's digest, and every engine's word on it. Large files are read as they come, small ones side by
//! side ([`lanes`](super::lanes)).

use super::engine::{Engine, FileFacts, Guarded, Seen, Verdict};
use super::findings::Findings;
use super::lanes::{Judged, Lanes, SMALL_FILE, Slot, Slots};
use super::watch::Tested;
use crate::quarantine::ReadError;
use crate::quarantine::dataset::{Dataset, Visitor};
use crate::quarantine::hashed::Hashed;
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Entry;
use sluse_protocol::finding::{AboveLimit, Class, EngineReport, Finding, Report};
use sluse_protocol::ids::TransferId;
use sluse_protocol::roles::EngineFailure;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Reads all of `dataset` with the engines that were `tested`: the report without its findings, and the findings as JSON.
///
/// # Errors
/// When digests do not agree, or something cannot be read.
pub fn inspect(
    dataset: Dataset,
    transfer: &TransferId,
    manifest: Sha256,
    content: &Arc<Content>,
    tested: &dyn Fn() -> Tested,
    slots: &Arc<Slots>,
) -> Result<(Report, Vec<u8>), ReadError> {
    let before = tested();
    let engines: Vec<_> = before.engines.iter().map(|engine| of_transfer(engine, dataset.totals().bytes)).collect();
    let eyes = Eyes::new(content, &engines, slots).map_err(|error| ReadError::fault("threads that inspect", &error))?;
    let mut eyes = Hashed::new(eyes);
    dataset.walk(&mut eyes)?;
    let files = eyes.files();
    let mut eyes = eyes.inner;
    eyes.take_rest()?;
    eyes.look_at_all();
    let after = tested();
    eyes.distrust(before.holding().chain(after.holding()));
    let engines = eyes.looks.into_iter().map(|look| look.report).collect();
    let (counts, json) = eyes.findings.finish();
    let transfer = transfer.clone();
    Ok((Report { transfer, manifest, files, engines, counts, findings: Vec::new() }, json))
}

fn of_transfer(engine: &Arc<dyn Engine>, bytes: u64) -> Arc<dyn Engine> {
    engine.for_transfer(bytes).unwrap_or_else(|| Arc::clone(engine))
}

/// All engines on one dataset.
struct Eyes {
    content: Arc<Content>,
    looks: Vec<Look>,
    findings: Findings,
    slots: Arc<Slots>,
    lanes: Lanes,
    open: Option<Open>,
}

/// The file that comes.
enum Open {
    /// A small one, so far.
    Small(Vec<u8>),
    /// A large one, read by each engine as it comes.
    Large(Vec<Guarded>, Slot),
}

/// One engine on one dataset.
struct Look {
    engine: Arc<dyn Engine>,
    report: EngineReport,
    required: bool,
}

impl Eyes {
    fn new(content: &Arc<Content>, engines: &[Arc<dyn Engine>], slots: &Arc<Slots>) -> io::Result<Self> {
        let mut findings = Findings::new(Arc::clone(content));
        for required in &content.engines {
            if !engines.iter().any(|engine| engine.name() == required) {
                let message = "the agreement requires this engine, and it is not there".to_owned();
                let class = Class::NotInspected;
                findings.add(Finding { engine: required.clone(), class, file: None, offset: None, message });
            }
        }
        let looks = engines.iter().map(|engine| Look::new(engine, &content.engines)).collect();
        let (content, slots) = (Arc::clone(content), Arc::clone(slots));
        Ok(Self { content, looks, findings, lanes: Lanes::start(engines, &slots)?, slots, open: None })
    }

    /// Takes the verdicts that are there, in the files' order.
    fn take_verdicts(&mut self) {
        while let Some(Judged { entry, verdicts }) = self.lanes.take_next() {
            let names = self.looks.iter().map(|look| look.engine.name());
            let read = |(name, verdict): (_, &Verdict)| matches!(verdict, Verdict::Read { .. }).then_some(name);
            let read: Vec<_> = names.zip(&verdicts).filter_map(read).collect();
            for (look, verdict) in self.looks.iter_mut().zip(verdicts) {
                look.end(&entry, verdict, &read, &self.content, &mut self.findings);
            }
        }
    }

    /// Takes the verdicts that are still to come.
    fn take_rest(&mut self) -> Result<(), ReadError> {
        self.lanes.close();
        self.take_verdicts();
        if self.lanes.all_taken() {
            return Ok(());
        }
        Err(ReadError::Fault { reason: "a thread that inspects has died".into() })
    }

    /// Takes what engines saw of all files together.
    fn look_at_all(&mut self) {
        for look in &self.looks {
            for (path, Seen { class, offset, message, .. }) in look.engine.together() {
                let engine = look.report.engine.clone();
                self.findings.add(Finding { engine, class, file: Some(path), offset, message });
            }
        }
    }

    fn facts(&self, entry: &Entry) -> FileFacts {
        FileFacts { path: entry.path.clone(), size: entry.size, content: Arc::clone(&self.content) }
    }

    /// Has the transfer held for engines that were not to be trusted before it was read, or by the time it had been.
    fn distrust<'f>(&mut self, failing: impl Iterator<Item = &'f EngineFailure>) {
        let reasons: BTreeMap<_, _> = failing.map(|failure| (&failure.engine, &failure.reason)).collect();
        for (engine, reason) in reasons {
            let message = format!("nothing is released while this engine is not to be trusted: {reason}");
            let (engine, class) = (engine.clone(), Class::NotInspected);
            self.findings.add(Finding { engine, class, file: None, offset: None, message });
        }
    }
}

impl Look {
    fn new(engine: &Arc<dyn Engine>, required: &[String]) -> Self {
        let report = report(engine.as_ref());
        let required = !engine.optional() || required.contains(&report.engine);
        Self { engine: Arc::clone(engine), report, required }
    }

    /// Takes the verdict on a file, which the engines `read` have read to its end.
    fn end(&mut self, entry: &Entry, verdict: Verdict, read: &[&str], content: &Content, findings: &mut Findings) {
        // An engine may learn of other signatures while it reads.
        self.report.signatures = self.engine.signatures();
        let mut add = |Seen { class, offset, message, by }| {
            let engine = by.map_or_else(|| self.report.engine.clone(), str::to_owned);
            findings.add(Finding { engine, class, file: Some(entry.path.clone()), offset, message });
        };
        match verdict {
            Verdict::Read { seen, .. } => {
                self.report.files += 1;
                seen.into_iter().for_each(add);
            }
            Verdict::NotInspected(reason) if self.required => add(Seen::new(Class::NotInspected, reason)),
            Verdict::AboveLimit(most) if self.required => {
                let too_large = format!("larger than the {most} bytes that this engine is given");
                let suffice = content.above_limit.get(&self.report.engine);
                match suffice.filter(|others| others.iter().all(|other| read.contains(&other.as_str()))) {
                    Some(others) => {
                        let read_by = others.join(", ");
                        let message = format!("{too_large}; as the agreement allows, it was read by: {read_by}");
                        add(Seen::new(Class::AboveLimit, message));
                        let none = || AboveLimit { files: 0, read_by: others.clone() };
                        self.report.above_limit.get_or_insert_with(none).files += 1;
                    }
                    None => add(Seen::new(Class::NotInspected, too_large)),
                }
            }
            // That it read fewer files stands in its report; the agreement does not ask for it.
            Verdict::NotInspected(_) | Verdict::AboveLimit(_) => {}
        }
    }
}

/// What a report says of an engine that has read nothing yet.
pub fn report(engine: &dyn Engine) -> EngineReport {
    let (version, signatures) = (engine.version(), engine.signatures());
    EngineReport { engine: engine.name().to_owned(), version, signatures, files: 0, above_limit: None }
}

impl Visitor for Eyes {
    type Error = ReadError;

    fn folder(&mut self, _: &Entry) -> Result<(), ReadError> {
        Ok(())
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), ReadError> {
        self.open = Some(if entry.size <= SMALL_FILE {
            Open::Small(self.lanes.memory())
        } else {
            let (slot, file) = (self.slots.take(), self.facts(entry));
            Open::Large(self.looks.iter().map(|look| Guarded::begin(look.engine.as_ref(), &file)).collect(), slot)
        });
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        match &mut self.open {
            Some(Open::Small(gathered)) => gathered.extend_from_slice(bytes),
            Some(Open::Large(scans, _)) => scans.iter_mut().for_each(|scan| scan.feed(bytes)),
            None => {}
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry) -> Result<(), ReadError> {
        // `Hashed` comes first and lets no file pass without its digest.
        let digest = entry.sha256.ok_or_else(|| ReadError::of_file("a file has no digest", &entry.path))?;
        match self.open.take() {
            Some(Open::Small(bytes)) => self.lanes.read(entry, self.facts(entry), digest, bytes),
            Some(Open::Large(scans, slot)) => {
                let verdicts = scans.into_iter().map(|scan| scan.finish(&digest)).collect();
                drop(slot);
                self.lanes.judged(Judged { entry: entry.clone(), verdicts });
            }
            None => return Err(ReadError::of_file("a file ends that has not begun", &entry.path)),
        }
        self.take_verdicts();
        Ok(())
    }
}
