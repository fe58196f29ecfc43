//! A nursery for tests of the role: its parsers are threads of the test, unconfined.

use super::child::Jail;
use super::limits::Limits;
use super::nursery::{Ended, REQUEST_BYTES};
use super::parser;
use crate::sys;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

/// A jail that holds nobody back.
pub fn jail() -> Jail {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    std::thread::spawn(move || {
        let mut request = [0; REQUEST_BYTES];
        while let Some([data, life]) = sys::receive_descriptors(theirs.as_fd(), &mut request).unwrap() {
            std::thread::spawn(move || {
                let served = parser::serve(&UnixStream::from(data), parser::readers);
                // The engine may have let go of it already.
                let _ = UnixStream::from(life).write_all(&Ended::Exited(u8::from(served.is_err())).encode());
            });
        }
    });
    Jail::of(ours, None, Limits::default())
}
