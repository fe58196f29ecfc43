//! What roles may not, may, and could if it were not listed.

use super::super::denied::{DENIED, Lock};
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
    restricted(listed().map(|call| (call, [0, 0])).collect(), Errno::EPERM);
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

/// Cannot be tried: these would make a second process of this one, and hang up the terminal of whoever runs the tests.
const UNTRIED: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_vhangup];

/// Kernels may be built without them.
const OPTIONAL: &[c_long] = &[
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];

/// How the kernel ends a call whose arguments are nonsense: flags, addresses and descriptors that there cannot be.
fn nonsense(call: c_long) -> Result<c_long, Errno> {
    match call {
        // All flags together would be taken for want of a capability.
        libc::SYS_fanotify_init => sys::call(call, [libc::FAN_REPORT_FID as usize, 0]),
        // Keys that nobody has; -1 with all flags would make them.
        libc::SYS_shmget | libc::SYS_semget | libc::SYS_msgget => sys::call(call, [1, 0]),
        _ => sys::call(call, [usize::MAX; 6]),
    }
}

fn denied_otherwise(call: c_long) -> bool {
    match nonsense(call) {
        Err(Errno::EPERM | Errno::EACCES) => true,
        Err(Errno::ENOSYS) => !OPTIONAL.contains(&call),
        _ => false,
    }
}

/// The calls behind `lock`.
fn behind(lock: impl Fn(Lock) -> bool) -> Vec<c_long> {
    let denied = DENIED.iter().filter(|denied| lock(denied.lock)).flat_map(|denied| denied.calls);
    denied.copied().filter(|call| !UNTRIED.contains(call)).collect()
}

#[test]
fn no_entry_is_superfluous_without_the_list_nothing_else_would_deny_it() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test needs every capability, and therefore root");
    let second = behind(|lock| lock != Lock::Only);
    let only = behind(|lock| lock == Lock::Only);
    // To who has the capability that the entry names.
    let denied: Vec<_> = second.into_iter().filter(|&call| denied_otherwise(call)).collect();
    assert_eq!(denied, Vec::<c_long>::new());
    // To who has none, as roles.
    let without = std::thread::spawn(move || {
        sys::keep_only(sys::Capabilities::NONE).unwrap();
        only.into_iter().filter(|&call| denied_otherwise(call)).collect::<Vec<_>>()
    });
    assert_eq!(without.join().unwrap(), Vec::<c_long>::new());
}

#[test]
fn each_call_is_listed_once_with_a_reason_and_its_lock() {
    let mut seen = std::collections::BTreeSet::new();
    assert!(listed().all(|call| seen.insert(call)));
    for denied in DENIED {
        assert!(!denied.reason.is_empty() && !denied.calls.is_empty());
        assert!(!matches!(denied.lock, Lock::Second(name) if !name.starts_with("CAP_")));
    }
    // A rule on its arguments takes the place of an entry in the list, so there is none for the same call.
    let rules = denied(Role::Receive, false).unwrap();
    assert!(listed().all(|call| rules[&call].is_empty()));
}
