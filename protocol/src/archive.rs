//! Archived bags: the zone's signed statement of all that is in one, and what reading it again found.
//!
//! The statement is one JSON object in the bag, `archive.json`, and its SSHSIG signature is that of a receipt (namespace
//! [`crate::sshsig::NAMESPACE_RECEIPT`]): who may check receipts can check archives. It names the digest of the bag's
//! `tagmanifest-sha256.txt`, and by that every file but itself.

use crate::audit::{BadProof, Entry, Inclusion, Position};
use crate::digest::Sha256;
use crate::document::Totals;
use crate::ids::{AgreementId, DatasetName, RoomName, SourceName, TransferId, ZoneName};
use crate::receipt::Algorithms;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The statement's file in the bag; its signature's is called the same with `.sig`.
pub const STATEMENT: &str = "archive.json";

/// The file of its signature.
pub const SIGNATURE: &str = "archive.json.sig";

/// The act of the audit entry that the statement holds.
pub const SIGNED: &str = "archive-signed";

/// The act of the audit entry of a bag that was read again.
pub const CHECKED: &str = "archive-checked";

/// The act of the audit entry of a bag that the zone reads no more.
pub const ENDED: &str = "archive-ended";

/// What is stated of an archived bag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveStatement {
    /// `archive/1`.
    pub sluse: ArchiveFormat,
    /// Who states it.
    pub zone: ZoneName,
    /// When.
    pub time: Timestamp,
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// Who sent it.
    pub source: SourceName,
    /// The agreement that allows it.
    pub agreement: AgreementId,
    /// SHA-256 of the agreement's text, which is in the bag.
    pub agreement_sha256: Sha256,
    /// The dataset.
    pub dataset: DatasetName,
    /// Where it was put.
    pub room: RoomName,
    /// What it holds.
    pub totals: Totals,
    /// SHA-256 of the source's manifest.
    pub manifest_sha256: Sha256,
    /// SHA-256 of the bag's `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
    /// SHA-256 of the *released* receipt's statement.
    pub previous: Sha256,
    /// The audit log just after the entry of this.
    pub audit: Position,
    /// Proof that the entry is the last one of that log.
    pub inclusion: Inclusion,
    /// What the digests and the signature are made with.
    pub algorithms: Algorithms,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveFormat {
    /// Version 1.
    #[serde(rename = "archive/1")]
    V1,
}

/// Why a statement does not show that it stands in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadStatement {
    /// Its proof proves nothing.
    #[error(transparent)]
    Proof(#[from] BadProof),
    /// It proves something else.
    #[error("its audit entry is about another transfer, act, time or bag")]
    OtherEntry,
}

impl ArchiveStatement {
    /// The statement's bytes: indented JSON with a final line feed.
    pub fn to_statement(&self) -> String {
        // Serialising cannot fail: no maps, no fallible implementations.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Checks the proof that it stands in the audit log.
    ///
    /// # Errors
    /// When the proof does not lead to the root that is named, or is about something else.
    pub fn check_inclusion(&self) -> Result<(), BadStatement> {
        let Entry { act, transfer, time, details, .. } = self.inclusion.check(&self.audit)?;
        let tagmanifest = details.get("tagmanifest").and_then(|digest| digest.as_str());
        let stated = (SIGNED, Some(&self.transfer), self.time, self.tagmanifest.to_string());
        if (act.as_str(), transfer.as_ref(), time, tagmanifest.unwrap_or_default().to_owned()) != stated {
            return Err(BadStatement::OtherEntry);
        }
        Ok(())
    }
}

/// What reading an archived bag again found. Names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixity {
    /// Files that were read, of the dataset and the bag's own.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose digest is another than the one listed, or whose list was changed.
    pub changed: u64,
    /// Files that are listed and not there; one, where the whole bag is not.
    pub missing: u64,
    /// What is there and not listed; where that is very much, only that it is.
    pub added: u64,
    /// Files and folders that the disk does not give back, and files that were not read because too much was read of others that
    /// had grown.
    pub unreadable: u64,
    /// Whether the zone's statement is in the bag, signed, and of this bag.
    pub signed: bool,
}

impl Fixity {
    /// Whether everything is as it was put there.
    pub fn is_whole(&self) -> bool {
        self.signed && [self.changed, self.missing, self.added, self.unreadable].iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_is_whole_only_when_nothing_at_all_is_wrong_with_it() {
        let whole = Fixity { files: 3, bytes: 9, signed: true, ..Fixity::default() };
        assert!(whole.is_whole());
        let wrong = [
            Fixity { changed: 1, ..whole },
            Fixity { missing: 1, ..whole },
            Fixity { added: 1, ..whole },
            Fixity { unreadable: 1, ..whole },
            Fixity { signed: false, ..whole },
        ];
        assert!(wrong.iter().all(|fixity| !fixity.is_whole()));
    }
}
