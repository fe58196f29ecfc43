//! What the end to end tests share: a landing zone made of the real binaries, sources, data, and a breakable path.

pub mod command;
pub mod data;
pub mod link;
pub mod outbox;
pub mod own_etc;
pub mod path;
pub mod pki;
pub mod proxy;
pub mod raw;
pub mod small_disk;
pub mod source;
pub mod trace;
pub mod zone;
