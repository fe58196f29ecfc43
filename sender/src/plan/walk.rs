//! Walking the given paths: names in ascending order, each folder listed once, no link followed.

use super::{Folder, Name, Opener, Plan, Slot, Unsendable, last_component, printable};
use crate::error::Error;
use crate::given::{Given, GivenFile};
use crate::os::{self, Child, Kind, Status};
use sluse_protocol::document;
use sluse_protocol::limits;
use sluse_protocol::refusal::{Code, Refusal};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Plans what `paths` hold: one folder's contents relative to it; several folders, or files, each under its last component.
///
/// # Errors
/// With the names of what cannot be sent, or when there is nothing, or more than the protocol allows.
pub(crate) fn plan(paths: &[PathBuf]) -> Result<Plan, Error> {
    let mut walk = Walk::new();
    match paths {
        [only] if is_folder(only)? => walk.top = Some(only),
        _ => {}
    }
    walk.given(paths)?;
    walk.descend()?;
    walk.finish()
}

/// Plans files that somebody else holds, as they are listed.
///
/// # Errors
/// When they do not ascend, there are none, or more than the protocol allows.
pub(crate) fn listed(given: &Given) -> Result<Plan, Error> {
    let follows = |one: &GivenFile, next: &GivenFile| one.path < next.path && !next.path.is_below(&one.path);
    if let Some([_, next]) = given.files.array_windows().find(|[one, next]| !follows(one, next)) {
        let what = "is there twice, not in its place, or below a file";
        return Err(Unsendable::one(Path::new(next.path.as_str()), what).into());
    }
    let mut walk = Walk::new();
    let top = walk.folder(0, "", None)?;
    for GivenFile { path, bytes, mtime } in &given.files {
        let status = Status {
            kind: Kind::File,
            size: *bytes,
            mtime: mtime.unix(),
            mtime_ns: 0,
            changed_ns: 0,
            inode: 0,
            executable: false,
        };
        walk.add(top, path.as_str(), document::Kind::File, &status)?;
    }
    walk.plan.given = Some((Arc::clone(&given.supply), given.version));
    walk.finish()
}

struct Walk<'a> {
    plan: Plan,
    opener: Opener,
    problems: Unsendable,
    /// The one folder whose contents are the dataset.
    top: Option<&'a Path>,
    /// What is still to be looked at, the next one last.
    pending: Vec<Pending>,
}

/// The rest of one folder's names, the next one last.
struct Pending {
    folder: u32,
    children: Vec<Found>,
}

/// A name that is still to be looked at; `disk` where it was given, and is not a child of its folder on disk.
struct Found {
    child: Child,
    disk: Option<Box<Path>>,
}

impl<'a> Walk<'a> {
    fn new() -> Self {
        Self {
            plan: Plan::empty(),
            opener: Opener::default(),
            problems: Unsendable::default(),
            top: None,
            pending: Vec::new(),
        }
    }

    /// Takes in what was given on the command line as the topmost folder.
    fn given(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        let name = self.keep_name("")?;
        self.plan.folders.push(Folder { parent: 0, name, base: self.top.map(clean) });
        if self.top.is_some() {
            return self.enter(0);
        }
        let mut children = Vec::new();
        for path in paths {
            let named = last_component(path).map_err(|error| Error::unreadable(path, error))?;
            let status = os::status_at(&clean(path)).map_err(|error| Error::unreadable(path, error))?;
            let name = named.into_os_string().into_encoded_bytes();
            children.push(Found { child: Child { name, status }, disk: Some(clean(path)) });
        }
        children.sort_by(|one, other| one.child.name.cmp(&other.child.name));
        if let Some(twice) = children.windows(2).find(|pair| pair[0].child.name == pair[1].child.name) {
            let name = String::from_utf8_lossy(&twice[0].child.name).into_owned();
            return Err(Unsendable::one(Path::new(&name), "two of the given paths end in this name").into());
        }
        children.reverse();
        self.pending.push(Pending { folder: 0, children });
        Ok(())
    }

    /// Looks at everything that is pending, depth first.
    fn descend(&mut self) -> Result<(), Error> {
        while let Some(pending) = self.pending.last_mut() {
            let folder = pending.folder;
            match pending.children.pop() {
                Some(found) => self.child(folder, found)?,
                None => drop(self.pending.pop()),
            }
        }
        Ok(())
    }

