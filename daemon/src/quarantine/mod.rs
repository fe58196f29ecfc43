//! Reading sealed transfers: what `inspect` and `deliver` share.
//!
//! A sealed transfer is a folder with `manifest.age`, `chunks.index` and a file for each chunk, everything encrypted to the
//! transfer's own identity. It is read in this order, and never to disk in the clear:
//!
//! 1. [`folder`]: files are opened below the folder, never through a link;
//! 2. [`identity`]: the transfer's identity, unwrapped;
//! 3. [`manifest`]: decrypted twice as a stream; the first pass must give the digest that was decided on;
//! 4. [`index`]: the chunk index, whose digests must add up to the manifest's `chunk_list`;
//! 5. [`chunks`]: threads decrypt chunk after chunk ahead of the reader;
//! 6. [`dataset`]: the stream of chunks is cut into files again and handed to a [`dataset::Visitor`];
//! 7. [`hashed`]: a visitor that checks every file's SHA-256 before it lets the next one see the file's end.

use sluse_protocol::path::DataPath;
use std::io;

pub mod chunks;
pub mod dataset;
pub mod folder;
pub mod hashed;
pub mod identity;
pub mod index;
pub mod manifest;
#[cfg(test)]
pub(crate) mod testing;

/// Why a sealed transfer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What lies there is not what was declared and sealed.
    #[error("{reason}")]
    Integrity {
        /// A sentence without names of files.
        reason: String,
        /// The file of the dataset that it concerns, where it is one.
        file: Option<DataPath>,
    },
    /// Our fault: the disk, or a limit of the process. To be tried again.
    #[error("{reason}")]
    Fault {
        /// A sentence without names of files.
        reason: String,
    },
}

impl ReadError {
    /// What lies there is not what was sealed.
    pub fn integrity(reason: impl Into<String>) -> Self {
        Self::Integrity { reason: reason.into(), file: None }
    }

    /// One file is not what was declared.
    pub fn of_file(reason: impl Into<String>, file: &DataPath) -> Self {
        Self::Integrity { reason: reason.into(), file: Some(file.clone()) }
    }

    /// The machine failed while `what` was attempted.
    pub fn fault(what: &str, error: &io::Error) -> Self {
        Self::Fault { reason: format!("{what}: {error}") }
    }

    /// What opening or reading a sealed file's failure means: that it is gone or is no plain file is a matter of integrity,
    /// anything else of the machine.
    pub fn of_sealed(what: &str, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::integrity(format!("{what} is missing")),
            Kind::InvalidData | Kind::UnexpectedEof => Self::integrity(format!("{what}: {error}")),
            _ => Self::fault(what, error),
        }
    }
}
