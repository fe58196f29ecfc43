//! The `control` role: decides, remembers and signs. It never touches dataset bytes or the network.
//!
//! Three kinds of peers ask, each on a socket and a thread of its own, and each request is handled by one function from
//! here on:
//!
//! ```text
//! receive  ─ links::receive ─ enrolment, offers, seals ──┐
//! inspect  ─ links::inspect ─ tasks, inspections ────────┤
//! deliver  ─ links::deliver ─ tasks, deliveries ─────────┼─ store::write ─ transition, audit, receipts
//! a person ─ operators ────── acts, questions, health ───┤
//! monitors ─ metrics ──────── numbers ───────────────────┤
//! the clock ───────────────── deadlines ─────────────────┘
//! ```
//!
//! [`store`] is the state, and the only place where a transfer's state changes. What the other roles are to do follows from
//! it ([`tasks`]) and is fetched by them; nothing true lives only in memory.

mod acknowledgements;
mod alerts;
mod archives;
pub mod authority;
mod changes;
mod deadlines;
mod deliveries;
mod documents;
mod endings;
mod enrolment;
mod failure;
mod health;
mod inspections;
mod keys;
mod last_checkpoint;
mod links;
mod live;
mod metrics;
mod offers;
mod operators;
mod parts;
mod people;
mod progress;
mod readings;
mod refused;
mod rehearsal;
mod releases;
mod restored;
mod reviews;
mod seals;
mod server_certificate;
mod shared;
mod snapshot;
mod store;
mod syncs;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uploads;
mod views;
mod wake;
mod withdrawals;
mod work;

use crate::{RoleError, outside};
use rehearsal::Rehearsal;
use shared::Control;
use sluse_host::clock;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

/// Runs the role: answers operators at their socket, and each role whose connected socket arrives on `links`, until
/// `links` ends. Where the zone is a `sandbox`, it refuses what it is asked to refuse.
///
/// # Errors
/// When state or keys cannot be used.
pub fn run(zone: Zone, links: Receiver<(Role, UnixStream)>, sandbox: bool) -> Result<(), RoleError> {
    let rehearsal = sandbox.then(|| Rehearsal::of(&zone.settings.zone.name)).transpose()?;
    let control = Arc::new(Control { rehearsal, ..Control::load(&zone, Box::new(clock::now))? });
    let listener = operators::listen(&zone, &control.people)?;
    let monitors = metrics::listen(&zone, &control.people)?;
    let (alerted, mailer) = (alerts::listen(&zone)?, alerts::reader()?);
    crate::confine::apply(Role::Control, &zone)?;
    let (running, stop) = mpsc::channel();
    let timer = Arc::clone(&control);
    let timer = start("timer", move || deadlines::watch(&timer, &stop))?;
    let following = Arc::clone(&control);
    // Ends with the process too: a checkpoint is replaced in one step.
    start("checkpoint", move || last_checkpoint::follow(&following))?;
    if !control.outside.is_empty() {
        let looking = Arc::clone(&control);
        // Ends with the process: it only reads.
        start("authorities", move || {
            loop {
                std::thread::sleep(outside::LOOK_AGAIN);
                looking.outside.refresh();
            }
        })?;
    }
    let alerting = Arc::clone(&control);
    // Ends with the process.
    start("alerts", move || alerts::serve(&alerting, &alerted, mailer))?;
    let answering = Arc::clone(&control);
    // Ends with the process: what an operator does is one transaction, or has not happened.
    start("operators", move || operators::accept(&answering, &listener))?;
    let counting = Arc::clone(&control);
    // Ends with the process: it changes nothing.
    start("metrics", move || metrics::accept(&counting, &monitors))?;
    for (role, stream) in links {
        links::serve(&control, role, stream);
    }
    drop(running);
    if timer.join().is_err() {
        tracing::error!("the timer panicked");
    }
    if let Err(failure) = control.progress.flush(&control.store) {
        tracing::warn!(%failure, "progress was not written down: receive tells it again");
    }
    if let Err(error) = control.last_checkpoint.write(&control.store) {
        tracing::error!(%error, "the last checkpoint was not written down: the one before stands");
    }
    Ok(())
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, RoleError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(RoleError::io(format!("the {name} thread")))
}
