//! The one module with `unsafe`: what the kernel offers only as raw descriptors and calls. Each use stands with its proof.

#![expect(unsafe_code, reason = "descriptors that were inherited, and what happens between fork and exec")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use nix::unistd::{Gid, Uid};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Number of the kernel's `CAP_LEASE`: to take a lease on another user's file.
pub const CAP_LEASE: u32 = 28;

/// Takes over a descriptor with which this process was started.
///
/// # Errors
/// When there is none of that number, or this process opened it itself.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if number <= libc::STDERR_FILENO {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: F_GETFD takes any number and touches no memory.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other("this descriptor was not inherited"));
    }
    // SAFETY: F_SETFD takes any number and touches no memory.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open. It was not close-on-exec, and everything that this process opens is: so it came
    // through exec and nothing here owns it. Now it is close-on-exec, so it cannot be taken over a second time.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Receives one byte and the socket that came with it; `None` when the peer has closed.
///
/// # Errors
/// When the link fails, or a byte came without exactly one socket.
pub fn receive_socket(link: &UnixStream) -> io::Result<Option<(u8, UnixStream)>> {
    let mut tag = [0];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let (bytes, descriptors) = {
        let mut parts = [io::IoSliceMut::new(&mut tag)];
        let received = recvmsg::<UnixAddr>(link.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel made these descriptors for this process just now; nothing else knows them.
                descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        (received.bytes, descriptors)
    };
    if bytes == 0 {
        return Ok(None);
    }
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([descriptor]) => Ok(Some((tag[0], descriptor.into()))),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The user that a child runs as.
#[derive(Debug, Clone)]
pub struct User {
    /// Its number.
    pub uid: Uid,
    /// Its own group.
    pub gid: Gid,
    /// All of its groups.
    pub groups: Vec<Gid>,
}

/// How a child starts: what happens between fork and exec.
#[derive(Debug)]
pub struct Start {
    /// Descriptors that the child inherits under their own numbers, besides the standard three. No other is.
    pub keep: Vec<RawFd>,
    /// The user to become; the own one when there is none.
    pub user: Option<User>,
    /// A capability that the child keeps although it becomes another user.
    pub capability: Option<u32>,
}

/// Starts `command` so: no descriptor but those named, no blocked signals, killed when the calling thread ends.
pub fn start(command: &mut Command, start: Start) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only what is async-signal-safe may happen: `Start::become_child` makes system calls
    // alone; it takes no lock, allocates nothing and frees nothing.
    unsafe {
        command.pre_exec(move || {
            start.become_child()?;
            // The parent may have died before it could be named as the one to die with.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
        });
    }
}

impl Start {
    fn become_child(&self) -> io::Result<()> {
        SigSet::empty().thread_set_mask()?;
        mark_all_close_on_exec()?;
        for &number in &self.keep {
            // SAFETY: F_SETFD touches no memory; the number is a descriptor that the parent holds open.
            Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, 0) })?;
        }
        if let Some(user) = &self.user {
            become_user(user, self.capability)?;
        }
        // After the change of user, which would take it back.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}

fn mark_all_close_on_exec() -> io::Result<()> {
    // SAFETY: touches no memory, and closes nothing: it only sets a flag on the descriptors from 3 on.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Errno::result(result)?;
    Ok(())
}

fn become_user(user: &User, capability: Option<u32>) -> io::Result<()> {
    nix::unistd::setgroups(&user.groups)?;
    nix::unistd::setresgid(user.gid, user.gid, user.gid)?;
    nix::sys::prctl::set_keepcaps(capability.is_some())?;
    nix::unistd::setresuid(user.uid, user.uid, user.uid)?;
    if let Some(capability) = capability {
        set_capabilities(1 << capability)?;
        let capability = libc::c_ulong::from(capability);
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability)?;
    }
    Ok(())
}

/// Sets this thread's effective, permitted and inheritable capabilities to exactly `set`, of those numbered below 64.
///
/// # Errors
/// When `set` holds one that the thread does not have.
pub fn set_capabilities(set: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let half = |bits: u64| {
        let bits = (bits & u64::from(u32::MAX)) as u32;
        Data { effective: bits, permitted: bits, inheritable: bits }
    };
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [half(set), half(set >> 32)];
    // SAFETY: version 3 reads one header and two data structures of these layouts, which live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    Errno::result(result)?;
    Ok(())
}

/// A process control whose arguments are numbers.
fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    // SAFETY: this module passes only options whose arguments are numbers: no memory is read or written.
    Errno::result(unsafe { libc::prctl(option, first, second, 0, 0) })?;
    Ok(())
}

/// Begins to write a file's pages to the disk, without waiting: a later `fdatasync` finds most of them there.
///
/// # Errors
/// When the disk refuses, or the file system cannot do this.
pub fn start_writeback(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call touches no memory of ours.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
