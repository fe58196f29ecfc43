//! Unix, and Linux where sockets are concerned.

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use quinn::udp::UdpSocketState;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// The most datagrams that Linux sends or receives by one call: `UDP_MAX_SEGMENTS` and `UDP_GRO_CNT_MAX`.
const MAX_SEGMENTS: usize = 64;

/// For files that are made with `mode`.
pub(crate) fn making(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(mode);
    options
}

/// Creates a folder with `mode`, less what the process's umask takes away.
pub(crate) fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)
}

/// Gives a file or folder exactly `mode`.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Who may do what with a file.
pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode())
}

/// Enlarges a socket's buffers to `bytes` as far as the kernel lets us.
pub(crate) fn enlarge_buffers(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    // Smaller buffers cost speed, not correctness: a refusal is no error. Larger ones stay: whoever handed the socket over
    // may have made them so against the system's limit, which holds here.
    if getsockopt(socket, sockopt::RcvBuf)? < bytes {
        let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    }
    if getsockopt(socket, sockopt::SndBuf)? < bytes {
        let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    }
    Ok(())
}

/// How many datagrams one call may send and receive; has the kernel hand over bundles where it can. `_state` was told on a socket of
/// its own, which a confined process cannot make.
pub(crate) fn bundles(socket: &UdpSocket, _state: &UdpSocketState) -> (usize, usize) {
    let segments = |able: bool| if able { MAX_SEGMENTS } else { 1 };
    (
        segments(getsockopt(socket, sockopt::UdpGsoSegment).is_ok()),
        segments(setsockopt(socket, sockopt::UdpGroSegment, &true).is_ok()),
    )
}

/// Whether a datagram was not sent since it is larger than the path takes.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Whether a datagram was not sent since the network's hardware takes no bundles, maybe.
pub(crate) fn may_be_for_the_bundle(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
}

/// Calls `stop` once somebody asks this process to end: SIGTERM or SIGINT.
///
/// # Errors
/// When signals cannot be waited for.
pub fn on_stop(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        });
        stop();
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}
