//! Each role, confined as in production, attempts what it must not, and what it must be able to.
//!
//! This program starts itself once for each role: that process confines itself, then makes the attempts one by one and
//! prints how each ended. An unconfined process makes the same attempts first, so that none passes for being impossible
//! anyway.

#[cfg(test)]
mod attempts;
#[cfg(test)]
#[path = "../harness/mod.rs"]
mod harness;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod verdicts;

/// The tests by name.
#[cfg(test)]
const TESTS: &[harness::Test] = &[
    ("unconfined_every_attempt_succeeds", verdicts::unconfined),
    ("receive_reaches_incoming_and_nothing_else", verdicts::receive),
    ("control_reaches_its_state_and_nothing_else", verdicts::control),
    ("inspect_reaches_the_quarantine_and_nothing_else", verdicts::inspect),
    ("inspect_with_clamd_or_a_scanner_connects_to_nothing_by_itself", verdicts::inspect_with_engines),
    ("deliver_reads_what_is_sealed_and_writes_rooms", verdicts::deliver),
    ("the_nursery_reaches_nothing", verdicts::nursery),
    ("a_process_with_threads_is_not_confined_but_refused", verdicts::threads),
    ("confinement_holds_for_threads_started_later", verdicts::later_threads),
];

fn main() {
    #[cfg(test)]
    if attempts::asked_for() {
        attempts::make();
    } else {
        harness::run(TESTS);
    }
}
