//! SHA-256 for files and documents, BLAKE3 for chunks; both travel as lower-case hexadecimal.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::borrow::Borrow;

/// What is wrong with the text of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct InvalidDigest;

macro_rules! digest_type {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidDigest;

            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                parse_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidDigest;

            fn try_from(text: String) -> Result<Self, InvalidDigest> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }
    };
}

digest_type!(Sha256, "A SHA-256 digest (FIPS 180-4) of a file, a document or a statement.");
digest_type!(ChunkDigest, "The BLAKE3 digest of a chunk's plain bytes.");

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl ChunkDigest {
    /// The digest of a chunk's plain bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// The SHA-256 of all chunk digests, 32 raw bytes each, in chunk order: what a manifest is bound to.
pub fn chunk_list_digest(digests: impl IntoIterator<Item = impl Borrow<ChunkDigest>>) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    for digest in digests {
        hash.update(digest.borrow().0);
    }
    Sha256(hash.finalize().into())
}

fn parse_hex(text: &str) -> Result<[u8; 32], InvalidDigest> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(InvalidDigest);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Result<u8, InvalidDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidDigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_published_vector() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), expected);
        assert_eq!(expected.parse::<Sha256>(), Ok(Sha256::of(b"abc")));
    }

    #[test]
    fn upper_case_short_and_foreign_digits_are_refused() {
        for text in ["", "ab", &"A".repeat(64), &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(InvalidDigest), "{text}");
        }
    }
}
