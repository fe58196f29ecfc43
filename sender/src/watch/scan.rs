//! What lies in an outbox: its entries, and a fingerprint of each that changes whenever anything in it does.

use super::settings::Outbox;
use crate::os::{self, Folder, Kind, Status};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::DatasetName;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The folder in an outbox that takes what was delivered.
pub const DELIVERED: &str = "_delivered";
/// The folder in an outbox that takes what was refused or rejected.
pub const REJECTED: &str = "_rejected";
/// The file in an outbox that says why nothing of it can be sent.
pub const PROBLEM: &str = "_PROBLEM.txt";
/// What follows an entry's name in the name of the folder with its receipts.
pub const RECEIPTS: &str = ".receipts";

/// Folders in folders that are followed, each with a descriptor open; what lies deeper is no part of the fingerprint.
const MAX_DEPTH: usize = 256;

/// One entry of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What lies there.
    pub fingerprint: Sha256,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether its done-marker is there.
    pub marked: bool,
    /// Why it can be no dataset, whatever it holds.
    pub unfit: Option<String>,
}

/// What lies in an outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its entries.
    pub seen: Vec<Seen>,
    /// How many names are not UTF-8: such a name can be neither sent nor put aside.
    pub nameless: usize,
}

/// Lists an outbox.
///
/// # Errors
/// When its folder cannot be read; a part of an entry that cannot be read is part of the fingerprint instead.
pub fn scan(outbox: &Outbox) -> io::Result<Listing> {
    let folder = os::open_folder(&outbox.folder)?;
    let children = os::list(&folder)?;
    let names: BTreeSet<&[u8]> = children.iter().map(|child| child.name.as_slice()).collect();
    let marker = outbox.marker();
    let mut listing = Listing::default();
    for child in &children {
        let Ok(name) = std::str::from_utf8(&child.name) else {
            listing.nameless += 1;
            continue;
        };
        if is_entry(outbox, name) {
            let content = Content::of(&folder, name, &child.status);
            listing.seen.push(Seen {
                name: name.to_owned(),
                bytes: content.bytes,
                fingerprint: content.fingerprint(),
                marked: marker.is_some_and(|end| names.contains([name, end].concat().as_bytes())),
                unfit: unfit(outbox, name),
            });
        }
    }
    Ok(listing)
}

/// The fingerprint of what lies at `path` now; none when nothing does.
///
/// # Errors
/// When it cannot be looked at.
pub fn look(path: &Path) -> io::Result<Option<Sha256>> {
    look_as(path, |status| status)
}

/// As [`look`], apart from what moving a file changes of it: it is the same before and after.
///
/// # Errors
/// As [`look`].
pub fn look_across_moves(path: &Path) -> io::Result<Option<Sha256>> {
    look_as(path, |status| Status { changed_ns: 0, ..status })
}

