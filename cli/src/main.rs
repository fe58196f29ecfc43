//! `sluse`: the command line for sources, operators, rooms and auditors.

fn main() {}
