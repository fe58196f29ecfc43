//! What clients may do in an inbox, and what they are told where they may not.

use super::nodes::{File, Node};
use super::{MAX_NODES, NO_FOLDER, NOT_THERE, THERE, Tree};
use crate::sftp::packet::{Code, Refusal};
use crate::sftp::path;
use crate::spool::FileId;
use sluse_sender::watch::Whole;

/// Bytes of the longest path in an inbox: with [`MAX_NODES`], what an inbox takes in memory and in a list.
const MAX_PATH: usize = 400;

pub(super) const HANDED_OVER: Refusal = Refusal(Code::PermissionDenied, "it was handed over, and is not here any more");
pub(super) const IN_USE: Refusal = Refusal(Code::Failure, "it is being handed over: come again");
pub(super) const TOO_LONG: Refusal = Refusal(Code::Failure, "the path would be too long");
const FULL: Refusal = Refusal(Code::Failure, "too many files in the inbox");
pub(super) const ROOT: Refusal = Refusal(Code::PermissionDenied, "that is the inbox itself");

impl Tree {
    /// Whether a file may be made at a path, or a folder.
    pub(super) fn may_make(&self, path: &str) -> Result<(), Refusal> {
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
    pub(super) fn must_be(&self, path: &str) -> Result<&Node, Refusal> {
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

    /// The file at a path that is to be removed.
    ///
    /// # Errors
    /// When it is not there, or no file, or may not change.
    pub fn may_remove(&self, path: &str) -> Result<&File, Refusal> {
        self.may_resume(path)
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
        if self.nodes.below(from).iter().any(|path| path.len() - from.len() + to.len() > MAX_PATH) {
            return Err(TOO_LONG);
        }
        match (moved, self.nodes.get(to)) {
            (_, None) => self.may_make(to).map(|()| None),
            (Node::File(_), Some(Node::File(there))) if replace => self.may_change(to).map(|()| Some(there.id)),
            _ => Err(THERE),
        }
    }
}