fn look_as(path: &Path, known: impl Fn(Status) -> Status) -> io::Result<Option<Sha256>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match os::status_at(path) {
        Ok(status) => Ok(Some(Content::of(&os::open_folder(parent)?, name, &known(status)).fingerprint())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a name in an outbox is something to send, and neither ours nor unfinished.
fn is_entry(outbox: &Outbox, name: &str) -> bool {
    let ours = [DELIVERED, REJECTED, PROBLEM].contains(&name.trim_end_matches(".new")) || name.ends_with(RECEIPTS);
    let unfinished = name.starts_with('.') || outbox.unfinished.iter().any(|end| name.ends_with(end.as_str()));
    let marker = outbox.marker().is_some_and(|end| name.ends_with(end));
    !(ours || unfinished || marker)
}

fn unfit(outbox: &Outbox, name: &str) -> Option<String> {
    if name.len() + RECEIPTS.len() > sluse_protocol::limits::MAX_COMPONENT_BYTES {
        return Some("its name is too long".into());
    }
    match &outbox.dataset {
        Some(_) => None,
        None => name.parse::<DatasetName>().err().map(|error| format!("its name cannot be a dataset's: {error}")),
    }
}

/// What lies under one name, as its parts are taken in.
struct Content {
    digest: sha2::Sha256,
    bytes: u64,
    /// How many more parts are taken in.
    entries: u64,
}

impl Content {
    fn of(parent: &Folder, name: &str, status: &Status) -> Self {
        let mut content = Self { digest: sha2::Sha256::new(), bytes: 0, entries: sluse_protocol::limits::MAX_ENTRIES };
        content.note("", status);
        if status.kind == Kind::Folder {
            content.descend(os::open_folder_in(parent, name), 0);
        }
        content
    }

    fn fingerprint(self) -> Sha256 {
        Sha256(self.digest.finalize().into())
    }

    /// Takes in a folder's content. What cannot be read changes the digest too, so that its mending is noticed.
    fn descend(&mut self, folder: io::Result<Folder>, depth: usize) {
        let listed = folder.and_then(|folder| os::list(&folder).map(|children| (folder, children)));
        let (folder, children) = match listed {
            Ok(listed) => listed,
            Err(error) => return self.digest.update(format!("! {:?}\n", error.kind())),
        };
        for child in children {
            self.entries = self.entries.saturating_sub(1);
            if self.entries == 0 || depth >= MAX_DEPTH {
                return self.digest.update("! more\n");
            }
            let name = String::from_utf8_lossy(&child.name);
            self.note(&name, &child.status);
            if child.status.kind == Kind::Folder {
                self.descend(os::open_folder_in(&folder, &name), depth + 1);
                self.digest.update("/\n");
            }
        }
    }

    fn note(&mut self, name: &str, status: &Status) {
        let Status { kind, size, mtime, mtime_ns, changed_ns, inode, executable } = status;
        self.digest.update(format!("{kind:?} {}:{name}\n", name.len()));
        // A folder is what lies in it; its own times may change when it is moved.
        if *kind != Kind::Folder {
            self.bytes = self.bytes.saturating_add(*size);
            self.digest.update(format!("{size} {mtime} {mtime_ns} {changed_ns} {inode} {executable}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::outbox;
    use super::*;
    use std::fs;

    #[test]
    fn every_change_within_a_folder_changes_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let extract = folder.path().join("extract");
        fs::create_dir_all(extract.join("a/b")).unwrap();
        fs::write(extract.join("a/b/one.csv"), "1").unwrap();
        let mut seen = vec![look(&extract).unwrap().unwrap()];
        assert_eq!(look(&extract).unwrap().unwrap(), seen[0], "nothing changed");
        let mut changed = |what: &str| {
            let now = look(&extract).unwrap().unwrap();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(extract.join("a/b/one.csv"), "12").unwrap();
        changed("other bytes");
        let times = fs::metadata(extract.join("a/b/one.csv")).unwrap().modified().unwrap();
        // Longer than a tick of the kernel's clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(extract.join("a/b/one.csv"), "34").unwrap();
        fs::File::options().append(true).open(extract.join("a/b/one.csv")).unwrap().set_modified(times).unwrap();
        changed("other bytes of the same length, and the time set back");
        fs::write(extract.join("a/b/two.csv"), "").unwrap();
        changed("one file more");
        fs::rename(extract.join("a/b/two.csv"), extract.join("a/two.csv")).unwrap();
        changed("a file moved");
        fs::remove_file(extract.join("a/two.csv")).unwrap();
        assert_eq!(look(&extract).unwrap().unwrap(), seen[2], "what it was before is the same again");
        fs::rename(extract.join("a/b/one.csv"), extract.join("a/b/uno.csv")).unwrap();
        let renamed = look(&extract).unwrap().unwrap();
        assert!(!seen.contains(&renamed), "a file renamed");
        assert_eq!(look(&folder.path().join("none")).unwrap(), None);
    }

    #[test]
    fn what_is_ours_hidden_or_unfinished_is_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(folder.path(), "complete = \"marker\"");
        for name in ["a.csv", "a.csv.done", "b.csv", ".hidden", "c.csv.part", "d.receipts", PROBLEM, "_PROBLEM.txt.new"]
        {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        for name in [DELIVERED, REJECTED] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("con.csv"), "x").unwrap();
        let listing = scan(&outbox).unwrap();
        let told: Vec<_> =
            listing.seen.iter().map(|seen| (seen.name.as_str(), seen.marked, seen.unfit.is_some())).collect();
        assert_eq!(told, [("a.csv", true, false), ("b.csv", false, false), ("con.csv", false, true)]);
    }

    #[test]
    fn an_entry_is_as_large_as_all_files_in_it_together() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("extract/a/b")).unwrap();
        fs::write(folder.path().join("extract/one"), [0; 700]).unwrap();
        fs::write(folder.path().join("extract/a/b/two"), [0; 300]).unwrap();
        fs::write(folder.path().join("single"), [0; 20]).unwrap();
        let listing = scan(&outbox(folder.path(), "complete = \"rename\"")).unwrap();
        let told: Vec<_> = listing.seen.iter().map(|seen| (seen.name.as_str(), seen.bytes)).collect();
        assert_eq!(told, [("extract", 1000), ("single", 20)]);
    }
}
