//! Enrolment: an invite becomes an identity folder.
//!
//! The keys are made here and never leave; they are durable before the invite is used. `identity.toml` is written last:
//! an interrupted enrolment can be run again with the same folder.

use crate::connection::Link;
use crate::error::{BadEvidence, Error};
use crate::identity::{self, OwnCertificate, Settings};
use serde::Deserialize;
use sluse_host::config::KeyExchange;
use sluse_host::keys::KeyError;
use sluse_host::network::Network;
use sluse_host::{files, keys, quic};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{SourceName, ZoneName};
use sluse_protocol::invite;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::sshsig::{NAMESPACE_ENROL, NAMESPACE_RECEIPT, PublicKey, SigningKey};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of the longest invite.
pub const MAX_INVITE_BYTES: u64 = 64 * 1024;

/// Around a certificate in a PEM file.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Seconds that this host's clock may be ahead of the zone's.
const CLOCK_SLACK: i64 = 300;

/// What an interrupted enrolment may have left in the folder.
const LEFTOVERS: &[&str] = &[
    identity::IDENTITY_KEY,
    identity::TLS_KEY,
    identity::TLS_CERTIFICATE,
    identity::AUTHORITY,
    identity::ALLOWED_SIGNERS,
    identity::STATEMENTS,
    identity::FOLLOWING,
];

/// Who was enrolled where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The source's name.
    pub source: SourceName,
    /// The zone's name.
    pub zone: ZoneName,
    /// The identity folder.
    pub folder: PathBuf,
}

/// An invite's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invite {
    zone: ZoneName,
    source: SourceName,
    addresses: Vec<String>,
    expires: Timestamp,
    token: String,
    certificate: String,
    key: String,
    ca: String,
    signer: String,
}

/// Turns an invite's text into an identity in `folder`, which is created, or empty, or left by an interrupted enrolment. With a
/// certificate of one's own the zone issues none.
///
/// # Errors
/// When the invite is not valid, the folder is in use, the zone refuses or cannot be reached.
pub fn enrol(invite: &str, folder: &Path, own: Option<OwnCertificate>) -> Result<Enrolled, Error> {
    let invite = parse(invite)?;
    check_folder(folder, &invite)?;
    files::create_folder(folder, 0o700).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Identity {
            path: folder.to_owned(),
            what: "the folder in which it is to be made does not exist".into(),
            hint: "Make that first, or give another place.",
        },
        _ => Error::file(folder)(error),
    })?;
    let identity_key = make_identity_key(folder)?;
    let asked = match own {
        Some(own) => Asked::own(own.absolute()?)?,
        None => Asked::new(&make_tls_key(folder)?)?,
    };
    files::sync_folder(folder).map_err(Error::file(folder))?;
    let runtime = crate::runtime()?;
    let certificate = runtime.block_on(ask(&invite, &identity_key, &asked.request))?;
    keep(&invite, folder, &certificate, asked)?;
    Ok(Enrolled { source: invite.source, zone: invite.zone, folder: folder.to_owned() })
}

/// What the zone is asked for: to certify a key made here, or to take a certificate that is there.
struct Asked {
    /// A request for a certificate, or the certificate.
    request: String,
    /// The private key, PEM.
    key: Zeroizing<Vec<u8>>,
    own: Option<OwnCertificate>,
}

impl Asked {
    fn new(tls_key: &rcgen::KeyPair) -> Result<Self, Error> {
        let key = Zeroizing::new(tls_key.serialize_pem().into_bytes());
        Ok(Self { request: request(tls_key)?, key, own: None })
    }

    fn own(own: OwnCertificate) -> Result<Self, Error> {
        let unusable = |what: &str| Error::Invite(format!("{}: {what}", own.certificate.display()));
        let text = own.text()?;
        let from = text.find(BEGIN).ok_or_else(|| unusable("no certificate (PEM) is in it"))?;
        let end = text[from..].find(END).ok_or_else(|| unusable("the certificate is cut off"))?;
        // The source's own comes first; what follows is its authority's, which the zone has.
        let request = format!("{}\n", &text[from..from + end + END.len()]);
        let key = files::read_private(&own.key).map_err(Error::file(&own.key))?;
        Ok(Self { request, key, own: Some(own) })
    }
}

