//! A group that closed becomes a dataset in its flow's outbox. Every step can be done twice, in this order:
//!
//! 1. `closing/BATCH/dataset.age`, durable. From here on the dataset is decided: it is finished after a crash.
//! 2. The memory knows the dataset's files.
//! 3. Each parcel is renamed from `arrived/` into `closing/BATCH/`, then both folders are synced.
//! 4. `closing/BATCH` is renamed to `outbox/FLOW/BATCH`, then both folders are synced.
//!
//! A batch has the name of its first parcel, which nothing else ever has.

use super::document::{Document, DocumentFile};
use super::memory::{Memory, Version};
use crate::gather::Closed;
use crate::spool::Spool;
use age::x25519::Identity;
use sluse_host::files;
use sluse_protocol::ids::{AgreementId, DatasetName};
use std::fs;
use std::io;
use std::path::Path;

/// Makes datasets of groups.
pub struct Closing {
    spool: Spool,
    identity: Identity,
    memory: Memory,
}

/// What became of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It lies in the outbox: the number of its group's dataset, from 1.
    Dataset(usize),
    /// All of it was sent before, or is about to be.
    Known,
    /// Nothing, since so many of its files are not there.
    Incomplete(usize),
}

impl Closing {
    /// For the spool of `identity`.
    pub fn new(spool: Spool, identity: Identity) -> Self {
        let memory = Memory::new(spool.sent(), identity.clone());
        Self { spool, identity, memory }
    }

    /// What was sent.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Finishes what a crash left between a group and its outbox; how many.
    ///
    /// # Errors
    /// When the spool fails.
    pub fn resume(&self) -> io::Result<usize> {
        let mut finished = 0;
        for entry in fs::read_dir(self.spool.closing())? {
            let folder = entry?.path();
            match Document::read(&folder, &self.identity)? {
                Some(document) => {
                    let batch = name_of(&folder)?;
                    self.remember(&document, &batch)?;
                    self.bring(&document, &batch)?;
                    finished += 1;
                }
                // Nothing was moved there yet: its parcels are gathered again.
                None => fs::remove_dir_all(&folder)?,
            }
        }
        Ok(finished)
    }

    /// Makes a dataset of a group, unless all of it was sent.
    ///
    /// # Errors
    /// When the spool fails: the same again later.
    pub fn close(&self, closed: Closed, base: Option<&DatasetName>) -> io::Result<Made> {
        let pseudonym = self.memory.pseudonym(closed.flow.as_str(), &closed.group);
        let dataset = match closed.dataset {
            Some(chosen) => chosen,
            None => named(base, &closed.flow, &pseudonym)?,
        };
        let arrived = self.spool.arrived();
        if let Some(list) = &closed.list {
            let known = self.memory.recall(&pseudonym)?;
            if known.versions.iter().any(|version| version.list.as_ref() == Some(&list.parcel)) {
                remove(&arrived.join(&list.parcel))?;
                return Ok(Made::Known);
            }
            if list.missing > 0 {
                return Ok(Made::Incomplete(list.missing));
            }
        }
        let list = closed.list.map(|list| list.parcel);
        let files = closed.files.into_iter().map(|file| DocumentFile::of(file, &arrived, &self.identity));
        let files = files.collect::<io::Result<Vec<_>>>()?;
        let document = Document { flow: closed.flow, group: closed.group, dataset, files, list };
        if self.is_known(&document, &pseudonym)? {
            // The list first: without it the rest is what nobody wants any more, with it files would be missing.
            if let Some(list) = &document.list {
                remove(&arrived.join(list))?;
                files::sync_folder(&arrived)?;
            }
            for parcel in document.parcels() {
                fs::remove_file(arrived.join(parcel))?;
            }
            return Ok(Made::Known);
        }
        let batch = document.parcels().next().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let folder = self.spool.closing().join(&batch);
        files::create_folder(&folder, 0o770)?;
        files::sync_folder(&self.spool.closing())?;
        document.write(&folder, &self.identity)?;
        let number = self.remember(&document, &batch)?;
        self.bring(&document, &batch)?;
        if let Some(list) = &document.list {
            remove(&arrived.join(list))?;
        }
        Ok(Made::Dataset(number))
    }

    /// Whether each file is in a dataset of this group that was not refused. What a list names is all of its dataset, and what shows how
    /// things stand counts as a whole: that is known if the last one was the same.
    fn is_known(&self, document: &Document, pseudonym: &str) -> io::Result<bool> {
        let mut known = self.memory.recall(pseudonym)?;
        let mut good = Vec::with_capacity(known.versions.len());
        for version in known.versions.drain(..) {
            if !self.was_refused(&document.flow, &version.batch)? {
                good.push(version);
            }
        }
        if document.list.is_some() || document.files.iter().any(|file| file.stands) {
            let now = document.files.iter().map(|file| self.key(file)).collect();
            return Ok(good.last().is_some_and(|version| version.files == now));
        }
        Ok(document
            .files
            .iter()
            .map(|file| self.key(file))
            .all(|file| good.iter().any(|version| version.files.contains(&file))))
    }

    /// What stands for a file in the memory.
    fn key(&self, file: &DocumentFile) -> String {
        self.memory.file(&file.path, file.same_as.as_ref().unwrap_or(&file.sha256))
    }

    /// A dataset that was refused lies, or its receipts do, where the watcher puts what was refused.
    fn was_refused(&self, flow: &AgreementId, batch: &str) -> io::Result<bool> {
        let records = match fs::read_dir(self.spool.outbox(flow.as_str()).join("_rejected")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        for record in records {
            for entry in fs::read_dir(record?.path())? {
                if entry?.file_name().to_string_lossy().starts_with(batch) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn remember(&self, document: &Document, batch: &str) -> io::Result<usize> {
        let pseudonym = self.memory.pseudonym(document.flow.as_str(), &document.group);
        let mut known = self.memory.recall(&pseudonym)?;
        if let Some(at) = known.versions.iter().position(|version| version.batch == batch) {
            return Ok(at + 1);
        }
        let files = document.files.iter().map(|file| self.key(file)).collect();
        known.add(Version { batch: batch.to_owned(), files, list: document.list.clone() });
        self.memory.keep(&pseudonym, &known)?;
        Ok(known.versions.len())
    }

    fn bring(&self, document: &Document, batch: &str) -> io::Result<()> {
        let (arrived, closing) = (self.spool.arrived(), self.spool.closing());
        let folder = closing.join(batch);
        for parcel in document.parcels() {
            match fs::rename(arrived.join(parcel), folder.join(parcel)) {
                // It was moved before a crash.
                Err(error) if error.kind() == io::ErrorKind::NotFound && folder.join(parcel).exists() => {}
                other => other?,
            }
        }
        files::sync_folder(&folder)?;
        files::sync_folder(&arrived)?;
        let outbox = self.spool.outbox(document.flow.as_str());
        files::create_folder(&outbox, 0o770)?;
        files::sync_folder(&self.spool.outboxes())?;
        fs::rename(&folder, outbox.join(batch))?;
        files::sync_folder(&outbox)?;
        files::sync_folder(&closing)
    }
}

/// The name of a dataset whose client chose none.
fn named(base: Option<&DatasetName>, flow: &AgreementId, pseudonym: &str) -> io::Result<DatasetName> {
    let base = base.map_or(flow.as_str(), DatasetName::as_str);
    format!("{base} {}", &pseudonym[..12]).parse().map_err(io::Error::other)
}

/// Removes a file that a crash may have come before.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn name_of(folder: &Path) -> io::Result<String> {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
