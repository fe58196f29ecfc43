//! What the configuration says of uploads by HTTPS.

use super::{DAY, MAX_SECTIONS, SECOND, path};
use crate::places::usual_share;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::toml_text::{Fields, lasting, number, parsed};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The receiver of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Https {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate and that one's key; none on loopback alone, which is then not encrypted.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Connections at the same time, of whoever has shown who he is; and as many of who has not yet.
    pub connections: usize,
    /// How long a client may be silent.
    pub idle: Duration,
    /// Uploads that are not finished, at the same time.
    pub uploads: usize,
    /// Bytes of the largest file.
    pub max_bytes: u64,
    /// Who may upload.
    pub accounts: Vec<Account>,
}

/// Who may upload. Known by a token, a certificate, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name in the configuration.
    pub name: String,
    /// The flow of what it uploads.
    pub flow: AgreementId,
    /// SHA-256 of its bearer token.
    pub token: Option<Sha256>,
    /// SHA-256 of its certificate, as DER.
    pub certificate: Option<Sha256>,
    /// Connections at the same time.
    pub connections: usize,
    /// Uploads that are not finished, at the same time.
    pub uploads: usize,
}

/// An account, and its shares where they are said.
struct Said {
    account: Account,
    connections: Option<usize>,
    uploads: Option<usize>,
}

/// Reads `[https]` and `[upload.NAME]`.
pub(super) fn read(file: &Fields<'_>, folder: &Path) -> Option<Https> {
    let need = "add `[upload.NAME]` with `flow` and `token` or `certificate` below";
    let accounts = file.may_tables("upload", need, MAX_SECTIONS, account);
    let https = file.may_table("https", |fields| https(fields, folder));
    match (https, accounts) {
        (Some(https), Some(accounts)) => {
            let usual = |all| usual_share(all, accounts.len());
            let (connections, uploads) = (usual(https.connections), usual(https.uploads));
            let account = |said: Said| Account {
                connections: said.connections.unwrap_or(connections),
                uploads: said.uploads.unwrap_or(uploads),
                ..said.account
            };
            let accounts: Vec<Account> = accounts.into_iter().map(account).collect();
            check(file, &https, &accounts);
            Some(Https { accounts, ..https })
        }
        (Some(_), None) => {
            file.wrong_at("https", "`https` has nobody who may upload", "add `[upload.NAME]`");
            None
        }
        (None, Some(_)) => {
            file.wrong_at("upload", "`upload` is there without `https`", "add `[https]` with `listen`");
            None
        }
        (None, None) => None,
    }
}

fn https(fields: &Fields<'_>, folder: &Path) -> Option<Https> {
    let listen: SocketAddr = fields.need("listen", "\"10.1.2.3:8443\"", parsed)?;
    let certificate = fields.may("certificate", "\"/etc/sluse/gateway/https.pem\"", path(folder));
    let key = fields.may("key", "\"/etc/sluse/gateway/https.key\"", path(folder));
    let connections = fields.may("connections", "64", number(1..=256)).unwrap_or(64);
    let idle = fields.may("idle", "\"60s\"", lasting(SECOND..=DAY)).unwrap_or(Duration::from_secs(60));
    let uploads = fields.may("uploads", "1000", number(1..=100_000)).unwrap_or(1000);
    let max_bytes = fields.may("max_bytes", "1000000000000", number(1..=1 << 60)).unwrap_or(1_000_000_000_000);
    if certificate.is_some() != key.is_some() {
        let message = "`certificate` and `key` belong together";
        fields.wrong_at("listen", message, "give both, or on loopback neither");
    } else if certificate.is_none() && !listen.ip().is_loopback() {
        let message = format!("{listen} would be reached without encryption");
        fields.wrong_at("listen", message, "add `certificate` and `key`, or listen on 127.0.0.1");
    }
    let certificate = certificate.zip(key);
    Some(Https { listen, certificate, connections, idle, uploads, max_bytes, accounts: Vec::new() })
}

fn account(name: &str, fields: &Fields<'_>) -> Option<Said> {
    let flow = fields.need("flow", "\"lab\"", parsed);
    let token = fields.may("token", "\"<printf %s TOKEN | sha256sum>\"", parsed);
    let certificate = fields.may("certificate", "\"<openssl x509 -in FILE -outform der | sha256sum>\"", parsed);
    if token.is_none() && certificate.is_none() {
        let message = "nothing says who this is";
        fields.wrong_at("flow", message, "add `token`, the SHA-256 of a bearer token, or `certificate`, that of one");
    }
    let connections = fields.may("connections", "32", number(1..=256));
    let uploads = fields.may("uploads", "500", number(1..=100_000));
    let account = Account { name: name.to_owned(), flow: flow?, token, certificate, connections: 0, uploads: 0 };
    Some(Said { account, connections, uploads })
}

fn check(file: &Fields<'_>, https: &Https, accounts: &[Account]) {
    for (at, account) in accounts.iter().enumerate() {
        let same = |other: &Account| (account.token, account.certificate) == (other.token, other.certificate);
        if accounts[..at].iter().any(same) {
            let message = format!("`upload.{}` is known by the same as another", account.name);
            file.wrong_at("upload", message, "give each a token or certificate of its own");
        }
        if account.certificate.is_some() && https.certificate.is_none() {
            let message = format!("`upload.{}` shows a certificate, and `https` has none itself", account.name);
            file.wrong_at("upload", message, "give `https` a certificate and key");
        }
    }
}
