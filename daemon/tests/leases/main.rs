//! The process that says whether anybody can still write to a file, as `inspect` asks it: on a socket of the service manager's, and
//! as a child. As root, since files of another user are what it is for.

#[cfg(test)]
mod facts;
#[cfg(test)]
#[path = "../harness/mod.rs"]
mod harness;

#[cfg(test)]
const TESTS: &[harness::Test] = &[
    ("a_child_sees_who_still_writes_to_files_of_another_user", facts::child),
    ("it_has_one_capability_and_its_socket_and_nothing_else", facts::powers),
    ("a_units_socket_outlives_the_process_and_nobody_is_not_the_answer_meanwhile", facts::unit),
    ("a_question_that_is_none_gets_no_answer_and_the_next_one_does", facts::nonsense),
    ("where_nobody_can_answer_any_more_this_is_known", facts::lost),
    ("the_service_manager_hears_that_it_goes_on", facts::watchdog),
    ("without_the_capability_there_is_no_process_to_ask", facts::incapable),
];

fn main() {
    #[cfg(test)]
    if !facts::asked_for() {
        harness::run(TESTS);
    }
}
