//! `sluse zone restore`: a zone from a backup, whole or not at all.
//!
//! Everything is made in a folder beside the new zone's, checked there, and takes its name in one step. What a kill leaves behind is
//! that folder, which means nothing and is removed by the next restore. The zone's first start does the rest (`control`, `restored`).

use super::archive::{self, CHECKPOINT, LIST, LIST_SIGNATURE, List};
use super::init::sockets_fit;
use super::newer::{Newer, Search};
use super::places::{self, Accounts, Place};
use super::unpack::unpack;
use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::output::Output;
use age::x25519::Identity;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{Uid, User};
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::refusal::Exit;
use sluse_protocol::restored::Restored;
use sluse_protocol::roles::Role;
use sluse_protocol::sshsig::{self, NAMESPACE_BACKUP, NAMESPACE_CHECKPOINT, PublicKey};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// `sluse zone restore`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup
    file: PathBuf,
    /// Folder of the zone; it must be empty or absent
    dir: PathBuf,
    /// The age identity that opens it
    #[arg(long, value_name = "KEYFILE")]
    identity: PathBuf,
    /// Who may have signed it: an `allowed_signers` file that was kept elsewhere. Without it, whoever knew the recipient could have
    /// made the backup
    #[arg(long, value_name = "KEYFILE")]
    signer: Option<PathBuf>,
    /// The rooms' folder: receipts beside bags show what was delivered after the backup
    #[arg(long, value_name = "DIR")]
    rooms: Option<PathBuf>,
    /// A receipt that somebody has, its signature beside it; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    receipt: Vec<PathBuf>,
    /// A checkpoint that somebody has, or the lost zone's control/checkpoint; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    checkpoint: Vec<PathBuf>,
}

/// A zone that was made.
struct Made {
    list: List,
    newer: Newer,
    /// Files that the configuration names by another path than they have now, and that.
    elsewhere: Vec<(PathBuf, PathBuf)>,
    /// The rooms' folder, where it lies in the zone's: it is empty now.
    rooms: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why there is no zone; then there is nothing where it should be.
    pub fn run(self, out: &Output) -> Ended {
        let whole =
            std::path::absolute(&self.dir).map_err(|e| Failure::file(Exit::Usage, "restore to", &self.dir, &e))?;
        let work = claim(&whole)?;
        let made = self.make(&work, &whole);
        let placed = made.and_then(|made| place(&work, &whole).map(|()| made));
        if placed.is_err() {
            // The first failure is the one to report.
            let _ = std::fs::remove_dir_all(&work);
        }
        let made = placed?;
        self.tell(out, &whole, &made);
        Ok(Exit::Done)
    }

    /// Makes the zone in the folder `work`; it will be `dir`.
    fn make(&self, work: &Path, dir: &Path) -> Result<Made, Failure> {
        let identity = read_identity(&self.identity)?;
        let list = unpack(&self.file, &identity, work)?;
        let layout = Layout::new(work);
        check(&list, work, &layout, self.signer.as_deref())?;
        let zone = Zone::load(&layout.config())?;
        let signers = Signers::read(&layout.allowed_signers())?;
        let mut search = Search { signers: &signers, backup: list.audit, newer: Newer::default() };
        self.receipt.iter().try_for_each(|file| search.receipt(file))?;
        self.checkpoint.iter().try_for_each(|file| search.checkpoint(file))?;
        self.rooms.iter().try_for_each(|folder| search.rooms(folder))?;
        let newer = search.newer;
        let failed = |error: io::Error| Failure::file(Exit::Fault, "make a zone in", work, &error);
        leave_note(&layout, &list, &newer).and_then(|()| settle(&zone, &list)).map_err(failed)?;
        let elsewhere = named_elsewhere(&zone, &list, dir);
        let rooms = zone.rooms().strip_prefix(work).ok().map(|within| dir.join(within));
        Ok(Made { list, newer, elsewhere, rooms })
    }

