//! Documents that are arriving from `receive`, part by part. Each lies in a file of its own until an offer or a seal takes
//! it; number and bytes are bounded, and what is never taken goes with the connection.

use super::documents::Documents;
use super::failure::{Failure, refuse};
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use sluse_protocol::refusal::Code;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Documents that may be arriving at once: twice the connections that `receive` takes by default.
const MAX_UPLOADS: usize = 512;

/// Bytes of all documents that are arriving: eight of the largest.
const MAX_UPLOADS_BYTES: u64 = 8 * MAX_DOCUMENT_BYTES;

/// The arriving documents of one connection of `receive`.
#[derive(Debug, Default)]
pub struct Uploads(Mutex<HashMap<u64, Arriving>>);

#[derive(Debug)]
struct Arriving {
    document: Arrived,
    file: File,
}

/// An arrived document; its file is removed when it is dropped, unless it was kept under another name.
#[derive(Debug)]
pub struct Arrived {
    path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl Arrived {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes its bytes durable: before a change that keeps it, so that nobody waits for them while the database is held.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), Failure> {
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(Failure::io("keeping a document"))
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        // When it was kept there is nothing to remove; else a leftover goes at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Uploads {
    /// Appends to a document.
    ///
    /// # Errors
    /// When it grows too large, there are too many, or the disk fails; the document is forgotten then.
    pub fn part(&self, documents: &Documents, upload: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut all = self.lock();
        let total: u64 = all.values().map(|arriving| arriving.document.bytes).sum();
        if total.saturating_add(bytes.len() as u64) > MAX_UPLOADS_BYTES {
            all.remove(&upload);
            return refuse(Code::Busy, "too many documents are arriving");
        }
        if !all.contains_key(&upload) {
            if all.len() == MAX_UPLOADS {
                return refuse(Code::Busy, "too many documents are arriving");
            }
            let (path, file) = documents.arriving()?;
            all.insert(upload, Arriving { document: Arrived { path, bytes: 0 }, file });
        }
        let Some(arriving) = all.get_mut(&upload) else { return Ok(()) };
        arriving.document.bytes += bytes.len() as u64;
        let written = if arriving.document.bytes > MAX_DOCUMENT_BYTES {
            refuse(Code::TooLarge, format!("a document has more than {MAX_DOCUMENT_BYTES} bytes"))
        } else {
            arriving.file.write_all(bytes).map_err(Failure::io("writing a document"))
        };
        if written.is_err() {
            all.remove(&upload);
        }
        written
    }

    /// A document is not coming after all.
    pub fn forget(&self, upload: u64) {
        self.lock().remove(&upload);
    }

    /// Takes a document that arrived.
    ///
    /// # Errors
    /// When no byte of it came.
    pub fn take(&self, upload: u64) -> Result<Arrived, Failure> {
        match self.lock().remove(&upload) {
            Some(arriving) => Ok(arriving.document),
            None => refuse(Code::BadDocument, "the document did not arrive"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arriving>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
