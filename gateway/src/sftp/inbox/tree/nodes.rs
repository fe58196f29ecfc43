//! Files and folders by their paths, and how many bytes they are.

use crate::sftp::packet::Attributes;
use crate::spool::FileId;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;

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

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file.
    File(File),
}
/// What is at which path.
#[derive(Debug, Default)]
pub struct Nodes {
    all: BTreeMap<String, Node>,
    bytes: u64,
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All, ascending by path.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.all.iter()
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.all.get(path)
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        match self.all.get(path) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Says who writes the file at a path.
    pub fn set_writer(&mut self, path: &str, writer: Option<u64>) {
        if let Some(Node::File(file)) = self.all.get_mut(path) {
            file.writer = writer;
        }
    }

    /// Puts something at a path, in the place of what is there.
    pub fn insert(&mut self, path: &str, node: Node) {
        self.bytes += node.bytes();
        if let Some(before) = self.all.insert(path.to_owned(), node) {
            self.bytes -= before.bytes();
        }
    }

    /// Takes away what is at a path.
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        let node = self.all.remove(path)?;
        self.bytes -= node.bytes();
        Some(node)
    }

    /// A path and all that is below it.
    pub fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let inside = self.all.range(prefix.clone()..).take_while(|(other, _)| other.starts_with(&prefix));
        let own = self.all.contains_key(path).then(|| path.to_owned());
        own.into_iter().chain(inside.map(|(other, _)| other.clone())).collect()
    }

    /// Up to `limit` names in a folder behind `after`, ascending, without looking at what is not behind it.
    pub fn page(&self, folder: &str, after: &str, limit: usize) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let (first, behind) = (format!("{prefix}{after}"), prefix.len());
        let below = self.all.range(first.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        let names = below.filter(move |(path, _)| **path > first).map(move |(path, node)| (&path[behind..], node));
        names.filter(|(name, _)| !name.is_empty() && !name.contains('/')).take(limit)
    }
}

impl Node {
    fn bytes(&self) -> u64 {
        match self {
            Node::Folder => 0,
            Node::File(file) => file.bytes,
        }
    }

    /// What a client is told of it.
    pub fn attributes(&self) -> Attributes {
        match self {
            Node::Folder => Attributes { folder: true, bytes: 0, mtime: 0 },
            Node::File(file) => {
                let mtime = u32::try_from(file.mtime.unix().max(0)).unwrap_or(u32::MAX);
                Attributes { folder: false, bytes: file.bytes, mtime }
            }
        }
    }
}
