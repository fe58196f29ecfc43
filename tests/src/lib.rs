//! What the end to end tests share: a landing zone made of the real binaries, sources, data, and faults.

pub mod proxy;