    fn tell(&self, out: &Output, zone: &Path, Made { list, newer, elsewhere, rooms }: &Made) {
        if out.is_json() {
            out.object(&serde_json::json!({
                "zone": zone, "made": list.made, "audit": list.audit, "attested": newer.attested, "newer": newer.receipts,
                "signer_checked": self.signer.is_some(), "named_elsewhere": elsewhere, "empty_rooms": rooms,
            }));
            return;
        }
        out.line(zone.display().to_string());
        out.note(format!("The zone {} of {}, with an audit log of {} entries.", list.zone, list.made, list.audit.size));
        if let Some(attested) = newer.attested {
            out.note(format!("At least {} later entries are lost.", attested.size - list.audit.size));
        }
        for found in &newer.receipts {
            out.note(format!("newer than the backup: {} was {}: {}", found.transfer, found.kind, found.file.display()));
        }
        for (named, place) in elsewhere {
            let (named, place) = (named.display(), place.display());
            out.note(format!("Change sluse.toml before the start: it names {named}, which is {place} now."));
        }
        if let Some(rooms) = rooms {
            out.note(format!(
                "Put the rooms' folders back before the start, or make them: {} is empty.",
                rooms.display()
            ));
        }
        if self.signer.is_none() {
            out.note("Nothing shows who made this backup: --signer names a kept allowed_signers file.");
        }
        let made = list.made;
        out.note(format!("It does not know what was revoked since: revoke again each source and agreement that was revoked after {made}."));
        out.note(
            "Updates that were imported since are to be imported again, the newest of each kind: `sluse update list`.",
        );
        out.note("It has no data: at its first start it gives up what was in quarantine, and sources send that again. Invites that");
        out.note("were not used are taken back then.");
        out.note(format!("Start it: slused all --config {}", zone.join("sluse.toml").display()));
        out.note("or, where it is the package's zone, encrypt its keys for this host first: sluse-setup --encrypt");
    }
}

