//! Takes a sealed transfer out of `receive`'s reach, and proves that nobody can write there any more.
//!
//! The order: check, move, sync both parents, check again with a lease on every file. A lease is granted only while nobody
//! has the file open for writing, and in its new place `receive` cannot open it anew. Done twice, it changes nothing; when
//! it is refused the folder lies where it was.

use crate::leases::{Leases, MAX_FILES};
use crate::quarantine::folder::Folder;
use crate::quarantine::{ReadError, index};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use sluse_host::files;
use sluse_host::layout::{CHUNK_INDEX, Layout, MANIFEST, chunk_file, delta_folder, transfer_folder};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long `receive` may take to close its files.
const CLOSING: Duration = Duration::from_secs(5);

/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// What was sealed.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// Number of chunks.
    pub chunks: u32,
    /// Digest over the chunk index.
    pub chunk_list: Sha256,
    /// Whether the chunks carry a difference: then they wait beside the place of the version that is put together from it.
    pub delta: bool,
}

/// Takes the transfer over.
///
/// # Errors
/// The refusal: what was sealed is not there whole, somebody writes there, or the disk fails.
pub fn take_over(layout: &Layout, leases: &Leases, transfer: &TransferId, what: Sealed) -> Result<(), Refusal> {
    let Sealed { chunks, chunk_list, delta } = what;
    let incoming = transfer_folder(&layout.incoming(), transfer);
    let place = if delta { delta_folder } else { transfer_folder };
    let sealed = place(&layout.sealed(), transfer);
    let here = incoming.try_exists().map_err(|error| refuse_io("the incoming folder", &error))?;
    if here {
        check(&incoming, chunks, chunk_list, None)?;
        move_folder(&incoming, &sealed).map_err(|error| refuse_io("moving the transfer", &error))?;
    }
    let checked = sync_parents(layout)
        .map_err(|error| refuse_io("syncing the quarantine", &error))
        .and_then(|()| check(&sealed, chunks, chunk_list, Some(leases)));
    if checked.is_err()
        && here
        && let Err(error) = move_folder(&sealed, &incoming).and_then(|()| sync_parents(layout))
    {
        tracing::error!(%transfer, %error, "a transfer that was not taken over could not be moved back");
    }
    checked
}

fn sync_parents(layout: &Layout) -> io::Result<()> {
    files::sync_folder(&layout.sealed())?;
    files::sync_folder(&layout.incoming())
}

fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // A file system without that flag: a folder that is not empty is not replaced either.
        Err(Errno::EINVAL | Errno::ENOSYS) => std::fs::rename(from, to),
        other => Ok(other?),
    }
}

/// Checks that the folder holds the index that was sealed, and each chunk's file in its length; with `leases`, that nobody can write
/// to any of them.
fn check(folder: &Path, chunks: u32, chunk_list: Sha256, leases: Option<&Leases>) -> Result<(), Refusal> {
    let folder = Folder::open(folder).map_err(|error| refuse_io("the transfer's folder", &error))?;
    let index = index::read(&folder, chunks, Some(chunk_list)).map_err(refuse_read)?;
    let deadline = Instant::now() + CLOSING;
    let named = [CHUNK_INDEX, MANIFEST].map(|name| (name.to_owned(), None));
    let mut names = named.into_iter().chain((0..chunks).map(|number| (chunk_file(number), index.stored(number))));
    loop {
        let open = names.by_ref().take(MAX_FILES).map(|(name, stored)| whole_file(&folder, &name, stored));
        let open = open.collect::<Result<Vec<_>, _>>()?;
        if open.is_empty() {
            return Ok(());
        }
        if let Some(leases) = leases {
            wait_for_writers(leases, &open, deadline)?;
        }
    }
}

fn whole_file(folder: &Folder, name: &str, stored: Option<u32>) -> Result<File, Refusal> {
    // Which chunk it was would tell nothing that helps: the transfer is sent again from what is whole.
    let missing = || Refusal::new(Code::MissingChunks, "a chunk that the index names is not there whole");
    let file = folder.file(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData => missing(),
        _ => refuse_io("a sealed file", &error),
    })?;
    let length = file.metadata().map_err(|error| refuse_io("a sealed file", &error))?.size();
    if stored.is_some_and(|stored| u64::from(stored) != length) {
        return Err(missing());
    }
    Ok(file)
}

