//! No entry in a list of allowed system calls is superfluous: parsers and the process that takes leases are traced (strace) while
//! they do all that they do, and each entry is found used. That none is missing the same traces show: whoever makes a call that is
//! not listed is killed.

#[cfg(test)]
#[path = "../harness/mod.rs"]
mod harness;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod parser;
#[cfg(test)]
mod trace;

#[cfg(test)]
const TESTS: &[harness::Test] = &[
    ("every_call_that_a_parser_is_allowed_is_made_and_no_other", parser::calls),
    ("every_call_that_the_process_that_takes_leases_is_allowed_is_made_and_no_other", lease::calls),
];

fn main() {
    #[cfg(test)]
    if !parser::asked_for() {
        harness::run(TESTS);
    }
}
