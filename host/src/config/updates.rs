//! `[updates]`: whose updates are taken, and where they go.

use super::read::path;
use serde::Serialize;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::toml_text::{self, Fields, Read, Value, Wrong, list};
use std::path::PathBuf;

/// Keys by which updates may be signed: one, and the next one.
const MAX_KEYS: usize = 8;

/// `[updates]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UpdateSettings {
    /// Keys of which one must have signed an update, OpenSSH public key lines. Without any, none is taken.
    pub keys: Vec<String>,
    /// clamd's `DatabaseDirectory`, where updates may write to it.
    pub clamd_databases: Option<PathBuf>,
}

impl UpdateSettings {
    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = PublicKey> {
        // Each was read before it was kept.
        self.keys.iter().filter_map(|line| PublicKey::from_openssh(line).ok())
    }
}

pub(super) fn updates(fields: &Fields<'_>) -> Option<UpdateSettings> {
    let keys = fields.may("keys", "[\"ssh-ed25519 AAAA…\"]", list(MAX_KEYS, key));
    let clamd_databases = fields.may("clamd_databases", "\"/var/lib/clamav\"", path);
    Some(UpdateSettings { keys: keys.unwrap_or_default(), clamd_databases })
}

fn key(value: &Value<'_>) -> Read<String> {
    match PublicKey::from_openssh(toml_text::string(value)?) {
        Ok(key) => Ok(key.to_openssh()),
        Err(_) => Err(Wrong::new(value, "is not a public key of OpenSSH's kind ed25519").into()),
    }
}
