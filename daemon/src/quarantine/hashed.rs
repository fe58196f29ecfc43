//! Checks every file's SHA-256 against the manifest.

use super::ReadError;
use super::dataset::Visitor;
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Entry;

/// Lets `inner` see a dataset, and the end of each file only when its SHA-256 is the manifest's.
pub struct Hashed<V> {
    /// Who sees the dataset.
    pub inner: V,
    hash: sha2::Sha256,
    files: u64,
}

impl<V> Hashed<V> {
    /// Before the first file.
    pub fn new(inner: V) -> Self {
        Self { inner, hash: sha2::Sha256::new(), files: 0 }
    }

    /// Files whose SHA-256 agreed.
    pub fn files(&self) -> u64 {
        self.files
    }
}

impl<V: Visitor> Visitor for Hashed<V> {
    type Error = V::Error;

    fn folder(&mut self, entry: &Entry) -> Result<(), V::Error> {
        self.inner.folder(entry)
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), V::Error> {
        self.hash = sha2::Sha256::new();
        self.inner.begin(entry)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), V::Error> {
        self.hash.update(bytes);
        self.inner.bytes(bytes)
    }

    fn end(&mut self, entry: &Entry) -> Result<(), V::Error> {
        let digest = Sha256(self.hash.finalize_reset().into());
        if entry.sha256 != Some(digest) {
            return Err(ReadError::of_file("a file's SHA-256 is not the one in the manifest", &entry.path).into());
        }
        self.files += 1;
        self.inner.end(entry)
    }
}

/// Sees a dataset and does nothing: what remains is the checking.
pub struct Unseen;

impl Visitor for Unseen {
    type Error = ReadError;

    fn folder(&mut self, _: &Entry) -> Result<(), ReadError> {
        Ok(())
    }

    fn begin(&mut self, _: &Entry) -> Result<(), ReadError> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<(), ReadError> {
        Ok(())
    }

    fn end(&mut self, _: &Entry) -> Result<(), ReadError> {
        Ok(())
    }
}
