//! Files of the quarantine: age files to the transfer's recipient, written under a temporary name and renamed when whole.
//! Everything here blocks and belongs on the pool's threads.

use super::control::broken;
use super::folder;
use super::refusals::storage;
use super::transfer::Slot;
use crate::age_stream::Writer;
use crate::gather::Output;
use sluse_host::layout;
use sluse_protocol::chunk_index::Record;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::wire::ChunkHeader;
use std::fs::File;
use std::path::PathBuf;

/// An encrypted file that is being written. One that is not finished removes itself. It holds a slot of its transfer, so
/// that nobody takes the transfer for quiet before the file is finished or removed.
pub struct Encrypted {
    writer: Writer,
    name: String,
    temporary: Temporary,
    slot: Slot,
}

/// A file that is whole and has its name, but is not durable yet.
#[derive(Debug)]
pub struct Whole {
    /// The file.
    pub file: File,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub stored: u64,
    /// The slot that it holds until it is durable.
    pub slot: Slot,
}

impl Encrypted {
    /// Creates the file `name` in the transfer's folder.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn create(slot: Slot, name: String) -> Result<Self, Refusal> {
        let transfer = slot.transfer();
        let temporary_name = format!("{name}.new");
        let created = transfer.folder().create(&temporary_name);
        let file = created.map_err(|error| storage("create a file", &error))?;
        let temporary = Temporary { path: transfer.folder().path(&temporary_name), named: false };
        let writer = Writer::begin(transfer.recipient(), Output::new(file));
        let writer = writer.map_err(|error| storage("begin a file", &error))?;
        Ok(Self { writer, name, temporary, slot })
    }

    /// Encrypts and writes the next bytes.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.writer.write(bytes).map_err(|error| storage("write a file", &error))
    }

    /// Ends the encryption and gives the file its name.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn finish(mut self) -> Result<Whole, Refusal> {
        let (file, stored) = self.writer.finish().map_err(|error| storage("write a file", &error))?;
        let path = self.slot.transfer().folder().path(&self.name);
        std::fs::rename(&self.temporary.path, &path).map_err(|error| storage("name a file", &error))?;
        self.temporary.named = true;
        Ok(Whole { file, path, stored, slot: self.slot })
    }
}

/// A chunk's file and the digest of what went into it.
pub struct ChunkFile {
    file: Encrypted,
    hash: blake3::Hasher,
    header: ChunkHeader,
}

impl ChunkFile {
    /// Creates the file of the chunk that `header` announces.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn create(slot: Slot, header: ChunkHeader) -> Result<Self, Refusal> {
        let file = Encrypted::create(slot, layout::chunk_file(header.index))?;
        Ok(Self { file, hash: blake3::Hasher::new(), header })
    }

    /// Hashes, encrypts and writes the next bytes.
    ///
    /// # Errors
    /// When the quarantine cannot be written.
    pub fn write(&mut self, record: &[u8]) -> Result<(), Refusal> {
        self.hash.update(record);
        self.file.write(record)
    }

    /// Gives the file its name when its bytes are those announced.
    ///
    /// # Errors
    /// When they are not, or the quarantine cannot be written.
    pub fn finish(self) -> Result<(Whole, Record), Refusal> {
        if *self.hash.finalize().as_bytes() != self.header.digest.0 {
            return Err(Refusal::new(Code::BadChunk, "a chunk's bytes do not have its digest"));
        }
        let whole = self.file.finish()?;
        // A chunk and age's overhead are far below 4 GiB.
        let stored = u32::try_from(whole.stored).map_err(|_| broken("a chunk's file is too long"))?;
        let record = Record { index: self.header.index, stored, digest: self.header.digest };
        Ok((whole, record))
    }
}

/// A temporary name, which is removed unless the file got its own.
struct Temporary {
    path: PathBuf,
    named: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            folder::remove(&self.path);
        }
    }
}
