//! What is wrong with the zone, and what a person should know.

use super::acknowledgements;
use super::archives;
use super::authority;
use super::deadlines;
use super::endings;
use super::failure::Failure;
use super::releases;
use super::shared::Control;
use super::store::acknowledgements as awaited;
use super::store::transfers::Transfer;
use super::store::{agreements, identities, rooms, sources, transfers};
use super::views;
use sluse_protocol::operator::{Health, HealthProblem};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{FaultCause, Role};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// The code of the warning that only built-in signatures and file types are checked.
pub const NO_FULL_MALWARE_ENGINE: &str = "no-full-malware-engine";

/// Agreements, certificates and ways to rooms that end within so many days are pointed out.
const ENDS_SOON: u16 = 30;

/// The authority that ends within so many days is pointed out: sources that rarely come must move to another one meanwhile.
const AUTHORITY_ENDS_SOON: i64 = 90;

/// A transfer may be in a state in which a role works on it for so many seconds before it is pointed out: hours, since
/// hundreds of gigabytes are read at disk speed.
const TOO_LONG: i64 = 6 * 3600;

/// Problems, and warnings, of one answer: a zone with more has a common cause that is among them.
const MOST: usize = 150;

/// Names listed in one message.
const LISTED: usize = 10;

/// How the zone is.
///
/// # Errors
/// When the database fails.
pub fn health(control: &Control) -> Result<Health, Failure> {
    let now = control.store.now();
    let engines = control.live.engines();
    let mut found = Found::default();
    roles(control, &mut found);
    if control.rehearsal.is_some() {
        let hint = "Nothing of it is worth anything: stop it where it should be a real zone, and start that without `--sandbox`.";
        found.warning("sandbox", "this zone is a sandbox: it refuses what it is asked to refuse".into(), hint);
    }
    check_engines(control, &mut found)?;
    check_transfers(control, now, &mut found)?;
    ending(control, now, &mut found)?;
    authorities(control, now, &mut found);
    unacknowledged(control, &mut found)?;
    space(control, &mut found)?;
    for trouble in control.outside.troubles(now) {
        let list = if trouble.problem { &mut found.problems } else { &mut found.warnings };
        push(list, trouble.code, 1, trouble.message, trouble.hint);
    }
    let (damaged, unread) = archives::troubles(control, now)?;
    damaged.into_iter().for_each(|it| push(&mut found.problems, &it.code, it.count, it.message, &it.hint));
    unread.into_iter().for_each(|it| push(&mut found.warnings, &it.code, it.count, it.message, &it.hint));
    if let Some(trouble) = control.last_checkpoint.trouble() {
        let hint =
            "Until it can, a database that is put back to an older copy shows less: look at the disk of control/.";
        found.problem("checkpoint-not-kept", format!("the last checkpoint cannot be written: {trouble}"), hint);
    }
    Ok(Health {
        zone: control.store.signer.zone.clone(),
        time: now,
        problems: found.problems,
        warnings: found.warnings,
        roles: control.live.roles(),
        engines: engines.there,
        failing_engines: engines.failing,
        transfers: control.store.read(transfers::counts)?.into_iter().collect(),
        audit: control.store.audit_position(),
    })
}

#[derive(Default)]
struct Found {
    problems: Vec<HealthProblem>,
    warnings: Vec<HealthProblem>,
}

impl Found {
    fn problem(&mut self, code: &str, message: String, hint: &str) {
        push(&mut self.problems, code, 1, message, hint);
    }

    fn warning(&mut self, code: &str, message: String, hint: &str) {
        push(&mut self.warnings, code, 1, message, hint);
    }
}

/// `count`: how many things the message is about.
fn push(list: &mut Vec<HealthProblem>, code: &str, count: u64, message: String, hint: &str) {
    if list.len() < MOST {
        list.push(HealthProblem { code: code.into(), count, message, hint: hint.into() });
    }
}

fn roles(control: &Control, found: &mut Found) {
    let there = control.live.roles();
    for role in Role::ALL.iter().filter(|role| !there.contains(role)) {
        let hint = "It is started again by itself; if this lasts, the journal says why it cannot start.";
        found.problem("role-missing", format!("{role} is not connected"), hint);
    }
}

