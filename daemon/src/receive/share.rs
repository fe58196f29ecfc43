//! How much of the role each source's work gets, and within that each agreement's.

use sluse_host::config::Settings;
use sluse_protocol::ids::{AgreementId, SourceName};
use sluse_protocol::sharing::{FairQueue, Weights};

/// Whose work it is, and how much of the role that gets beside others.
#[derive(Debug, Clone)]
pub struct Share {
    /// The source, and the agreement once it has offered something.
    pub flow: Flow,
    /// Their weights.
    pub weights: Weights,
}

/// A source, and one of its agreements.
pub type Flow = (SourceName, Option<AgreementId>);

/// A queue in which these take turns.
pub type Queue<T> = FairQueue<SourceName, Option<AgreementId>, T>;

impl Share {
    /// What a source gets, under an agreement once that is known.
    pub fn of(settings: &Settings, source: SourceName, agreement: Option<AgreementId>) -> Self {
        Self { weights: settings.weights(&source, agreement.as_ref()), flow: (source, agreement) }
    }

    /// The source.
    pub fn source(&self) -> &SourceName {
        &self.flow.0
    }
}
