//! What the usual harness does, in one thread: lists the tests, and runs those that are asked for.

use crate::{attempts, verdicts};

/// The tests by name.
const TESTS: &[(&str, fn())] = &[
    ("unconfined_every_attempt_succeeds", verdicts::unconfined),
    ("receive_reaches_incoming_and_nothing_else", verdicts::receive),
    ("control_reaches_its_state_and_nothing_else", verdicts::control),
    ("inspect_reaches_the_quarantine_and_nothing_else", verdicts::inspect),
    ("inspect_with_clamd_reaches_unix_sockets_besides", verdicts::inspect_with_clamd),
    ("deliver_reads_what_is_sealed_and_writes_rooms", verdicts::deliver),
    ("a_process_with_threads_is_not_confined_but_refused", verdicts::threads),
    ("confinement_holds_for_threads_started_later", verdicts::later_threads),
];

/// Runs attempts when this is a process that was started for them, else tests.
pub fn main() {
    if attempts::asked_for() {
        return attempts::make();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        // No test is ignored.
        let listed = TESTS.iter().filter(|_| !has("--ignored"));
        return listed.for_each(|(name, _)| attempts::say(&format!("{name}: test")));
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |name: &str| {
        filters.iter().any(|&filter| if has("--exact") { filter == name } else { name.contains(filter.as_str()) })
    };
    for (name, test) in TESTS.iter().filter(|(name, _)| filters.is_empty() || chosen(name)) {
        test();
        attempts::say(&format!("test {name} ... ok"));
    }
}
