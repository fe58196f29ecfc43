//! Privileges that a role gives up: capabilities, core dumps, being traced, gaining anything by exec.

use crate::RoleError;
use crate::sys::{self, CAP_LEASE, Capabilities};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Descriptors that a role may have open: connections, transfers' files and requests, with room.
const MAX_DESCRIPTORS: u64 = 8192;

/// Gives them up for good.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all(role: Role, zone: &Zone) -> Result<(), RoleError> {
    limit().map_err(RoleError::io("limiting resources"))?;
    let kept = kept_capabilities(role, zone)?;
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

/// `inspect` proves with a lease that nobody can write to a sealed file any more. The kernel grants one on another user's
/// file only with `CAP_LEASE`; where `receive` and `inspect` are one user, no role keeps any capability.
fn kept_capabilities(role: Role, zone: &Zone) -> Result<Capabilities, RoleError> {
    if role != Role::Inspect {
        return Ok(Capabilities::NONE);
    }
    let incoming = zone.layout.incoming().metadata().map_err(RoleError::io("the quarantine's incoming folder"))?;
    if incoming.uid() == Uid::effective().as_raw() {
        return Ok(Capabilities::NONE);
    }
    let lease = Capabilities::only(CAP_LEASE);
    let has = sys::permitted_capabilities().map_err(RoleError::io("reading capabilities"))?;
    if has.contain(lease) {
        return Ok(lease);
    }
    Err(RoleError::Unsafe(
        "inspect is another user than receive and lacks CAP_LEASE, by which it sees who still writes".into(),
    ))
}
