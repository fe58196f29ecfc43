//! `slused`: see the library.

fn main() {}
