//! What `inspect` answers: identities that it made, transfers that it took over, what it saw, what it destroyed.

use super::documents::Which;
use super::failure::{Failure, refuse};
use super::live::{Engines, LinkId};
use super::releases::{self, AUTOMATIC};
use super::shared::{Control, is_recipient};
use super::store::transfers::{self, Transfer};
use super::store::{Who, Write, agreements, identities, transition};
use super::syncs;
use super::syncs::changes::{self, Lacking};
use super::work::Task;
use serde_json::json;
use sluse_protocol::finding::{Class, EngineReport, Finding, Report};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::{MAX_FINDINGS, MAX_REASON_BYTES};
use sluse_protocol::path::DataPath;
use sluse_protocol::policy::{self, Decision};
use sluse_protocol::receipt::DecisionRecord;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{FaultCause, InspectOutcome, QuickTask};
use sluse_protocol::transfer::{Event, State};

/// Engines of one report.
const MAX_ENGINES: usize = 32;

/// Bytes of an engine's name, version and the like.
const MAX_WORD_BYTES: usize = 200;

/// Identities of one answer.
const MAX_IDENTITIES: usize = 100;

/// Bytes of a wrapped identity; a real one has about 300.
const MAX_WRAPPED_BYTES: usize = 16 * 1024;

/// Notes which engines are there. A zone without a full malware engine says so each time.
pub fn engines(control: &Control, engines: Engines) -> Result<(), Failure> {
    if engines.there.len() > MAX_ENGINES || engines.failing.len() > MAX_ENGINES {
        return refuse(Code::Invalid, "too many engines");
    }
    if engines.full_malware_engine != Some(true) {
        tracing::warn!(
            code = super::health::NO_FULL_MALWARE_ENGINE,
            "no full malware engine: only built-in signatures and file types are checked"
        );
    }
    for failing in &engines.failing {
        tracing::warn!(engine = failing.engine, reason = failing.reason, "an engine cannot be used");
    }
    control.live.set_engines(engines);
    Ok(())
}

/// Adds new identities to the pool.
pub fn identities(control: &Control, link: LinkId, recipients: &[String]) -> Result<(), Failure> {
    if recipients.len() > MAX_IDENTITIES || !recipients.iter().all(|recipient| is_recipient(recipient)) {
        return refuse(Code::Invalid, "at most 100 age recipients");
    }
    control.store.write(|write| recipients.iter().try_for_each(|recipient| identities::add(write, recipient)))?;
    control.work.done(link, &Task::Mint);
    Ok(())
}

/// A transfer was taken over, and is received from now on; or it could not be.
pub fn taken(control: &Control, link: LinkId, id: &TransferId, refused: Option<Refusal>) -> Result<(), Failure> {
    let task = Task::TakeOver(id.clone());
    match refused {
        Some(refusal) if refusal.is_temporary() || refusal.code == Code::Internal => {
            control.work.failed(link, task, FaultCause::Retrying, &refusal.message, control.store.now());
            return Ok(());
        }
        Some(refusal) => {
            tracing::info!(transfer = %id, code = refusal.code.as_str(), "seal refused");
            control.store.write(|write| {
                let transfer = transfers::get(&write.sql, id)?;
                if transfer.state == State::Receiving {
                    transfers::set_unsealed(write, id, &refusal)?;
                }
                Ok(())
            })?;
        }
        None => control.store.write(|write| {
            let transfer = transfers::get(&write.sql, id)?;
            if transfer.state == State::Receiving && transfer.seal.is_some() {
                super::seals::commit(write, &transfer)?;
            }
            Ok(())
        })?,
    }
    control.work.done(link, &task);
    Ok(())
}

/// An inspection ended: with a fault it is tried again, else the transfer goes on in one step.
pub fn inspected(
    control: &Control,
    link: LinkId,
    id: &TransferId,
    outcome: InspectOutcome,
    findings: &[u8],
) -> Result<(), Failure> {
    let task = Task::Inspect(id.clone());
    let judged = match outcome {
        InspectOutcome::Fault { reason } => {
            control.work.failed(link, task, FaultCause::Retrying, &reason, control.store.now());
            return Ok(());
        }
        InspectOutcome::Integrity { reason, file } => fail(control, id, &reason, file),
        InspectOutcome::Report { report } => judge(control, id, report, findings),
    };
    match judged {
        Ok(()) => {
            control.work.done(link, &task);
            // A worker is free: what waited for one may begin.
            control.store.wake.bump();
        }
        Err(failure) => {
            let reason = failure.to_string();
            control.work.failed(link, task, FaultCause::Retrying, &reason, control.store.now());
            return Err(failure);
        }
    }
    Ok(())
}

