//! Secrets as files: 32 bytes in hexadecimal, readable by their owner alone; Ed25519 signing keys among them.

use crate::{files, random};
use sluse_protocol::digest::Sha256;
use sluse_protocol::key_statement::{self, Signed};
use sluse_protocol::sshsig::{BadSignature, PublicKey, SigningKey};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is not a key.
    #[error("{}: not a key of the expected kind", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
}

/// 32 random bytes that stay in one file: a signing key's seed, or what other keys are derived from.
pub type Secret = Zeroizing<[u8; 32]>;

/// Makes a secret and writes it to `path`, which must not exist.
///
/// # Errors
/// When the file cannot be written.
pub fn create_secret(path: &Path) -> Result<Secret, KeyError> {
    let io = |error| KeyError::Io { path: path.to_owned(), error };
    let secret = random::bytes::<32>().map_err(io)?;
    let text = Zeroizing::new(Sha256(*secret).to_string() + "\n");
    files::write_new(path, text.as_bytes(), 0o600).map_err(io)?;
    Ok(secret)
}

/// Reads a secret.
///
/// # Errors
/// When the file cannot be read, may be read by others, or is not a secret.
pub fn read_secret(path: &Path) -> Result<Secret, KeyError> {
    parse_secret(&files::read_private(path).map_err(|error| KeyError::Io { path: path.to_owned(), error })?, path)
}

fn parse_secret(bytes: &[u8], path: &Path) -> Result<Secret, KeyError> {
    let secret = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<Sha256>().ok());
    secret.map(|secret| Zeroizing::new(secret.0)).ok_or_else(|| KeyError::Format { path: path.to_owned() })
}

/// Makes a signing key and writes it to `path`, which must not exist.
///
/// # Errors
/// When the file cannot be written.
pub fn create_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    signing_key(&create_secret(path)?, path)
}

/// Reads a signing key.
///
/// # Errors
/// When the file cannot be read, may be read by others, or is not a key.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    signing_key(&read_secret(path)?, path)
}

/// Reads a signing key from what its file says; `path` names that in an error.
///
/// # Errors
/// When it is not a key.
pub fn parse_signing_key(bytes: &[u8], path: &Path) -> Result<SigningKey, KeyError> {
    signing_key(&parse_secret(bytes, path)?, path)
}

fn signing_key(seed: &Secret, path: &Path) -> Result<SigningKey, KeyError> {
    SigningKey::from_seed(seed).map_err(|_| KeyError::Format { path: path.to_owned() })
}

/// Reads a file of statements of a zone's keys; one that is not there has none.
///
/// # Errors
/// When it cannot be read or is not one.
pub fn read_statements(path: &Path) -> Result<Vec<Signed>, KeyError> {
    let bytes = match files::read_bounded(path, key_statement::MAX_CHAIN_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| KeyError::Io { path: path.to_owned(), error })?,
    };
    let read = std::str::from_utf8(&bytes).ok().and_then(|text| Signed::of_lines(text).ok());
    read.ok_or_else(|| KeyError::Format { path: path.to_owned() })
}

/// Reads a public key line (OpenSSH) from a file.
///
/// # Errors
/// When the file cannot be read or is not one.
pub fn read_public_key(path: &Path) -> Result<PublicKey, KeyError> {
    let bytes = files::read_bounded(path, 4096).map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
    let key = std::str::from_utf8(&bytes).map_err(|_| BadSignature::Key).and_then(PublicKey::from_openssh);
    key.map_err(|_| KeyError::Format { path: path.to_owned() })
}
