//! Lists of the system calls that a process has: these and no others. Whoever makes another is killed, and so named as the reason.
//!
//! `daemon/tests/calls` traces both processes and finds each entry used.

use super::calls::{install, masked, when};
use crate::RoleError;
use nix::libc::{self, c_int, c_long};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;

/// A system call, and why a process has it.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Its number.
    pub call: c_long,
    /// With which arguments.
    pub with: With,
    /// Why.
    pub reason: &'static str,
}

/// With which arguments a call is allowed.
#[derive(Debug, Clone, Copy)]
pub enum With {
    /// Any.
    Any,
    /// Those for which all of this holds.
    All(&'static [Argument]),
    /// The caller's own process as the first.
    Itself,
}

/// What must hold of one argument, of which the lower 32 bits count.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Which, from 0.
    pub index: u8,
    /// The bits that count.
    pub mask: u32,
    /// What these are.
    pub value: u32,
}

/// An argument that is this number.
pub const fn is(index: u8, value: c_int) -> Argument {
    bits(index, u32::MAX, value)
}

/// An argument of which the bits of `mask` are those of `value`.
pub const fn bits(index: u8, mask: u32, value: c_int) -> Argument {
    Argument { index, mask, value: value.cast_unsigned() }
}

/// Calls that are allowed whatever their arguments, for one reason.
pub const fn any(call: c_long, reason: &'static str) -> Allowed {
    Allowed { call, with: With::Any, reason }
}

/// A call that is allowed where all of `arguments` holds.
pub const fn when_all(call: c_long, arguments: &'static [Argument], reason: &'static str) -> Allowed {
    Allowed { call, with: With::All(arguments), reason }
}

impl Allowed {
    /// Whether it allows a call of process `pid`.
    pub fn covers(&self, pid: u32, call: c_long, arguments: &[u64]) -> bool {
        let holds = |argument: &Argument| {
            let given = arguments.get(usize::from(argument.index)).copied().unwrap_or_default();
            given & u64::from(argument.mask) == u64::from(argument.value)
        };
        self.call == call
            && match self.with {
                With::Any => true,
                With::All(all) => all.iter().all(holds),
                With::Itself => holds(&Argument { index: 0, mask: u32::MAX, value: pid }),
            }
    }

    fn rule(&self) -> Result<Option<SeccompRule>, BackendError> {
        let condition = |argument: &Argument| masked(argument.index, argument.mask.into(), argument.value.into());
        let conditions = match self.with {
            With::Any => return Ok(None),
            With::All(all) => all.iter().map(condition).collect::<Result<Vec<_>, _>>()?,
            With::Itself => vec![masked(0, u32::MAX.into(), std::process::id().into())?],
        };
        when(&conditions).map(Some)
    }
}

/// Leaves this thread the calls in `list`.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict(list: &[Allowed]) -> Result<(), RoleError> {
    let program = program(list).map_err(|error| RoleError::State(error.to_string()))?;
    install(&program)
}

fn program(list: &[Allowed]) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    for allowed in list {
        rules.entry(allowed.call).or_default().extend(allowed.rule()?);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

const MEMORY: &str = "to give memory back and to grow what it has, within its limit";
const SIGNAL: &str = "to end by a signal that tells why: memory that ends, a stack that overflows";
const END: &str = "to end";

/// What a parser has.
pub const PARSER: &[Allowed] = &[
    when_all(libc::SYS_read, &[is(0, 0)], "what it is given"),
    when_all(libc::SYS_write, &[is(0, 0)], "what it says"),
    when_all(
        libc::SYS_write,
        &[is(0, 2)],
        "last words, which fail as standard error is closed: what must abort aborts",
    ),
    when_all(
        libc::SYS_mmap,
        &[is(4, -1), bits(2, libc::PROT_EXEC as u32, 0)],
        "memory that is no file's and never code",
    ),
    any(libc::SYS_brk, MEMORY),
    any(libc::SYS_munmap, MEMORY),
    any(libc::SYS_mremap, MEMORY),
    when_all(
        libc::SYS_futex,
        &[bits(1, 0x7f, libc::FUTEX_WAKE)],
        "what is made once wakes whoever waits for it: nobody does, and nobody may wait",
    ),
    any(libc::SYS_rt_sigaction, SIGNAL),
    any(libc::SYS_rt_sigprocmask, SIGNAL),
    any(libc::SYS_rt_sigreturn, SIGNAL),
    any(libc::SYS_getpid, SIGNAL),
    any(libc::SYS_gettid, SIGNAL),
    Allowed { call: libc::SYS_tgkill, with: With::Itself, reason: SIGNAL },
    any(libc::SYS_sigaltstack, END),
    any(libc::SYS_exit_group, END),
];

/// The call behind `poll`, which newer architectures have not.
#[cfg(target_arch = "x86_64")]
const POLL: c_long = libc::SYS_poll;
#[cfg(not(target_arch = "x86_64"))]
const POLL: c_long = libc::SYS_ppoll;

/// What the process that takes leases has. None by which it could get more memory than it has when it is confined.
pub const LEASE: &[Allowed] = &[
    any(POLL, "to wait for a question"),
    any(libc::SYS_restart_syscall, "to wait on after it was stopped and continued"),
    any(libc::SYS_recvmsg, "the question, and the files that come with it"),
    when_all(libc::SYS_fcntl, &[is(1, libc::F_SETLEASE)], "what it is for"),
    #[cfg(debug_assertions)]
    when_all(
        libc::SYS_fcntl,
        &[is(1, libc::F_GETFD)],
        "a program that was built to be debugged looks before it closes",
    ),
    any(libc::SYS_sendto, "its answer; that it goes on, to the service manager"),
    any(libc::SYS_close, "the files"),
    when_all(libc::SYS_write, &[is(0, 2)], "its log"),
    any(libc::SYS_sigaltstack, END),
    any(libc::SYS_munmap, END),
    any(libc::SYS_exit_group, END),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_counts_by_its_bits_and_the_rest_by_the_call() {
        const MEMORY: Allowed = when_all(libc::SYS_mmap, &[is(4, -1), bits(2, libc::PROT_EXEC as u32, 0)], "");
        let no_file = u64::from(u32::MAX);
        assert!(MEMORY.covers(1, libc::SYS_mmap, &[0, 4096, 3, 0x22, no_file, 0]));
        assert!(!MEMORY.covers(1, libc::SYS_mmap, &[0, 4096, 5, 0x22, no_file, 0]));
        assert!(!MEMORY.covers(1, libc::SYS_mmap, &[0, 4096, 3, 0x22, 3, 0]));
        assert!(!MEMORY.covers(1, libc::SYS_munmap, &[0, 4096, 3, 0x22, no_file, 0]));
        let itself = Allowed { call: libc::SYS_tgkill, with: With::Itself, reason: "" };
        assert!(itself.covers(7, libc::SYS_tgkill, &[7, 7, 6]) && !itself.covers(7, libc::SYS_tgkill, &[1, 7, 6]));
    }
}
