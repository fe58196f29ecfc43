//! The system calls that a parser has: these and no others. Whoever makes another is killed, and so named as the reason why
//! a file was not inspected.

use super::calls::{install, is, masked, when};
use crate::RoleError;
use nix::libc::{self, c_long};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;

/// Allowed whatever the arguments.
const ALLOWED: &[(&str, &[c_long])] = &[
    (
        "to give memory back and to grow what it has, within RLIMIT_AS",
        &[libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap],
    ),
    ("hash tables that cannot be made to collide", &[libc::SYS_getrandom]),
    ("to end", &[libc::SYS_exit_group]),
    (
        "to end by a signal that tells why: memory that ends, a stack that overflows",
        &[
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_getpid,
            libc::SYS_gettid,
        ],
    ),
];

/// Restricts this thread, the parser's only one.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict() -> Result<(), RoleError> {
    let program = program().map_err(|error| RoleError::State(error.to_string()))?;
    install(&program)
}

fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().flat_map(|(_, calls)| *calls).map(|&call| (call, vec![])).collect();
    // What it is given.
    rules.insert(libc::SYS_read, vec![when(&[is(0, 0)?])?]);
    // What it says; and last words on standard error, which is closed: the call fails, and what must abort aborts.
    rules.insert(libc::SYS_write, vec![when(&[is(0, 0)?])?, when(&[is(0, 2)?])?]);
    // Memory that is no file's and never code.
    let no_file = is(4, u64::from(u32::MAX))?;
    let no_code = masked(2, libc::PROT_EXEC as u64, 0)?;
    rules.insert(libc::SYS_mmap, vec![when(&[no_file, no_code])?]);
    // What is made once wakes whoever waits for it. Nobody does, and nobody may wait.
    rules.insert(libc::SYS_futex, vec![when(&[masked(1, 0x7f, libc::FUTEX_WAKE as u64)?])?]);
    // A signal to itself.
    rules.insert(libc::SYS_tgkill, vec![when(&[is(0, u64::from(std::process::id()))?])?]);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}
