//! The identity folder on the source's host: who this source is, its keys, and the zone that it trusts.
//!
//! `identity.toml` is written last when a source is enrolled: a folder without it is not enrolled yet.

use crate::error::Error;
use crate::renewal::Validity;
use serde::Serialize;
use sluse_host::config::KeyExchange;
use sluse_host::network::Network;
use sluse_host::{files, keys, quic};
use sluse_protocol::ids::{SourceName, ZoneName};
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, PublicKey, SigningKey};
use sluse_protocol::toml_text::{self, Problem};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const SETTINGS: &str = "identity.toml";
pub(crate) const IDENTITY_KEY: &str = "identity.key";
pub(crate) const TLS_KEY: &str = "tls.key";
pub(crate) const TLS_CERTIFICATE: &str = "tls.crt";
pub(crate) const AUTHORITY: &str = "ca.crt";
/// Locked by the process that renews the certificate.
pub(crate) const RENEWING: &str = "renewing.lock";
pub(crate) const ALLOWED_SIGNERS: &str = "allowed_signers";

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
    zone_keys: Vec<PublicKey>,
    tls: quinn::ClientConfig,
    validity: Validity,
}

impl Identity {
    /// Reads the identity folder `folder`.
    ///
    /// # Errors
    /// When it is not an enrolled source's, or a file in it is damaged or may be read by others.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let settings = read_settings(folder)?;
        let signers = text(folder, ALLOWED_SIGNERS)?;
        let zone_keys = PublicKey::find_allowed(&signers, Some(settings.zone.as_str()), NAMESPACE_RECEIPT);
        if zone_keys.is_empty() {
            return Err(damaged(folder.join(ALLOWED_SIGNERS), "no signing key of the zone"));
        }
        // An own certificate is followed where it lies: whoever renews it knows nothing of this folder.
        let (certificate_file, key_file) = match &settings.own {
            Some(own) => (own.certificate.clone(), own.key.clone()),
            None => (folder.join(TLS_CERTIFICATE), folder.join(TLS_KEY)),
        };
        let certificate = read_text(&certificate_file)?;
        let validity = Validity::of(&certificate).ok_or_else(|| damaged(certificate_file, "not a certificate"))?;
        let tls = quic::client_config(
            KeyExchange::HybridRequired,
            &settings.network,
            text(folder, AUTHORITY)?.as_bytes(),
            certificate.as_bytes(),
            &files::read_private(&key_file).map_err(|error| unreadable(key_file, &error))?,
        )?;
        let signing_key = keys::read_signing_key(&folder.join(IDENTITY_KEY))?;
        Ok(Self { folder: folder.to_owned(), settings, signing_key, zone_keys, tls, validity })
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

    pub(crate) fn zone_keys(&self) -> &[PublicKey] {
        &self.zone_keys
    }

    pub(crate) fn tls(&self) -> &quinn::ClientConfig {
        &self.tls
    }
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
