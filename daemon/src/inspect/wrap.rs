//! Re-wraps a transfer's identity to `deliver`, on `control`'s signed word alone.

use super::identities;
use crate::quarantine::identity::{self, RoleKey};
use crate::zone_signers::ZoneSigners;
use age::x25519::Recipient;
use sluse_host::layout::Layout;
use sluse_protocol::grant::BadGrant;
use sluse_protocol::ids::TransferId;
use sluse_protocol::roles::FaultCause;

/// Why an identity is not re-wrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The grant is not `control`'s.
    #[error(transparent)]
    Grant(#[from] BadGrant),
    /// The grant is for another transfer than the task.
    #[error("the grant is for another transfer")]
    OtherTransfer,
    /// The grant names another key than `deliver`'s.
    #[error("the grant names another key than deliver's")]
    OtherKey,
    /// The identity is not there, or does not open.
    #[error("{0}")]
    Identity(String),
}

impl WrapError {
    /// Whose fault it is.
    pub fn cause(&self) -> FaultCause {
        match self {
            Self::Grant(_) | Self::OtherTransfer | Self::OtherKey => FaultCause::BadGrant,
            Self::Identity(_) => FaultCause::Retrying,
        }
    }
}

/// The identity of `transfer`, wrapped to `deliver`, on a grant for it.
///
/// # Errors
/// When the grant is not good, or the identity is not there.
pub fn wrap(
    layout: &Layout,
    quarantine: &RoleKey,
    signers: &ZoneSigners,
    deliver: &Recipient,
    transfer: &TransferId,
    (statement, signature): (&str, &str),
) -> Result<Vec<u8>, WrapError> {
    let grant = signers.grant(statement, signature)?;
    let granted = grant.statement();
    if granted.transfer != *transfer {
        return Err(WrapError::OtherTransfer);
    }
    if granted.deliver != deliver.to_string() {
        return Err(WrapError::OtherKey);
    }
    let opened = identities::open(layout, quarantine, &granted.identity);
    let opened = opened.map_err(|error| WrapError::Identity(error.to_string()))?;
    identity::wrap(&opened, deliver).map_err(|error| WrapError::Identity(error.to_string()))
}
