//! Why the gateway cannot start or go on.

use sluse_host::config::ConfigError;
use sluse_protocol::refusal::Exit;
use std::io;
use std::path::Path;

/// Why the gateway cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong: everything that is.
    #[error("the configuration is wrong")]
    Configuration(Vec<ConfigError>),
    /// A key cannot be used.
    #[error("{what}")]
    Key {
        /// Which, and what is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// Another process of the same kind uses the spool.
    #[error("another gateway uses the spool {0}")]
    InUse(String),
    /// Our own files, sockets or threads failed.
    #[error("{what}")]
    Fault {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// The sender cannot start or go on.
    #[error(transparent)]
    Sender(#[from] sluse_sender::Error),
}

impl Error {
    /// A fault while `what` was done.
    pub fn fault(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Fault { what, error }
    }

    /// A fault at a file or folder.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::fault(path.display().to_string())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Key { hint, .. } => Some((*hint).to_owned()),
            Error::InUse(_) => Some("Run one with each spool.".to_owned()),
            Error::Sender(error) => error.hint(),
            Error::Configuration(_) | Error::Fault { .. } => None,
        }
    }

    /// How a process that ends so exits.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Configuration(_) | Error::Key { .. } => Exit::Configuration,
            Error::InUse(_) | Error::Fault { .. } => Exit::Fault,
            Error::Sender(error) => error.exit(),
        }
    }
}
