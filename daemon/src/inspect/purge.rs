//! Destroys a transfer: its identity first, so that what a crash leaves behind stays closed.

use super::identities;
use sluse_host::files;
use sluse_host::layout::{Layout, assembly_folder, delta_folder, transfer_folder};
use sluse_protocol::ids::TransferId;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Destroys the identity called `recipient`, then the transfer's bytes. What is gone already is fine.
///
/// # Errors
/// When something could not be removed; to be tried again.
pub fn purge(layout: &Layout, transfer: &TransferId, recipient: &str) -> io::Result<()> {
    identities::check_name(recipient).map_err(io::Error::other)?;
    destroy(&layout.identity(recipient))?;
    files::sync_folder(&layout.identities())?;
    let (sealed, incoming) = (layout.sealed(), layout.incoming());
    for folder in [delta_folder, assembly_folder, transfer_folder] {
        remove(&folder(&sealed, transfer))?;
    }
    files::sync_folder(&sealed)?;
    remove(&transfer_folder(&incoming, transfer))?;
    files::sync_folder(&incoming)
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Overwrites a file, as far as the disk lets us, and removes it. It is encrypted to the quarantine key besides.
fn destroy(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = file.metadata()?.len().min(64 * 1024);
    file.write_all(&vec![0; length as usize])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::testing::{TestZone, file};
    use crate::traced::{self, Traced};

    #[test]
    fn a_purged_transfer_has_neither_identity_nor_bytes_and_purging_again_is_fine() {
        let zone = TestZone::new();
        let sealed = zone.sealed("20261122-101500-7f3k9a2m", &[file("a", "x")]);
        let incoming = zone.incoming("20261122-101500-7f3k9a2n", &[file("a", "x")]);
        for transfer in [&sealed, &incoming] {
            for _ in 0..2 {
                purge(zone.layout(), &transfer.id, &transfer.recipient()).unwrap();
            }
            assert!(!transfer.folder.exists() && !zone.layout().identity(&transfer.recipient()).exists());
        }
        assert!(purge(zone.layout(), &sealed.id, "../../../etc/passwd").is_err());
    }
    #[test]
    fn each_call_of_a_purge_that_fails_is_told_of_and_leaves_no_key_to_bytes_that_are_gone_and_the_next_purge_ends_it()
    {
        if let Some(task) = traced::task() {
            let (layout, transfer) = (Layout::new(&task[0]), task[1].parse().unwrap());
            return traced::act(|| purge(&layout, &transfer, &task[2]));
        }
        let prepare = || {
            let zone = TestZone::new();
            let transfer = zone.sealed("20261122-101500-7f3k9a2m", &[file("a", "x"), file("b/c", "y")]);
            let words = [zone.layout().root().to_str().unwrap(), transfer.id.as_str(), &transfer.recipient()];
            let words = words.map(str::to_owned).to_vec();
            ((zone, transfer), words)
        };
        let test = Traced {
            test: concat!(
                module_path!(),
                "::each_call_of_a_purge_that_fails_is_told_of_and_leaves_no_key_to_bytes_that_are_gone_and_the_next_purge_ends_it"
            ),
            calls: &["openat", "statx", "write", "fsync", "getdents64", "unlink", "unlinkat"],
        };
        test.sweep(prepare, |(zone, transfer), failed, well| {
            let (layout, recipient) = (zone.layout(), transfer.recipient());
            let identity = layout.identity(&recipient);
            let gone = !transfer.folder.exists() && !identity.exists();
            assert!(gone || !well, "{failed}: it was said to be done");
            // A question whose answer is not needed may fail.
            assert!(!well || failed == "nothing" || failed.starts_with("statx"), "{failed} was not told of");
            assert!(transfer.folder.exists() || !identity.exists(), "{failed}: the bytes went before the key");
            purge(layout, &transfer.id, &recipient).unwrap();
            assert!(!transfer.folder.exists() && !identity.exists(), "{failed}");
        });
    }
}
