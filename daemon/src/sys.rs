//! The one module with `unsafe`: what the kernel offers only as raw descriptors.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Whether nobody has `file`, which is open for reading alone, open for writing: asks the kernel for a read lease, which it
/// grants only then, and gives it back.
///
/// # Errors
/// When the file system has no leases, or the file is another user's and the process has not CAP_LEASE.
#[expect(unsafe_code, reason = "nix has no F_SETLEASE")]
pub fn nobody_writes(file: &File) -> io::Result<bool> {
    use nix::libc::{F_RDLCK, F_SETLEASE, F_UNLCK, fcntl};
    // SAFETY: the descriptor is open for as long as `file` is borrowed; F_SETLEASE takes an integer and touches no memory.
    let taken = unsafe { fcntl(file.as_raw_fd(), F_SETLEASE, F_RDLCK) };
    if taken == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) };
    }
    // SAFETY: as above.
    let returned = unsafe { fcntl(file.as_raw_fd(), F_SETLEASE, F_UNLCK) };
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(true) }
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
