//! The jail with inmates that misbehave, as `inspect` uses it: a real nursery, real parsers, the real sockets.
//!
//! This program starts itself as the nursery, and that starts it as a parser, as `slused` does; but its readers are
//! [`inmates`]. After each inmate the next file must go through.

#[cfg(test)]
mod facts;
#[cfg(test)]
#[path = "../harness/mod.rs"]
mod harness;
#[cfg(test)]
mod inmates;
#[cfg(test)]
mod product;

#[cfg(test)]
const TESTS: &[harness::Test] = &[
    ("an_inmate_that_tries_what_none_may_is_stopped_and_the_next_file_goes_through", facts::forbidden),
    ("an_inmate_that_eats_10_gib_is_stopped_and_the_next_file_goes_through", facts::eats_memory),
    ("an_inmate_that_overflows_its_stack_is_stopped_and_the_next_file_goes_through", facts::overflows_its_stack),
    ("an_inmate_that_loops_for_ever_is_stopped_and_the_next_file_goes_through", facts::loops),
    ("an_inmate_that_waits_for_ever_is_stopped_and_the_next_file_goes_through", facts::waits),
    ("an_inmate_that_takes_nothing_for_ever_is_stopped_and_holds_up_a_bounded_part_of_its_file", facts::takes_nothing),
    ("an_inmate_that_talks_for_ever_is_stopped_and_the_next_file_goes_through", facts::talks),
    ("an_inmate_that_answers_nonsense_is_stopped_and_the_next_file_goes_through", facts::nonsense),
    ("an_inmate_that_counts_other_bytes_is_stopped_and_the_next_file_goes_through", facts::miscounts),
    ("an_inmate_that_panics_or_ends_is_no_clean_file_and_the_next_file_goes_through", facts::ends),
    ("a_parser_serves_the_files_of_one_transfer_and_no_other", facts::one_transfer),
    ("a_parser_that_may_be_half_spent_is_not_given_the_next_file", facts::spent),
    ("a_transfer_that_loses_parser_after_parser_is_given_up", facts::gives_up),
    ("a_parser_ends_with_whoever_holds_its_lifeline", facts::lifeline),
    ("whoever_asks_for_one_more_parser_than_there_may_be_waits_for_another_to_end", facts::one_more),
    ("where_the_nursery_is_gone_nothing_is_clean", facts::nursery_gone),
    ("inspect_is_connected_to_the_zones_engine_and_to_nothing_else", facts::engines_socket),
    ("the_products_parser_has_nothing_but_its_input_and_takes_no_nonsense", product::parser),
];

fn main() {
    #[cfg(test)]
    if !inmates::asked_for() {
        harness::run(TESTS);
    }
}