fn check_engines(control: &Control, found: &mut Found) -> Result<(), Failure> {
    let engines = control.live.engines();
    let Some(full) = engines.full_malware_engine else { return Ok(()) };
    if !full {
        let hint = "Install clamd and set inspect.clamd_socket, and require `clamd` in agreements.";
        let message = "no full malware engine: only built-in signatures and file types are checked";
        found.warning(NO_FULL_MALWARE_ENGINE, message.into(), hint);
    }
    for failing in &engines.failing {
        let (engine, reason) = (&failing.engine, &failing.reason);
        if failing.holds_everything {
            let message = format!("EVERYTHING IS HELD: engine {engine} is not to be trusted: {reason}");
            let hint =
                "Mend it, or take it out of sluse.toml; then `sluse inspect-again ID` for what was held meanwhile.";
            found.problem("everything-held", message, hint);
        } else {
            let message = format!("engine {engine} cannot be used: {reason}");
            found.problem("engine-failing", message, "What requires it is held until it is mended.");
        }
    }
    let now = control.store.now();
    for stored in control.store.read(agreements::all)? {
        if views::agreement(&stored, now).status != "active" {
            continue;
        }
        let missing = |engine: &&String| !engines.there.iter().any(|there| there.engine == **engine);
        for engine in stored.agreement.content.engines.iter().filter(missing) {
            let message = format!("agreement {} requires engine {engine}, which is not there", stored.agreement.id);
            found.problem("engine-missing", message, "Everything under this agreement is held until it is there.");
        }
    }
    Ok(())
}

fn check_transfers(control: &Control, now: Timestamp, found: &mut Found) -> Result<(), Failure> {
    for trouble in control.work.troubles() {
        let id = trouble.task.transfer().map(|id| format!(" of {id}")).unwrap_or_default();
        let (task, failures) = (trouble.task.as_str(), trouble.failures);
        let message = format!("{task}{id} failed {failures} times, next at {}: {}", trouble.next, trouble.reason);
        let hint = match trouble.cause {
            FaultCause::Retrying => "It is tried again by itself, at most ten minutes apart.",
            FaultCause::BadGrant => {
                "Nothing was opened. Somebody forges grants, or keys were exchanged: `sluse zone check`, and restart the zone \
                 if trust/ was changed while it ran."
            }
        };
        found.problem(trouble.cause.as_str(), message, hint);
    }
    let states = [State::Received, State::Inspecting, State::Released, State::Delivering, State::Held];
    let waiting = control.store.read(|sql| transfers::all_in(sql, &states))?;
    suspended(control, &waiting, found)?;
    // They are decided, and a person has nothing to do about each of them.
    let others = waiting.iter().filter(|transfer| !releases::waits_for_agreement(transfer));
    let (held, working): (Vec<_>, Vec<_>) = others.partition(|transfer| transfer.state == State::Held);
    let mut overdue = Vec::new();
    for transfer in &held {
        let stored = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?;
        if deadlines::is_decision_overdue(&stored, transfer, now) {
            overdue.push(*transfer);
        }
    }
    if !overdue.is_empty() {
        let message =
            format!("{} wait for a decision for more than half of their time: {}", overdue.len(), list(&overdue));
        push(
            &mut found.problems,
            deadlines::DECISION_OVERDUE,
            overdue.len() as u64,
            message,
            "When `hold_days` are over they expire: `sluse show ID` says why they are held.",
        );
    }
    if !held.is_empty() {
        let hint = "`sluse show ID` says why; `sluse release` or `sluse reject` decides.";
        let message = format!("{} wait for a decision: {}", held.len(), list(&held));
        push(&mut found.warnings, "held", held.len() as u64, message, hint);
    }
    let slow: Vec<_> = working.into_iter().filter(|transfer| transfer.since.plus(TOO_LONG) < now).collect();
    if !slow.is_empty() {
        let hint = "The journal of the role that works on them says more.";
        let message = format!("{} stand still for hours: {}", slow.len(), list(&slow));
        push(&mut found.problems, "slow", slow.len() as u64, message, hint);
    }
    Ok(())
}

