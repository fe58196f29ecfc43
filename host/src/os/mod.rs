//! What files, UDP sockets and being stopped ask of the operating system beyond the standard library: all of it but what only zones need
//! (role sockets, the journal), in one place.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::on_stop;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
