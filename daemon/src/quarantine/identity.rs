//! age identities: the roles' own, and the transfers', which lie about only wrapped to another key.

use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use sluse_host::files;
use sluse_host::keys::KeyError;
use std::io::{Read as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of a wrapped identity: about 300 in fact.
const MAX_WRAPPED: usize = 4096;

/// Bytes of an identity's text: 75 in fact, and comments.
const MAX_TEXT: u64 = 4096;

/// An identity that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// No `AGE-SECRET-KEY-1…` line, or not as many as there should be.
    #[error("not an age identity file with as many X25519 identities as it should have")]
    Text,
    /// Not an `age1…` recipient.
    #[error("not an age X25519 recipient")]
    Recipient,
    /// It cannot be unwrapped with this key.
    #[error("the wrapped identity does not open with this key")]
    Closed,
    /// It is another transfer's.
    #[error("the wrapped identity is not the one that it should be")]
    Other,
    /// It could not be encrypted.
    #[error("the identity could not be wrapped")]
    Wrap,
}

/// A role's own key, and those before it that are not done with.
pub struct RoleKey {
    /// What is encrypted to now.
    pub newest: Identity,
    /// Those before, newest first.
    pub older: Vec<Identity>,
}

impl RoleKey {
    /// A key without any before it.
    pub fn only(newest: Identity) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// Reads a role's own identity file, which only its owner may read: the newest identity first.
    ///
    /// # Errors
    /// When the file cannot be read, may be read by others, or is no identity file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = files::read_private(path).map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
        Self::parse(&bytes).map_err(|_| KeyError::Format { path: path.to_owned() })
    }

    /// Reads the text of an identity file.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &[u8]) -> Result<Self, BadIdentity> {
        let mut identities = parse_all(text)?.into_iter();
        let newest = identities.next().ok_or(BadIdentity::Text)?;
        Ok(Self { newest, older: identities.collect() })
    }

    /// The one whose public half `recipient` is.
    pub fn named(self, recipient: &str) -> Option<Identity> {
        let mut all = std::iter::once(self.newest).chain(self.older);
        all.find(|identity| identity.to_public().to_string() == recipient)
    }

    /// Opens a wrapped identity with whichever key it is wrapped to.
    ///
    /// # Errors
    /// When none opens it, or it is another than `expected`.
    pub fn unwrap(&self, wrapped: &[u8], expected: &str) -> Result<Identity, BadIdentity> {
        let mut outcome = unwrap(wrapped, &self.newest, expected);
        for older in &self.older {
            if outcome.is_ok() {
                break;
            }
            outcome = unwrap(wrapped, older, expected);
        }
        outcome
    }
}

/// Reads a recipient from text.
///
/// # Errors
/// When it is none.
pub fn recipient(text: &str) -> Result<Recipient, BadIdentity> {
    text.trim().parse().map_err(|_| BadIdentity::Recipient)
}

/// The identity as the text of an age identity file, encrypted to `to`: stock age reads it.
///
/// # Errors
/// When it cannot be encrypted.
pub fn wrap(identity: &Identity, to: &Recipient) -> Result<Vec<u8>, BadIdentity> {
    let text = Zeroizing::new(format!("{}\n", identity.to_string().expose_secret()));
    let encryptor = age::Encryptor::with_recipients(std::iter::once(to as _)).map_err(|_| BadIdentity::Wrap)?;
    let mut wrapped = Vec::with_capacity(MAX_WRAPPED);
    let written = encryptor.wrap_output(&mut wrapped).and_then(|mut writer| {
        writer.write_all(text.as_bytes())?;
        writer.finish()
    });
    written.map_err(|_| BadIdentity::Wrap)?;
    Ok(wrapped)
}

/// Opens a wrapped identity with `key`; it must be the one whose public half is `expected`.
///
/// # Errors
/// When it does not open, or is another.
pub fn unwrap(wrapped: &[u8], key: &Identity, expected: &str) -> Result<Identity, BadIdentity> {
    if wrapped.len() > MAX_WRAPPED {
        return Err(BadIdentity::Closed);
    }
    let decryptor = age::Decryptor::new_buffered(wrapped).map_err(|_| BadIdentity::Closed)?;
    let reader = decryptor.decrypt(std::iter::once(key as _)).map_err(|_| BadIdentity::Closed)?;
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_TEXT as usize + 1));
    reader.take(MAX_TEXT + 1).read_to_end(&mut text).map_err(|_| BadIdentity::Closed)?;
    let identity = parse(&text)?;
    if identity.to_public().to_string() != expected {
        return Err(BadIdentity::Other);
    }
    Ok(identity)
}

fn parse(text: &[u8]) -> Result<Identity, BadIdentity> {
    let mut identities = parse_all(text)?;
    identities.pop().filter(|_| identities.is_empty()).ok_or(BadIdentity::Text)
}

fn parse_all(text: &[u8]) -> Result<Vec<Identity>, BadIdentity> {
    let text = std::str::from_utf8(text).map_err(|_| BadIdentity::Text)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.parse().map_err(|_| BadIdentity::Text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_identity_opens_with_its_key_alone_and_only_as_itself() {
        let (key, other, identity) = (Identity::generate(), Identity::generate(), Identity::generate());
        let name = identity.to_public().to_string();
        let wrapped = wrap(&identity, &key.to_public()).unwrap();
        let opened = unwrap(&wrapped, &key, &name).unwrap();
        assert_eq!(opened.to_string().expose_secret(), identity.to_string().expose_secret());
        assert_eq!(unwrap(&wrapped, &other, &name).err(), Some(BadIdentity::Closed));
        assert_eq!(unwrap(&wrapped, &key, &other.to_public().to_string()).err(), Some(BadIdentity::Other));
        assert_eq!(unwrap(&wrapped[..wrapped.len() - 1], &key, &name).err(), Some(BadIdentity::Closed));
        assert_eq!(unwrap(b"", &key, &name).err(), Some(BadIdentity::Closed));
    }

    #[test]
    fn what_is_wrapped_to_an_older_key_opens_until_that_is_gone() {
        let (new, old, identity) = (Identity::generate(), Identity::generate(), Identity::generate());
        let text = format!("# new\n{}\n{}\n", new.to_string().expose_secret(), old.to_string().expose_secret());
        let key = RoleKey::parse(text.as_bytes()).unwrap();
        let name = identity.to_public().to_string();
        for to in [&new, &old] {
            assert!(key.unwrap(&wrap(&identity, &to.to_public()).unwrap(), &name).is_ok());
        }
        let wrapped = wrap(&identity, &old.to_public()).unwrap();
        assert_eq!(RoleKey::only(new).unwrap(&wrapped, &name).err(), Some(BadIdentity::Closed));
        let public = old.to_public().to_string();
        assert_eq!(key.named(&public).map(|found| found.to_public().to_string()), Some(public));
        assert!(RoleKey::parse(b"# nothing\n").is_err());
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let text = format!("# a comment\n{}\n", Identity::generate().to_string().expose_secret());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            matches!(RoleKey::read(&path), Err(KeyError::Io { error, .. }) if error.kind() == std::io::ErrorKind::PermissionDenied)
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(RoleKey::read(&path).is_ok());
    }
}