fn parse(text: &str) -> Result<Invite, Error> {
    if text.len() as u64 > MAX_INVITE_BYTES {
        return Err(Error::Invite("it is too long".into()));
    }
    let invite: Invite = toml::from_str(text).map_err(|error| Error::Invite(error.message().to_owned()))?;
    if invite.addresses.is_empty() {
        return Err(Error::Invite("it names no address of the zone".into()));
    }
    if zone_keys(&invite.signer, &invite.zone).is_empty() {
        return Err(Error::Invite("it names no signing key of the zone".into()));
    }
    // This clock may be ahead of the zone's, which decides.
    if invite.expires.plus(CLOCK_SLACK) <= sluse_host::clock::now() {
        return Err(Refusal::new(Code::InviteExpired, format!("the invite expired at {}", invite.expires)).into());
    }
    Ok(invite)
}

/// Refuses a folder that holds anything but what an interrupted enrolment leaves, or an identity of the same source and zone:
/// that is enrolled anew, with its keys and journal, since its certificate ran out.
fn check_folder(folder: &Path, invite: &Invite) -> Result<(), Error> {
    let refuse = |what: String, hint| Err(Error::Identity { path: folder.to_owned(), what, hint });
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::file(folder))?,
    };
    if folder.join(identity::SETTINGS).exists() {
        let settings = identity::read_settings(folder)?;
        if (&settings.source, &settings.zone) == (&invite.source, &invite.zone) {
            return Ok(());
        }
        let what = format!("{} of zone {} is enrolled here already", settings.source, settings.zone);
        return refuse(what, "Give an identity folder that is new.");
    }
    for entry in entries {
        let name = entry.map_err(Error::file(folder))?.file_name();
        let name = name.to_string_lossy();
        if !LEFTOVERS.contains(&name.strip_suffix(".new").unwrap_or(&name)) && name != "identity.toml.new" {
            return refuse("the folder is in use".into(), "Give an identity folder that is new or empty.");
        }
    }
    Ok(())
}

/// The source's signing key, made unless it is there already.
fn make_identity_key(folder: &Path) -> Result<SigningKey, Error> {
    let path = folder.join(identity::IDENTITY_KEY);
    match keys::read_signing_key(&path) {
        // Half written, before anybody knew its public half.
        Err(KeyError::Format { .. }) => remove_if_there(&path)?,
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
        // One that cannot be read now is a key all the same: what it signed, the zone knows it by.
        read => return Ok(read?),
    }
    Ok(keys::create_signing_key(&path)?)
}

/// The source's TLS key, made unless it is there already.
fn make_tls_key(folder: &Path) -> Result<rcgen::KeyPair, Error> {
    if let Ok(key) = tls_key(folder) {
        return Ok(key);
    }
    let path = folder.join(identity::TLS_KEY);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(certificate_fault)?;
    let pem = Zeroizing::new(key.serialize_pem());
    files::replace(&path, pem.as_bytes(), 0o600).map_err(Error::file(&path))?;
    Ok(key)
}

/// The TLS key of an identity folder.
pub(crate) fn tls_key(folder: &Path) -> Result<rcgen::KeyPair, Error> {
    let path = folder.join(identity::TLS_KEY);
    let pem = files::read_private(&path).map_err(Error::file(&path))?;
    let pem = std::str::from_utf8(&pem).map_err(|error| Error::file(&path)(io::Error::other(error)))?;
    rcgen::KeyPair::from_pem(pem).map_err(certificate_fault)
}

/// A request for a certificate (PKCS#10, PEM) with this key.
pub(crate) fn request(tls_key: &rcgen::KeyPair) -> Result<String, Error> {
    rcgen::CertificateParams::default()
        .serialize_request(tls_key)
        .and_then(|request| request.pem())
        .map_err(certificate_fault)
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
        _ => Ok(()),
    }
}

