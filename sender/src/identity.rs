//! The identity folder on the source's host: who this source is, its keys, and the zone that it trusts.
//!
//! `identity.toml` is written last when a source is enrolled: a folder without it is not enrolled yet.

use crate::error::Error;
use crate::renewal::Validity;
use serde::Serialize;
use sluse_host::config::KeyExchange;
use sluse_host::network::Network;
use sluse_host::{files, keys, quic};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{SourceName, ZoneName};
use sluse_protocol::key_statement::{self, Signed, Trust};
use sluse_protocol::signers::AllowedSigner;
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::time::Timestamp;
use sluse_protocol::toml_text::{self, Problem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const SETTINGS: &str = "identity.toml";
pub(crate) const IDENTITY_KEY: &str = "identity.key";
pub(crate) const TLS_KEY: &str = "tls.key";
pub(crate) const TLS_CERTIFICATE: &str = "tls.crt";
pub(crate) const AUTHORITY: &str = "ca.crt";
/// Locked by the process that writes down what the zone stated of its keys.
pub(crate) const FOLLOWING: &str = "following.lock";
/// Locked by the process that renews the certificate.
pub(crate) const RENEWING: &str = "renewing.lock";
pub(crate) const ALLOWED_SIGNERS: &str = "allowed_signers";
/// What the zone stated of its keys, as far as it was followed.
pub(crate) const STATEMENTS: &str = "keys.jsonl";

/// Certificates begin this many seconds before they are issued.
const CLOCK_SLACK: i64 = 300;

/// Bytes of the largest file of an identity folder that is read.
const MAX_FILE: u64 = 64 * 1024;

/// `identity.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// The zone's name: the principal of its signatures.
    pub zone: ZoneName,
    /// The source's name.
    pub source: SourceName,
    /// Where the zone is reached, `host:port`, tried in this order.
    pub addresses: Vec<String>,
    /// The organisation's own certificate, where it has one that the zone takes.
    #[serde(flatten)]
    pub own: Option<OwnCertificate>,
    /// How the network is used; a person may add it.
    #[serde(skip)]
    pub network: Network,
}

impl Settings {
    /// The certificate that the identity of `folder` shows. An own one is followed where it lies: whoever renews it knows nothing
    /// of this folder.
    pub fn certificate_file(&self, folder: &Path) -> PathBuf {
        self.own.as_ref().map_or_else(|| folder.join(TLS_CERTIFICATE), |own| own.certificate.clone())
    }
}

/// A certificate of an authority that is not the zone's, and its key: files of the source's host that somebody else renews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnCertificate {
    /// The certificate, PEM; what else is in the file is shown to the zone as well.
    pub certificate: PathBuf,
    /// Its private key, PEM, readable by its owner alone.
    pub key: PathBuf,
}

impl OwnCertificate {
    /// The same with absolute paths.
    ///
    /// # Errors
    /// When one is not there.
    pub(crate) fn absolute(&self) -> Result<Self, Error> {
        let find = |path: &Path| path.canonicalize().map_err(Error::file(path));
        Ok(Self { certificate: find(&self.certificate)?, key: find(&self.key)? })
    }

    /// The certificate's text.
    pub(crate) fn text(&self) -> Result<String, Error> {
        read_text(&self.certificate)
    }
}

/// An enrolled source's identity.
#[derive(Debug)]
pub struct Identity {
    folder: PathBuf,
    settings: Settings,
    signing_key: SigningKey,
    /// Changes when the zone exchanges a key.
    trusted: Mutex<Trusted>,
    validity: Validity,
}

/// What is trusted of the zone, and the connections that follow from it.
#[derive(Debug)]
struct Trusted {
    trust: Trust,
    /// Since when the zone's authority issues, if another one did before.
    authority_since: Option<Timestamp>,
    tls: quinn::ClientConfig,
}

impl Identity {
    /// Reads the identity folder `folder`.
    ///
    /// # Errors
    /// When it is not an enrolled source's, or a file in it is damaged or may be read by others.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let settings = read_settings(folder)?;
        let (trust, authority_since) = read_trust(folder, &settings)?;
        let certificate_file = settings.certificate_file(folder);
        let key_file = settings.own.as_ref().map_or_else(|| folder.join(TLS_KEY), |own| own.key.clone());
        let certificate = read_text(&certificate_file)?;
        let validity =
            Validity::of(&certificate).ok_or_else(|| damaged(certificate_file.clone(), "not a certificate"))?;
        let tls = quic::client_config(
            KeyExchange::HybridRequired,
            &settings.network,
            text(folder, AUTHORITY)?.as_bytes(),
            certificate.as_bytes(),
            &files::read_private(&key_file).map_err(|error| unreadable(key_file, &error))?,
        )?;
        let signing_key = keys::read_signing_key(&folder.join(IDENTITY_KEY))?;
        let trusted = Mutex::new(Trusted { trust, authority_since, tls });
        Ok(Self { folder: folder.to_owned(), settings, signing_key, trusted, validity })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The zone's name.
    pub fn zone(&self) -> &ZoneName {
        &self.settings.zone
    }

    /// The source's name.
    pub fn source(&self) -> &SourceName {
        &self.settings.source
    }

