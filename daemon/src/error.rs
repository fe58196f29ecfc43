//! Why a role cannot start or go on.

use sluse_host::config::ConfigError;
use sluse_host::keys::KeyError;
use sluse_host::rpc::CallError;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use std::error::Error;
use std::io::{self, Write as _};

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
    /// A role that was to be started as a child refused to start, and has said why.
    #[error("the role {role} refused to start")]
    Refused {
        /// Which.
        role: Role,
        /// How it ended.
        exit: Exit,
    },
}

impl RoleError {
    /// Names what was attempted when the operating system refused it.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    /// How a process that meets it ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Key(_) => Exit::Configuration,
            Self::Unsafe(_) => Exit::Refused,
            Self::Refused { exit, .. } => *exit,
            Self::Link(_) | Self::Io { .. } | Self::State(_) => Exit::Fault,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Config(error) => Some(&error.hint).filter(|hint| !hint.is_empty()).map(String::as_str),
            Self::Key(_) => Some("`sluse zone check` says which files are missing and whose they must be"),
            Self::Unsafe(_) => Some("docs/operations.md says what must be there, and what to do when it is not"),
            Self::Refused { .. } => Some("its own message stands above"),
            Self::Link(_) | Self::Io { .. } | Self::State(_) => None,
        }
    }

    /// Prints it with its causes and its hint on standard error.
    pub fn report(&self) {
        let mut text = format!("Error: {self}\n");
        let mut said = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Many messages end with their cause's.
            if !said.ends_with(&error.to_string()) {
                said = error.to_string();
                text += &format!("Caused by: {said}\n");
            }
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            text += &format!("Hint: {hint}\n");
        }
        // Where standard error is closed there is nobody to tell.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
