//! What the commands of a source's host ask of the operating system beyond the standard library: all of it, in one place.
//! Operators' commands, which run beside the zone, are Linux's.

use sd_notify::NotifyState;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

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

/// Calls `stop` once somebody asks this process to end: SIGTERM or SIGINT.
///
/// # Errors
/// When signals cannot be waited for.
pub fn on_stop(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        });
        stop();
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}
