//! What the end to end tests share: a landing zone made of the real binaries, sources, data, and a breakable path.

pub mod command;
pub mod data;
pub mod outbox;
pub mod proxy;
pub mod raw;
pub mod source;
pub mod zone;
