//! Release grants: `control`'s signed word to `inspect` and `deliver` that one dataset version may enter one room.

use crate::agreement::Delivery;
use crate::digest::Sha256;
use crate::document::Totals;
use crate::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId, ZoneName};
use crate::part::Part;
use crate::path::NameRule;
use crate::policy::Cleared;
use crate::sshsig::{self, BadSignature, NAMESPACE_GRANT, PublicKey, SigningKey};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What a grant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantStatement {
    /// Who grants.
    pub zone: ZoneName,
    /// When.
    pub time: Timestamp,
    /// Which transfer.
    pub transfer: TransferId,
    /// The public half (an age recipient) of the transfer's identity.
    pub identity: String,
    /// Who sent it.
    pub source: SourceName,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset.
    pub dataset: DatasetName,
    /// What it holds.
    pub totals: Totals,
    /// The manifest that was decided on.
    pub manifest_sha256: Sha256,
    /// What of it may enter the room, where files were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The room.
    pub room: RoomName,
    /// The room's folder, relative to `deliver`'s folder of rooms.
    pub room_folder: String,
    /// How the room takes names.
    pub room_names: NameRule,
    /// The room's age recipient, to which each file is encrypted there; none where it stands there in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_recipient: Option<String>,
    /// Whether the room is no folder of `deliver`'s: the courier of that name takes what goes there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
    /// As what it stands there.
    pub delivery: Delivery,
    /// `deliver`'s key (an age recipient), to which the identity is re-wrapped.
    pub deliver: String,
}

impl GrantStatement {
    /// SHA-256 of the manifest of what may enter the room.
    pub fn released_manifest(&self) -> Sha256 {
        self.part.map_or(self.manifest_sha256, |part| part.manifest_sha256)
    }

    /// What that adds up to.
    pub fn released_totals(&self) -> Totals {
        self.part.map_or(self.totals, |part| part.totals)
    }
}

/// Why a grant is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGrant {
    /// The signature is not `control`'s.
    #[error("the grant's signature: {0}")]
    Signature(#[from] BadSignature),
    /// The statement cannot be read.
    #[error("the grant's statement is not one")]
    Statement,
}

/// A grant whose signature was checked: the only key to re-wrapping an identity and to delivering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseGrant(GrantStatement);

impl ReleaseGrant {
    /// Signs a grant for what was cleared; the statement's transfer, manifest and part are those of `cleared`. Returns
    /// statement and signature.
    pub fn sign(cleared: &Cleared, mut statement: GrantStatement, key: &SigningKey) -> (String, String) {
        statement.transfer = cleared.transfer().clone();
        statement.manifest_sha256 = cleared.manifest();
        statement.part = cleared.part();
        // Serialising cannot fail: no maps, no fallible implementations.
        let text = serde_json::to_string(&statement).unwrap_or_default();
        let signature = key.sign(NAMESPACE_GRANT, text.as_bytes());
        (text, signature)
    }

    /// Checks a grant against `control`'s public key.
    ///
    /// # Errors
    /// When the signature or the statement is not good.
    pub fn verify(statement: &str, signature: &str, control: &PublicKey) -> Result<Self, BadGrant> {
        sshsig::verify(control, NAMESPACE_GRANT, statement.as_bytes(), signature)?;
        serde_json::from_str(statement).map(Self).map_err(|_| BadGrant::Statement)
    }

    /// What is granted.
    pub fn statement(&self) -> &GrantStatement {
        &self.0
    }
}
