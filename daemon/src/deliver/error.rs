//! Why a dataset is not delivered.

use crate::quarantine::ReadError;
use sluse_host::rpc::CallError;
use std::io;

/// Why a delivery ends before the bag is visible.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// What lies in quarantine is not what was released.
    #[error("{0}")]
    Integrity(String),
    /// The room or a disk failed: to be tried again.
    #[error("{0}")]
    Fault(String),
    /// What was read back from the room is not what the manifest says.
    #[error("what was read back from the room is not what was released")]
    Differs,
    /// `control` had it ended.
    #[error("the delivery was ended")]
    Stopped,
    /// The link to `control` is lost.
    #[error(transparent)]
    Link(#[from] CallError),
}

impl DeliverError {
    /// The operating system refused `what`, which names no file of the dataset.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Fault(format!("{what}: {error}"))
    }
}

impl From<ReadError> for DeliverError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Integrity { reason, .. } => Self::Integrity(reason),
            ReadError::Fault { reason } => Self::Fault(reason),
        }
    }
}
