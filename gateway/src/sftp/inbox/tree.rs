//! What lies in an inbox, decided. Pure: what clients ask for and the time come in; what may be done, and changes that outlive
//! the process, go out. [`super::Inbox`] makes changes durable before anybody hears of them.
//!
//! The inbox's entries are datasets: each file or folder at its top is one. Like an outbox's, they are whole by a marker beside
//! them, by a rename, or by silence.

use super::change::Change;
use crate::sftp::packet::{Attributes, Code, Refusal};
use crate::sftp::path;
use crate::spool::{FileId, Listed};
use sluse_protocol::time::Timestamp;
use sluse_sender::watch::Whole;
use std::collections::BTreeMap;
use std::time::Duration;

/// Files and folders of one inbox, with what was handed over and is still listed.
const MAX_NODES: usize = 100_000;

/// Bytes of the longest path in an inbox: with [`MAX_NODES`], what an inbox takes in memory and in a list.
const MAX_PATH: usize = 400;

/// How long what was handed over is still listed, for clients that look whether what they wrote is there.
const SHOWN: Duration = Duration::from_secs(600);

/// When an entry is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// By what.
    pub complete: Whole,
    /// Ends of names that are unfinished.
    pub unfinished: Vec<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Which it is in the spool.
    pub id: FileId,
    /// How many bytes are durable.
    pub bytes: u64,
    /// It was closed by who wrote it.
    pub whole: bool,
    /// When it was changed last.
    pub mtime: Timestamp,
    /// Who writes it.
    pub writer: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File(File),
}

#[derive(Debug, Default)]
struct Entry {
    touched: Duration,
    /// It got its name by a rename.
    renamed: bool,
    handing: bool,
}

#[derive(Debug)]
struct Shown {
    until: Duration,
    nodes: BTreeMap<String, Node>,
}

/// What lies in an inbox.
#[derive(Debug)]
pub struct Tree {
    rules: Rules,
    nodes: BTreeMap<String, Node>,
    entries: BTreeMap<String, Entry>,
    /// What was handed over and is still listed.
    shown: BTreeMap<String, Shown>,
}

const NOT_THERE: Refusal = Refusal(Code::NoSuchFile, "no such file or folder");
const NO_FOLDER: Refusal = Refusal(Code::NoSuchFile, "the folder is not there");
const THERE: Refusal = Refusal(Code::Failure, "there is something of that name");
const HANDED_OVER: Refusal = Refusal(Code::PermissionDenied, "it was handed over, and is not here any more");
const IN_USE: Refusal = Refusal(Code::Failure, "it is being handed over: come again");
const TOO_LONG: Refusal = Refusal(Code::Failure, "the path would be too long");
const FULL: Refusal = Refusal(Code::Failure, "too many files in the inbox");
const ROOT: Refusal = Refusal(Code::PermissionDenied, "that is the inbox itself");

impl Tree {
    /// With nothing in it.
    pub fn new(rules: Rules) -> Self {
        Self { rules, nodes: BTreeMap::new(), entries: BTreeMap::new(), shown: BTreeMap::new() }
    }

    /// A change happened, or happened before.
    pub fn apply(&mut self, change: &Change, now: Duration) {
        match change {
            Change::File { path, file, bytes, whole, mtime } => {
                let writer = self.file(path).filter(|known| known.id == *file).and_then(|known| known.writer);
                let file = File { id: *file, bytes: *bytes, whole: *whole, mtime: *mtime, writer };
                self.insert(path, Node::File(file), now);
            }
            Change::Moved { from, to } => self.rename(from, to, now),
            Change::Removed { path } => {
                self.nodes.remove(path);
                self.touch(path::entry(path), now);
                self.clear_entry(path::entry(path));
            }
            Change::Handing { entry } => {
                if let Some(entry) = self.entries.get_mut(entry) {
                    entry.handing = true;
                }
            }
            Change::HandedOver { entry } => {
                let below = self.below(entry);
                let nodes = below.into_iter().filter_map(|path| self.nodes.remove_entry(&path)).collect();
                self.entries.remove(entry);
                self.show(entry, Shown { until: now + SHOWN, nodes });
                if let Some(marker) = self.marker_of(entry) {
                    self.nodes.remove(&marker);
                    self.entries.remove(&marker);
                }
            }
        }
    }

