//! What can go wrong, by whose fault it is; each maps to the exit code that scripts see.

use crate::plan::Unsendable;
use sluse_host::keys::KeyError;
use sluse_host::quic::TlsError;
use sluse_protocol::key_statement::BadStatement;
use sluse_protocol::refusal::{Exit, Refusal};
use sluse_protocol::sshsig::BadSignature;
use std::io;
use std::path::{Path, PathBuf};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The zone refused, or would have.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The given paths hold what no dataset can.
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    /// A file or folder that was to be sent cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A source file changed between planning and sealing.
    #[error("{path} {what}")]
    Changed {
        /// Its path in the dataset.
        path: String,
        /// What was noticed.
        what: &'static str,
    },
    /// What the zone says does not verify.
    #[error("the zone's {what} cannot be believed")]
    Evidence {
        /// What it was.
        what: String,
        /// Why.
        #[source]
        error: BadEvidence,
    },
    /// The zone broke the protocol.
    #[error("the zone broke the protocol: {0}")]
    Protocol(&'static str),
    /// The invite cannot be used.
    #[error("the invite cannot be used: {0}")]
    Invite(String),
    /// The identity folder cannot be used.
    #[error("{}: {what}", path.display())]
    Identity {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Certificate or TLS key cannot be used.
    #[error("the identity's certificate or key cannot be used")]
    Tls(#[from] TlsError),
    /// The zone cannot be reached, or was lost.
    #[error("no connection to the zone: {0}")]
    Connection(Lost),
    /// The sender gave up after trying for as long as it was told to.
    #[error("gave up after {} seconds without progress", after.as_secs())]
    GaveUp {
        /// How long it tried.
        after: std::time::Duration,
        /// The last thing that went wrong.
        #[source]
        last: Box<Error>,
    },
    /// Our own files or threads failed.
    #[error("{what}")]
    Fault {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

/// Why a connection is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// A name has no address.
    #[error("{address} has no address ({reason})")]
    Name {
        /// What was looked up.
        address: String,
        /// Why.
        reason: String,
    },
    /// Nobody answers in time.
    #[error("no answer from {0}")]
    Silent(String),
    /// The connection ended.
    #[error("{0}")]
    Ended(String),
    /// The zone does not know the connection: it was killed and started again.
    #[error("the zone was restarted")]
    Restarted,
    /// No answer to a request in time.
    #[error("the zone did not answer a request in time")]
    Unanswered,
    /// The zone's certificate is not the one that the invite pinned.
    #[error("who answers is not the zone that this identity belongs to ({0})")]
    Impostor(String),
}

/// Why a statement of the zone is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEvidence {
    /// Its signature.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Its form.
    #[error("it is not a receipt")]
    Form,
    /// Its content: a field is not what we sent.
    #[error("its {0} is not ours")]
    Field(&'static str),
    /// The key was not in force when this was signed.
    #[error("the key that signed it was not in force then")]
    Time,
    /// What the zone stated of its keys.
    #[error(transparent)]
    Statement(#[from] BadStatement),
    /// The zone signs with another key than the one that was pinned.
    #[error("it is another signing key than the pinned one")]
    Key,
}

impl From<Lost> for Error {
    // Not as a source: the sentence says it already.
    fn from(lost: Lost) -> Self {
        Error::Connection(lost)
    }
}

impl Error {
    /// How a command that ends with this error exits.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Refused(refusal) => refusal.code.exit(),
            Error::Unsendable(_) | Error::Unreadable { .. } | Error::Invite(_) => Exit::Refused,
            Error::Changed { .. } | Error::Evidence { .. } => Exit::Integrity,
            Error::Protocol(_) | Error::Connection(Lost::Impostor(_)) => Exit::Refused,
            Error::Identity { .. } | Error::Key(_) | Error::Tls(_) => Exit::Configuration,
            Error::Connection(_) | Error::GaveUp { .. } => Exit::Temporary,
            Error::Fault { .. } => Exit::Fault,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Refused(refusal) => return Some(refusal.hint.clone()),
            Error::GaveUp { last, .. } => return last.hint(),
            Error::Unsendable(_) => "Remove or rename them, or send the paths beside them. Links are never followed.",
            Error::Unreadable { .. } => "Check that it exists and that this user may read it.",
            Error::Changed { .. } => "Send again when nothing writes there any more; a copy or a snapshot is safest.",
            Error::Evidence { .. } => "Tell the zone's operator: its data or keys may have been tampered with.",
            Error::Protocol(_) => "Update the older of sender and zone.",
            Error::Invite(_) => "Ask the zone's operator for a new invite.",
            Error::Identity { hint, .. } => hint,
            Error::Key(_) | Error::Tls(_) => "The identity folder is damaged: enrol anew with a new invite.",
            Error::Connection(Lost::Impostor(_)) => {
                "Check the addresses in identity.toml; ask the zone's operator whether its keys were changed."
            }
            Error::Connection(_) => "Is the zone running, and does UDP reach it from here?",
            Error::Fault { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the same can succeed later without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        self.exit() == Exit::Temporary && !matches!(self, Error::GaveUp { .. })
    }

    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        Error::Unreadable { path: path.to_owned(), error }
    }

    /// For our own files: `Err(error.at(path))`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Error::Fault { what: path.display().to_string(), error }
    }

    pub(crate) fn evidence(what: impl Into<String>, error: impl Into<BadEvidence>) -> Self {
        Error::Evidence { what: what.into(), error: error.into() }
    }
}
