//! What the commands of a source's host ask of the operating system beyond the standard library: all of it, in one place.
//! Operators' commands, which run beside the zone, are Linux's.

use sd_notify::NotifyState;
use std::io;

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// It has begun.
    Ready,
    /// It goes on.
    Alive,
    /// It ends.
    Stopping,
}

/// Tells the service manager, where there is one.
///
/// # Errors
/// When there is one and it cannot be told.
pub fn notify(service: Service) -> io::Result<()> {
    let state = match service {
        Service::Ready => NotifyState::Ready,
        Service::Alive => NotifyState::Watchdog,
        Service::Stopping => NotifyState::Stopping,
    };
    sd_notify::notify(&[state])
}