/// What arrived is not what was declared.
fn fail(control: &Control, id: &TransferId, reason: &str, file: Option<DataPath>) -> Result<(), Failure> {
    let message: String = reason.chars().filter(|c| !c.is_control()).take(300).collect();
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        if transfer.state != State::Inspecting {
            return Ok(());
        }
        if let Some(file) = file {
            keep_failed_file(write, &transfer, file)?;
        }
        transfers::set_reason(write, id, Some(&Refusal::new(Code::DigestMismatch, message)))?;
        let details = json!({"code": Code::DigestMismatch.as_str()});
        transition::apply(write, id, Event::Fail, &Who::Inspect, details)?;
        Ok(())
    })
}

/// Which file it was stands among the findings, where operators see it; logs and reasons name no file.
fn keep_failed_file(write: &Write<'_>, transfer: &Transfer, file: DataPath) -> Result<(), Failure> {
    let Some(seal) = &transfer.seal else { return Ok(()) };
    let finding = Finding {
        engine: "digests".into(),
        class: Class::Malformed,
        file: Some(file),
        offset: None,
        message: "its digest is not the declared one".into(),
    };
    let findings = serde_json::to_vec(&[finding]).map_err(|_| Failure::broken("a finding cannot be written"))?;
    let report = Report {
        transfer: transfer.id.clone(),
        manifest: seal.manifest_sha256,
        files: 0,
        engines: Vec::new(),
        counts: [(Class::Malformed, 1)].into(),
        findings: Vec::new(),
    };
    transfers::set_report(write, &transfer.id, &report, &findings)
}

/// Keeps the report and decides by it.
fn judge(control: &Control, id: &TransferId, mut report: Report, findings: &[u8]) -> Result<(), Failure> {
    report.findings = read_findings(findings)?;
    check_report(&report, id)?;
    let lacking = changes::compare(control, id)?;
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        if transfer.state != State::Inspecting {
            // Cancelled meanwhile, or reported before by a connection that has ended since.
            return Ok(());
        }
        if let Some(lacking) = &lacking
            && syncs::before(&write.sql, &transfer)?.is_none_or(|current| current.id != lacking.current)
        {
            return refuse(Code::Unavailable, "another version came into the room meanwhile");
        }
        transfers::set_report(write, id, &report, findings)?;
        decide(write, &transfer, &report, lacking.as_ref())
    })
}

fn decide(
    write: &mut Write<'_>,
    transfer: &Transfer,
    report: &Report,
    lacking: Option<&Lacking>,
) -> Result<(), Failure> {
    let Some(seal) = &transfer.seal else {
        return Err(Failure::broken(format!("transfer {} is inspected and not sealed", transfer.id)));
    };
    let stored = agreements::get(&write.sql, &transfer.agreement)?;
    let decision = policy::decide(&stored.agreement, seal.manifest_sha256, transfer.totals.files, report);
    let objection = stored.agreement.sync.as_ref().zip(lacking).and_then(|(sync, lacking)| lacking.objection(sync));
    let decision = match (decision, objection) {
        (Decision::Release(_), Some(objection)) => Decision::Hold(objection),
        (decision, _) => decision,
    };
    let details = json!({
        "manifest": seal.manifest_sha256,
        "engines": report.engines.iter().map(|engine| &engine.engine).collect::<Vec<_>>(),
        "findings": report.counts,
    });
    let by_rule = |reason: String| DecisionRecord { rule: AUTOMATIC.into(), by: None, reason };
    let id = &transfer.id;
    let event = match decision {
        Decision::Reject(reason) => {
            transfers::set_reason(write, id, Some(&Refusal::new(Code::Rejected, reason.clone())))?;
            transfers::set_decision(write, id, &by_rule(reason), None)?;
            Event::Reject
        }
        Decision::Hold(reason) => {
            transfers::set_reason(write, id, Some(&Refusal::new(Code::Held, reason)))?;
            Event::Hold
        }
        Decision::Release(_) => {
            let why = releases::obstacle(&write.sql, transfer, write.now)?;
            transfers::set_reason(write, id, why.as_ref().map(releases::held_for).as_ref())?;
            // What waits for its agreement alone is decided: it is released when that is resumed.
            if why.as_ref().is_none_or(|why| why.code == Code::AgreementSuspended) {
                transfers::set_decision(write, id, &by_rule("every required engine read every file".into()), None)?;
            }
            if why.is_none() { Event::Release } else { Event::Hold }
        }
    };
    transition::apply(write, id, event, &Who::Control, details)?;
    Ok(())
}

