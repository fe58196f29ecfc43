//! A room on an SFTP server: bags are written below [`INCOMING`] and renamed when they are whole.
//!
//! What an SFTP server cannot say: whether the rename is on its disk (files are, where it knows `fsync@openssh.com`), and who else may write
//! there. [`ssh`] is the way to it, [`packets`] what is said, [`client`] asks.

mod client;
pub mod packets;
mod ssh;

use crate::leash::Leash;
use crate::settings::Sftp;
use crate::target::{Bag, INCOMING, Target, Told, Trouble};
use client::{Client, Handle};
use packets::{CREATE, READ, TRUNCATE, WRITE};
use sluse_protocol::courier::{FileHead, NotKept, STEP_BYTES};
use sluse_protocol::path::DataPath;
use std::collections::BTreeSet;

/// Folders that are remembered to be there.
const MOST_REMEMBERED: usize = 10_000;

/// Folders below one that is removed.
const MAX_DEPTH: usize = 1100;

/// A bag in a room on an SFTP server.
pub struct Room {
    client: Client,
    folder: String,
    bag: Bag,
    reads_back: bool,
    visible: bool,
    made: BTreeSet<String>,
    writing: Option<Writing>,
    reading: Option<(DataPath, Handle)>,
    sets: bool,
}

/// The file that is being written.
struct Writing {
    head: FileHead,
    path: String,
    handle: Handle,
    at: u64,
}

impl Room {
    /// Connects to the server; its folder for the room must be there.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn connect(way: &Sftp, bag: Bag, reads_back: bool, leash: &Leash) -> Told<Self> {
        let mut client = Client::connect(way, leash)?;
        let folder = way.folder.trim_end_matches('/').to_owned();
        let folder = if folder.is_empty() && way.folder.starts_with('/') { "/".to_owned() } else { folder };
        if !client.look_behind(&folder)?.is_some_and(|there| there.is_folder()) {
            return Err(Trouble::new("the room's folder is not there on the server"));
        }
        let (made, writing, reading) = (BTreeSet::new(), None, None);
        Ok(Self { client, folder, bag, reads_back, visible: false, made, writing, reading, sets: true })
    }

    fn incoming(&self) -> String {
        format!("{}/{INCOMING}/{}", self.folder, self.bag.transfer)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.folder, self.bag.place())
    }

    /// Where a file of the bag is now.
    fn path(&self, path: &DataPath) -> String {
        let bag = if self.visible { self.place() } else { self.incoming() };
        format!("{bag}/{path}")
    }

    /// Makes the folders that lead to a path below the bag that is not visible.
    fn make_folders(&mut self, path: &str) -> Told<()> {
        let bag = self.incoming();
        for (at, _) in path.match_indices('/') {
            let folder = format!("{bag}/{}", &path[..at]);
            if self.made.contains(&folder) {
                continue;
            }
            self.client.make_folder(&folder, 0o755)?;
            if self.made.len() >= MOST_REMEMBERED {
                self.made.clear();
            }
            self.made.insert(folder);
        }
        Ok(())
    }

    fn close_read(&mut self) -> Told<()> {
        match self.reading.take() {
            Some((_, handle)) => self.client.close(&handle),
            None => Ok(()),
        }
    }

    /// A folder with this name that is no link.
    fn own_folder(&mut self, path: &str, mode: u32) -> Told<()> {
        self.client.make_folder(path, mode)
    }

    fn remove_tree(&mut self, path: &str) -> Told<()> {
        match self.client.look(path)? {
            None => return Ok(()),
            Some(there) if !there.is_folder() => return self.client.remove(path),
            Some(_) => {}
        }
        // Each folder twice: first what is in it, then itself.
        let mut left = vec![(path.to_owned(), false)];
        while let Some((folder, emptied)) = left.pop() {
            if emptied {
                self.client.remove_if_empty(&folder)?;
                continue;
            }
            if folder.matches('/').count() > MAX_DEPTH {
                return Err(Trouble::new("a folder there is deeper than a dataset may be"));
            }
            left.push((folder.clone(), true));
            for (name, there) in self.client.list(&folder)? {
                let path = format!("{folder}/{name}");
                if there.is_folder() { left.push((path, false)) } else { self.client.remove(&path)? }
            }
        }
        match self.client.look(path)? {
            None => Ok(()),
            Some(_) => Err(Trouble::new("the server does not remove what an earlier attempt left")),
        }
    }

    /// Of how many bytes that are there it is certain that they were written in order.
    fn certain(&self, there: u64, whole: u64) -> u64 {
        let step = STEP_BYTES as u64;
        match self.reads_back {
            // What is not as it should be is found.
            true => there,
            // The last step may have holes: a server may write its pieces in any order.
            false => there.min(whole).saturating_sub(step) / step * step,
        }
    }

    fn full_or(&mut self, trouble: Trouble) -> Trouble {
        self.client.full().unwrap_or(trouble)
    }
}

impl Target for Room {
    fn open(&mut self, anew: bool) -> Told<bool> {
        let place = self.place();
        self.visible = match self.client.look(&place)? {
            None => false,
            Some(there) if there.is_folder() => true,
            Some(_) => return Err(Trouble::new("something that is no folder stands under the bag's name")),
        };
        // Of what was sent over another connection it is not known.
        self.sets = !self.visible;
        if !self.visible {
            let above = format!("{}/{INCOMING}", self.folder);
            self.own_folder(&above, 0o700)?;
            let incoming = self.incoming();
            if anew {
                self.remove_tree(&incoming)?;
            }
            self.own_folder(&incoming, 0o755)?;
        }
        Ok(self.visible)
    }

