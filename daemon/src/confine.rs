//! Confinement of a role from inside: what it may open, which system calls it has, which privileges it keeps.
//!
//! Three layers, each a table with reasons: [`filesystem`] (Landlock: paths, TCP, signals), [`calls`] (seccomp) and
//! [`privileges`] (capabilities, limits, no-new-privileges). [`nursery`] and [`parser`] are the jail of `inspect`'s parsers, [`lease`]
//! is the process that takes leases for it: what a parser or that process may do is not what is left over but what [`allowed`] lists. All of it binds the calling thread and those that it starts,
//! which is why it happens while there is only one. `stat` of a path that a role may not open is not prevented by
//! Landlock, nor are datagrams on the UDP socket that `receive` inherits.

pub mod allowed;
mod calls;
pub mod denied;
mod filesystem;
mod privileges;

use crate::RoleError;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::cell::RefCell;
use std::io;

pub use privileges::ParserLimits;

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
    privileges::drop_all()?;
    let landlock = filesystem::restrict(role, zone)?;
    let outside = match role {
        Role::Inspect => zone.clamd_socket().is_some() || zone.icap_socket().is_some(),
        Role::Deliver => zone.couriers().is_some(),
        Role::Receive | Role::Control => false,
    };
    calls::restrict(role, outside)?;
    tracing::info!(%role, landlock, "confined");
    start_deferred()
}

/// Takes from the process that mails alerts all but what that takes: the files that say where names are found, and connections to the
/// relay's port.
///
/// # Errors
/// As [`apply`].
pub fn mailer(zone: &Zone, port: u16) -> Result<(), RoleError> {
    refuse_threads()?;
    privileges::drop_all()?;
    let landlock = filesystem::restrict_mailer(port, zone.settings.zone.allow_unconfined)?;
    calls::restrict_mailer()?;
    tracing::info!(landlock, "confined");
    start_deferred()
}

fn start_deferred() -> Result<(), RoleError> {
    for then in DEFERRED.take() {
        then().map_err(RoleError::io("starting what waited for confinement"))?;
    }
    Ok(())
}

/// Takes from the nursery all that it does not need to start parsers: it may start this program and nothing else, has no
/// network, and no file but programs' libraries. With an `engine` it may connect sockets that it is handed. `allow_unconfined` is the zone's setting: to go on without Landlock.
///
/// # Errors
/// When the kernel cannot, and no parser may therefore be started.
pub fn nursery(allow_unconfined: bool, engine: bool) -> Result<(), RoleError> {
    refuse_threads()?;
    privileges::drop_for_nursery()?;
    filesystem::restrict_nursery(allow_unconfined)?;
    calls::restrict_nursery(engine)
}

/// Leaves a parser its standard input, on which it reads and answers, and memory up to its limits. Nothing else: no file,
/// no network, no process, no clock.
///
/// # Errors
/// When the kernel cannot, and it must therefore not read.
pub fn parser(limits: &ParserLimits, allow_unconfined: bool) -> Result<(), RoleError> {
    // Its threads cannot be counted, as the nursery may not read /proc; it was started a moment ago and has one.
    filesystem::restrict_parser(allow_unconfined)?;
    privileges::drop_for_parser(limits)?;
    // Last, as it ends the right to do any of this.
    allowed::restrict(allowed::PARSER)
}

/// Leaves the process that takes leases its socket, the files that it is handed, and `CAP_LEASE`. Nothing else: no file that it
/// opens, no network, no process.
///
/// # Errors
/// When the kernel cannot, and it must therefore not answer; when the capability is not there.
pub fn lease(allow_unconfined: bool) -> Result<(), RoleError> {
    refuse_threads()?;
    privileges::drop_for_lease()?;
    filesystem::restrict_lease(allow_unconfined)?;
    allowed::restrict(allowed::LEASE)
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
