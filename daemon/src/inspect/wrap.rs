//! Re-wraps a transfer's identity to `deliver`, on `control`'s signed word alone.

use super::identities;
use crate::quarantine::identity;
use age::x25519::{Identity, Recipient};
use sluse_host::layout::Layout;
use sluse_protocol::grant::{BadGrant, ReleaseGrant};
use sluse_protocol::ids::TransferId;
use sluse_protocol::sshsig::PublicKey;

/// Why an identity is not re-wrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The grant is not `control`'s.
    #[error(transparent)]
    Grant(#[from] BadGrant),
    /// The grant names another key than `deliver`'s.
    #[error("the grant names another key than deliver's")]
    OtherKey,
    /// The identity is not there, or does not open.
    #[error("{0}")]
    Identity(String),
}

/// The grant's transfer, and its identity wrapped to `deliver`.
///
/// # Errors
/// When the grant is not good, or the identity is not there.
pub fn wrap(
    layout: &Layout,
    quarantine: &Identity,
    signer: &PublicKey,
    deliver: &Recipient,
    (statement, signature): (&str, &str),
) -> Result<(TransferId, Vec<u8>), WrapError> {
    let grant = ReleaseGrant::verify(statement, signature, signer)?;
    let granted = grant.statement();
    if granted.deliver != deliver.to_string() {
        return Err(WrapError::OtherKey);
    }
    let opened = identities::open(layout, quarantine, &granted.identity);
    let opened = opened.map_err(|error| WrapError::Identity(error.to_string()))?;
    let wrapped = identity::wrap(&opened, deliver).map_err(|error| WrapError::Identity(error.to_string()))?;
    Ok((granted.transfer.clone(), wrapped))
}
