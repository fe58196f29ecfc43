//! Private keys as `ssh-keygen -t ed25519 -N ''` writes them (openssh-portable `PROTOCOL.key`): rooms make their keys with it. One that
//! has a passphrase signs with `ssh-keygen -Y sign`.

use crate::sshsig::{KEY_TYPE, SigningKey, take_string};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Why a file is no key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is no private key of OpenSSH's.
    #[error("not a private key as ssh-keygen writes it")]
    Format,
    /// It has a passphrase.
    #[error("the key has a passphrase")]
    Encrypted,
    /// It is of another kind.
    #[error("not an Ed25519 key")]
    Kind,
}

/// Reads a private key's file.
///
/// # Errors
/// What [`BadKey`] names.
pub fn read(text: &str) -> Result<SigningKey, BadKey> {
    let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(BadKey::Format)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let blob = Zeroizing::new(BASE64.decode(body.as_bytes()).map_err(|_| BadKey::Format)?);
    let mut rest = blob.strip_prefix(MAGIC).ok_or(BadKey::Format)?;
    let cipher = take_string(&mut rest).ok_or(BadKey::Format)?;
    if cipher != b"none" {
        return Err(BadKey::Encrypted);
    }
    let section = section(rest).ok_or(BadKey::Format)?;
    let seed = seed(section)?;
    SigningKey::from_seed(&seed).map_err(|_| BadKey::Kind)
}

/// What follows the cipher's name, up to the private section: no derivation, its options, one key, its public half.
fn section(mut rest: &[u8]) -> Option<&[u8]> {
    (take_string(&mut rest)? == b"none" && take_string(&mut rest)?.is_empty()).then_some(())?;
    rest = rest.strip_prefix(&1u32.to_be_bytes())?;
    take_string(&mut rest)?;
    take_string(&mut rest)
}

/// Two equal numbers, the kind, the public half, the private one with the public behind it. A comment and padding follow.
fn seed(section: &[u8]) -> Result<Zeroizing<[u8; 32]>, BadKey> {
    let (check, mut rest) = section.split_first_chunk::<4>().ok_or(BadKey::Format)?;
    rest = rest.strip_prefix(check).ok_or(BadKey::Format)?;
    if take_string(&mut rest).ok_or(BadKey::Format)? != KEY_TYPE {
        return Err(BadKey::Kind);
    }
    let public = take_string(&mut rest).ok_or(BadKey::Format)?;
    let private = take_string(&mut rest).ok_or(BadKey::Format)?;
    let (seed, again) = private.split_first_chunk::<32>().ok_or(BadKey::Format)?;
    if again != public {
        return Err(BadKey::Format);
    }
    Ok(Zeroizing::new(*seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by ssh-keygen for this test, and used nowhere.
    const PLAIN: &str = include_str!("openssh_key/plain");
    const PUBLIC: &str = include_str!("openssh_key/plain.pub");
    const WITH_PASSPHRASE: &str = include_str!("openssh_key/passphrase");
    const ECDSA: &str = include_str!("openssh_key/ecdsa");

    #[test]
    fn a_key_of_ssh_keygens_is_read() {
        let public = read(PLAIN).unwrap().public();
        assert!(PUBLIC.starts_with(&public.to_openssh()), "{public:?}");
        assert_eq!(public.fingerprint(), include_str!("openssh_key/fingerprint").trim());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert_eq!(read(WITH_PASSPHRASE).unwrap_err(), BadKey::Encrypted);
        assert_eq!(read(ECDSA).unwrap_err(), BadKey::Kind);
        for text in ["", PUBLIC, "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n"] {
            assert_eq!(read(text).unwrap_err(), BadKey::Format);
        }
    }

    #[test]
    fn a_key_that_is_cut_anywhere_is_none() {
        let body: String = PLAIN.lines().filter(|line| !line.starts_with('-')).collect();
        let blob = BASE64.decode(&body).unwrap();
        for length in 0..blob.len() {
            let text = format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(&blob[..length]));
            assert!(read(&text).is_err(), "{length}");
        }
    }
}
