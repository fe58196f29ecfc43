//! Whether a zone's private keys and their public halves belong together, and how long its certificates last.

use super::check::Found;
use age::x25519::{Identity, Recipient};
use sluse_host::config::Zone;
use sluse_host::keys::KeyError;
use sluse_host::{clock, files, keys};
use sluse_protocol::key_statement::Chain;
use sluse_protocol::sshsig::{NAMESPACE_CHECKPOINT, NAMESPACE_RECEIPT, PublicKey};
use slused::control::authority;
use std::io;
use std::path::Path;

/// A certificate that runs out within this many days is warned about.
const WARN_DAYS: i64 = 90;

const RESTORE: &str = "restore the zone's keys from the backup";

/// Bytes of the longest key or certificate file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Compares every pair.
pub fn look(zone: &Zone, found: &mut Found) {
    let layout = &zone.layout;
    signing(zone, found);
    let ca = text(&layout.ca_certificate(), found);
    for (key, certificate, what, name) in [
        (layout.ca_key(), layout.ca_certificate(), "certificate authority", "ca"),
        (layout.tls_key(), layout.tls_certificate(), "TLS certificate", "tls"),
    ] {
        if let (Some(key), Some(certificate), Some(ca)) = (private(&key, found), text(&certificate, found), &ca) {
            certified(what, name, authority::check_pair(&key, &certificate, ca), found);
        }
    }
    if private(&layout.reset_key(), found).is_some()
        && let Err(error @ KeyError::Format { .. }) = keys::read_secret(&layout.reset_key())
    {
        found.problem(error.to_string(), "remove it, and run this again: it says how to make a new one");
    }
    for (key, recipient, name) in [
        (layout.quarantine_key(), layout.quarantine_recipient(), "quarantine"),
        (layout.deliver_key(), layout.deliver_recipient(), "deliver"),
    ] {
        if let (Some(identity), Some(public)) = (private(&key, found), text(&recipient, found)) {
            let secret = identity.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-1"));
            let publics = secret.filter_map(|line| line.trim().parse::<Identity>().ok());
            let mut publics = publics.map(|identity| identity.to_public().to_string());
            let named = public.trim().parse::<Recipient>().map(|public| public.to_string());
            match publics.position(|public| named.as_ref().is_ok_and(|named| *named == public)) {
                Some(0) => {}
                // The newest comes first.
                Some(_) => {
                    let what = format!("{} still names an older key: a rotation was cut off", recipient.display());
                    found.warning(what, format!("sluse zone rotate {name}"));
                }
                None => {
                    let what = format!("{} and {} do not belong together", key.display(), recipient.display());
                    found.problem(what, RESTORE);
                }
            }
        }
    }
}

fn certified(
    what: &str,
    name: &str,
    checked: Result<sluse_protocol::time::Timestamp, &'static str>,
    found: &mut Found,
) {
    let now = clock::now();
    match checked {
        Err(problem) => found.problem(format!("{what}: {problem}"), RESTORE),
        Ok(expires) if expires <= now => {
            let mend = format!("sluse zone rotate {name}; where sources pinned what ran out, they are enrolled anew");
            found.problem(format!("the {what} ran out at {expires}"), mend);
        }
        Ok(expires) if expires <= now.plus(WARN_DAYS * 86_400) => {
            found.warning(format!("the {what} runs out at {expires}"), format!("sluse zone rotate {name}"));
        }
        Ok(_) => {}
    }
}

fn signing(zone: &Zone, found: &mut Found) {
    let (layout, name) = (&zone.layout, zone.settings.zone.name.as_str());
    let public = match keys::read_public_key(&layout.signer()) {
        Ok(public) => public,
        Err(error) => return found.problem(error.to_string(), RESTORE),
    };
    if let Some(seed) = private(&layout.signing_key(), found) {
        drop(seed);
        match keys::read_signing_key(&layout.signing_key()) {
            Ok(key) if key.public() == public => {}
            Ok(key) => apart(zone, key.public(), found),
            Err(error) => found.problem(error.to_string(), RESTORE),
        }
    }
    let Some(allowed) = text(&layout.allowed_signers(), found) else { return };
    for namespace in [NAMESPACE_RECEIPT, NAMESPACE_CHECKPOINT] {
        if !PublicKey::find_allowed(&allowed, Some(name), namespace).contains(&public) {
            let what = format!("trust/allowed_signers does not let {name} sign with trust/signer.pub for {namespace}");
            found.problem(what, "the zone's name in sluse.toml must be the one that `zone init` was given");
        }
    }
}

/// `signer.pub` is another key's: that of the key before, where a rotation was cut off, which is a zone that works.
fn apart(zone: &Zone, own: PublicKey, found: &mut Found) {
    let layout = &zone.layout;
    let kept = keys::read_statements(&layout.key_statements()).unwrap_or_default();
    let chain = Chain::in_force(&zone.settings.zone.name, own, &kept);
    if chain.is_ok_and(|chain| chain.signers().last().is_some_and(|last| last.key == own) && chain.next_number() > 1) {
        let what = "trust/signer.pub still names the signing key before the one in force: a rotation was cut off";
        return found.warning(what, "sluse zone rotate signing");
    }
    found.problem("control/signing.key and trust/signer.pub do not belong together", RESTORE);
}

/// A private key's text; `None` when this user may not read it, or it was complained about.
fn private(path: &Path, found: &mut Found) -> Option<zeroize::Zeroizing<String>> {
    let bytes = match files::read_bounded(path, MAX_FILE_BYTES) {
        Ok(bytes) => zeroize::Zeroizing::new(bytes),
        Err(error) => return complain(path, &error, found),
    };
    // What is not text becomes what is no key.
    Some(zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

fn text(path: &Path, found: &mut Found) -> Option<String> {
    match files::read_bounded(path, MAX_FILE_BYTES) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => complain(path, &error, found),
    }
}

fn complain<T>(path: &Path, error: &io::Error, found: &mut Found) -> Option<T> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => found.unchecked(format!("{}: run this as root", path.display())),
        // The check of places says so already.
        io::ErrorKind::NotFound => {}
        _ => found.problem(format!("{}: {error}", path.display()), RESTORE),
    }
    None
}
