//! A room in an S3-compatible store. There is no rename: files have their keys from the beginning, and the bag is whole when its declaration
//! ([`LAST_FILE`]) is there, which comes last and is no file without the others.
//!
//! Files that are larger than a part are stored in parts; those that the store holds already are gone on with. Each request's body is signed
//! by its SHA-256, which the store checks. It keeps no empty folders, times and executable bits.

mod client;
mod sign;
mod xml;

use crate::leash::Leash;
use crate::settings::S3;
use crate::target::{Bag, Target, Told, Trouble};
use client::{Client, Part};
use sluse_protocol::courier::{FileHead, LAST_FILE, NotKept};
use sluse_protocol::path::DataPath;
use std::sync::Arc;

const MIB: u64 = 1024 * 1024;

/// Bytes of the smallest parts; larger ones where a file would have more than [`MOST_PARTS`].
const PART: u64 = 8 * MIB;

/// Parts of one file: stores take 10,000.
const MOST_PARTS: u64 = 9_000;

/// Bytes of the largest part, which is held in memory.
const LARGEST_PART: u64 = 64 * MIB;

/// Removals before it is looked whether anything is left: what one delivery may have in all.
const MOST_ROUNDS: usize = 100_000;

/// A bag in a store.
pub struct Room {
    client: Client,
    /// What keys of the room begin with.
    prefix: String,
    bag: Bag,
    visible: bool,
    writing: Option<Writing>,
}

/// The file that is being written.
struct Writing {
    head: FileHead,
    key: String,
    at: u64,
    /// Bytes that are no part yet.
    gathered: Vec<u8>,
    /// Of a file in parts: the bytes of each, what the store calls the upload, and what it holds.
    parts: Option<(u64, String, Vec<Part>)>,
}

impl Room {
    /// A room in a store, which is asked at the first request.
    ///
    /// # Errors
    /// When the credential cannot be read.
    pub fn connect(way: &S3, bag: Bag, leash: Arc<Leash>) -> Told<Self> {
        let prefix = way.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { client: Client::new(way, leash)?, prefix, bag, visible: false, writing: None })
    }

    fn place(&self) -> String {
        format!("{}{}", self.prefix, self.bag.place())
    }

    fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.place())
    }

    /// Removes all that is there of the bag.
    fn remove(&self) -> Told<()> {
        let below = format!("{}/", self.place());
        for (key, upload) in self.client.begun(&below)? {
            self.client.give_up(&key, &upload)?;
        }
        for _ in 0..MOST_ROUNDS {
            let keys = self.client.first_below(&below)?;
            if keys.is_empty() {
                return Ok(());
            }
            keys.iter().try_for_each(|key| self.client.remove(key))?;
        }
        Err(Trouble::new("the store does not remove what an earlier attempt left"))
    }

    /// The parts of a file of so many bytes that the store holds, of those that can be gone on with; others are given up.
    fn parts(&self, key: &str, size: u64, resume: bool) -> Told<(String, Vec<Part>)> {
        let mut found = None;
        for (_, upload) in self.client.begun(key)?.into_iter().filter(|(begun, _)| begun == key) {
            if found.is_some() || !resume {
                self.client.give_up(key, &upload)?;
                continue;
            }
            let parts = self.client.parts(key, &upload)?;
            let in_order = (1..).zip(parts).take_while(|(number, part)| part.number == *number && part.size == size);
            found = Some((upload, in_order.map(|(_, part)| part).collect()));
        }
        match found {
            Some(found) => Ok(found),
            None => Ok((self.client.begin_parts(key)?, Vec::new())),
        }
    }
}

/// Bytes of each part of a file; none where it is stored whole.
fn part_size(bytes: u64) -> Told<Option<u64>> {
    let size = bytes.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(PART);
    match size {
        _ if bytes <= PART => Ok(None),
        size if size > LARGEST_PART => Err(Trouble::new("a file is too large for a store")),
        size => Ok(Some(size)),
    }
}

impl Target for Room {
    fn open(&mut self, anew: bool) -> Told<bool> {
        self.visible = self.client.look(&self.key(LAST_FILE))?.is_some();
        if anew && !self.visible {
            self.remove()?;
        }
        Ok(self.visible)
    }

