//! System calls that a role does not have (seccomp). What is listed fails with EPERM; nothing is killed, so that a surprise
//! is an error in the log and not a hole in the service.

use super::denied::listed;
use crate::RoleError;
use nix::libc::{self, c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use sluse_protocol::roles::Role;
use std::collections::BTreeMap;

/// Restricts this thread and those that it starts; `outside` says whether the role works with other programs: `inspect` with engines, `deliver`
/// with couriers.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict(role: Role, outside: bool) -> Result<(), RoleError> {
    filter(denied(role, outside).map_err(|error| RoleError::State(error.to_string()))?)
}

fn filter(denied: Rules) -> Result<(), RoleError> {
    // The C library falls back to `clone`, whose flags a filter can see, when `clone3` is not there.
    let absent = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    for (rules, errno) in [(absent, libc::ENOSYS), (denied, libc::EPERM)] {
        let program = compile(rules, errno).map_err(|error| RoleError::State(error.to_string()))?;
        install(&program)?;
    }
    Ok(())
}

/// Restricts the process that mails alerts: as a role, but it connects, by Unix sockets and the internet's.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict_mailer() -> Result<(), RoleError> {
    let rules = || -> Result<Rules, BackendError> {
        // Of everything else as `deliver`, which listens on nothing.
        let mut rules = denied(Role::Deliver, false)?;
        rules.remove(&libc::SYS_connect);
        let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
        let others = families.map(|family| is_not(0, u64::from(family.cast_unsigned())));
        let others = others.into_iter().collect::<Result<Vec<_>, _>>()?;
        rules.insert(libc::SYS_socket, vec![when(&others)?]);
        Ok(rules)
    };
    filter(rules().map_err(|error| RoleError::State(error.to_string()))?)
}

/// Restricts the nursery, and what it starts: as a role, but it starts programs (Landlock says which), gives signals to
/// those (Landlock says to no others), and lets them give up what they have. With an `engine` it connects sockets, of which it
/// can make none.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict_nursery(engine: bool) -> Result<(), RoleError> {
    const NEEDED: &[c_long] = &[
        libc::SYS_execve,
        libc::SYS_capset,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];
    let mut rules: Rules = listed().map(|call| (call, vec![])).collect();
    rules.retain(|call, _| !NEEDED.contains(call));
    // Of sockets as `deliver`, which has none: the standard library makes a pair to hear of a child's start.
    let network = network(Role::Deliver, false).map_err(|error| RoleError::State(error.to_string()))?;
    rules.extend(network);
    if engine {
        rules.remove(&libc::SYS_connect);
    }
    let program = compile(rules, libc::EPERM).map_err(|error| RoleError::State(error.to_string()))?;
    install(&program)
}

/// Puts a filter on this thread and those that it starts.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub(super) fn install(program: &BpfProgram) -> Result<(), RoleError> {
    seccompiler::apply_filter(program)
        .map_err(|error| RoleError::Unsafe(format!("the kernel takes no filter of system calls: {error}")))
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn denied(role: Role, outside: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = listed().map(|call| (call, vec![])).collect();
    let this_process = u64::from(std::process::id());
    // Threads, but no processes.
    rules.insert(libc::SYS_clone, vec![when(&[masked(0, libc::CLONE_THREAD as u64, 0)?])?]);
    // A process may signal itself: `abort` does.
    for call in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo] {
        rules.insert(call, vec![when(&[is_not(0, this_process)?])?]);
    }
    // Limits of this process only.
    rules.insert(libc::SYS_prlimit64, vec![when(&[is_not(0, 0)?, is_not(0, this_process)?])?]);
    // Not to be traced stays so.
    let options = [libc::PR_SET_DUMPABLE, libc::PR_SET_PTRACER].map(|option| u64::from(option.cast_unsigned()));
    rules.insert(libc::SYS_prctl, options.map(|option| when(&[is(0, option)?])).into_iter().collect::<Result<_, _>>()?);
    // Typing at the terminal on which somebody started the supervisor.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| when(&[is(1, request)?]));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    rules.extend(network(role, outside)?);
    Ok(rules)
}

/// What a role may do with sockets besides using those that it has.
fn network(role: Role, outside: bool) -> Result<Rules, BackendError> {
    let unix = libc::AF_UNIX as u64;
    let mut rules = Rules::from([
        // The runtime makes a pair to hear of signals.
        (libc::SYS_socketpair, vec![when(&[is_not(0, unix)?])?]),
        (libc::SYS_bind, vec![]),
        (libc::SYS_listen, vec![]),
        (libc::SYS_connect, vec![]),
        (libc::SYS_socket, vec![]),
    ]);
    if role == Role::Deliver && outside {
        // To couriers of rooms elsewhere.
        rules.remove(&libc::SYS_connect);
    }
    if matches!(role, Role::Inspect | Role::Deliver) && outside {
        // The nursery connects `inspect`'s to clamd or a scanner's relay. No datagrams: those need no connection.
        let others = [is_not(0, unix)?, is_not(1, libc::SOCK_STREAM as u64 | libc::SOCK_CLOEXEC as u64)?];
        rules.insert(libc::SYS_socket, others.map(|other| when(&[other])).into_iter().collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

fn compile(rules: Rules, errno: c_int) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    let mut program = other_numbering(errno);
    program.append(&mut filter.try_into()?);
    Ok(program)
}

/// Refuses the calls of x86-64's other numbering (x32), which a list of numbers would let pass.
fn other_numbering(errno: c_int) -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    let refuse = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The call's number is the first word that a filter sees.
    vec![
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32),
        instruction(RETURN, 0, 0, refuse),
    ]
}

pub(super) fn when(conditions: &[SeccompCondition]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.to_vec())
}

pub(super) fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

pub(super) fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
}

#[cfg(test)]
mod tests;
