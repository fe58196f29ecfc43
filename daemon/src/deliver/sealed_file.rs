//! A file that is encrypted to its room's key while it is written: stock `age -d` opens it.

use crate::age_stream::{Sealer, sealed_payload};
use age::x25519::Recipient;
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::io;

/// See the module.
pub struct SealedFile {
    sealer: Sealer,
    plain: sha2::Sha256,
    sealed: sha2::Sha256,
    /// What is to be written next.
    next: Vec<u8>,
    length: u64,
}

/// The digests of a file that was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Of its plain bytes.
    pub plain: Sha256,
    /// Of what was written.
    pub sealed: Sha256,
}

impl SealedFile {
    /// Begins a file of `plain` bytes.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn begin(recipient: &Recipient, plain: u64) -> io::Result<Self> {
        let (sealer, next) = Sealer::begin(recipient)?;
        let length = next.len() as u64 + sealed_payload(plain);
        Ok(Self { sealer, plain: sha2::Sha256::new(), sealed: sha2::Sha256::new(), next, length })
    }

    /// Bytes that are written in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next plain bytes; what is to be written by now.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn seal(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.plain.update(bytes);
        self.sealer.seal(bytes, &mut self.next)?;
        Ok(self.take())
    }

    /// What is left to be written, and the digests of the whole.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn finish(mut self) -> io::Result<(Vec<u8>, Digests)> {
        self.sealer.finish(&mut self.next)?;
        self.sealed.update(&self.next);
        let digests =
            Digests { plain: Sha256(self.plain.finalize().into()), sealed: Sha256(self.sealed.finalize().into()) };
        Ok((self.next, digests))
    }

    fn take(&mut self) -> Vec<u8> {
        self.sealed.update(&self.next);
        std::mem::take(&mut self.next)
    }
}
