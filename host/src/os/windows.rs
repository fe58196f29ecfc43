//! Windows. Files have the rights of the folder that they are made in: whoever installs a source makes that folder its service's own. Built,
//! and not run yet: docs/open.md.

use quinn::udp::UdpSocketState;
use socket2::SockRef;
use std::fs::OpenOptions;
use std::io;
use std::net::UdpSocket;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens folders too.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
/// A datagram is larger than the path takes.
const WSAEMSGSIZE: i32 = 10040;

/// For files that are made; they have their folder's rights.
pub(crate) fn making(_mode: u32) -> OpenOptions {
    OpenOptions::new()
}

/// Creates a folder, with the rights of the one that it is made in.
pub(crate) fn create_folder(path: &Path, _mode: u32) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Rights are the folder's.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(folder)?.sync_all()
}

/// Rights are the folder's: nobody else has any of the file's own.
pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    std::fs::metadata(path).map(|_| 0o600)
}

/// Enlarges a socket's buffers to `bytes` as far as the system lets us.
pub(crate) fn enlarge_buffers(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // Smaller buffers cost speed, not correctness: a refusal is no error.
    if socket.recv_buffer_size()? < bytes {
        let _ = socket.set_recv_buffer_size(bytes);
    }
    if socket.send_buffer_size()? < bytes {
        let _ = socket.set_send_buffer_size(bytes);
    }
    Ok(())
}

/// How many datagrams one call may send and receive.
pub(crate) fn bundles(_socket: &UdpSocket, state: &UdpSocketState) -> (usize, usize) {
    (state.max_gso_segments(), state.gro_segments())
}

/// Whether a datagram was not sent since it is larger than the path takes.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAEMSGSIZE)
}

/// Bundles are cut by the system itself.
pub(crate) fn may_be_for_the_bundle(_error: &io::Error) -> bool {
    false
}
