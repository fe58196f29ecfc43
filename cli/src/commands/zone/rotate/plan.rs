//! What is written for each key, and in which order: whatever was written of it when the power fails, the roles start with the old key
//! or the new one.

use super::place::{PrivateKey, replace_public};
use super::{Zoned, authority};
use crate::failure::Failure;
use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use sluse_host::layout::Layout;
use sluse_host::{clock, files, random};
use sluse_protocol::digest::Sha256;
use sluse_protocol::key_statement::{Chain, Change, Signed, ZoneKey, allowed_signers};
use sluse_protocol::refusal::Exit;
use sluse_protocol::sshsig::{PublicKey, SigningKey};
use slused::quarantine::identity::RoleKey;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Bytes of the longest public file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What a rotation makes.
pub struct Plan {
    /// What names the new key in public.
    pub public: Option<String>,
    /// The new signing key, where it is that.
    pub signing: Option<SigningKey>,
    /// The authorities from now on, PEM.
    pub authorities: Vec<String>,
    /// What is written before the new statement, in this order: what must be there when somebody hears of it.
    pub first: Vec<Write>,
    /// What is written after it.
    pub writes: Vec<Write>,
}

/// One file that is replaced.
pub enum Write {
    /// A private key.
    Private(PrivateKey, Zeroizing<Vec<u8>>),
    /// What everybody may read.
    Public(PathBuf, String),
}

impl Write {
    /// Replaces the file; a private key also in the folder that goes into a safe.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn carry_out(self, zoned: &Zoned) -> Result<(), Failure> {
        match self {
            Self::Private(place, bytes) => {
                if let Some(folder) = &zoned.keys_to {
                    place.copy_to(folder, &bytes)?;
                }
                place.replace(&bytes)
            }
            Self::Public(path, text) => replace_public(&path, &text),
        }
    }
}

/// Looks, before the zone comes to rest, whether this can be done at all.
///
/// # Errors
/// Why it cannot.
pub fn check(zoned: &Zoned, key: ZoneKey, change: Change) -> Result<(), Failure> {
    match (key, change) {
        (ZoneKey::Quarantine, Change::Ended) => nothing_needs_the_old(zoned),
        (ZoneKey::Ca, _) => authority::check(zoned, change),
        (ZoneKey::Tls, Change::Rotated) => authority::check_tls(zoned),
        (_, Change::Ended) => {
            Err(Failure::new(Exit::Usage, format!("no old {key} key is kept beside the one in force")))
        }
        _ => Ok(()),
    }
}

/// Makes the new key and what is to be written.
///
/// # Errors
/// When the old one cannot be read, or no random bytes come.
pub fn plan(zoned: &Zoned, key: ZoneKey, change: Change) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let authorities = authority::in_force(zoned)?;
    let kept = Plan { public: None, signing: None, authorities, first: Vec::new(), writes: Vec::new() };
    match key {
        ZoneKey::Signing => signing(zoned, kept),
        ZoneKey::Quarantine if change == Change::Ended => end_quarantine(zoned, kept),
        ZoneKey::Quarantine => quarantine(zoned, kept),
        ZoneKey::Deliver => deliver(zoned, kept),
        ZoneKey::Reset => {
            let writes = vec![Write::Private(zoned.place(layout.reset_key()), secret()?.1)];
            Ok(Plan { writes, ..kept })
        }
        ZoneKey::Ca if change == Change::Ended => authority::end(zoned, kept),
        ZoneKey::Ca => authority::rotate(zoned, kept),
        ZoneKey::Tls => authority::rotate_tls(zoned, kept),
    }
}

/// The file of signers, when the signing key changed: what stands there before the key itself does, so that nothing is ever signed by a
/// key that it does not have, and afterwards. Only then does the old key have an end: until then it may still be the one in force.
///
/// # Errors
/// When the statements do not lead to `signer`.
pub fn signers(zoned: &Zoned, signer: PublicKey, statements: &[Signed]) -> Result<Option<(Write, Write)>, Failure> {
    if zoned.signing.as_ref().is_some_and(|signing| signing.public() == signer) {
        return Ok(None);
    }
    let name = &zoned.zone.settings.zone.name;
    let chain = Chain::in_force(name, signer, statements)
        .map_err(|error| Failure::new(Exit::Fault, "the new statement").because(&error))?;
    let mut before = chain.signers().to_vec();
    before.iter_mut().rev().nth(1).into_iter().for_each(|old| old.valid_before = None);
    let file = |signers: &[_]| Write::Public(zoned.zone.layout.allowed_signers(), allowed_signers(name, signers));
    Ok(Some((file(&before), file(chain.signers()))))
}