    fn begin(&mut self, file: FileHead) -> Told<u64> {
        if self.visible {
            return Err(Trouble::new("a file was begun in a bag that is visible"));
        }
        self.close_read()?;
        if let Some(given_up) = self.writing.take() {
            self.client.close(&given_up.handle)?;
        }
        self.make_folders(file.path.as_str())?;
        let path = self.path(&file.path);
        let there = match self.client.look(&path)? {
            Some(there) if !there.is_file() => return Err(Trouble::new("something that is no file is in the way")),
            Some(there) => there.size.filter(|size| file.resume && *size <= file.bytes),
            None => None,
        };
        let at = there.map_or(0, |there| self.certain(there, file.bytes));
        // Also one that is there whole: what came before may have ended between its last byte and its sync.
        let how = if there.is_some() { WRITE } else { WRITE | CREATE | TRUNCATE };
        let opened = self.client.open(&path, how, Some(0o644));
        let handle = opened.map_err(|trouble| self.full_or(trouble))?;
        self.writing = Some(Writing { head: file, path, handle, at });
        Ok(at)
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> Told<()> {
        let Some(writing) = &mut self.writing else { return Err(Trouble::new("bytes of no file")) };
        if offset != writing.at || writing.at + bytes.len() as u64 > writing.head.bytes {
            return Err(Trouble::new("bytes that do not follow"));
        }
        match self.client.write(&writing.handle, offset, bytes) {
            Ok(()) => {
                writing.at += bytes.len() as u64;
                Ok(())
            }
            Err(trouble) => Err(self.full_or(trouble)),
        }
    }

    fn end(&mut self) -> Told<()> {
        let Some(Writing { head, path, handle, at }) = self.writing.take() else {
            return Err(Trouble::new("the end of no file"));
        };
        if at != head.bytes {
            return Err(Trouble::new("a file ended before it had all its bytes"));
        }
        self.client.sync(&handle).map_err(|trouble| self.full_or(trouble))?;
        let (mode, time) = (if head.executable { 0o755 } else { 0o644 }, u32::try_from(head.mtime.max(0)));
        self.sets &= self.client.set(&handle, mode, time.unwrap_or(u32::MAX))?;
        self.client.close(&handle)?;
        match self.client.look(&path)? {
            Some(there) if there.is_file() && there.size == Some(head.bytes) => Ok(()),
            _ => Err(Trouble::new("the server says that a file has another length than was sent")),
        }
    }

    fn folder(&mut self, path: &DataPath) -> Told<()> {
        self.make_folders(&format!("{path}/"))
    }

    fn read(&mut self, path: &DataPath, offset: u64) -> Told<Vec<u8>> {
        if self.reading.as_ref().is_none_or(|(open, _)| open != path) {
            self.close_read()?;
            let handle = self.client.open(&self.path(path), READ, None)?;
            self.reading = Some((path.clone(), handle));
        }
        let Some((_, handle)) = &self.reading else { return Err(Trouble::new("nothing is open")) };
        let bytes = self.client.read(handle, offset, STEP_BYTES)?;
        if bytes.is_empty() {
            self.close_read()?;
        }
        Ok(bytes)
    }

    fn publish(&mut self) -> Told<Vec<NotKept>> {
        self.close_read()?;
        if !self.visible {
            let dataset = format!("{}/{}", self.folder, self.bag.dataset);
            self.client.make_folder(&dataset, 0o755)?;
            let (incoming, place) = (self.incoming(), self.place());
            let renamed = self.client.rename(&incoming, &place)?;
            let there = self.client.look(&place)?.is_some_and(|there| there.is_folder());
            if !renamed || !there || self.client.look(&incoming)?.is_some() {
                return Err(Trouble::new("the server does not make the bag visible"));
            }
            self.visible = true;
            let above = format!("{}/{INCOMING}", self.folder);
            self.client.remove_if_empty(&above)?;
        }
        Ok(if self.sets { Vec::new() } else { vec![NotKept::Times, NotKept::ExecutableBits] })
    }

    fn lay(&mut self, name: &DataPath, bytes: &[u8]) -> Told<()> {
        if !self.visible {
            return Err(Trouble::new("a receipt of a bag that is not there"));
        }
        let beside = format!("{}.receipts", self.place());
        self.client.make_folder(&beside, 0o755)?;
        let (new, path) = (format!("{beside}/.{name}.new"), format!("{beside}/{name}"));
        let handle = self.client.open(&new, WRITE | CREATE | TRUNCATE, Some(0o644))?;
        self.client.write(&handle, 0, bytes).map_err(|trouble| self.full_or(trouble))?;
        self.client.sync(&handle)?;
        self.client.close(&handle)?;
        self.client.replace(&new, &path)
    }

    fn withdraw(&mut self) -> Told<bool> {
        if !self.visible {
            self.writing = None;
            self.close_read()?;
            let (incoming, above) = (self.incoming(), format!("{}/{INCOMING}", self.folder));
            self.remove_tree(&incoming)?;
            self.client.remove_if_empty(&above)?;
            self.client.remove_if_empty(&format!("{}/{}", self.folder, self.bag.dataset))?;
            // A rename of an attempt before may have come late.
            self.visible = self.client.look(&self.place())?.is_some();
        }
        Ok(self.visible)
    }
}