/// Asks the zone for a certificate, or to take one, and checks that it is the zone of the invite that answers.
async fn ask(invite: &Invite, identity_key: &SigningKey, request: &str) -> Result<String, Error> {
    let tls = quic::client_config(
        KeyExchange::HybridRequired,
        &Network::default(),
        invite.ca.as_bytes(),
        invite.certificate.as_bytes(),
        invite.key.as_bytes(),
    )
    .map_err(|error| Error::Invite(error.to_string()))?;
    let mut link = Link::open(&invite.addresses, &tls, &Network::default()).await?;
    let identity = identity_key.public().to_openssh();
    let enrol = Request::Enrol {
        invite: invite::code(&Sha256::of(invite.token.as_bytes()), &identity, request),
        identity,
        proof: identity_key.sign(NAMESPACE_ENROL, request.as_bytes()),
        request: request.to_owned(),
    };
    let answer = link.ask(&enrol).await.map_err(explain_used);
    link.close();
    match answer?.0 {
        Reply::Enrolled { source, certificate, signer } => {
            if source != invite.source {
                return Err(Error::Protocol("it enrolled another source than the invited one"));
            }
            // The zone may have exchanged its key since: what was pinned must be among those that it had. The rest is followed by
            // what the zone states of its keys, at the first connection.
            let had = zone_keys(&signer, &invite.zone);
            if !zone_keys(&invite.signer, &invite.zone).iter().all(|key| had.contains(key)) {
                return Err(Error::evidence("signing key", BadEvidence::Key));
            }
            Ok(certificate)
        }
        _ => Err(Error::Protocol("an answer that does not belong to the request")),
    }
}

fn explain_used(error: Error) -> Error {
    match error {
        Error::Refused(refusal) if refusal.code == Code::InviteUsed => Error::Refused(refusal.hint(
            "If an enrolment from this folder was cut off, ask the zone's operator for a new invite and run this again; \
             if nobody here used the invite, tell the operator at once.",
        )),
        other => other,
    }
}

/// Writes what makes the folder an identity; `identity.toml` comes last.
fn keep(invite: &Invite, folder: &Path, certificate: &str, asked: Asked) -> Result<(), Error> {
    if asked.own.is_some() && certificate != asked.request {
        return Err(Error::Protocol("another certificate than the one that was shown"));
    }
    // What could not be used to connect must not be kept as an identity.
    quic::client_config(
        KeyExchange::HybridRequired,
        &Network::default(),
        invite.ca.as_bytes(),
        certificate.as_bytes(),
        &asked.key,
    )?;
    let own = asked.own.is_some();
    let settings = Settings {
        zone: invite.zone.clone(),
        source: invite.source.clone(),
        addresses: invite.addresses.clone(),
        own: asked.own,
        network: Network::default(),
    };
    let settings = with_network(&settings, folder)?;
    let signer = format!("{}\n", invite.signer.trim_end());
    // Of an enrolment before: the invite is where following begins now.
    remove_if_there(&folder.join(identity::STATEMENTS))?;
    let certificate = (!own).then_some((identity::TLS_CERTIFICATE, certificate));
    let others = [
        (identity::AUTHORITY, invite.ca.as_str()),
        (identity::ALLOWED_SIGNERS, &signer),
        (identity::SETTINGS, &settings),
    ];
    for (name, text) in certificate.into_iter().chain(others) {
        let path = folder.join(name);
        files::replace(&path, text.as_bytes(), 0o600).map_err(Error::file(&path))?;
    }
    Ok(())
}

/// `identity.toml`, with the `[network]` that a person gave the one that it replaces.
fn with_network(settings: &Settings, folder: &Path) -> Result<String, Error> {
    let unusable = |error: &dyn std::fmt::Display| Error::Invite(error.to_string());
    let mut table = toml::Table::try_from(settings).map_err(|error| unusable(&error))?;
    if folder.join(identity::SETTINGS).exists() {
        let mut before: toml::Table =
            identity::text(folder, identity::SETTINGS)?.parse().map_err(|error| unusable(&error))?;
        table.extend(before.remove_entry("network"));
    }
    toml::to_string(&table).map_err(|error| unusable(&error))
}

fn zone_keys(signer: &str, zone: &ZoneName) -> Vec<PublicKey> {
    PublicKey::find_allowed(signer, Some(zone.as_str()), NAMESPACE_RECEIPT)
}

fn certificate_fault(error: rcgen::Error) -> Error {
    Error::Fault { what: "making a key or certificate request".into(), error: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_key_that_is_there_is_kept_even_when_it_cannot_be_read_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(identity::IDENTITY_KEY);
        let made = make_identity_key(folder.path()).unwrap().public();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(make_identity_key(folder.path()).is_err(), "others may read it");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(make_identity_key(folder.path()).unwrap().public(), made);
        fs::write(&path, "ab").unwrap();
        assert_ne!(make_identity_key(folder.path()).unwrap().public(), made, "half written, it is none");
    }
}
