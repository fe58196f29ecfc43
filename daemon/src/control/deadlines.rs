//! The timer: what waited too long expires, what ends soon is told, progress is written down, and what no longer concerns
//! anyone is forgotten.

use super::acknowledgements;
use super::alerts;
use super::endings;
use super::failure::Failure;
use super::releases;
use super::shared::Control;
use super::store::agreements::Stored;
use super::store::transfers::{self, Transfer};
use super::store::{Who, agreements, archives, transition};
use super::withdrawals;
use super::work::Task;
use crate::pulse;
use serde_json::json;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::{Event, State};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often the timer looks.
const TICK: Duration = Duration::from_secs(15);

const DAY: i64 = 86_400;

/// How long a round and the wait before it may take.
const ROUND: Duration = Duration::from_secs(60);

/// Looks at every tick until `stop` ends. It beats the role's pulse: a round needs the database, as everything here does.
pub fn watch(control: &Arc<Control>, stop: &Receiver<()>) {
    let pulse = pulse::of("timer", ROUND);
    while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        if let Err(failure) = tick(control) {
            tracing::error!(%failure, "the timer's round failed; the next one repeats it");
        }
        pulse.beat();
    }
}

/// One round.
///
/// # Errors
/// When the database fails.
pub fn tick(control: &Control) -> Result<(), Failure> {
    control.progress.flush(&control.store)?;
    control.work.take_back_lost(control.store.now());
    expire(control)?;
    withdrawals::ask_of_ended_rooms(control)?;
    escalate(control)?;
    endings::tell(control)?;
    acknowledgements::report_missing(control)?;
    forget_troubles(control)?;
    alerts::look(control)
}

fn expire(control: &Control) -> Result<(), Failure> {
    let now = control.store.now();
    let waiting = control.store.read(|sql| transfers::all_in(sql, &[State::Receiving, State::Held]))?;
    for transfer in waiting {
        let Some(message) = overdue(control, &transfer, now)? else { continue };
        control.store.write(|write| {
            transfers::set_reason(write, &transfer.id, Some(&Refusal::new(Code::Expired, message)))?;
            transition::apply(write, &transfer.id, Event::Expire, &Who::Control, json!({"was": transfer.state}))
        })?;
    }
    Ok(())
}

/// The code of the lines that say that a decision is overdue, and of the problem in `health`.
pub const DECISION_OVERDUE: &str = "decision-overdue";

/// Says of what waits for a person for more than half of the time that it may, that it does: once.
fn escalate(control: &Control) -> Result<(), Failure> {
    let now = control.store.now();
    for transfer in control.store.read(|sql| transfers::all_in(sql, &[State::Held]))? {
        let stored = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?;
        if !is_decision_overdue(&stored, &transfer, now) || transfer.escalated == Some(transfer.since) {
            continue;
        }
        let (id, since) = (&transfer.id, transfer.since);
        tracing::warn!(code = DECISION_OVERDUE, transfer = %id, "held since {since}, and nobody has decided");
        control.store.write(|write| transfers::set_escalated(write, id, since))?;
    }
    Ok(())
}

/// Whether a held transfer waits for a person for more than half of the time that it may.
pub fn is_decision_overdue(stored: &Stored, transfer: &Transfer, now: Timestamp) -> bool {
    let half = i64::from(stored.agreement.retention.hold_days) * DAY / 2;
    !releases::waits_for_agreement(transfer) && transfer.since.plus(half) < now
}

/// Why a transfer is to expire now, if it is.
fn overdue(control: &Control, transfer: &Transfer, now: Timestamp) -> Result<Option<String>, Failure> {
    let passed = |since: Timestamp, days: u32| since.plus(i64::from(days) * DAY) < now;
    Ok(match transfer.state {
        State::Receiving => {
            let days = control.settings.control.receiving_days;
            let last = transfer.since.max(transfer.progressed);
            passed(last, days).then(|| format!("nothing came for {days} days"))
        }
        State::Held => {
            let stored = control.store.read(|sql| agreements::get(sql, &transfer.agreement))?;
            let days = stored.agreement.retention.hold_days;
            let what = match releases::waits_for_agreement(transfer) {
                true => "its agreement was suspended",
                false => "nobody decided",
            };
            let expired = match &control.rehearsal {
                Some(rehearsal) => transfer.since.plus(rehearsal.days(days)) < now,
                None => passed(transfer.since, days),
            };
            expired.then(|| format!("{what} for {days} days"))
        }
        _ => None,
    })
}

/// A failure of a task that no longer follows from its transfer's state is history.
fn forget_troubles(control: &Control) -> Result<(), Failure> {
    let (mut gone, kept) = (Vec::new(), control.store.read(archives::all)?);
    for trouble in control.work.troubles() {
        let Some(id) = trouble.task.transfer() else { continue };
        let state = control.store.read(|sql| transfers::get(sql, id))?.state;
        let to_do = match trouble.task {
            Task::Mint | Task::Look => true,
            Task::TakeOver(_) => state == State::Receiving,
            Task::Inspect(_) => matches!(state, State::Received | State::Inspecting),
            Task::Withdraw(_) => state == State::Delivering,
            Task::Remove(ref id) => control.store.read(|sql| transfers::is_in_room(sql, id))?,
            Task::Wrap(_) | Task::Deliver(_) => matches!(state, State::Released | State::Delivering),
            Task::Purge(_) => state != State::Purged,
            Task::Check(ref id) => kept.iter().any(|archived| archived.transfer == *id),
        };
        if !to_do {
            gone.push(trouble.task);
        }
    }
    control.work.retain(|task| !gone.contains(task));
    Ok(())
}
