//! The list of system calls that roles do not have, whatever the arguments; `calls` puts it in force. An entry is
//! superfluous where something else denies the call anyway: the tests there try.

use nix::libc::{self, c_long};

/// Calls that no role has, and why.
#[derive(Debug, Clone, Copy)]
pub struct Denied {
    /// Their numbers.
    pub calls: &'static [c_long],
    /// Why.
    pub reason: &'static str,
    /// What else keeps a role from them.
    pub lock: Lock,
}

/// What it would take to make a call, were it not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Nothing: no other layer keeps a role from it.
    Only,
    /// This capability. No role has one; it is listed for whoever gained one by a hole in the kernel.
    Second(&'static str),
}

const fn only(reason: &'static str, calls: &'static [c_long]) -> Denied {
    Denied { calls, reason, lock: Lock::Only }
}

const fn second(capability: &'static str, reason: &'static str, calls: &'static [c_long]) -> Denied {
    Denied { calls, reason, lock: Lock::Second(capability) }
}

/// Denied to every role, whatever the arguments.
pub const DENIED: &[Denied] = &[
    only("no role starts a program", &[libc::SYS_execve, libc::SYS_execveat]),
    only(
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
    only(
        "the view of the file system stays as it is, and nobody gains capabilities in a view of his own",
        &[libc::SYS_unshare, libc::SYS_setns, libc::SYS_open_tree],
    ),
    second(
        "CAP_SYS_ADMIN",
        "the view of the file system stays as it is",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
        ],
    ),
    second("CAP_SYS_CHROOT", "the view of the file system stays as it is", &[libc::SYS_chroot]),
    only(
        "files are opened by path alone, where Landlock sees it",
        &[libc::SYS_name_to_handle_at, libc::SYS_fanotify_init, libc::SYS_mknodat],
    ),
    second(
        "CAP_DAC_READ_SEARCH",
        "files are opened by path alone, where Landlock sees it",
        &[libc::SYS_open_by_handle_at],
    ),
    // Before Linux 6.2 Landlock does not see it, and by `/proc/self/fd` it reaches a file that was moved out of reach: a
    // sealed chunk that `receive` still holds open for reading.
    only("files are cut only by who opened them for writing", &[libc::SYS_truncate]),
    only(
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
            libc::SYS_shmget,
            libc::SYS_semget,
            libc::SYS_msgget,
            libc::SYS_mq_open,
        ],
    ),
    // Without it where the host lets everybody read the kernel's log (`kernel.dmesg_restrict=0`).
    second("CAP_SYSLOG", "the kernel's log is no role's", &[libc::SYS_syslog]),
    only("a role does not slow the clock, nor ask how it is slowed", &[libc::SYS_clock_adjtime, libc::SYS_adjtimex]),
    second("CAP_SYS_TIME", "the machine itself", &[libc::SYS_settimeofday, libc::SYS_clock_settime]),
    second(
        "CAP_SYS_ADMIN",
        "the machine itself",
        &[libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_sethostname, libc::SYS_setdomainname],
    ),
    second("CAP_SYS_BOOT", "the machine itself", &[libc::SYS_reboot, libc::SYS_kexec_load, libc::SYS_kexec_file_load]),
    second(
        "CAP_SYS_MODULE",
        "the machine itself",
        &[libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module],
    ),
    second("CAP_SYS_PACCT", "the machine itself", &[libc::SYS_acct]),
    second("CAP_SYS_TTY_CONFIG", "the terminal on which somebody started the supervisor", &[libc::SYS_vhangup]),
    only(
        "a role stays who it is, whichever users it may still become",
        &[
            libc::SYS_setuid,
            libc::SYS_setgid,
            libc::SYS_setreuid,
            libc::SYS_setregid,
            libc::SYS_setresuid,
            libc::SYS_setresgid,
            libc::SYS_setfsuid,
            libc::SYS_setfsgid,
            libc::SYS_capset,
        ],
    ),
    second("CAP_SETGID", "a role stays who it is", &[libc::SYS_setgroups]),
    #[cfg(target_arch = "x86_64")]
    only("no role makes a process: the older forms of clone", &[libc::SYS_fork, libc::SYS_vfork]),
    #[cfg(target_arch = "x86_64")]
    only("files are opened by path alone: the older form", &[libc::SYS_mknod]),
    #[cfg(target_arch = "x86_64")]
    only("segments of memory that no program of today has", &[libc::SYS_modify_ldt]),
    #[cfg(target_arch = "x86_64")]
    second("CAP_SYS_RAWIO", "the machine's ports", &[libc::SYS_iopl, libc::SYS_ioperm]),
];

/// The numbers of them all.
pub fn listed() -> impl Iterator<Item = c_long> {
    DENIED.iter().flat_map(|denied| denied.calls).copied()
}
