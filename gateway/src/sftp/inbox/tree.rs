//! What lies in an inbox, decided. Pure: what clients ask for and the time come in; what may be done, and changes that outlive
//! the process, go out. [`super::Inbox`] makes changes durable before anybody hears of them.
//!
//! The inbox's entries are datasets: each file or folder at its top is one. Like an outbox's, they are whole by a marker beside
//! them, by a rename, or by silence.

mod may;
mod nodes;
mod whole;

pub use nodes::File;

use super::change::Change;
use crate::sftp::packet::{Attributes, Code, Refusal};
use crate::sftp::path;
use crate::spool::FileId;
use nodes::{Node, Nodes};
use sluse_protocol::time::Timestamp;
use sluse_sender::watch::Whole;
use std::collections::BTreeMap;
use std::time::Duration;

/// Files and folders of one inbox, with what was handed over and is still listed.
const MAX_NODES: usize = 100_000;

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
    nodes: Nodes,
}

/// What lies in an inbox.
#[derive(Debug)]
pub struct Tree {
    rules: Rules,
    nodes: Nodes,
    entries: BTreeMap<String, Entry>,
    /// What was handed over and is still listed.
    shown: BTreeMap<String, Shown>,
}

const NOT_THERE: Refusal = Refusal(Code::NoSuchFile, "no such file or folder");
const NO_FOLDER: Refusal = Refusal(Code::NoSuchFile, "the folder is not there");
const THERE: Refusal = Refusal(Code::Failure, "there is something of that name");

impl Tree {
    /// With nothing in it.
    pub fn new(rules: Rules) -> Self {
        Self { rules, nodes: Nodes::default(), entries: BTreeMap::new(), shown: BTreeMap::new() }
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
                let mut nodes = Nodes::default();
                for path in self.nodes.below(entry) {
                    if let Some(node) = self.nodes.remove(&path) {
                        nodes.insert(&path, node);
                    }
                }
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
        for (path, node) in self.nodes.iter() {
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
        self.nodes.iter().filter_map(|(_, node)| match node {
            Node::File(file) => Some(file.id),
            Node::Folder => None,
        })
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.nodes.file(path)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.nodes.bytes()
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
        self.nodes.set_writer(&path, None);
        self.touch(path::entry(&path), now);
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn stat(&self, path: &str) -> Result<Attributes, Refusal> {
        if path.is_empty() {
            return Ok(Node::Folder.attributes());
        }
        let shown = || self.shown.get(path::entry(path)).and_then(|shown| shown.nodes.get(path));
        self.nodes.get(path).or_else(shown).map(Node::attributes).ok_or(NOT_THERE)
    }

    /// Up to `limit` names in a folder behind `after`, ascending.
    ///
    /// # Errors
    /// When it is not there, or no folder.
    pub fn list(&self, folder: &str, after: &str, limit: usize) -> Result<Vec<(String, Attributes)>, Refusal> {
        if !self.stat(folder)?.folder {
            return Err(NO_FOLDER);
        }
        let shown = self.shown.values().flat_map(|shown| shown.nodes.page(folder, after, limit));
        let mut names = BTreeMap::new();
        for (name, node) in shown.chain(self.nodes.page(folder, after, limit)) {
            names.insert(name, node.attributes());
        }
        Ok(names.into_iter().take(limit).map(|(name, attributes)| (name.to_owned(), attributes)).collect())
    }

    /// Somebody writes the file at a path; a new one where none is there. Whoever wrote it before does no more.
    pub fn writes(&mut self, path: &str, id: FileId, writer: u64, mtime: Timestamp, now: Duration) {
        match self.file(path).filter(|file| file.id == id) {
            Some(_) => {
                self.nodes.set_writer(path, Some(writer));
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

    /// Removes a folder.
    ///
    /// # Errors
    /// When it is not there, no folder, or not empty.
    pub fn remove_folder(&mut self, path: &str, now: Duration) -> Result<(), Refusal> {
        if *self.must_be(path)? != Node::Folder {
            return Err(Refusal(Code::Failure, "that is a file"));
        }
        if self.nodes.below(path).len() > 1 {
            return Err(Refusal(Code::Failure, "the folder is not empty"));
        }
        self.nodes.remove(path);
        self.touch(path::entry(path), now);
        self.clear_entry(path::entry(path));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str, now: Duration) {
        let below = self.nodes.below(from);
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

    /// Puts something at a path, with the folders that it lies in.
    fn insert(&mut self, path: &str, node: Node, now: Duration) {
        for (slash, _) in path.match_indices('/') {
            if self.nodes.get(&path[..slash]).is_none() {
                self.nodes.insert(&path[..slash], Node::Folder);
            }
        }
        self.nodes.insert(path, node);
        self.entries.entry(path::entry(path).to_owned()).or_default().touched = now;
    }

    fn touch(&mut self, entry: &str, now: Duration) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.touched = now;
        }
    }

    fn clear_entry(&mut self, entry: &str) {
        if self.nodes.get(entry).is_none() {
            self.entries.remove(entry);
        }
    }
}

#[cfg(test)]
mod tests;