    /// Where the zone is reached.
    pub fn addresses(&self) -> &[String] {
        &self.settings.addresses
    }

    /// How the network is used.
    pub(crate) fn network(&self) -> &Network {
        &self.settings.network
    }

    /// From when until when its certificate is good.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether its certificate is the organisation's own, which the zone does not renew.
    pub fn has_own_certificate(&self) -> bool {
        self.settings.own.is_some()
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// What is trusted of the zone.
    pub(crate) fn trust(&self) -> Trust {
        self.trusted().trust.clone()
    }

    /// Whether its certificate is to be renewed: its time comes, or it is of an authority that the zone leaves.
    pub(crate) fn renewal_is_due(&self, now: Timestamp) -> bool {
        // In the same second either may have issued it.
        let left = |since: Timestamp| self.validity.from.plus(CLOCK_SLACK) <= since;
        !self.has_own_certificate() && (self.validity.is_due(now) || self.trusted().authority_since.is_some_and(left))
    }

    /// For the next connection.
    pub(crate) fn tls(&self) -> quinn::ClientConfig {
        self.trusted().tls.clone()
    }

    /// Takes over what another [`Identity`] of the same folder has read.
    pub(crate) fn take_over(&self, newer: Self) {
        *self.trusted() = newer.trusted.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Both halves are exchanged together: a panic leaves nothing half-done.
    fn trusted(&self) -> MutexGuard<'_, Trusted> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is trusted of the zone: what the invite named, and the statements that were followed from there.
fn read_trust(folder: &Path, settings: &Settings) -> Result<(Trust, Option<Timestamp>), Error> {
    let signers = AllowedSigner::find(&text(folder, ALLOWED_SIGNERS)?, Some(settings.zone.as_str()), NAMESPACE_RECEIPT);
    let path = folder.join(STATEMENTS);
    let statements = keys::read_statements(&path)?;
    let last = statements.last().map(Signed::read).transpose();
    let number = last.map_err(|error| damaged(path, &error.to_string()))?.map_or(0, |last| last.statement.number);
    let authorities = vec![text(folder, AUTHORITY)?];
    let trust = Trust::pinned(settings.zone.clone(), signers, authorities, number);
    trust
        .map(|trust| (trust, key_statement::authority_since(&statements)))
        .ok_or_else(|| damaged(folder.join(ALLOWED_SIGNERS), "no signing key of the zone"))
}

/// The digest of the certificate's file; none where it cannot be read, of which whoever sends is told why.
pub(crate) fn certificate_digest(folder: &Path) -> Option<Sha256> {
    let settings = read_settings(folder).ok()?;
    read_text(&settings.certificate_file(folder)).ok().map(|text| Sha256::of(text.as_bytes()))
}

pub(crate) fn read_settings(folder: &Path) -> Result<Settings, Error> {
    let path = folder.join(SETTINGS);
    if !path.exists() {
        return Err(Error::Identity {
            path: folder.to_owned(),
            what: "no enrolled source's identity is here".into(),
            hint: "Enrol first: `sluse enroll INVITE --identity DIR`.",
        });
    }
    parse(&text(folder, SETTINGS)?).map_err(|problems| {
        let told =
            problems.iter().map(|problem| format!("line {}: {} ({})", problem.line, problem.message, problem.hint));
        damaged(path, &told.collect::<Vec<_>>().join("; "))
    })
}

fn parse(settings: &str) -> Result<Settings, Vec<Problem>> {
    toml_text::read(settings, MAX_FILE as usize, |fields| {
        let zone = fields.need("zone", "\"sluse\"", toml_text::parsed);
        let source = fields.need("source", "\"lab\"", toml_text::parsed);
        let addresses =
            fields.need("addresses", "[\"zone.example.org:7443\"]", toml_text::list(16, toml_text::text(300)));
        let network = fields.may_table("network", Network::read);
        let certificate = fields.may("certificate", "\"/etc/pki/sluse.pem\"", toml_text::text(4000));
        let key = fields.may("key", "\"/etc/pki/sluse.key\"", toml_text::text(4000));
        if certificate.is_some() != key.is_some() {
            fields.wrong_at("certificate", "`certificate` and `key` go together", "name both files, or neither");
        }
        let own = certificate.zip(key);
        let own = own.map(|(certificate, key)| OwnCertificate { certificate: certificate.into(), key: key.into() });
        let addresses = addresses?;
        if addresses.is_empty() {
            fields.wrong_at("addresses", "`addresses` is empty", "name where the zone is reached");
        }
        Some(Settings { zone: zone?, source: source?, addresses, own, network: network.unwrap_or_default() })
    })
}

pub(crate) fn text(folder: &Path, name: &str) -> Result<String, Error> {
    read_text(&folder.join(name))
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = files::read_bounded(path, MAX_FILE).map_err(|error| unreadable(path.to_owned(), &error))?;
    String::from_utf8(bytes).map_err(|_| damaged(path.to_owned(), "not text"))
}

fn unreadable(path: PathBuf, error: &io::Error) -> Error {
    damaged(path, &error.to_string())
}

fn damaged(path: PathBuf, what: &str) -> Error {
    let hint = "The identity folder is damaged: mend the file, or enrol anew with a new invite.";
    Error::Identity { path, what: what.to_owned(), hint }
}