    fn begin(&mut self, file: FileHead) -> Told<u64> {
        if self.visible {
            return Err(Trouble::new("a file was begun in a bag that is visible"));
        }
        let key = self.key(file.path.as_str());
        let whole = file.resume && self.client.look(&key)? == Some(file.bytes);
        let parts = match part_size(file.bytes)? {
            Some(size) if !whole => {
                let (upload, parts) = self.parts(&key, size, file.resume)?;
                Some((size, upload, parts))
            }
            _ => None,
        };
        let held = parts.as_ref().map_or(0, |(size, _, parts)| size * parts.len() as u64);
        let at = if whole { file.bytes } else { held };
        self.writing = Some(Writing { head: file, key, at, gathered: Vec::new(), parts });
        Ok(at)
    }

    fn put(&mut self, offset: u64, mut bytes: &[u8]) -> Told<()> {
        let Some(writing) = &mut self.writing else { return Err(Trouble::new("bytes of no file")) };
        if offset != writing.at || writing.at + bytes.len() as u64 > writing.head.bytes {
            return Err(Trouble::new("bytes that do not follow"));
        }
        writing.at += bytes.len() as u64;
        let Some((size, upload, parts)) = &mut writing.parts else {
            writing.gathered.extend_from_slice(bytes);
            return Ok(());
        };
        let size = usize::try_from(*size).unwrap_or(usize::MAX);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(size - writing.gathered.len()));
            writing.gathered.extend_from_slice(now);
            bytes = later;
            if writing.gathered.len() == size {
                let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
                parts.push(self.client.store_part(&writing.key, upload, number, &writing.gathered)?);
                writing.gathered.clear();
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Told<()> {
        let Some(Writing { head, key, at, gathered, parts }) = self.writing.take() else {
            return Err(Trouble::new("the end of no file"));
        };
        if at != head.bytes {
            return Err(Trouble::new("a file ended before it had all its bytes"));
        }
        match parts {
            Some((_, upload, mut parts)) => {
                if !gathered.is_empty() {
                    let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
                    parts.push(self.client.store_part(&key, &upload, number, &gathered)?);
                }
                self.client.finish_parts(&key, &upload, &parts)?;
            }
            // What was there whole is not stored again.
            None if gathered.is_empty() && head.bytes > 0 => {}
            None => self.client.store(&key, &gathered)?,
        }
        if self.client.look(&key)? == Some(head.bytes) {
            return Ok(());
        }
        Err(Trouble::new("the store says that a file has another length than was sent"))
    }

    fn folder(&mut self, _path: &DataPath) -> Told<()> {
        // A store has none; what is said of the bag says so.
        Ok(())
    }

    fn read(&mut self, path: &DataPath, offset: u64) -> Told<Vec<u8>> {
        self.client.read(&self.key(path.as_str()), offset)
    }

    fn publish(&mut self) -> Told<Vec<NotKept>> {
        self.visible = self.client.look(&self.key(LAST_FILE))?.is_some();
        if !self.visible {
            return Err(Trouble::new("the bag's declaration is not there"));
        }
        Ok(vec![NotKept::EmptyFolders, NotKept::Times, NotKept::ExecutableBits])
    }

    fn lay(&mut self, name: &DataPath, bytes: &[u8]) -> Told<()> {
        if !self.visible {
            return Err(Trouble::new("a receipt of a bag that is not there"));
        }
        self.client.store(&format!("{}.receipts/{name}", self.place()), bytes)
    }

    fn withdraw(&mut self) -> Told<bool> {
        if !self.visible {
            self.writing = None;
            self.remove()?;
        }
        Ok(self.visible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_more_parts_than_a_store_takes() {
        assert_eq!(part_size(0).unwrap(), None);
        assert_eq!(part_size(PART).unwrap(), None);
        assert_eq!(part_size(PART + 1).unwrap(), Some(PART));
        for bytes in [100 * 1024 * MIB, MOST_PARTS * LARGEST_PART] {
            let size = part_size(bytes).unwrap().unwrap();
            assert!(
                bytes.div_ceil(size) <= 10_000 && size <= LARGEST_PART && size.is_multiple_of(MIB),
                "{bytes}: {size}"
            );
        }
        assert!(part_size(MOST_PARTS * LARGEST_PART + 1).is_err());
    }
}
