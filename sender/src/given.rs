//! Files that do not lie on disk as they are sent: whoever calls names them, and opens each when it is read.

use crate::error::Error;
use crate::plan::{self, Plan};
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// What a dataset consists of.
#[derive(Debug, Clone)]
pub enum Files {
    /// What lies at these paths: one folder's contents, or several files and folders each under its last component.
    At(Vec<PathBuf>),
    /// What somebody else holds.
    Given(Given),
}

/// Files of a [`Supply`].
#[derive(Debug, Clone)]
pub struct Given {
    /// The files, in ascending order of their paths.
    pub files: Vec<GivenFile>,
    /// Changes whenever any byte of any of them does: two that have the same files and the same version are read as one.
    pub version: Sha256,
    /// Where their bytes come from.
    pub supply: Arc<dyn Supply>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFile {
    /// Its path in the dataset.
    pub path: DataPath,
    /// Its bytes: neither more nor fewer may come.
    pub bytes: u64,
    /// When it was changed last.
    pub mtime: Timestamp,
}

/// Opens files for reading. They are read once from front to back; what a lost connection takes along is read again.
pub trait Supply: std::fmt::Debug + Send + Sync {
    /// File `number` of [`Given::files`], from byte `from` on.
    ///
    /// # Errors
    /// When it cannot be opened or read; the whole dataset is tried again later.
    fn open(&self, number: usize, from: u64) -> io::Result<Box<dyn Read + Send>>;
}

impl Files {
    /// What is to be sent.
    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        match self {
            Files::At(paths) => plan::plan(paths),
            Files::Given(given) => plan::listed(given),
        }
    }
}
