//! Privileges that a role gives up: capabilities, core dumps, being traced, gaining anything by exec.

use crate::RoleError;
use crate::sys::{self, CAP_LEASE, Capabilities};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Descriptors that a role may have open: connections, transfers' files and requests, with room.
const MAX_DESCRIPTORS: u64 = 8192;

/// Gives them up for good. No role keeps a capability.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all() -> Result<(), RoleError> {
    limit().map_err(RoleError::io("limiting resources"))?;
    give_up(Capabilities::NONE)
}

/// Gives up everything but what a lease on another user's file takes.
///
/// # Errors
/// When the kernel refuses, or that capability is not there.
pub fn drop_for_lease() -> Result<(), RoleError> {
    limit().map_err(RoleError::io("limiting resources"))?;
    give_up(Capabilities::only(CAP_LEASE))
}

/// Gives up everything for the nursery and all parsers that it starts.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_for_nursery() -> Result<(), RoleError> {
    limit().map_err(RoleError::io("limiting resources"))?;
    // Whoever eats the host's memory shall be the first to go.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::warn!(%error, "the kernel is not told to end a parser rather than anything else when memory ends");
    }
    give_up(Capabilities::NONE)
}

/// What one parser may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserLimits {
    /// Bytes of memory, code and all.
    pub memory: u64,
    /// Processor time in its whole life, seconds.
    pub cpu_seconds: u64,
}

/// Gives up what a parser still has, and closes all but its standard input.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_for_parser(limits: &ParserLimits) -> Result<(), RoleError> {
    sys::close_all_but_standard_input().map_err(RoleError::io("closing what was inherited"))?;
    bound_parser(limits).map_err(RoleError::io("limiting resources"))?;
    give_up(Capabilities::NONE)
}

fn bound_parser(limits: &ParserLimits) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_AS, limits.memory, limits.memory)?;
    // First SIGXCPU, by which the reason is known; a second later SIGKILL.
    setrlimit(Resource::RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds.saturating_add(1))?;
    let none = [
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_NPROC,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_MEMLOCK,
        Resource::RLIMIT_MSGQUEUE,
    ];
    none.into_iter().try_for_each(|resource| setrlimit(resource, 0, 0))?;
    Ok(())
}

fn give_up(kept: Capabilities) -> Result<(), RoleError> {
    sys::keep_only(kept).map_err(RoleError::io("giving up capabilities"))?;
    // Keys are in memory: no core file, no tracing by the same user, nothing in /proc for it to read.
    prctl::set_dumpable(false).map_err(|error| RoleError::io("forbidding core dumps")(error.into()))?;
    prctl::set_no_new_privs().map_err(|error| RoleError::io("forbidding new privileges")(error.into()))?;
    if let Err(error) = sys::deny_writable_code() {
        // Linux before 6.3. Nothing else depends on it.
        tracing::debug!(%error, "the kernel cannot keep memory from becoming code");
    }
    Ok(())
}

fn limit() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let most = hard.min(MAX_DESCRIPTORS);
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(())
}
