//! Clients' public keys, as they stand in `authorized_keys`, and their signatures: Ed25519 (RFC 8709), ECDSA (RFC 5656), RSA with
//! SHA-2 (RFC 8332).

use super::data::Reader;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of the longest key: RSA of 8192 bits has some 1,100.
const MAX_KEY: usize = 2048;

/// Bits of the shortest RSA key.
const MIN_RSA_BYTES: usize = 2048 / 8;

/// A client's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey(Vec<u8>);

/// Not a line of `authorized_keys` with a key that is taken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is a line of authorized_keys without options: Ed25519, ECDSA, or RSA of 2048 bits and more")]
pub struct NoClientKey;

impl std::str::FromStr for ClientKey {
    type Err = NoClientKey;

    fn from_str(line: &str) -> Result<Self, NoClientKey> {
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(encoded)) = (words.next(), words.next()) else { return Err(NoClientKey) };
        if encoded.len() > MAX_KEY * 2 {
            return Err(NoClientKey);
        }
        let blob = STANDARD.decode(encoded).map_err(|_| NoClientKey)?;
        if Reader(&blob).text() != Some(kind) || Parts::read(&blob).is_none() {
            return Err(NoClientKey);
        }
        Ok(Self(blob))
    }
}

impl ClientKey {
    /// Algorithms of signatures that are taken.
    pub const ALGORITHMS: [&'static str; 6] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ];

    /// Whether this is the key that a client names.
    pub fn is(&self, blob: &[u8]) -> bool {
        self.0 == blob
    }

    /// Whether the key may sign with an algorithm.
    pub fn signs_with(&self, algorithm: &str) -> bool {
        match Reader(&self.0).text() {
            Some("ssh-rsa") => algorithm.starts_with("rsa-sha2-") && Self::ALGORITHMS.contains(&algorithm),
            kind => kind == Some(algorithm),
        }
    }

    /// Whether a signature of `message` is this key's, by an algorithm.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        self.signs_with(algorithm) && self.check(algorithm, message, signature).is_some()
    }

    fn check(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Option<()> {
        let mut reader = Reader(signature);
        if reader.text()? != algorithm {
            return None;
        }
        let value = reader.string()?;
        match Parts::read(&self.0)? {
            Parts::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, value).ok(),
            Parts::Ecdsa(curve, bytes, key) => {
                let mut numbers = Reader(value);
                let mut fixed = Vec::with_capacity(2 * bytes);
                for _ in 0..2 {
                    let number = numbers.positive()?;
                    fixed.resize(fixed.len() + bytes.checked_sub(number.len())?, 0);
                    fixed.extend_from_slice(number);
                }
                UnparsedPublicKey::new(curve, key).verify(message, &fixed).ok()
            }
            Parts::Rsa(n, e) => {
                let hash =
                    if algorithm == "rsa-sha2-512" { &RSA_PKCS1_2048_8192_SHA512 } else { &RSA_PKCS1_2048_8192_SHA256 };
                // Some leave out zeros in front.
                let mut padded = vec![0; n.len().checked_sub(value.len())?];
                padded.extend_from_slice(value);
                RsaPublicKeyComponents { n, e }.verify(hash, message, &padded).ok()
            }
        }
    }
}

/// What a key consists of.
enum Parts<'a> {
    Ed25519(&'a [u8]),
    /// The curve, bytes of its numbers, the point.
    Ecdsa(&'static dyn VerificationAlgorithm, usize, &'a [u8]),
    Rsa(&'a [u8], &'a [u8]),
}

impl<'a> Parts<'a> {
    fn read(blob: &'a [u8]) -> Option<Self> {
        if blob.len() > MAX_KEY {
            return None;
        }
        let mut reader = Reader(blob);
        let kind = reader.text()?;
        let parts = match kind {
            "ssh-ed25519" => Self::Ed25519(reader.string().filter(|key| key.len() == 32)?),
            "ssh-rsa" => {
                let (e, n) = (reader.positive()?, reader.positive()?);
                (n.len() >= MIN_RSA_BYTES).then_some(Self::Rsa(n, e))?
            }
            _ => {
                let curve = kind.strip_prefix("ecdsa-sha2-")?;
                let (algorithm, bytes): (&dyn VerificationAlgorithm, _) = match curve {
                    "nistp256" => (&ECDSA_P256_SHA256_FIXED, 32),
                    "nistp384" => (&ECDSA_P384_SHA384_FIXED, 48),
                    "nistp521" => (&ECDSA_P521_SHA512_FIXED, 66),
                    _ => return None,
                };
                (reader.text()? == curve).then_some(())?;
                Self::Ecdsa(algorithm, bytes, reader.string()?)
            }
        };
        reader.0.is_empty().then_some(parts)
    }
}
