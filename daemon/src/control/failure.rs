//! Why `control` does not do what it was asked: the asker's doing (a refusal) or ours (a fault).

use sluse_protocol::refusal::{Code, Refusal};
use std::io;
use std::sync::Arc;

/// Why a request was not carried out. Nothing was changed by it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The asker's doing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What failed on our side.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A commit, of this change and others.
    #[error("{0}")]
    Commit(#[source] Arc<Fault>),
    /// A file of `control`'s own.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted; no name of a dataset's file.
        what: &'static str,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Something that must hold does not.
    #[error("{0}")]
    Broken(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Failure {
    /// Names what was attempted when the operating system refused it.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Fault(Fault::Io { what, error })
    }

    /// Something that must hold does not.
    pub fn broken(what: impl Into<String>) -> Self {
        Self::Fault(Fault::Broken(what.into()))
    }

    /// What failed on our side; a refusal where nobody asked is a bug.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Refused(refusal) => Fault::Broken(refusal.to_string()),
        }
    }

    /// What the asker is told. A fault is logged here, once, and told without its particulars.
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Fault(fault) => {
                tracing::error!(%fault, "a request failed");
                if fault.is_full_disk() {
                    return Refusal::new(Code::NoSpace, "the zone's disk is full");
                }
                Refusal::new(Code::Internal, "the zone failed")
            }
        }
    }
}

impl Fault {
    fn is_full_disk(&self) -> bool {
        match self {
            Self::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io { error, .. } => {
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Commit(fault) => fault.is_full_disk(),
            Self::Broken(_) => false,
        }
    }
}

/// A refusal, ready to be returned.
pub fn refuse<T>(code: Code, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(Refusal::new(code, message)))
}
