//! The gateway's own key, by which clients know it: Ed25519, in the file that OpenSSH's tools make and read.

use super::data::{Reader, Write as _};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// What the file's bytes begin with.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Characters of a line of the file.
const LINE: usize = 70;

/// The host's key.
#[derive(Debug)]
pub struct HostKey(Ed25519KeyPair);

impl HostKey {
    /// The only algorithm.
    pub const ALGORITHM: &'static str = "ssh-ed25519";

    /// The text of a new one's file.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn make() -> io::Result<Zeroizing<String>> {
        let (seed, check) = (sluse_host::random::bytes::<32>()?, sluse_host::random::bytes::<4>()?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(io::Error::other)?;
        let own = Self(pair);
        let mut private = Zeroizing::new(Vec::new());
        private.extend_from_slice(&check[..]);
        private.extend_from_slice(&check[..]);
        private.put_string(Self::ALGORITHM.as_bytes());
        private.put_string(own.0.public_key().as_ref());
        private.put_string(&Zeroizing::new([&seed[..], own.0.public_key().as_ref()].concat()));
        private.put_string(b"sluse-gateway");
        for padding in 1..=(8 - private.len() % 8) % 8 {
            private.push(padding as u8);
        }
        let mut file = Zeroizing::new(MAGIC.to_vec());
        for part in [&b"none"[..], b"none", b""] {
            file.put_string(part);
        }
        file.put_number(1);
        file.put_string(&own.public());
        file.put_string(&private);
        let encoded = Zeroizing::new(STANDARD.encode(&*file));
        let mut text = Zeroizing::new(format!("{BEGIN}\n"));
        for line in encoded.as_bytes().chunks(LINE) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str(END);
        text.push('\n');
        Ok(text)
    }

    /// Reads the file; none where it is not such a key, or is encrypted.
    pub fn read(text: &str) -> Option<Self> {
        let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
        let encoded: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let file = Zeroizing::new(STANDARD.decode(&*encoded).ok()?);
        let mut reader = Reader(file.strip_prefix(MAGIC)?);
        if (reader.string()?, reader.string()?, reader.string()?, reader.number()?) != (b"none", b"none", b"", 1) {
            return None;
        }
        reader.string()?;
        let mut private = Reader(reader.string()?);
        if private.number()? != private.number()? || private.text()? != Self::ALGORITHM {
            return None;
        }
        let public = private.string()?;
        let seed = private.string()?.get(..32)?;
        Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Self)
    }

    /// The public half, as it is sent.
    pub fn public(&self) -> Vec<u8> {
        let mut public = Vec::new();
        public.put_string(Self::ALGORITHM.as_bytes());
        public.put_string(self.0.public_key().as_ref());
        public
    }

    /// The line that clients keep of it.
    pub fn line(&self) -> String {
        format!("{} {}", Self::ALGORITHM, STANDARD.encode(self.public()))
    }

    /// Its signature, as it is sent.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = Vec::new();
        signature.put_string(Self::ALGORITHM.as_bytes());
        signature.put_string(self.0.sign(message).as_ref());
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::super::ClientKey;
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_again_and_signs() {
        let text = HostKey::make().unwrap();
        let key = HostKey::read(&text).unwrap();
        let public: ClientKey = key.line().parse().unwrap();
        let signature = key.sign(b"words");
        assert!(public.verifies("ssh-ed25519", b"words", &signature));
        assert!(!public.verifies("ssh-ed25519", b"other words", &signature));
        for cut in 0..text.len() - 1 {
            assert!(HostKey::read(&text[..cut]).is_none(), "{cut}");
        }
    }
}
