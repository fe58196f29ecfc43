//! What changes in an inbox and must be remembered.

use crate::spool::FileId;
use serde::{Deserialize, Serialize};
use sluse_protocol::time::Timestamp;

/// A change that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// A file is so.
    File {
        /// Its path.
        path: String,
        /// Which it is in the spool.
        file: FileId,
        /// How many bytes of it are durable.
        bytes: u64,
        /// It was closed by who wrote it.
        whole: bool,
        /// When it was changed last.
        mtime: Timestamp,
    },
    /// A file or folder has another path; a file that had it is gone.
    Moved {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// A file is gone.
    Removed {
        /// Its path.
        path: String,
    },
    /// An entry is about to be handed over: it does not change any more.
    Handing {
        /// Its name.
        entry: String,
    },
    /// An entry was handed over, and is here no more, nor is its marker.
    HandedOver {
        /// Its name.
        entry: String,
    },
}
