//! The spool's key, of which `intake` has the public half and `forward` the private one; and the keys of SFTP, which are `intake`'s.

use crate::Error;
use crate::settings::Settings;
use crate::sftp::ssh::HostKey;
use age::secrecy::ExposeSecret as _;
use age::x25519::{Identity, Recipient};
use sluse_host::files;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const MAKE_THEM: &str = "Make the keys: sluse-gateway keys --config FILE.";

/// Makes the keys that a configuration names and that are not there yet: the spool's, of which the private half is for its owner
/// alone, and for SFTP the host's and that of the inboxes.
///
/// # Errors
/// When all are there already, or one cannot be written.
pub fn make(settings: &Settings) -> Result<(), Error> {
    let (private, public) = (settings.private_key.as_path(), settings.public_key.as_path());
    let host = settings.sftp.as_ref().map(|sftp| sftp.host_key.as_path()).filter(|path| !path.exists());
    let inbox = settings.sftp.as_ref().map(|sftp| sftp.inbox_key.as_path()).filter(|path| !path.exists());
    if !private.exists() || !public.exists() || (host.is_none() && inbox.is_none()) {
        let identity = Identity::generate();
        files::write_new(private, secret(&identity).as_bytes(), 0o600).map_err(Error::at(private))?;
        files::write_new(public, format!("{}\n", identity.to_public()).as_bytes(), 0o644).map_err(Error::at(public))?;
    }
    if let Some(host) = host {
        let made = HostKey::make().map_err(Error::at(host))?;
        files::write_new(host, made.as_bytes(), 0o600).map_err(Error::at(host))?;
    }
    if let Some(inbox) = inbox {
        files::write_new(inbox, secret(&Identity::generate()).as_bytes(), 0o600).map_err(Error::at(inbox))?;
    }
    for file in [Some(private), Some(public), host, inbox].into_iter().flatten() {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files::sync_folder(folder).map_err(Error::at(folder))?;
    }
    Ok(())
}

fn secret(identity: &Identity) -> Zeroizing<String> {
    Zeroizing::new(format!("{}\n", identity.to_string().expose_secret()))
}

/// Reads the public half.
///
/// # Errors
/// When it is not there, or none.
pub fn public(path: &Path) -> Result<Recipient, Error> {
    let bytes = files::read_bounded(path, 4096).map_err(|error| unusable(path, &error))?;
    let text = std::str::from_utf8(&bytes).ok();
    let read = text.and_then(|text| text.trim().parse().ok());
    read.ok_or_else(|| unusable(path, &"it is no age recipient"))
}

/// Reads the private half: out of the service manager's credential `spool.key` where it handed one over.
///
/// # Errors
/// When it is not there, may be read by others, or is none.
pub fn private(path: &Path) -> Result<Identity, Error> {
    identity("spool.key", path)
}

/// Reads the inboxes' key, or the credential `inbox.key`.
///
/// # Errors
/// When it is not there, may be read by others, or is none.
pub fn inbox(path: &Path) -> Result<Identity, Error> {
    identity("inbox.key", path)
}

/// Reads the host's key for SFTP, or the credential `host.key`.
///
/// # Errors
/// When it is not there, may be read by others, or is none.
pub fn host(path: &Path) -> Result<HostKey, Error> {
    let (path, bytes) = read_private("host.key", path)?;
    let read = std::str::from_utf8(&bytes).ok().and_then(HostKey::read);
    read.ok_or_else(|| unusable(&path, &"it is no Ed25519 key of OpenSSH without a passphrase"))
}

fn identity(credential: &str, path: &Path) -> Result<Identity, Error> {
    let (path, bytes) = read_private(credential, path)?;
    let read = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    read.ok_or_else(|| unusable(&path, &"it is no age identity"))
}

/// What is in a private file, or in the service manager's credential where it handed one over.
fn read_private(credential: &str, path: &Path) -> Result<(PathBuf, Zeroizing<Vec<u8>>), Error> {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(credential));
    let path = handed_over.filter(|path| path.exists()).unwrap_or_else(|| path.to_owned());
    let bytes = files::read_private(&path).map_err(|error| unusable(&path, &error))?;
    Ok((path, bytes))
}

/// Reads a server's token, one line, out of `path`, or out of the service manager's credential of that file's name.
///
/// # Errors
/// When it is not there, may be read by others, or is not one line.
pub fn token(path: &Path) -> Result<Zeroizing<String>, Error> {
    let bytes = credential(path)?;
    let line = std::str::from_utf8(&bytes).ok().map(str::trim);
    let line = line.filter(|line| !line.is_empty() && !line.contains(['\n', '\r']));
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(|| no_credential(path, &"it is not one line"))
}

/// Reads a secret out of `path`, or out of the service manager's credential of that file's name.
///
/// # Errors
/// When it is not there, or may be read by others.
pub fn credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let name = path.file_name().unwrap_or_default();
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(name));
    let path = handed_over.filter(|path| path.exists()).unwrap_or_else(|| path.to_owned());
    files::read_private(&path).map_err(|error| no_credential(&path, &error))
}

fn no_credential(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Key {
        what: format!("the credential {} cannot be used: {why}", path.display()),
        hint: "A file for the service's user alone, or a credential of its unit with the file's name; a token is one line.",
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Key { what: format!("the key {} cannot be used: {why}", path.display()), hint: MAKE_THEM }
}
