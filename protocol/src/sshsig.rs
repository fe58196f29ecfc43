//! Ed25519 signatures in OpenSSH's SSHSIG format (openssh-portable `PROTOCOL.sshsig`): `ssh-keygen -Y verify` checks
//! them without our software.
//!
//! The signed blob is `"SSHSIG" || string namespace || string reserved || string "sha512" || string SHA-512(message)`,
//! a string being a big-endian `u32` length and the bytes; the armored file holds that with key and signature.

use crate::signers::AllowedSigner;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Receipts of the zone.
pub const NAMESPACE_RECEIPT: &str = "sluse-receipt";
/// Checkpoints of the zone's audit log.
pub const NAMESPACE_CHECKPOINT: &str = "sluse-checkpoint";
/// Release grants, from `control` to `inspect` and `deliver`.
pub const NAMESPACE_GRANT: &str = "sluse-grant";
/// Manifests, by their source.
pub const NAMESPACE_MANIFEST: &str = "sluse-manifest";
/// A source's proof that it has the key that it enrols.
pub const NAMESPACE_ENROL: &str = "sluse-enrol";
/// Namespace of a source's request for another certificate.
pub const NAMESPACE_RENEW: &str = "sluse-renew";
/// What the zone states of its keys.
pub const NAMESPACE_KEYS: &str = "sluse-keys";
/// A room's word that a dataset stands there.
pub const NAMESPACE_ACKNOWLEDGEMENT: &str = "sluse-acknowledgement";
/// What is in a backup.
pub const NAMESPACE_BACKUP: &str = "sluse-backup";
/// Updates, by the site.
pub const NAMESPACE_UPDATE: &str = "sluse-update";

const MAGIC: &[u8] = b"SSHSIG";
pub(crate) const KEY_TYPE: &[u8] = b"ssh-ed25519";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Bytes of the longest armored signature that is read; ours have about 300.
const MAX_ARMOR: usize = 4096;

/// Why a key or signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Not an armored SSHSIG with an Ed25519 key.
    #[error("not an SSH signature by an Ed25519 key")]
    Format,
    /// Made for another purpose.
    #[error("signed for another purpose (namespace)")]
    Namespace,
    /// Made by another key.
    #[error("signed by another key")]
    OtherKey,
    /// It does not verify: the message or the signature was changed.
    #[error("the signature does not verify: what was signed has been changed")]
    Mismatch,
    /// Not a key of the expected kind.
    #[error("not an Ed25519 key")]
    Key,
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads an OpenSSH public key line: `ssh-ed25519 AAAA… [comment]`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_openssh(line: &str) -> Result<Self, BadSignature> {
        let mut words = line.split_ascii_whitespace();
        let (kind, blob) = (words.next(), words.next());
        if kind.map(str::as_bytes) != Some(KEY_TYPE) {
            return Err(BadSignature::Key);
        }
        let blob = BASE64.decode(blob.unwrap_or_default()).map_err(|_| BadSignature::Key)?;
        Self::from_blob(&blob).ok_or(BadSignature::Key)
    }

    /// The key as an OpenSSH public key line, without a line feed.
    pub fn to_openssh(&self) -> String {
        format!("ssh-ed25519 {}", BASE64.encode(self.blob()))
    }

    /// The key as a line of an `allowed_signers` file (ssh-keygen(1)) that may sign in `namespaces` as `principal`.
    pub fn to_allowed_signer(&self, principal: &str, namespaces: &[&str]) -> String {
        AllowedSigner::always(*self).to_line(principal, namespaces)
    }

    /// Finds `principal`'s keys for `namespace` in the text of an `allowed_signers` file, whenever they were in force, or reads the
    /// whole text as one public key line.
    pub fn find_allowed(text: &str, principal: Option<&str>, namespace: &str) -> Vec<Self> {
        AllowedSigner::find(text, principal, namespace).into_iter().map(|signer| signer.key).collect()
    }

    /// The key's fingerprint as `ssh-keygen -l` prints it: `SHA256:` and 43 characters.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.blob());
        format!("SHA256:{}", BASE64.encode(hash.as_ref()).trim_end_matches('='))
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(51);
        put_string(&mut blob, KEY_TYPE);
        put_string(&mut blob, &self.0);
        blob
    }

    fn from_blob(mut blob: &[u8]) -> Option<Self> {
        (take_string(&mut blob)? == KEY_TYPE).then_some(())?;
        let key = take_string(&mut blob)?.try_into().ok()?;
        blob.is_empty().then_some(Self(key))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.to_openssh())
    }
}

