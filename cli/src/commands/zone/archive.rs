//! What is in a backup: a tar archive within an age file. Its last two members are the list of all the others and the zone's signature
//! of that list.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use sluse_host::config::Zone;
use sluse_host::layout::Layout;
use sluse_protocol::audit::Position;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::ZoneName;
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The list's name in the archive.
pub const LIST: &str = "backup.json";

/// Its signature's.
pub const LIST_SIGNATURE: &str = "backup.json.sig";

/// The database's, and that of the last checkpoint, in the archive as in the zone.
pub const DATABASE: &str = "control/state.db";
pub const CHECKPOINT: &str = "control/checkpoint";

/// Bytes of the longest list: about 200 for each of two documents of a million transfers.
pub const MAX_LIST_BYTES: u64 = 512 * 1024 * 1024;

/// What a backup holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// `backup/1`.
    pub sluse: Format,
    /// The zone that it is of.
    pub zone: ZoneName,
    /// When it was made.
    pub made: Timestamp,
    /// Where the audit log ends in it.
    pub audit: Position,
    /// Every member but the list and its signature, in the archive's order.
    pub files: Vec<Member>,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "backup/1")]
    V1,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name: the path below the zone's folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
}

/// The files of a zone that go into a backup as they are: configuration, public keys, plans and manifests, signatures. Neither what lies in
/// quarantine nor any transfer's identity is among them. The database and its checkpoint come by way of `control`, the
/// private keys ([`keys_of`]) as they are in the clear.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_of(zone: &Zone) -> Result<Vec<PathBuf>, Failure> {
    let layout = &zone.layout;
    let mut files = fixed(layout);
    files.extend(Some(layout.key_statements()).filter(|path| path.exists()));
    let signatures = Some(zone.signatures()).filter(|folder| folder.starts_with(layout.root()));
    for folder in signatures.into_iter().chain([layout.documents()]) {
        let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", &folder, &error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                found.push(entry.path());
            }
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Certificates and revocation lists of outside authorities, each once.
pub fn authorities_of(zone: &Zone) -> BTreeSet<PathBuf> {
    let authorities = zone.settings.authorities.iter();
    let files = authorities.flat_map(|authority| authority.revocation_lists.iter().chain([&authority.certificates]));
    files.map(|file| zone.layout.root().join(file)).collect()
}

/// Whether a file of the configuration lies in the zone's folder, as a backup can hold it.
pub fn is_within(layout: &Layout, file: &Path) -> bool {
    file.starts_with(layout.root()) && !file.components().any(|part| part == Component::ParentDir)
}

/// Those that every zone has.
fn fixed(layout: &Layout) -> Vec<PathBuf> {
    vec![
        layout.config(),
        layout.ca_certificate(),
        layout.signer(),
        layout.allowed_signers(),
        layout.quarantine_recipient(),
        layout.deliver_recipient(),
        layout.tls_certificate(),
    ]
}

/// The zone's private keys, each under the name that it has in the clear; the signing key among them.
pub fn keys_of(layout: &Layout) -> [PathBuf; 6] {
    [
        layout.ca_key(),
        layout.signing_key(),
        layout.tls_key(),
        layout.reset_key(),
        layout.quarantine_key(),
        layout.deliver_key(),
    ]
}

/// Whether a member's name is a path that may be made below a new zone's folder, and no transfer's identity or bytes.
pub fn is_sound(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let forbidden = ["quarantine/", "inspect/identities/", "rooms/", "run/"];
    path.split('/').all(plain) && !forbidden.iter().any(|begin| path.starts_with(begin))
}

/// A file's name in the archive.
///
/// # Errors
/// When it has none: it lies outside, or its name is not UTF-8.
pub fn name_of(layout: &Layout, file: &Path) -> Result<String, Failure> {
    let name = file.strip_prefix(layout.root()).ok().and_then(Path::to_str);
    let bad = || Failure::new(Exit::Configuration, format!("{} cannot be named in an archive", file.display()));
    name.map(str::to_owned).ok_or_else(bad)
}