fn wait_for_writers(leases: &Leases, files: &[File], deadline: Instant) -> Result<(), Refusal> {
    while !leases.nobody_writes(files).map_err(|error| refuse_io("a read lease", &error))? {
        if Instant::now() > deadline {
            return Err(Refusal::new(Code::Unavailable, "a sealed file is still open for writing"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn refuse_io(what: &str, error: &io::Error) -> Refusal {
    tracing::error!(what, %error, "taking a transfer over failed");
    Refusal::new(Code::Unavailable, "the zone could not take the transfer over")
}

fn refuse_read(error: ReadError) -> Refusal {
    match error {
        ReadError::Integrity { reason, .. } => Refusal::new(Code::MissingChunks, reason),
        ReadError::Fault { reason } => {
            tracing::error!(reason, "taking a transfer over failed");
            Refusal::new(Code::Unavailable, "the zone could not take the transfer over")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::testing::{TestTransfer, TestZone, file, noise};
    use std::fs;

    const ID: &str = "20261122-101500-7f3k9a2m";

    fn taken(zone: &TestZone, transfer: &TestTransfer) -> Result<(), Code> {
        let leases = Leases::open(&zone.zone, None).unwrap();
        let what = Sealed { chunks: transfer.chunks, chunk_list: transfer.chunk_list, delta: false };
        take_over(zone.layout(), &leases, &transfer.id, what).map_err(|refusal| refusal.code)
    }

    fn prepared() -> (TestZone, TestTransfer) {
        let zone = TestZone::new();
        let transfer = zone.incoming(ID, &[file("a", noise(250_000, 1))]);
        (zone, transfer)
    }

    #[test]
    fn a_whole_transfer_is_moved_once_and_taking_it_again_changes_nothing() {
        let (zone, transfer) = prepared();
        assert_eq!(taken(&zone, &transfer), Ok(()));
        assert!(!transfer.folder.exists() && zone.layout().sealed().join(ID).is_dir());
        assert_eq!(taken(&zone, &transfer), Ok(()));
    }

    #[test]
    fn a_transfer_that_somebody_still_writes_stays_where_it_was() {
        let (zone, transfer) = prepared();
        let writer = fs::OpenOptions::new().append(true).open(transfer.chunk(1)).unwrap();
        assert_eq!(taken(&zone, &transfer), Err(Code::Unavailable));
        assert!(transfer.folder.is_dir());
        drop(writer);
        assert_eq!(taken(&zone, &transfer), Ok(()));
    }

    #[test]
    fn what_is_not_whole_is_refused_and_stays_where_it_was() {
        let damages: [fn(&TestTransfer); 6] = [
            |transfer| fs::remove_file(transfer.chunk(1)).unwrap(),
            |transfer| fs::write(transfer.chunk(1), b"short").unwrap(),
            |transfer| fs::write(transfer.folder.join(CHUNK_INDEX), b"").unwrap(),
            |transfer| fs::remove_file(transfer.folder.join(MANIFEST)).unwrap(),
            |transfer| fs::hard_link(transfer.chunk(1), transfer.folder.join("other")).unwrap(),
            |transfer| {
                fs::rename(transfer.chunk(1), transfer.folder.join("other")).unwrap();
                std::os::unix::fs::symlink("other", transfer.chunk(1)).unwrap();
            },
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let (zone, transfer) = prepared();
            damage(&transfer);
            assert_eq!(taken(&zone, &transfer), Err(Code::MissingChunks), "{number}");
            assert!(transfer.folder.is_dir());
        }
        let (zone, transfer) = prepared();
        let other = Sha256::of(b"other");
        let leases = Leases::open(&zone.zone, None).unwrap();
        let what = Sealed { chunks: transfer.chunks, chunk_list: other, delta: false };
        assert!(take_over(zone.layout(), &leases, &transfer.id, what).is_err());
    }
}
