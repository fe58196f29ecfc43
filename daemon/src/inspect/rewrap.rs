//! After the quarantine key was exchanged: the transfers' identities, which are wrapped to the one before, are wrapped to the new one,
//! so that the old one is soon needed for nothing. At the start, before anything else is done with them.

use super::identities;
use crate::quarantine::identity::{self, RoleKey};
use sluse_host::files;
use sluse_host::layout::Layout;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a wrapped identity's file.
const MAX_BYTES: u64 = 4096;

/// Identities that are wrapped anew and made durable together.
const BATCH: usize = 1000;

/// The key, after what was wrapped to those before it was wrapped anew. What could not be still opens with them, and is tried again
/// at the next start.
pub fn settled(layout: &Layout, key: RoleKey) -> RoleKey {
    if key.older.is_empty() {
        return key;
    }
    match rewrap(layout, &key) {
        Ok(count) => tracing::info!(count, "identities were wrapped to the new quarantine key"),
        Err(error) => tracing::error!(%error, "identities are still wrapped to an older quarantine key"),
    }
    key
}

/// Wraps every identity to the newest key that is wrapped to an older one; how many there were. After a power cut each is wrapped to
/// one or the other.
fn rewrap(layout: &Layout, key: &RoleKey) -> io::Result<usize> {
    let folder = layout.identities();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".age")).map(str::to_owned));
    }
    let mut count = 0;
    for batch in names.chunks(BATCH) {
        let mut ready = Vec::new();
        for name in batch {
            ready.extend(prepare(layout, key, name)?);
        }
        nix::unistd::syncfs(File::open(&folder)?)?;
        for (temporary, path) in &ready {
            std::fs::rename(temporary, path)?;
        }
        files::sync_folder(&folder)?;
        count += ready.len();
    }
    Ok(count)
}

/// Writes the identity called `name`, wrapped to the newest key, beside its file; `None` when it is that already, or opens with no key.
fn prepare(layout: &Layout, key: &RoleKey, name: &str) -> io::Result<Option<(PathBuf, PathBuf)>> {
    if identities::check_name(name).is_err() {
        return Ok(None);
    }
    let path = layout.identity(name);
    let wrapped = files::read_bounded(&path, MAX_BYTES)?;
    if identity::unwrap(&wrapped, &key.newest, name).is_ok() {
        return Ok(None);
    }
    let Ok(opened) = key.unwrap(&wrapped, name) else {
        tracing::error!("an identity opens with no quarantine key that there is: its transfer will fail");
        return Ok(None);
    };
    let wrapped = identity::wrap(&opened, &key.newest.to_public()).map_err(io::Error::other)?;
    let temporary = path.with_extension("age.new");
    write(&temporary, &wrapped)?;
    Ok(Some((temporary, path)))
}

/// Not durable yet: the whole batch is synced at once.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::mint;
    use crate::quarantine::testing::TestZone;
    use age::x25519::Identity;

    #[test]
    fn what_was_wrapped_to_an_older_key_opens_with_the_new_one_alone_afterwards() {
        let zone = TestZone::new();
        let made = mint::mint(zone.layout(), &zone.quarantine.to_public(), 3).unwrap();
        std::fs::write(zone.layout().identity(&made[0]).with_extension("age.new"), b"left by a crash").unwrap();
        std::fs::write(zone.layout().identities().join("stranger.age"), b"").unwrap();
        let newest = Identity::generate();
        let public = newest.to_public();
        let key = settled(zone.layout(), RoleKey { newest, older: vec![zone.quarantine.clone()] });
        assert_eq!(rewrap(zone.layout(), &key).unwrap(), 0, "done once");
        let (alone, before) = (RoleKey::only(key.newest), zone.key());
        for recipient in &made {
            assert!(identities::open(zone.layout(), &alone, recipient).is_ok());
            assert!(identities::open(zone.layout(), &before, recipient).is_err());
        }
        let later = mint::mint(zone.layout(), &public, 1).unwrap();
        assert!(identities::open(zone.layout(), &alone, &later[0]).is_ok());
    }
}
