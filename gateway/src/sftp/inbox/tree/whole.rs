//! When entries are whole, and what is handed over of them.

use super::nodes::Node;
use super::{Entry, Tree};
use crate::sftp::packet::{Code, Refusal};
use crate::spool::{FileId, Listed};
use sluse_sender::watch::Whole;
use std::time::Duration;

impl Tree {
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
            && self.nodes.below(name).iter().all(|path| match self.nodes.get(path) {
                None | Some(Node::Folder) => true,
                Some(Node::File(file)) => {
                    files += 1;
                    file.whole && file.writer.is_none() && !self.is_unfinished(path)
                }
            })
            && files > 0
    }

    fn is_unfinished(&self, path: &str) -> bool {
        self.rules.unfinished.iter().any(|end| path.ends_with(end.as_str()))
    }

    pub(super) fn marker_of(&self, entry: &str) -> Option<String> {
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
        for path in self.nodes.below(entry) {
            let Some(Node::File(file)) = self.nodes.get(&path) else { continue };
            let within = path.strip_prefix(entry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&path);
            let path = within.parse().map_err(|_| Refusal(Code::Failure, "a path that no dataset can hold"))?;
            files.push(Listed { file: file.id, bytes: file.bytes, path, mtime: file.mtime });
        }
        Ok(files)
    }
}