fn suspended(control: &Control, waiting: &[Transfer], found: &mut Found) -> Result<(), Failure> {
    for stored in control.store.read(agreements::all)? {
        let (Some(suspended), None) = (&stored.suspended, stored.ended) else { continue };
        let id = &stored.agreement.id;
        let count = waiting.iter().filter(|t| t.agreement == *id && releases::waits_for_agreement(t)).count();
        let message = format!("agreement {id} is suspended since {}; {count} transfers wait for it", suspended.since);
        let hint = "`sluse agreement show ID` says why, `sluse agreement resume ID` lets them go on.";
        found.warning(Code::AgreementSuspended.as_str(), message, hint);
    }
    Ok(())
}

fn list(transfers: &[&Transfer]) -> String {
    let mut names: Vec<String> = transfers.iter().take(LISTED).map(|t| format!("{} ({})", t.id, t.state)).collect();
    if transfers.len() > LISTED {
        names.push("…".into());
    }
    names.join(", ")
}

fn ending(control: &Control, now: Timestamp, found: &mut Found) -> Result<(), Failure> {
    let soon = |time: Timestamp| now <= time && time < now.plus(i64::from(ENDS_SOON) * 86_400);
    for stored in control.store.read(agreements::all)? {
        let Some(ending) = stored.ending(now).filter(|ending| ending.within_days <= ENDS_SOON) else { continue };
        let hint = "The data controller can renew it; `sluse agreement change` makes a new version of it.";
        found.warning(endings::CODE, endings::sentence(&stored.agreement.id, &ending), hint);
    }
    for room in control.store.read(rooms::all)? {
        let Some(until) = room.elsewhere.and_then(|elsewhere| elsewhere.until) else { continue };
        let hint = "Get a new credential or endpoint for its courier, then `sluse room change NAME --until TIME`.";
        if soon(until) {
            found.warning("room-ends", format!("what room {} is reached by ends at {until}", room.name), hint);
        }
        if until < now {
            let message = format!("what room {} is reached by ended at {until}: nothing is delivered there", room.name);
            found.problem("room-ended", message, hint);
        }
    }
    for source in control.store.read(sources::all)? {
        // Of certificates of outside authorities it is not known here when they end.
        let Some(expires) = source.expires.filter(|_| source.status == "enrolled") else { continue };
        if soon(expires) {
            let message = format!("the certificate of source {} ends at {expires}", source.name);
            found.warning("certificate-ends", message, "`sluse source invite` gives it a new one.");
        }
        if expires < now {
            let message = format!("the certificate of source {} ended at {expires}", source.name);
            found.warning("certificate-ended", message, "`sluse source invite` gives it a new one.");
        }
    }
    Ok(())
}

fn authorities(control: &Control, now: Timestamp, found: &mut Found) {
    let expires = control.authority.expires();
    if expires <= now.plus(AUTHORITY_ENDS_SOON * 86_400) {
        let message = format!("the certificate authority ends at {expires}");
        let hint = "`sluse zone rotate ca` makes another one; sources move to it by themselves.";
        found.warning("authority-ends", message, hint);
    }
    if authority::certificates(control.authority.ca_pem()).len() > 1 {
        let hint =
            "When every source has moved to the new one: `sluse zone rotate ca --end-old`, which says who has not.";
        found.warning("old-authority", "an old certificate authority is still in force".into(), hint);
    }
}

fn unacknowledged(control: &Control, found: &mut Found) -> Result<(), Failure> {
    let count = control.store.read(awaited::count_missing)?;
    if count > 0 {
        let message = format!("{count} datasets were delivered and not acknowledged in time");
        let hint = "`sluse transfers --state delivered` names them: ask the rooms' people whether they have them.";
        push(&mut found.warnings, acknowledgements::MISSING, count, message, hint);
    }
    Ok(())
}

fn space(control: &Control, found: &mut Found) -> Result<(), Failure> {
    let keep_free = control.settings.receive.keep_free_bytes;
    if let Some(free) = control.live.free_bytes().filter(|free| *free < keep_free) {
        let message = format!("{free} bytes are free in the quarantine, less than the {keep_free} that stay free");
        found.problem("no-space", message, "Nothing is accepted until there is room: delete or add a disk.");
    }
    if control.live.roles().contains(&Role::Inspect) && control.store.read(identities::unused)? == 0 {
        let hint = "inspect makes them; its journal says why it does not.";
        found.problem("no-identity", "no transfer key is ready: nothing is accepted".into(), hint);
    }
    Ok(())
}
