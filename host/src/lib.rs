//! Thin IO that Sluse's daemon, sender and command line share. No decision is made here: those live in `sluse-protocol`.

pub mod clock;
pub mod config;
pub mod files;
pub mod keys;
pub mod layout;
pub mod logging;
pub mod quic;
pub mod random;
pub mod reset;
pub mod rpc;
pub mod udp;
