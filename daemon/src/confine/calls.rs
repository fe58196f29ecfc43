//! System calls that a role does not have (seccomp). What is listed fails with EPERM; nothing is killed, so that a surprise
//! is an error in the log and not a hole in the service.

use crate::RoleError;
use nix::libc::{self, c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use sluse_protocol::roles::Role;
use std::collections::BTreeMap;

/// Denied to every role, whatever the arguments.
const DENIED: &[(&str, &[c_long])] = &[
    ("no role starts a program", &[libc::SYS_execve, libc::SYS_execveat]),
    (
        "no role looks into another process or steers it",
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_process_mrelease,
            libc::SYS_kcmp,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_send_signal,
            libc::SYS_tkill,
            libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_move_pages,
            libc::SYS_migrate_pages,
        ],
    ),
    (
        "the view of the file system stays as it is",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            libc::SYS_unshare,
            libc::SYS_setns,
        ],
    ),
    (
        "files are opened by path alone, where Landlock sees it",
        &[libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at, libc::SYS_fanotify_init, libc::SYS_mknodat],
    ),
    // Before Linux 6.2 Landlock does not see it, and by `/proc/self/fd` it reaches a file that was moved out of reach: a
    // sealed chunk that `receive` still holds open for reading.
    ("files are cut only by who opened them for writing", &[libc::SYS_truncate]),
    (
        "parts of the kernel that no role uses, and in which holes were found",
        &[
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_personality,
            libc::SYS_quotactl,
            libc::SYS_acct,
            libc::SYS_vhangup,
            libc::SYS_syslog,
            libc::SYS_shmget,
            libc::SYS_semget,
            libc::SYS_msgget,
            libc::SYS_mq_open,
        ],
    ),
    (
        "the machine itself",
        &[
            libc::SYS_reboot,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_adjtimex,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
        ],
    ),
    (
        "a role stays who it is",
        &[
            libc::SYS_setuid,
            libc::SYS_setgid,
            libc::SYS_setreuid,
            libc::SYS_setregid,
            libc::SYS_setresuid,
            libc::SYS_setresgid,
            libc::SYS_setfsuid,
            libc::SYS_setfsgid,
            libc::SYS_setgroups,
            libc::SYS_capset,
        ],
    ),
    #[cfg(target_arch = "x86_64")]
    (
        "older forms of the same, and what only this architecture has",
        &[
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_mknod,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_modify_ldt,
            libc::SYS_uselib,
        ],
    ),
];

/// Restricts this thread and those that it starts; `clamd` says whether the zone has one.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn restrict(role: Role, clamd: bool) -> Result<(), RoleError> {
    // The C library falls back to `clone`, whose flags a filter can see, when `clone3` is not there.
    let absent = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    let denied = denied(role, clamd).map_err(|error| RoleError::State(error.to_string()))?;
    for (rules, errno) in [(absent, libc::ENOSYS), (denied, libc::EPERM)] {
        let program = compile(rules, errno).map_err(|error| RoleError::State(error.to_string()))?;
        install(&program)?;
    }
    Ok(())
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
    let mut rules: Rules = DENIED.iter().flat_map(|(_, calls)| *calls).map(|&call| (call, vec![])).collect();
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

fn denied(role: Role, clamd: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().flat_map(|(_, calls)| *calls).map(|&call| (call, vec![])).collect();
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
    rules.extend(network(role, clamd)?);
    Ok(rules)
}

/// What a role may do with sockets besides using those that it has.
fn network(role: Role, clamd: bool) -> Result<Rules, BackendError> {
    let unix = libc::AF_UNIX as u64;
    let mut rules = Rules::from([
        // The runtime makes a pair to hear of signals.
        (libc::SYS_socketpair, vec![when(&[is_not(0, unix)?])?]),
        (libc::SYS_bind, vec![]),
        (libc::SYS_listen, vec![]),
        (libc::SYS_connect, vec![]),
        (libc::SYS_socket, vec![]),
    ]);
    if role == Role::Inspect && clamd {
        // The nursery connects it to clamd. No datagrams: those need no connection.
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
mod tests {
    use super::*;
    use crate::sys;
    use nix::errno::Errno;

    /// Whether a thread that was restricted gets `expected` for each call with these first arguments, the rest being zero.
    fn restricted(calls: Vec<(c_long, [usize; 2])>, expected: Errno) {
        let attempt = move || {
            restrict(Role::Receive, false).unwrap();
            for (call, arguments) in calls {
                assert_eq!(sys::call(call, arguments), Err(expected), "call {call:#x} with {arguments:?}");
            }
        };
        std::thread::spawn(attempt).join().unwrap();
    }

    #[test]
    fn every_listed_call_is_denied() {
        let calls = DENIED.iter().flat_map(|(_, calls)| *calls);
        restricted(calls.map(|&call| (call, [0, 0])).collect(), Errno::EPERM);
    }

    #[test]
    fn calls_are_denied_by_their_arguments() {
        let not_a_thread = (libc::CLONE_VM | libc::CLONE_FS) as usize;
        let calls = vec![
            (libc::SYS_clone, [0, 0]),
            (libc::SYS_clone, [not_a_thread, 0]),
            (libc::SYS_kill, [1, 0]),
            (libc::SYS_prlimit64, [1, 0]),
            (libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1]),
            (libc::SYS_ioctl, [0, libc::TIOCSTI as usize]),
            (libc::SYS_socket, [libc::AF_UNIX as usize, 1]),
            (libc::SYS_socketpair, [libc::AF_INET as usize, 1]),
        ];
        restricted(calls, Errno::EPERM);
    }

    #[test]
    fn a_file_is_not_cut_by_its_path() {
        restricted(vec![(libc::SYS_truncate, [0, 0])], Errno::EPERM);
    }

    #[test]
    fn the_newer_clone_seems_not_to_be_there() {
        restricted(vec![(libc::SYS_clone3, [0, 0])], Errno::ENOSYS);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_other_numbering_of_calls_is_denied() {
        // `getpid` and `execve`; whichever filter sees them first.
        let calls = [39, 520].map(|call: c_long| (call | 0x4000_0000, [0, 0]));
        restricted(calls.to_vec(), Errno::EPERM);
    }

    #[test]
    fn what_roles_need_passes() {
        let attempt = || {
            restrict(Role::Inspect, true).unwrap();
            assert!(sys::call(libc::SYS_getpid, [0, 0]).is_ok());
            assert!(std::os::unix::net::UnixStream::pair().is_ok());
            assert!(nix::sys::signal::kill(nix::unistd::getpid(), None).is_ok());
            let (unix, stream) = (libc::AF_UNIX as usize, (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as usize);
            assert!(sys::call(libc::SYS_socket, [unix, stream]).is_ok());
            let datagrams = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
            assert_eq!(sys::call(libc::SYS_socket, [unix, datagrams]), Err(Errno::EPERM));
            assert_eq!(sys::call(libc::SYS_connect, [0, 0]), Err(Errno::EPERM));
            std::thread::spawn(|| ()).join().unwrap();
        };
        std::thread::spawn(attempt).join().unwrap();
    }
}
