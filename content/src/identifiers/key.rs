//! Keyed hashes, by which one number is recognised again without being known.

/// Bytes of a hash that are kept: two numbers with the same one will not be met.
const HASH_BYTES: usize = 16;

/// Separates these hashes from any other use of the key.
const CONTEXT: &[u8] = b"sluse national number 1\0";

/// The zone's key for hashes of identifiers. Who has it can find the number of a hash by trying all: it stays in the zone.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash of a number's digits (BLAKE3, keyed, shortened).
    pub fn hash(&self, digits: &[u8; 11]) -> KeyedHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(CONTEXT).update(digits);
        let mut hash = [0; HASH_BYTES];
        hasher.finalize_xof().fill(&mut hash);
        KeyedHash(hash)
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HashKey(..)")
    }
}

/// A number's hash, shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedHash([u8; HASH_BYTES]);

impl std::fmt::Display for KeyedHash {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_key_and_on_every_digit() {
        let (one, other) = (HashKey::new([1; 32]), HashKey::new([2; 32]));
        let hash = one.hash(b"02013299997");
        assert_eq!(hash, one.hash(b"02013299997"));
        assert_ne!(hash, other.hash(b"02013299997"));
        assert_ne!(hash, one.hash(b"02013299903"));
        assert_eq!(hash.to_string().len(), 32);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", HashKey::new([1; 32])), "HashKey(..)");
    }
}
