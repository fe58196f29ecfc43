//! The zone's signing keys, as `inspect` and `deliver` know them: `trust/signer.pub`, and what the zone stated of its keys.

use crate::RoleError;
use sluse_host::config::Zone;
use sluse_host::keys;
use sluse_protocol::grant::{BadGrant, ReleaseGrant};
use sluse_protocol::key_statement::Trust;
use sluse_protocol::signers::AllowedSigner;
use sluse_protocol::sshsig::{self, BadSignature, NAMESPACE_GRANT, NAMESPACE_RECEIPT, PublicKey};

/// Whose word counts.
#[derive(Debug, Clone)]
pub struct ZoneSigners {
    /// For grants and archived bags' statements, which are signed when they are needed: the key in force. A power cut in a rotation leaves `signer.pub` naming the
    /// key before it, which vouches for the one in force.
    in_force: Vec<PublicKey>,
    /// For receipts, which bear the key that was in force then.
    all: Vec<PublicKey>,
}

impl ZoneSigners {
    /// Reads them.
    ///
    /// # Errors
    /// When they cannot be read, or a statement is not good.
    pub fn load(zone: &Zone) -> Result<Self, RoleError> {
        let layout = &zone.layout;
        let named = keys::read_public_key(&layout.signer())?;
        let statements = keys::read_statements(&layout.key_statements())?;
        let bad =
            |error: &dyn std::error::Error| RoleError::State(format!("{}: {error}", layout.key_statements().display()));
        let (name, known) = (zone.settings.zone.name.clone(), vec![AllowedSigner::always(named)]);
        let mut in_force = vec![named];
        if let Some(mut trust) = Trust::pinned(name, known, Vec::new(), 0) {
            trust.follow(&statements).map_err(|error| bad(&error))?;
            in_force = trust.signers().iter().map(|signer| signer.key).collect();
        }
        let mut all = in_force.clone();
        for signed in &statements {
            all.push(signed.read().map_err(|error| bad(&error))?.before);
        }
        Ok(Self { in_force, all })
    }

    /// Checks a grant.
    ///
    /// # Errors
    /// When the key in force did not sign it, or it is none.
    pub fn grant(&self, statement: &str, signature: &str) -> Result<ReleaseGrant, BadGrant> {
        let by = sshsig::verify_any(self.in_force.iter().copied(), NAMESPACE_GRANT, statement.as_bytes(), signature)?;
        ReleaseGrant::verify(statement, signature, &by)
    }

    /// Checks the signature of an archived bag's statement, which was asked for just now.
    ///
    /// # Errors
    /// When the key in force did not sign it.
    pub fn archive(&self, statement: &[u8], signature: &str) -> Result<(), BadSignature> {
        sshsig::verify_any(self.in_force.iter().copied(), NAMESPACE_RECEIPT, statement, signature).map(drop)
    }

    /// The keys whose receipts count: every one that the zone has had.
    pub fn of_receipts(&self) -> &[PublicKey] {
        &self.all
    }

    /// Checks a receipt's signature.
    ///
    /// # Errors
    /// When no key that the zone has had signed it.
    pub fn receipt(&self, statement: &[u8], signature: &str) -> Result<(), BadSignature> {
        sshsig::verify_any(self.all.iter().copied(), NAMESPACE_RECEIPT, statement, signature).map(drop)
    }
}
