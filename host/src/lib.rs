//! Thin IO that Sluse's daemon, sender and command line share. No decision is made here: those live in `sluse-protocol`.

pub mod clock;
pub mod config;
pub mod files;
#[cfg(unix)]
mod journal;
pub mod keys;
pub mod layout;
pub mod limiter;
#[cfg(unix)]
pub mod logging;
pub mod network;
mod os;
pub mod quic;
pub mod random;
pub mod reset;
#[cfg(unix)]
pub mod rpc;
pub mod udp;

#[cfg(unix)]
pub use os::on_stop;
