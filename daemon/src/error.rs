//! Why a role cannot start or go on.

use sluse_host::config::ConfigError;
use sluse_host::keys::KeyError;
use sluse_host::rpc::CallError;
use std::io;

/// Why a role ends other than by request.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The other role is gone: whoever started this one starts it again.
    #[error("the link to control: {0}")]
    Link(#[from] CallError),
    /// The operating system refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It would be unsafe to run.
    #[error("refusing to run: {0}")]
    Unsafe(String),
    /// State or keys are not what they must be.
    #[error("{0}")]
    State(String),
}

impl RoleError {
    /// Names what was attempted when the operating system refused it.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