    fn child(&mut self, folder: u32, found: Found) -> Result<(), Error> {
        let Found { child, disk } = found;
        let Ok(name) = std::str::from_utf8(&child.name) else {
            let escaped = printable(&child.name);
            self.problems.add(&self.plan.path_of(folder, &escaped), "the name is not UTF-8");
            return Ok(());
        };
        if let Err(problem) = self.plan.data_path(folder, name) {
            self.problems.add(&self.plan.path_of(folder, name), problem);
            return Ok(());
        }
        match (child.status.kind, disk) {
            (Kind::Other(what), _) => {
                self.problems.add(&self.plan.path_of(folder, name), what);
                Ok(())
            }
            (Kind::File, None) => self.add(folder, name, document::Kind::File, &child.status),
            (Kind::File, Some(disk)) => {
                // A file that was given lies in a folder of its own on disk, which adds nothing to its path.
                let parent = disk.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let within = self.folder(folder, "", Some(parent.into()))?;
                self.add(within, name, document::Kind::File, &child.status)
            }
            (Kind::Folder, disk) => {
                let within = self.folder(folder, name, disk)?;
                self.enter_below(folder, within, name, &child.status)
            }
        }
    }

    fn enter_below(&mut self, parent: u32, folder: u32, name: &str, status: &Status) -> Result<(), Error> {
        self.enter(folder)?;
        if self.pending.last().is_some_and(|pending| pending.folder == folder && pending.children.is_empty()) {
            self.pending.pop();
            self.add(parent, name, document::Kind::Folder, status)?;
        }
        Ok(())
    }

    /// Lists a folder and makes its children the next to be looked at.
    fn enter(&mut self, folder: u32) -> Result<(), Error> {
        let listed = self.opener.folder(&self.plan, folder).and_then(os::list);
        let listed = listed.map_err(|error| self.unreadable(folder, error))?;
        let children = listed.into_iter().rev().map(|child| Found { child, disk: None }).collect();
        self.pending.push(Pending { folder, children });
        Ok(())
    }

    fn unreadable(&self, folder: u32, error: io::Error) -> Error {
        let path = self.plan.path_of(folder, "");
        let path = if path.is_empty() { self.top.unwrap_or(Path::new("")).to_owned() } else { PathBuf::from(path) };
        Error::unreadable(&path, error)
    }

    fn folder(&mut self, parent: u32, name: &str, base: Option<Box<Path>>) -> Result<u32, Error> {
        let name = self.keep_name(name)?;
        let number = u32::try_from(self.plan.folders.len()).map_err(|_| too_many())?;
        self.plan.folders.push(Folder { parent, name, base });
        Ok(number)
    }

    fn add(&mut self, folder: u32, name: &str, kind: document::Kind, status: &Status) -> Result<(), Error> {
        let name = self.keep_name(name)?;
        let file = kind == document::Kind::File;
        let size = if file { status.size } else { 0 };
        let totals = &mut self.plan.totals;
        let start = totals.bytes;
        totals.bytes = totals.bytes.checked_add(size).ok_or_else(too_large)?;
        *(if file { &mut totals.files } else { &mut totals.folders }) += 1;
        if totals.entries() > limits::MAX_ENTRIES {
            return Err(too_many().into());
        }
        if totals.chunks(limits::CHUNK_BYTES) > u64::from(limits::MAX_CHUNKS) {
            return Err(too_large().into());
        }
        if file {
            self.plan.changed_ns = self.plan.changed_ns.max(status.changed_ns);
        }
        self.plan.slots.push(Slot {
            folder,
            name,
            size,
            start,
            mtime: status.mtime,
            mtime_ns: status.mtime_ns,
            changed_ns: status.changed_ns,
            inode: status.inode,
            kind,
            executable: file && status.executable,
        });
        Ok(())
    }

    fn keep_name(&mut self, name: &str) -> Result<Name, Refusal> {
        let start = u32::try_from(self.plan.names.len()).map_err(|_| too_many())?;
        let length = u16::try_from(name.len()).map_err(|_| too_many())?;
        self.plan.names.push_str(name);
        Ok(Name { start, length })
    }

    fn finish(self) -> Result<Plan, Error> {
        self.problems.into_result()?;
        let mut plan = self.plan;
        if plan.slots.is_empty() {
            return Err(Refusal::new(Code::EmptyDataset, "the given folder is empty").into());
        }
        plan.names.shrink_to_fit();
        plan.slots.shrink_to_fit();
        plan.folders.shrink_to_fit();
        plan.count_document()?;
        Ok(plan)
    }
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    let status = os::status_at(&clean(path)).map_err(|error| Error::unreadable(path, error))?;
    Ok(status.kind == Kind::Folder)
}

/// The path without a trailing slash, which would make the system follow a link.
fn clean(path: &Path) -> Box<Path> {
    path.components().as_path().into()
}

fn too_many() -> Refusal {
    let message = format!("there are more than {} files and folders", limits::MAX_ENTRIES);
    Refusal::new(Code::TooManyFiles, message)
}

fn too_large() -> Refusal {
    let most = u64::from(limits::MAX_CHUNKS) * u64::from(limits::CHUNK_BYTES) / (1 << 40);
    Refusal::new(Code::DatasetTooLarge, format!("there are more than {most} TiB"))
}
