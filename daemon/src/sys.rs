//! The one module with `unsafe`: what the kernel offers only as raw descriptors.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Begins to write a file's pages to the disk, without waiting: a later `fdatasync` finds most of them there.
///
/// # Errors
/// When the disk refuses, or the file system cannot do this.
#[expect(unsafe_code, reason = "no crate in use wraps sync_file_range")]
pub fn start_writeback(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call touches no memory of ours.
    let result = unsafe { nix::libc::sync_file_range(file.as_raw_fd(), 0, 0, nix::libc::SYNC_FILE_RANGE_WRITE) };
    nix::errno::Errno::result(result).map(drop).map_err(io::Error::from)
}
