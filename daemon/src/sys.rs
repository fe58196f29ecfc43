//! The one module with `unsafe`: what the kernel offers only as raw descriptors and calls. Each use stands with its proof.

#![expect(unsafe_code, reason = "descriptors that were inherited, and what happens between fork and exec")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use nix::unistd::{Gid, Uid};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
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
    let received = receive_descriptors(link.as_fd(), &mut tag)?;
    Ok(received.map(|[descriptor]| (tag[0], descriptor.into())))
}

/// Receives a message that fills `message`, and the `N` descriptors that came with it; `None` when the peer has closed.
///
/// # Errors
/// When the link fails, or what came is less or more.
pub fn receive_descriptors<const N: usize>(
    link: BorrowedFd<'_>,
    message: &mut [u8],
) -> io::Result<Option<[OwnedFd; N]>> {
    let wanted = message.len();
    let (bytes, descriptors) = receive_into(link, message, nix::cmsg_space!([RawFd; N]))?;
    if bytes == 0 {
        return Ok(None);
    }
    match <[OwnedFd; N]>::try_from(descriptors) {
        Ok(descriptors) if bytes == wanted => Ok(Some(descriptors)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The most descriptors that the kernel takes in one message (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS_SENT: usize = 253;

/// Receives a message into `message`, and all descriptors that came with it: how many bytes it has, 0 when the peer has closed.
///
/// # Errors
/// When the link fails, or this process cannot have so many descriptors; it may have some of them then, and must end.
pub fn receive_all_descriptors(link: BorrowedFd<'_>, message: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_into(link, message, nix::cmsg_space!([RawFd; MAX_DESCRIPTORS_SENT]))
}

fn receive_into(link: BorrowedFd<'_>, message: &mut [u8], mut space: Vec<u8>) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut parts = [io::IoSliceMut::new(message)];
    let received = recvmsg::<UnixAddr>(link.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the kernel made these descriptors for this process just now; nothing else knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((received.bytes, descriptors))
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
    /// The one capability that the child has, although it may become another user.
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
        // What a unit gave this process is not its children's.
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
        if let Some(user) = &self.user {
            become_user(user, self.capability.is_some())?;
        }
        if let Some(capability) = self.capability {
            set_capabilities(Capabilities::only(capability), Capabilities::only(capability))?;
            let capability = libc::c_ulong::from(capability);
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability)?;
        }
        // After the change of user, which would take it back.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}

/// Closes every descriptor but number 0, the output and error that the standard library writes to included: such writes fail
/// from here on. To be called by a process that owns no descriptor otherwise.
///
/// # Errors
/// When the kernel cannot.
pub fn close_all_but_standard_input() -> io::Result<()> {
    // SAFETY: touches no memory. A process that is about to become a parser holds nothing open: what it was handed is its
    // standard input, and the standard library uses numbers 1 and 2 without owning them.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 1 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) };
    Errno::result(result)?;
    Ok(())
}

fn mark_all_close_on_exec() -> io::Result<()> {
    // SAFETY: touches no memory, and closes nothing: it only sets a flag on the descriptors from 3 on.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Errno::result(result)?;
    Ok(())
}

fn become_user(user: &User, keep_capabilities: bool) -> io::Result<()> {
    nix::unistd::setgroups(&user.groups)?;
    nix::unistd::setresgid(user.gid, user.gid, user.gid)?;
    nix::sys::prctl::set_keepcaps(keep_capabilities)?;
    nix::unistd::setresuid(user.uid, user.uid, user.uid)?;
    Ok(())
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// The one of this number, which is below 64.
    pub const fn only(number: u32) -> Self {
        Self(1 << number)
    }

    /// Whether all of `others` are among them.
    pub fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    fn half(self, half: usize) -> u32 {
        ((self.0 >> (32 * half)) & u64::from(u32::MAX)) as u32
    }
}

/// The head that `capget` and `capset` read: for this thread.
#[repr(C)]
struct CapabilityHead {
    version: u32,
    pid: i32,
}

const THIS_THREAD: CapabilityHead = CapabilityHead { version: 0x2008_0522, pid: 0 };

/// Half of the three sets, as `capget` and `capset` exchange them.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capabilities that this thread may use.
///
/// # Errors
/// When the kernel does not say.
pub fn permitted_capabilities() -> io::Result<Capabilities> {
    let mut halves = [CapabilityHalf::default(); 2];
    let mut head = THIS_THREAD;
    // SAFETY: this version reads, and may write, one head, and writes two halves of these layouts; both live on.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut head, halves.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(Capabilities(u64::from(halves[0].permitted) | u64::from(halves[1].permitted) << 32))
}

/// Sets this thread's effective and permitted capabilities, and those that its programs inherit.
fn set_capabilities(set: Capabilities, inherited: Capabilities) -> io::Result<()> {
    let half = |half| {
        let bits = set.half(half);
        CapabilityHalf { effective: bits, permitted: bits, inheritable: inherited.half(half) }
    };
    let (mut head, halves) = (THIS_THREAD, [half(0), half(1)]);
    // SAFETY: this version reads, and may write, one head, and reads two halves of these layouts; both live on.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut head, halves.as_ptr()) };
    Errno::result(result)?;
    Ok(())
}

/// Gives up every capability but `kept`, for this thread and those that it starts, also of what they could gain by exec.
///
/// # Errors
/// When the kernel refuses, or `kept` are not there.
pub fn keep_only(kept: Capabilities) -> io::Result<()> {
    for number in 0..64 {
        if kept.contain(Capabilities::only(number)) {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0) {
            // EINVAL: past the kernel's last. EPERM: a thread without CAP_SETPCAP; it can gain nothing by exec, as the
            // caller forbids new privileges.
            Err(error) if [Some(libc::EINVAL), Some(libc::EPERM)].contains(&error.raw_os_error()) => break,
            other => other?,
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
    match set_capabilities(kept, Capabilities::NONE) {
        // The unit leaves a role no call to change its capabilities; there it has no more than it may keep.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && permitted_capabilities()? == kept => Ok(()),
        other => other,
    }
}

/// Keeps memory that was writable from becoming executable.
///
/// # Errors
/// When the kernel cannot.
pub fn deny_writable_code() -> io::Result<()> {
    prctl(libc::PR_SET_MDWE, libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN), 0)
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

/// What `FIDEDUPERANGE` takes (`struct file_dedupe_range` with one `file_dedupe_range_info`).
#[repr(C)]
struct Shared {
    from: u64,
    length: u64,
    count: u16,
    reserved: [u16; 3],
    with: i64,
    at: u64,
    bytes: u64,
    status: i32,
    last: u32,
}

/// Has the file system store `length` bytes of two files, from byte `at` on, once: `with` gets the blocks of `from`, as a copy on write.
/// The kernel does so only where the bytes of both are the same. Bytes that are shared now, at least one; 0 where they are not the same.
///
/// # Errors
/// When this file system shares nothing, the files lie on two, or this process neither owns `with` nor may write to it.
pub fn share_bytes(from: &File, with: &File, at: u64, length: u64) -> io::Result<u64> {
    /// `_IOWR(0x94, 54, struct file_dedupe_range)`: the structure's size without the list at its end.
    const FIDEDUPERANGE: libc::c_ulong = 0xc018_9436;
    let descriptor = i64::from(with.as_raw_fd());
    let mut shared =
        Shared { from: at, length, count: 1, reserved: [0; 3], with: descriptor, at, bytes: 0, status: 0, last: 0 };
    // SAFETY: both descriptors are open for as long as the files are borrowed; the kernel reads and writes the header and `count`
    // entries behind it, one, which is what the structure has.
    Errno::result(unsafe { libc::ioctl(from.as_raw_fd(), FIDEDUPERANGE as _, &raw mut shared) })?;
    match shared.status {
        0 => Ok(shared.bytes),
        negative if negative < 0 => Err(io::Error::from_raw_os_error(-negative)),
        // FILE_DEDUPE_RANGE_DIFFERS
        _ => Ok(0),
    }
}

/// Whether nobody has `file`, which is open for reading alone, open for writing: asks the kernel for a read lease, which it
/// grants only then, and gives it back.
///
/// # Errors
/// When the file system has no leases, or the file is another user's and the process has not CAP_LEASE.
pub fn nobody_writes(file: &File) -> io::Result<bool> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; F_SETLEASE takes an integer and touches no memory.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if taken == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) };
    }
    // SAFETY: as above.
    let returned = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(true) }
}

/// Makes a system call that is refused: by a filter, or for what it is given. Arguments that are not named are zero.
#[cfg(test)]
pub fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> Result<libc::c_long, Errno> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
    let [one, two, three, four, five, six] = std::array::from_fn(argument);
    // SAFETY: no argument points to memory: tests pass small numbers or the largest, which the kernel refuses where it wants an
    // address.
    Errno::result(unsafe { libc::syscall(number, one, two, three, four, five, six) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_has_open_for_writing_is_told_from_one_that_nobody_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!nobody_writes(&reader).unwrap());
        drop(writer);
        assert!(nobody_writes(&reader).unwrap());
        assert!(nobody_writes(&reader).unwrap());
    }
}