    /// Lists what was handed over for a while, in the place of what was longest listed if it is too much.
    fn show(&mut self, entry: &str, shown: Shown) {
        self.shown.insert(entry.to_owned(), shown);
        while self.shown.values().map(|shown| shown.nodes.len()).sum::<usize>() + self.nodes.len() > MAX_NODES {
            let oldest = self.shown.iter().min_by_key(|(_, shown)| shown.until).map(|(entry, _)| entry.clone());
            let Some(oldest) = oldest else { return };
            self.shown.remove(&oldest);
        }
    }

    /// Whether an entry is being handed over.
    pub fn is_handing(&self, entry: &str) -> bool {
        self.entries.get(entry).is_some_and(|entry| entry.handing)
    }

    /// All that must be remembered.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (path, node) in &self.nodes {
            if let Node::File(File { id, bytes, whole, mtime, .. }) = node {
                let (path, file, bytes, whole, mtime) = (path.clone(), *id, *bytes, *whole, *mtime);
                changes.push(Change::File { path, file, bytes, whole, mtime });
            }
        }
        for (name, entry) in &self.entries {
            if entry.renamed {
                changes.push(Change::Moved { from: name.clone(), to: name.clone() });
            }
            if entry.handing {
                changes.push(Change::Handing { entry: name.clone() });
            }
        }
        changes
    }

    /// The ids of all files.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        self.nodes.values().filter_map(|node| match node {
            Node::File(file) => Some(file.id),
            Node::Folder => None,
        })
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        match self.nodes.get(path) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    fn file_mut(&mut self, path: &str) -> Option<&mut File> {
        match self.nodes.get_mut(path) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Where the file is that somebody writes.
    pub fn written_by(&self, id: FileId, writer: u64) -> Option<(&str, &File)> {
        self.nodes.iter().find_map(|(path, node)| match node {
            Node::File(file) if file.id == id && file.writer == Some(writer) => Some((path.as_str(), file)),
            _ => None,
        })
    }

    /// Somebody writes a file no more, if he still did.
    pub fn let_go(&mut self, id: FileId, writer: u64, now: Duration) {
        let Some(path) = self.written_by(id, writer).map(|(path, _)| path.to_owned()) else { return };
        if let Some(file) = self.file_mut(&path) {
            file.writer = None;
        }
        self.touch(path::entry(&path), now);
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn stat(&self, path: &str) -> Result<Attributes, Refusal> {
        if path.is_empty() {
            return Ok(attributes(&Node::Folder));
        }
        let shown = || self.shown.get(path::entry(path)).and_then(|shown| shown.nodes.get(path));
        self.nodes.get(path).or_else(shown).map(attributes).ok_or(NOT_THERE)
    }

    /// Up to `limit` names in a folder behind `after`, ascending.
    ///
    /// # Errors
    /// When it is not there, or no folder.
    pub fn list(&self, folder: &str, after: &str, limit: usize) -> Result<Vec<(String, Attributes)>, Refusal> {
        if !self.stat(folder)?.folder {
            return Err(NO_FOLDER);
        }
        let shown = self.shown.values().flat_map(|shown| page(&shown.nodes, folder, after, limit));
        let mut names = BTreeMap::new();
        for (name, node) in shown.chain(page(&self.nodes, folder, after, limit)) {
            names.insert(name, attributes(node));
        }
        Ok(names.into_iter().take(limit).map(|(name, attributes)| (name.to_owned(), attributes)).collect())
    }

    /// Whether a file may be made at a path, or a folder.
    fn may_make(&self, path: &str) -> Result<(), Refusal> {
        if path.is_empty() {
            return Err(ROOT);
        }
        let (parent, _) = path::split(path);
        if !self.stat(parent).map_err(|_| NO_FOLDER)?.folder {
            return Err(NO_FOLDER);
        }
        self.may_change(path)?;
        match (path.len() > MAX_PATH, self.nodes.len() >= MAX_NODES) {
            (true, _) => Err(TOO_LONG),
            (_, true) => Err(FULL),
            _ => Ok(()),
        }
    }

    /// Whether a path's entry may change: not while it is handed over, nor may its marker.
    fn may_change(&self, path: &str) -> Result<(), Refusal> {
        let entry = path::entry(path);
        let marked = match &self.rules.complete {
            Whole::Marker(end) => entry.strip_suffix(end.as_str()),
            _ => None,
        };
        let handing = self.is_handing(entry) || marked.is_some_and(|marked| self.is_handing(marked));
        if handing { Err(IN_USE) } else { Ok(()) }
    }

    /// Whether something is at a path that may change.
    fn must_be(&self, path: &str) -> Result<&Node, Refusal> {
        if path.is_empty() {
            return Err(ROOT);
        }
        self.may_change(path)?;
        match self.nodes.get(path) {
            Some(node) => Ok(node),
            None if self.stat(path).is_ok() => Err(HANDED_OVER),
            None => Err(NOT_THERE),
        }
    }

    /// The file at a path that somebody wants to write from where it ends.
    ///
    /// # Errors
    /// When it is not there, or no file, or may not change.
    pub fn may_resume(&self, path: &str) -> Result<&File, Refusal> {
        match self.must_be(path)? {
            Node::File(file) => Ok(file),
            Node::Folder => Err(Refusal(Code::Failure, "that is a folder")),
        }
    }

    /// Whether somebody may write a new file at a path, in the place of one that is there.
    ///
    /// # Errors
    /// When not.
    pub fn may_write_new(&self, path: &str) -> Result<(), Refusal> {
        match self.nodes.get(path) {
            Some(_) => self.may_resume(path).map(drop),
            None => self.may_make(path),
        }
    }

    /// Somebody writes the file at a path; a new one where none is there. Whoever wrote it before does no more.
    pub fn writes(&mut self, path: &str, id: FileId, writer: u64, mtime: Timestamp, now: Duration) {
        match self.file_mut(path).filter(|file| file.id == id) {
            Some(file) => {
                file.writer = Some(writer);
                self.touch(path::entry(path), now);
            }
            None => {
                let file = File { id, bytes: 0, whole: false, mtime, writer: Some(writer) };
                self.insert(path, Node::File(file), now);
            }
        }
    }

    /// Makes a folder. It is remembered only as long as the process lives, or something is in it.
    ///
    /// # Errors
    /// When something is there, or nothing may be made there.
    pub fn make_folder(&mut self, path: &str, now: Duration) -> Result<(), Refusal> {
        if path.is_empty() || self.stat(path).is_ok() {
            return Err(THERE);
        }
        self.may_make(path)?;
        self.insert(path, Node::Folder, now);
        Ok(())
    }

    /// The file at a path that is to be removed.
    ///
    /// # Errors
    /// When it is not there, or no file, or may not change.
    pub fn may_remove(&self, path: &str) -> Result<&File, Refusal> {
        self.may_resume(path)
    }

    /// Removes a folder.
    ///
    /// # Errors
    /// When it is not there, no folder, or not empty.
    pub fn remove_folder(&mut self, path: &str, now: Duration) -> Result<(), Refusal> {
        if *self.must_be(path)? != Node::Folder {
            return Err(Refusal(Code::Failure, "that is a file"));
        }
        if self.below(path).len() > 1 {
            return Err(Refusal(Code::Failure, "the folder is not empty"));
        }
        self.nodes.remove(path);
        self.touch(path::entry(path), now);
        self.clear_entry(path::entry(path));
        Ok(())
    }

    /// The file that a rename replaces, if one does.
    ///
    /// # Errors
    /// When it may not be.
    pub fn may_rename(&self, from: &str, to: &str, replace: bool) -> Result<Option<FileId>, Refusal> {
        let moved = self.must_be(from)?;
        if to == from {
            return Ok(None);
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(Refusal(Code::Failure, "a folder cannot be moved into itself"));
        }
        if self.below(from).iter().any(|path| path.len() - from.len() + to.len() > MAX_PATH) {
            return Err(TOO_LONG);
        }
        match (moved, self.nodes.get(to)) {
            (_, None) => self.may_make(to).map(|()| None),
            (Node::File(_), Some(Node::File(there))) if replace => self.may_change(to).map(|()| Some(there.id)),
            _ => Err(THERE),
        }
    }

    fn rename(&mut self, from: &str, to: &str, now: Duration) {
        let below = self.below(from);
        // Of a file that nothing was stored of before a crash, nothing is remembered.
        if below.is_empty() {
            return;
        }
        for path in below {
            if let Some(node) = self.nodes.remove(&path) {
                let moved = format!("{to}{}", &path[from.len()..]);
                self.insert(&moved, node, now);
            }
        }
        self.touch(path::entry(from), now);
        self.clear_entry(path::entry(from));
        // Something that is at the inbox's top now has its name by a rename; what is deeper changes nothing of that.
        if !to.contains('/')
            && let Some(entry) = self.entries.get_mut(to)
        {
            entry.renamed = true;
        }
    }

    /// A path and all that is below it.
    fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let inside = self.nodes.range(prefix.clone()..).take_while(|(other, _)| other.starts_with(&prefix));
        let own = self.nodes.contains_key(path).then(|| path.to_owned());
        own.into_iter().chain(inside.map(|(other, _)| other.clone())).collect()
    }

    /// Puts something at a path, with the folders that it lies in.
    fn insert(&mut self, path: &str, node: Node, now: Duration) {
        for (slash, _) in path.match_indices('/') {
            self.nodes.entry(path[..slash].to_owned()).or_insert(Node::Folder);
        }
        self.nodes.insert(path.to_owned(), node);
        self.entries.entry(path::entry(path).to_owned()).or_default().touched = now;
    }

    fn touch(&mut self, entry: &str, now: Duration) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.touched = now;
        }
    }

    fn clear_entry(&mut self, entry: &str) {
        if !self.nodes.contains_key(entry) {
            self.entries.remove(entry);
        }
    }

    /// Time passed: the entries that are whole, and those whose handing over was interrupted.
    pub fn ready(&mut self, now: Duration) -> Vec<String> {
        self.shown.retain(|_, shown| shown.until > now);
        let ready = |(name, entry): &(&String, &Entry)| entry.handing || self.is_whole(name, entry, now);
        self.entries.iter().filter(ready).map(|(name, _)| name.clone()).collect()
    }

    /// How many entries are not whole, and did not change for so long.
    pub fn waiting(&self, now: Duration, since: Duration) -> usize {
        self.entries.values().filter(|entry| entry.touched + since <= now).count()
    }

    fn is_whole(&self, name: &str, entry: &Entry, now: Duration) -> bool {
        if name.starts_with('.') || self.is_unfinished(name) {
            return false;
        }
        let complete = match &self.rules.complete {
            Whole::Quiet(quiet) => entry.touched + *quiet <= now,
            Whole::Rename => entry.renamed,
            Whole::Marker(end) => {
                let marker = self.file(&format!("{name}{end}"));
                !name.ends_with(end.as_str()) && marker.is_some_and(|marker| marker.whole && marker.writer.is_none())
            }
        };
        let mut files = 0;
        complete
            && self.below(name).iter().all(|path| match &self.nodes[path] {
                Node::Folder => true,
                Node::File(file) => {
                    files += 1;
                    file.whole && file.writer.is_none() && !self.is_unfinished(path)
                }
            })
            && files > 0
    }

    fn is_unfinished(&self, path: &str) -> bool {
        self.rules.unfinished.iter().any(|end| path.ends_with(end.as_str()))
    }

    fn marker_of(&self, entry: &str) -> Option<String> {
        match &self.rules.complete {
            Whole::Marker(end) => Some(format!("{entry}{end}")),
            _ => None,
        }
    }

    /// The marker of an entry, where it has one.
    pub fn marker(&self, entry: &str) -> Option<FileId> {
        self.file(&self.marker_of(entry)?).map(|file| file.id)
    }

    /// The files of an entry as its dataset has them: by their paths in the folder, or the file by its name.
    ///
    /// # Errors
    /// When one has a path that no dataset can hold.
    pub fn contents(&self, entry: &str) -> Result<Vec<Listed>, Refusal> {
        let mut files = Vec::new();
        for path in self.below(entry) {
            let Some(Node::File(file)) = self.nodes.get(&path) else { continue };
            let within = path.strip_prefix(entry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&path);
            let path = within.parse().map_err(|_| Refusal(Code::Failure, "a path that no dataset can hold"))?;
            files.push(Listed { file: file.id, bytes: file.bytes, path, mtime: file.mtime });
        }
        Ok(files)
    }
}

/// Up to `limit` names in a folder behind `after`, ascending, without looking at what is not behind it.
fn page<'a>(
    nodes: &'a BTreeMap<String, Node>,
    folder: &str,
    after: &str,
    limit: usize,
) -> impl Iterator<Item = (&'a str, &'a Node)> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let (first, behind) = (format!("{prefix}{after}"), prefix.len());
    let below = nodes.range(first.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
    let names = below.filter(move |(path, _)| **path > first).map(move |(path, node)| (&path[behind..], node));
    names.filter(|(name, _)| !name.is_empty() && !name.contains('/')).take(limit)
}

fn attributes(node: &Node) -> Attributes {
    match node {
        Node::Folder => Attributes { folder: true, bytes: 0, mtime: 0 },
        Node::File(file) => {
            let mtime = u32::try_from(file.mtime.unix().max(0)).unwrap_or(u32::MAX);
            Attributes { folder: false, bytes: file.bytes, mtime }
        }
    }
}

#[cfg(test)]
mod tests;
