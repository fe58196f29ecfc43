//! Confinement of a role from inside: what it may open, which system calls it has, which privileges it keeps.
//!
//! Three layers, each a table with reasons: [`filesystem`] (Landlock: paths, TCP, signals), [`calls`] (seccomp) and
//! [`privileges`] (capabilities, limits, no-new-privileges). All of it binds the calling thread and those that it starts,
//! which is why it happens while there is only one. `stat` of a path that a role may not open is not prevented by
//! Landlock, nor are datagrams on the UDP socket that `receive` inherits.

mod calls;
mod filesystem;
mod privileges;

use crate::RoleError;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::cell::RefCell;
use std::io;

type Deferred = Box<dyn FnOnce() -> io::Result<()>>;

thread_local! {
    /// What waits for [`apply`].
    static DEFERRED: RefCell<Vec<Deferred>> = const { RefCell::new(Vec::new()) };
}

/// Leaves something to be done at the end of [`apply`]: starting a thread, for instance, which must not be before.
pub fn when_confined(then: impl FnOnce() -> io::Result<()> + 'static) {
    DEFERRED.with_borrow_mut(|deferred| deferred.push(Box::new(then)));
}

/// Takes from this process, and every thread that it starts from here on, what `role` never needs. To be called after
/// keys are read and sockets opened, before any thread is started.
///
/// # Errors
/// When the kernel cannot, and the role must therefore not run.
pub fn apply(role: Role, zone: &Zone) -> Result<(), RoleError> {
    refuse_threads()?;
    privileges::drop_all(role, zone)?;
    let landlock = filesystem::restrict(role, zone)?;
    calls::restrict(role, zone.clamd_socket().is_some())?;
    tracing::info!(%role, landlock, "confined");
    for then in DEFERRED.take() {
        then().map_err(RoleError::io("starting what waited for confinement"))?;
    }
    Ok(())
}

/// A thread that runs already would keep all that this one gives up.
fn refuse_threads() -> Result<(), RoleError> {
    let threads =
        std::fs::read_dir("/proc/self/task").map_err(RoleError::io("counting this process's threads"))?.count();
    if threads == 1 {
        return Ok(());
    }
    Err(RoleError::Unsafe(format!("{threads} threads run before the process is confined, where one may")))
}