/// A new signing key. What stands in `signer.pub` is where `inspect` and `deliver` begin to follow; it may be the one before.
fn signing(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let (layout, name) = (&zoned.zone.layout, &zoned.zone.settings.zone.name);
    let (seed, text) = secret()?;
    let key = SigningKey::from_seed(&seed).map_err(|error| Failure::new(Exit::Fault, "a new key").because(&error))?;
    let public = key.public().to_openssh();
    let writes = vec![
        Write::Private(zoned.place(layout.signing_key()), text),
        Write::Public(layout.signer(), format!("{public} {name}\n")),
    ];
    Ok(Plan { public: Some(public), signing: Some(key), writes, ..plan })
}

/// A new quarantine key, with the old one after it in the same file: what is wrapped to that opens until it is wrapped anew.
fn quarantine(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let place = zoned.place(layout.quarantine_key());
    let (recipient, both, _) = age_key(&place)?;
    let writes =
        vec![Write::Private(place, both), Write::Public(layout.quarantine_recipient(), format!("{recipient}\n"))];
    Ok(Plan { public: Some(recipient), writes, ..plan })
}

/// The newest quarantine key alone.
fn end_quarantine(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let place = zoned.place(layout.quarantine_key());
    let newest = role_key(&place)?.newest;
    let recipient = newest.to_public().to_string();
    let writes = vec![
        Write::Private(place, identity_file(&newest)),
        Write::Public(layout.quarantine_recipient(), format!("{recipient}\n")),
    ];
    Ok(Plan { public: Some(recipient), writes, ..plan })
}

/// A new key of `deliver`. `deliver.pub` decides which of both counts: what was wrapped to the old one is wrapped anew by `inspect`.
fn deliver(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let place = zoned.place(layout.deliver_key());
    let (recipient, both, alone) = age_key(&place)?;
    let writes = vec![
        Write::Private(place.clone(), both),
        Write::Public(layout.deliver_recipient(), format!("{recipient}\n")),
        Write::Private(place, alone),
    ];
    Ok(Plan { public: Some(recipient), writes, ..plan })
}

/// Refuses to end the old quarantine key while something opens with it alone.
fn nothing_needs_the_old(zoned: &Zoned) -> Result<(), Failure> {
    let layout = &zoned.zone.layout;
    let key = role_key(&zoned.place(layout.quarantine_key()))?;
    if key.older.is_empty() {
        return Err(Failure::new(Exit::Refused, "there is no old quarantine key"));
    }
    let needing = needing_old(layout, &key)?;
    if needing == 0 {
        return Ok(());
    }
    let message = format!("{needing} transfer identities open with the old quarantine key alone");
    Err(Failure::new(Exit::Refused, message)
        .hint("`inspect` wraps them anew at its start: start the zone; its journal says what it could not"))
}

/// How many of the transfers' identities the newest key does not open.
///
/// # Errors
/// When they cannot be read.
pub fn needing_old(layout: &Layout, key: &RoleKey) -> Result<usize, Failure> {
    let folder = layout.identities();
    let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", &folder, &error);
    let newest = RoleKey::only(key.newest.clone());
    let mut needing = 0;
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(recipient) = name.to_str().and_then(|name| name.strip_suffix(".age")) else { continue };
        match files::read_bounded(&entry.path(), MAX_FILE_BYTES) {
            Ok(wrapped) => needing += usize::from(newest.unwrap(&wrapped, recipient).is_err()),
            // Purged meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(needing)
}

/// A role's age key.
///
/// # Errors
/// When it cannot be read.
pub fn role_key(place: &PrivateKey) -> Result<RoleKey, Failure> {
    RoleKey::parse(&place.read()?).map_err(|error| Failure::file(Exit::Configuration, "use", place.file(), &error))
}

/// A new age key: its recipient, the file with it and those before it, and the file with it alone.
fn age_key(place: &PrivateKey) -> Result<(String, KeyBytes, KeyBytes), Failure> {
    let old = role_key(place)?;
    let new = Identity::generate();
    let alone = identity_file(&new);
    let mut both = Zeroizing::new(Vec::with_capacity(4096));
    both.extend_from_slice(&alone);
    for older in std::iter::once(&old.newest).chain(&old.older) {
        both.extend_from_slice(b"# before it:\n");
        both.extend_from_slice(&identity_file(older));
    }
    Ok((new.to_public().to_string(), both, alone))
}

/// The bytes of a file with private keys.
type KeyBytes = Zeroizing<Vec<u8>>;

fn identity_file(identity: &Identity) -> KeyBytes {
    let secret = identity.to_string();
    let (now, public) = (clock::now(), identity.to_public());
    let text = format!("# written: {now}\n# public key: {public}\n{}\n", secret.expose_secret());
    Zeroizing::new(text.into_bytes())
}

/// 32 random bytes, and the file with them.
fn secret() -> Result<(Zeroizing<[u8; 32]>, KeyBytes), Failure> {
    let secret = random::bytes::<32>().map_err(|error| Failure::new(Exit::Fault, "random bytes").because(&error))?;
    let text = format!("{}\n", Sha256(*secret));
    Ok((secret, Zeroizing::new(text.into_bytes())))
}