/// An Ed25519 key that signs. Its Debug prints the public half only.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key that a 32-byte seed stands for.
    ///
    /// # Errors
    /// When the seed is not accepted as a key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, BadSignature> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| BadSignature::Key)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// Signs `message` for `namespace`; the armored signature ends with a line feed.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        self.sign_hashed(namespace, &MessageHash::of(message))
    }

    /// The same for a message that was hashed as it was made, since it is too large to be held.
    pub fn sign_hashed(&self, namespace: &str, hash: &MessageHash) -> String {
        let signature = self.0.sign(&signed_data(namespace, b"sha512", hash.0.as_ref()));
        let mut blob = Vec::with_capacity(256);
        blob.extend_from_slice(MAGIC);
        blob.extend_from_slice(&1u32.to_be_bytes());
        put_string(&mut blob, &self.public().blob());
        put_string(&mut blob, namespace.as_bytes());
        put_string(&mut blob, b"");
        put_string(&mut blob, b"sha512");
        let mut inner = Vec::with_capacity(83);
        put_string(&mut inner, KEY_TYPE);
        put_string(&mut inner, signature.as_ref());
        put_string(&mut blob, &inner);
        armor(&blob)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SigningKey({:?})", self.public())
    }
}

/// The SHA-512 of a message: what is signed in its place, so that a message need not be held in memory.
#[derive(Debug, Clone)]
pub struct MessageHash(digest::Digest);

impl MessageHash {
    /// The hash of a message that is at hand.
    pub fn of(message: &[u8]) -> Self {
        Self(digest::digest(&digest::SHA512, message))
    }
}

/// Hashes a message as its bytes come.
#[derive(Clone)]
pub struct MessageHasher(digest::Context);

impl MessageHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA512))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes taken.
    pub fn finish(self) -> MessageHash {
        MessageHash(self.0.finish())
    }
}

impl Default for MessageHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MessageHasher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("MessageHasher")
    }
}

/// Checks that `armored` is a signature of `message` by `key` for `namespace`.
///
/// # Errors
/// What [`BadSignature`] names.
pub fn verify(key: &PublicKey, namespace: &str, message: &[u8], armored: &str) -> Result<(), BadSignature> {
    check(key, namespace, armored, |hash| match hash {
        b"sha512" => Some(digest::digest(&digest::SHA512, message)),
        b"sha256" => Some(digest::digest(&digest::SHA256, message)),
        _ => None,
    })
}

/// Checks that `armored` is a signature of `message` by one of `keys` for `namespace`; by which.
///
/// # Errors
/// What [`BadSignature`] names.
pub fn verify_any(
    keys: impl IntoIterator<Item = PublicKey>,
    namespace: &str,
    message: &[u8],
    armored: &str,
) -> Result<PublicKey, BadSignature> {
    for key in keys {
        match verify(&key, namespace, message, armored) {
            Err(BadSignature::OtherKey) => {}
            verdict => return verdict.map(|()| key),
        }
    }
    Err(BadSignature::OtherKey)
}

/// The same for a message that was hashed as it came; only signatures over SHA-512 (the usual) are taken.
///
/// # Errors
/// What [`BadSignature`] names.
pub fn verify_hashed(
    key: &PublicKey,
    namespace: &str,
    message: &MessageHash,
    armored: &str,
) -> Result<(), BadSignature> {
    check(key, namespace, armored, |hash| (hash == b"sha512").then_some(message.0))
}

fn check(
    key: &PublicKey,
    namespace: &str,
    armored: &str,
    hashed: impl FnOnce(&[u8]) -> Option<digest::Digest>,
) -> Result<(), BadSignature> {
    let blob = unarmor(armored).ok_or(BadSignature::Format)?;
    let parsed = parse(&blob).ok_or(BadSignature::Format)?;
    if parsed.namespace != namespace.as_bytes() {
        return Err(BadSignature::Namespace);
    }
    if parsed.key != *key {
        return Err(BadSignature::OtherKey);
    }
    let hash = hashed(parsed.hash).ok_or(BadSignature::Format)?;
    let data = signed_data(namespace, parsed.hash, hash.as_ref());
    signature::UnparsedPublicKey::new(&signature::ED25519, key.0)
        .verify(&data, parsed.signature)
        .map_err(|_| BadSignature::Mismatch)
}

struct Parsed<'a> {
    key: PublicKey,
    namespace: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
}

