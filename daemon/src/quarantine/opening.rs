//! Decrypts one small age file in memory.

use age::x25519::Identity;
use std::io::{self, Read as _};

/// A file that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Bytes that the encrypted form of `plain` bytes has at most: a header of a few recipients, and 16 bytes for each 64 KiB.
pub fn most_sealed(plain: u32) -> u64 {
    u64::from(plain) + u64::from(plain) / 4096 + 4096
}

/// Decrypts `sealed` into `plain`, which must have just the length of what comes out.
///
/// # Errors
/// When it was not encrypted to `identity`, was changed, or has another length.
pub fn open(sealed: &[u8], identity: &Identity, plain: &mut [u8]) -> Result<(), Closed> {
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| Closed)?;
    let mut reader = decryptor.decrypt(std::iter::once(identity as _)).map_err(|_| Closed)?;
    reader.read_exact(plain).map_err(|_| Closed)?;
    ends(&mut reader)
}

/// Only at its end is a stream known to be whole.
fn ends(reader: &mut impl io::Read) -> Result<(), Closed> {
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        _ => Err(Closed),
    }
}