/// The folder to work in, new and empty, beside the zone's.
fn claim(zone: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Usage, "restore to", zone, &error);
    let filled = match std::fs::read_dir(zone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        other => other.map_err(failed)?.next().is_some(),
    };
    if filled {
        return Err(Failure::new(Exit::Usage, format!("{} is not empty", zone.display()))
            .hint("a zone is restored to a folder of its own: name a new one"));
    }
    let (Some(parent), Some(name)) = (zone.parent(), zone.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    check_replaceable(&File::open(parent).map_err(failed)?, name).map_err(|why| failed(why.into()).hint(HINT))?;
    if !sockets_fit(&Layout::new(zone)) {
        let message = format!("{} is too long a path: the zone's sockets could not be made", zone.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    let work = parent.join(format!(".{}.sluse-restoring", name.to_string_lossy()));
    match std::fs::remove_dir_all(&work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    files::create_folder(&work, 0o700).map_err(failed)?;
    Ok(work)
}

const HINT: &str =
    "the zone takes its name by one rename: name a folder below the mount point, or what the link leads to";

/// Whether what has a name in a folder can be replaced by a folder that is made beside it: it is not there, or neither a mount point nor
/// a link.
fn check_replaceable(parent: &File, name: &OsStr) -> nix::Result<()> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    let how = how.resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(parent, name, how) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Gives the finished zone its name.
fn place(work: &Path, zone: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Fault, "restore to", zone, &error);
    // An empty folder is replaced; one that was filled meanwhile is not.
    std::fs::rename(work, zone).map_err(failed)?;
    files::sync_folder(zone.parent().unwrap_or(zone)).map_err(failed)
}

fn read_identity(file: &Path) -> Result<Identity, Failure> {
    let text = files::read_private(file).map_err(|e| Failure::file(Exit::Usage, "read", file, &e))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let text = zeroize::Zeroizing::new(text);
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1"));
    let bad = || Failure::new(Exit::Usage, format!("{} is not an age identity", file.display()));
    line.and_then(|line| line.trim().parse().ok()).ok_or_else(bad)
}

/// The list must be signed by the zone that it names: by the keys that were kept elsewhere, or else by the one within. The
/// checkpoint within must be that of the list.
fn check(list: &List, work: &Path, layout: &Layout, signer: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Integrity, "read", work, &error);
    let keys_file = signer.map_or_else(|| layout.allowed_signers(), Path::to_owned);
    let read = |path: &Path| files::read_bounded(path, archive::MAX_LIST_BYTES);
    let allowed = read(&keys_file).map_err(|e| Failure::file(Exit::Usage, "read", &keys_file, &e))?;
    let (text, signature) = (read(&work.join(LIST)), read(&work.join(LIST_SIGNATURE)));
    let (text, signature) = (text.map_err(failed)?, signature.map_err(failed)?);
    // Who may sign checkpoints signs backups: an older allowed_signers file need not change.
    let keys =
        PublicKey::find_allowed(&String::from_utf8_lossy(&allowed), Some(list.zone.as_str()), NAMESPACE_CHECKPOINT);
    let signature = String::from_utf8_lossy(&signature);
    if !keys.iter().any(|key| sshsig::verify(key, NAMESPACE_BACKUP, &text, &signature).is_ok()) {
        let message = format!("the backup's list is not signed by zone {}", list.zone);
        return Err(
            Failure::new(Exit::Integrity, message).hint(format!("the keys are those of {}", keys_file.display()))
        );
    }
    let signers = Signers::read(&keys_file)?;
    let mut search = Search { signers: &signers, backup: list.audit, newer: Newer::default() };
    search.checkpoint(&work.join(CHECKPOINT))?;
    for name in [LIST, LIST_SIGNATURE] {
        std::fs::remove_file(work.join(name)).map_err(failed)?;
    }
    match search.newer.attested {
        None => Ok(()),
        Some(_) => Err(Failure::new(Exit::Integrity, "the backup's checkpoint is not that of its list")),
    }
}

/// Tells the first start what is to be done.
fn leave_note(layout: &Layout, list: &List, newer: &Newer) -> io::Result<()> {
    let mut transfers: Vec<_> = newer.receipts.iter().map(|found| found.transfer.clone()).collect();
    transfers.sort();
    transfers.dedup();
    let user = User::from_uid(Uid::current()).ok().flatten();
    let by = user.map_or_else(|| format!("uid-{}", Uid::current()), |user| user.name);
    let note = Restored { by, backup: list.audit, attested: newer.attested, newer: transfers };
    files::write_new(&layout.restored(), &serde_json::to_vec(&note)?, 0o600)
}

/// Makes what a zone has besides, gives everything its owner and mode, and makes it durable.
fn settle(zone: &Zone, list: &List) -> io::Result<()> {
    let (layout, accounts) = (&zone.layout, Accounts::look_up()?);
    let mut places = places::all(zone);
    places.retain(|place| place.path.starts_with(layout.root()));
    for place in places.iter().filter(|place| place.folder) {
        std::fs::create_dir_all(&place.path)?;
    }
    // What a new zone does not have yet: as closed as `control`'s key, or as open as the configuration.
    let own = [layout.database(), layout.checkpoint(), layout.restored()];
    let closed = own.into_iter().chain(within(&layout.documents())?).map(|path| (path, layout.signing_key()));
    let open: Vec<PathBuf> = open_files(layout, list, &places).collect();
    let mut folders = BTreeSet::new();
    for file in &open {
        folders.extend(file.ancestors().skip(1).take_while(|folder| *folder != layout.root()).map(Path::to_owned));
    }
    let open = open.into_iter().map(|path| (path, layout.config()));
    let folders = folders.into_iter().map(|path| (path, layout.trust()));
    for (path, like) in closed.chain(open).chain(folders) {
        let like = places.iter().find(|place| place.path == like).cloned();
        places.extend(like.map(|like| Place { path, ..like }));
    }
    places.iter().try_for_each(|place| place.settle(&accounts))?;
    places.iter().filter(|place| place.folder).try_for_each(|place| files::sync_folder(&place.path))
}

/// The backup's files that every role may read, and of which a new zone has none: signatures, files of outside authorities. They are known
/// by their names in the backup: the configuration may name them by the path of the zone that was lost.
fn open_files<'a>(layout: &'a Layout, list: &'a List, places: &'a [Place]) -> impl Iterator<Item = PathBuf> + 'a {
    let paths = list.files.iter().map(|member| layout.root().join(&member.path));
    let closed = move |path: &Path| Role::ALL.iter().any(|role| path.starts_with(layout.role(*role)));
    paths.filter(move |path| !closed(path) && !places.iter().any(|place| place.path == *path))
}

/// What the configuration names by a path in the folder of the zone that was lost, and where in the new one that is.
fn named_elsewhere(zone: &Zone, list: &List, dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let named = archive::authorities_of(zone).into_iter().filter(|path| !path.starts_with(zone.layout.root()));
    let placed = named.filter_map(|path| {
        let member = list.files.iter().find(|member| path.ends_with(&member.path))?;
        let place = dir.join(&member.path);
        Some((path, place))
    });
    placed.filter(|(path, place)| path != place).collect()
}

/// What lies in a folder, where there is one.
fn within(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}