fn parse(blob: &[u8]) -> Option<Parsed<'_>> {
    let mut rest = blob.strip_prefix(MAGIC)?.strip_prefix(&1u32.to_be_bytes())?;
    let key = PublicKey::from_blob(take_string(&mut rest)?)?;
    let namespace = take_string(&mut rest)?;
    let _reserved = take_string(&mut rest)?;
    let hash = take_string(&mut rest)?;
    let mut inner = take_string(&mut rest)?;
    (rest.is_empty() && take_string(&mut inner)? == KEY_TYPE).then_some(())?;
    let signature = take_string(&mut inner)?;
    inner.is_empty().then_some(Parsed { key, namespace, hash, signature })
}

fn signed_data(namespace: &str, algorithm: &[u8], hash: &[u8]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    put_string(&mut data, namespace.as_bytes());
    put_string(&mut data, b"");
    put_string(&mut data, algorithm);
    put_string(&mut data, hash);
    data
}

fn armor(blob: &[u8]) -> String {
    let text = BASE64.encode(blob);
    let mut armored = format!("{BEGIN}\n");
    for line in text.as_bytes().chunks(70) {
        armored.push_str(&String::from_utf8_lossy(line));
        armored.push('\n');
    }
    armored + END + "\n"
}

fn unarmor(armored: &str) -> Option<Vec<u8>> {
    if armored.len() > MAX_ARMOR {
        return None;
    }
    let body = armored.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let text: String = body.split_ascii_whitespace().collect();
    BASE64.decode(text).ok()
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // All strings here are far below 4 GiB: keys, namespaces, digests.
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (string, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    #[test]
    fn a_signature_verifies_and_every_changed_part_is_noticed() {
        let signer = key(1);
        let armored = signer.sign(NAMESPACE_RECEIPT, b"statement");
        let check = |key: &SigningKey, namespace, message: &[u8]| verify(&key.public(), namespace, message, &armored);
        assert_eq!(check(&signer, NAMESPACE_RECEIPT, b"statement"), Ok(()));
        assert_eq!(check(&signer, NAMESPACE_RECEIPT, b"statemen!"), Err(BadSignature::Mismatch));
        assert_eq!(check(&signer, NAMESPACE_GRANT, b"statement"), Err(BadSignature::Namespace));
        assert_eq!(check(&key(2), NAMESPACE_RECEIPT, b"statement"), Err(BadSignature::OtherKey));
    }

    #[test]
    fn a_message_hashed_in_pieces_signs_and_verifies_like_the_whole() {
        let mut hasher = MessageHasher::new();
        hasher.update(b"state");
        hasher.update(b"ment");
        let hash = hasher.finish();
        let armored = key(1).sign_hashed(NAMESPACE_MANIFEST, &hash);
        assert_eq!(armored, key(1).sign(NAMESPACE_MANIFEST, b"statement"));
        assert_eq!(verify_hashed(&key(1).public(), NAMESPACE_MANIFEST, &hash, &armored), Ok(()));
        let other = MessageHash::of(b"statemen!");
        let verdict = verify_hashed(&key(1).public(), NAMESPACE_MANIFEST, &other, &armored);
        assert_eq!(verdict, Err(BadSignature::Mismatch));
    }

    #[test]
    fn no_changed_byte_of_the_armor_passes() {
        let signer = key(1);
        let armored = signer.sign(NAMESPACE_RECEIPT, b"statement");
        for at in 0..armored.len() {
            let mut changed = armored.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let verdict = verify(&signer.public(), NAMESPACE_RECEIPT, b"statement", &changed);
            assert!(verdict.is_err() || changed.trim() == armored.trim(), "byte {at}");
        }
    }

    #[test]
    fn allowed_signers_are_found_by_principal_and_namespace() {
        let public = key(1).public();
        let text = format!("# zone\n{}", public.to_allowed_signer("sluse", &[NAMESPACE_RECEIPT, NAMESPACE_CHECKPOINT]));
        assert_eq!(PublicKey::find_allowed(&text, Some("sluse"), NAMESPACE_RECEIPT), [public]);
        assert_eq!(PublicKey::find_allowed(&text, None, NAMESPACE_CHECKPOINT), [public]);
        assert_eq!(PublicKey::find_allowed(&text, Some("other"), NAMESPACE_RECEIPT), []);
        assert_eq!(PublicKey::find_allowed(&text, Some("sluse"), NAMESPACE_GRANT), []);
        assert_eq!(PublicKey::find_allowed(&public.to_openssh(), None, NAMESPACE_GRANT), [public]);
    }
}
