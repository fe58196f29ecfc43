//! Writes one of the bag's own files, and remembers its digest.

use super::place::Place;
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 64 * 1024;

/// A file that is being written.
pub struct TagFile {
    path: String,
    file: BufWriter<File>,
    hash: sha2::Sha256,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path in the bag.
    pub path: String,
    /// Its digest.
    pub digest: Sha256,
}

impl TagFile {
    /// Begins the file `path` of `bag`.
    ///
    /// # Errors
    /// When it is there already, or the disk fails.
    pub fn create(bag: &Place, path: &str) -> io::Result<Self> {
        let file = match path.rsplit_once('/') {
            Some((folder, name)) => bag.make(folder, 0o755)?.create(name, 0o644)?,
            None => bag.create(path, 0o644)?,
        };
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { path: path.to_owned(), file, hash: sha2::Sha256::new() })
    }

    /// Writes the whole of a short file.
    ///
    /// # Errors
    /// When it is there already, or the disk fails.
    pub fn write_whole(bag: &Place, path: &str, text: &str) -> io::Result<Written> {
        let mut file = Self::create(bag, path)?;
        file.write(text.as_bytes())?;
        file.finish()
    }

    /// Appends.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(mut self) -> io::Result<Written> {
        self.file.flush()?;
        Ok(Written { path: self.path, digest: Sha256(self.hash.finalize().into()) })
    }
}
