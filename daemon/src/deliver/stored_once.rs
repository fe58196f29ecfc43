//! Stores once what a version has as the one before it in its room, where the file system can (XFS, Btrfs): both files are the same blocks
//! until one of them is written.
//!
//! The kernel compares the bytes itself before it shares them, so that a version is what was read back of it whatever became of the one
//! before. Nothing rests on it: what is not shared is stored twice.

use super::place::Place;
use super::read_back::drop_cache;
use crate::sys;
use std::fs::File;
use std::io;

/// The files of the version before.
pub struct StoredOnce {
    /// None when there are none, or they cannot be shared.
    before: Option<Place>,
    shared: u64,
}

impl StoredOnce {
    /// With the files below `before`.
    pub fn with(before: Option<Place>) -> Self {
        Self { before, shared: 0 }
    }

    /// Shares a file of `length` bytes, which was read back, with the one that has the same path in the version before.
    pub fn share(&mut self, data: &Place, path: &str, length: u64) {
        let Some(before) = &self.before else { return };
        match share(before, data, path, length) {
            Ok(bytes) => self.shared += bytes,
            Err(error) => {
                tracing::debug!(%error, "files of versions are not stored once in this room");
                self.before = None;
            }
        }
    }

    /// Bytes that are stored once.
    pub fn bytes(&self) -> u64 {
        self.shared
    }
}

fn share(before: &Place, data: &Place, path: &str, length: u64) -> io::Result<u64> {
    // One that is not there, or that we may not read, has nothing to share.
    let Ok(old) = before.file(path) else { return Ok(0) };
    if length == 0 || old.metadata()?.len() != length {
        return Ok(0);
    }
    // What the disk has of it counts.
    drop_cache(&old, 0, length);
    share_all(&old, &data.file(path)?, length)
}

fn share_all(old: &File, new: &File, length: u64) -> io::Result<u64> {
    let mut at = 0;
    while at < length {
        match sys::share_bytes(old, new, at, length - at)? {
            0 => break,
            bytes => at += bytes,
        }
    }
    Ok(at)
}
