//! Ed25519 signing keys as files: 32 bytes of seed in hexadecimal, readable by their owner alone.

use crate::{files, random};
use sluse_protocol::digest::Sha256;
use sluse_protocol::sshsig::{BadSignature, PublicKey, SigningKey};
use std::io;
use std::path::{Path, PathBuf};

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

/// Makes a signing key and writes it to `path`, which must not exist.
///
/// # Errors
/// When the file cannot be written.
pub fn create_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    let io = |error| KeyError::Io { path: path.to_owned(), error };
    let seed = random::bytes::<32>().map_err(io)?;
    let text = zeroize::Zeroizing::new(Sha256(*seed).to_string() + "\n");
    files::write_new(path, text.as_bytes(), 0o600).map_err(io)?;
    SigningKey::from_seed(&seed).map_err(|_| KeyError::Format { path: path.to_owned() })
}

/// Reads a signing key.
///
/// # Errors
/// When the file cannot be read, may be read by others, or is not a key.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    let bytes = files::read_private(path).map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
    let seed = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<Sha256>().ok());
    let key = seed.and_then(|seed| SigningKey::from_seed(&seed.0).ok());
    key.ok_or_else(|| KeyError::Format { path: path.to_owned() })
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