fn read_findings(json: &[u8]) -> Result<Vec<Finding>, Failure> {
    let findings = if json.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice::<Vec<Finding>>(json) };
    // The parser's message could quote a path.
    let Ok(findings) = findings else { return refuse(Code::Invalid, "the findings are not a list of findings") };
    let long = |finding: &Finding| finding.engine.len() > MAX_WORD_BYTES || finding.message.len() > MAX_REASON_BYTES;
    if findings.len() > MAX_FINDINGS || findings.iter().any(long) {
        return refuse(Code::Invalid, "too many findings, or too long ones");
    }
    Ok(findings)
}

fn check_report(report: &Report, id: &TransferId) -> Result<(), Failure> {
    let long = |engine: &EngineReport| {
        let above = engine.above_limit.iter().flat_map(|above| &above.read_by);
        let mut words = [&engine.engine, &engine.version, &engine.signatures].into_iter().chain(above);
        words.clone().count() > 3 + MAX_ENGINES || words.any(|word| word.len() > MAX_WORD_BYTES)
    };
    if report.transfer != *id {
        return refuse(Code::Invalid, "the report is about another transfer");
    }
    if report.engines.len() > MAX_ENGINES || report.engines.iter().any(long) {
        return refuse(Code::Invalid, "too many engines in the report, or too long words");
    }
    Ok(())
}

/// A quick task was not done, and is to be tried again.
pub fn not_done(control: &Control, link: LinkId, task: QuickTask, cause: FaultCause, reason: &str) {
    let task = match task {
        QuickTask::Mint => Task::Mint,
        QuickTask::Wrap { transfer } => Task::Wrap(transfer),
        QuickTask::Purge { transfer } => Task::Purge(transfer),
    };
    control.work.failed(link, task, cause, reason, control.store.now());
}

/// An identity was re-wrapped to `deliver`.
pub fn wrapped(control: &Control, link: LinkId, id: &TransferId, identity: &[u8]) -> Result<(), Failure> {
    let task = Task::Wrap(id.clone());
    if identity.is_empty() || identity.len() > MAX_WRAPPED_BYTES {
        control.work.failed(
            link,
            task,
            FaultCause::Retrying,
            "the identity could not be re-wrapped",
            control.store.now(),
        );
        return refuse(Code::Invalid, "that is no wrapped identity");
    }
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        // Held again meanwhile: what was wrapped is not kept.
        if matches!(transfer.state, State::Released | State::Delivering) {
            transfers::set_wrapped(write, id, identity, &control.deliver_recipient)?;
        }
        Ok(())
    })?;
    control.work.done(link, &task);
    Ok(())
}

/// Identity and bytes are destroyed. What names files goes too, except for what was delivered: the register needs it. It
/// goes before the state says so; after a crash in between it is gone already when `inspect` tells again.
///
/// # Errors
/// When the transfer was not to be purged, or something cannot be removed.
pub fn purged(control: &Control, link: LinkId, id: &TransferId) -> Result<(), Failure> {
    let task = Task::Purge(id.clone());
    let noted = note_purged(control, id);
    match &noted {
        Ok(()) => control.work.done(link, &task),
        Err(failure) => {
            control.work.failed(link, task, FaultCause::Retrying, &failure.to_string(), control.store.now());
        }
    }
    noted
}

fn note_purged(control: &Control, id: &TransferId) -> Result<(), Failure> {
    let transfer = control.store.read(|sql| transfers::get(sql, id))?;
    if transfer.state != State::Purged {
        if transfer.purge_after.is_none_or(|due| due > control.store.now()) {
            return refuse(Code::WrongState, format!("transfer {id} was not to be purged"));
        }
        // The identity that was wrapped to `deliver` went from its row when the transfer was settled.
        control.store.forget_deleted()?;
        control.documents.remove(id, Which::Plan)?;
        control.documents.remove(id, Which::Changes)?;
        if !transfer.may_be_disclosed() {
            control.documents.remove(id, Which::Manifest)?;
        }
        if !transfer.may_be_disclosed() || transfer.part.is_none() {
            // Of a release that was withdrawn, perhaps.
            control.documents.remove(id, Which::Part)?;
        }
        control.store.write(|write| {
            if !transfer.may_be_disclosed() {
                transfers::clear_findings(write, id)?;
            }
            let mut details = json!({"identity": transfer.identity});
            // It was retained after the role had begun: what is gone is gone, and the log says so.
            if transfers::get(&write.sql, id)?.retained.is_some() {
                details["retained"] = true.into();
            }
            transition::apply(write, id, Event::Purge, &Who::Control, details)
        })?;
    }
    Ok(())
}
