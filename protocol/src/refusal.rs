//! Refusals: what a peer did that we do not accept, with a stable code, a sentence and a hint.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How the command line ends: the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The command line was wrong.
    Usage = 2,
    /// The configuration was wrong.
    Configuration = 3,
    /// Refused by policy, agreement or trust.
    Refused = 4,
    /// Integrity: digests, signatures or logs do not agree.
    Integrity = 5,
    /// Temporary: try again.
    Temporary = 6,
    /// Rejected in inspection or review.
    Rejected = 7,
    /// Held: a person must decide.
    Held = 8,
    /// Our fault.
    Fault = 70,
}

macro_rules! codes {
    ($($name:ident, $text:literal, $exit:ident, $hint:literal;)*) => {
        /// The stable code of a refusal. `docs/refusals.md` lists them all; a test compares.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $hint] #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The code as it stands on the wire, in receipts and in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// How a command that meets it ends.
            pub fn exit(self) -> Exit {
                match self { $(Code::$name => Exit::$exit,)* }
            }

            /// What to do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Code::$name => $hint,)* }
            }
        }
    };
}

codes! {
    // The protocol.
    ProtocolVersion, "protocol-version", Refused, "Sender and zone share no protocol version: update the older of the two.";
    ProtocolViolation, "protocol-violation", Refused, "The peer broke the protocol: see docs/protocol.md.";
    TooLarge, "too-large", Refused, "A message or document is larger than the protocol allows.";
    Unavailable, "unavailable", Temporary, "The zone cannot answer now: try again in a minute.";
    Busy, "busy", Temporary, "The zone has all it can take: try again in a minute.";
    TakenOver, "taken-over", Temporary, "Another connection took this transfer over: only one may send it.";
    Internal, "internal", Fault, "The zone failed: its operators find the reason in the journal.";
    // Trust.
    UnknownCertificate, "unknown-certificate", Refused, "This certificate is not enrolled here: ask the zone's operator for an invite.";
    RevokedSource, "revoked-source", Refused, "This source was shut out: ask the zone's operator.";
    CertificateExpired, "certificate-expired", Refused, "The certificate is no longer valid: ask the zone's operator for a new invite.";
    EnrolmentOnly, "enrolment-only", Refused, "An invite's certificate is good for enrolling only: run `sluse enroll` first.";
    InviteExpired, "invite-expired", Refused, "The invite has expired: ask the zone's operator for a new one.";
    InviteUsed, "invite-used", Refused, "The invite was used already: if that was not you, tell the zone's operator at once.";
    BadProof, "bad-proof", Refused, "A signature does not verify: the identity folder may be damaged or mixed up.";
    // The agreement.
    UnknownAgreement, "unknown-agreement", Refused, "No such agreement for this source: check its id with the zone's operator.";
    AgreementDraft, "agreement-draft", Refused, "The agreement is a draft: wait until it is activated, or ask the data controller.";
    AgreementInactive, "agreement-inactive", Refused, "The agreement was ended: ask the data controller.";
    AgreementSuspended, "agreement-suspended", Refused, "The agreement is suspended: wait until it is resumed, or ask the data controller.";
    AgreementNotYetValid, "agreement-not-yet-valid", Refused, "The agreement is not valid yet: see its valid_from.";
    AgreementExpired, "agreement-expired", Refused, "The agreement or its approval has run out: ask the data controller to renew it.";
    SyncNotAllowed, "sync-not-allowed", Refused, "The agreement does not have its datasets kept in sync: send without --sync, or ask the data controller.";
    DeletionsNotAllowed, "deletions-not-allowed", Refused, "The agreement lets no file be deleted from its datasets: send them all, or ask the data controller.";
    ForbiddenRoom, "forbidden-room", Refused, "The agreement's room is not known to this zone: ask its operator.";
    DatasetTooLarge, "dataset-too-large", Refused, "The dataset has more bytes than the agreement allows for one transfer.";
    TooManyFiles, "too-many-files", Refused, "The dataset has more files than the agreement or the protocol allows.";
    QuotaExceeded, "quota-exceeded", Temporary, "The source has as much under way as its agreement or the zone allows: wait until some is delivered.";
    OutsideHours, "outside-hours", Temporary, "The zone takes this at other hours only: wait until the time that is named.";
    ForbiddenPath, "forbidden-path", Refused, "A path is not one that a dataset or this agreement may contain: rename it.";
    WindowsPath, "windows-path", Refused, "The room takes only names that a Windows desktop can hold: rename it.";
    PathCollision, "path-collision", Refused, "Two paths are the same to a Windows file system: rename one.";
    EmptyDataset, "empty-dataset", Refused, "There is nothing to send.";
    // The transfer.
    NoSpace, "no-space", Temporary, "The zone's quarantine is full: try again later, resuming costs nothing.";
    UnknownTransfer, "unknown-transfer", Refused, "No such transfer of this source.";
    WrongState, "wrong-state", Refused, "The transfer is not in a state in which this can be done.";
    KeyReused, "key-reused", Refused, "This idempotency key belongs to another offer of this source.";
    BadDocument, "bad-document", Integrity, "The plan or manifest is not well-formed: see docs/protocol.md.";
    BadChunk, "bad-chunk", Integrity, "A chunk's number, length or digest is wrong.";
    ChunkConflict, "chunk-conflict", Integrity, "The zone holds other bytes for this chunk: the source's files changed; send them as a new transfer.";
    MissingChunks, "missing-chunks", Integrity, "Not every chunk is durable yet: send what is missing before sealing.";
    DigestMismatch, "digest-mismatch", Integrity, "Digests do not agree: the data was changed on its way or while it was read.";
    UnknownBase, "unknown-base", Refused, "The zone cannot build on that version: send the dataset whole.";
    NoIdentity, "no-identity", Temporary, "The zone has no transfer key ready: try again in a minute.";
    // The zone's own decisions.
    Rejected, "rejected", Rejected, "The dataset was rejected in inspection or review; the zone's operator can say why.";
    Held, "held", Held, "A person must decide: wait, or ask the zone's operator.";
    Cancelled, "cancelled", Refused, "The transfer was cancelled: send again if that was not meant.";
    Expired, "expired", Refused, "The transfer waited too long and expired: send again.";
    NotAcknowledged, "not-acknowledged", Temporary, "The room has not said in time that it has the dataset: ask its people.";
    // Operators.
    Forbidden, "forbidden", Refused, "This user may not do this.";
    UnknownName, "unknown-name", Refused, "No such source, room, agreement or record.";
    NameTaken, "name-taken", Refused, "The name is in use already.";
    Invalid, "invalid", Usage, "The request is not valid.";
    // Updates.
    UpdateUnsigned, "update-unsigned", Integrity, "The bundle has no good signature of a key that `[updates] keys` names: it was damaged on its way, or is not the site's.";
    UpdateOlder, "update-older", Refused, "An update of this kind that is newer, or has the same number, was imported: make one with a higher number.";
    UpdateMalformed, "update-malformed", Refused, "What was signed is no bundle that can be put in place: docs/updates.md says what one is.";
    UpdateTooLarge, "update-too-large", Refused, "The bundle is larger than any update, or has more files.";
    UpdateNoPlace, "update-no-place", Refused, "This host has no place for updates of this kind: docs/updates.md says what each needs.";
    UpdateFailed, "update-failed", Fault, "Mend what is named, and import the same bundle again: what is in place is whole files of the old and the new one.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A refusal as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Its stable code.
    pub code: Code,
    /// One sentence; never contains a path, content or key.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// When the same can succeed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Refusal {
    /// A refusal with the code's own hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: code.hint().to_owned(), until: None }
    }

    /// The same with another hint.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same, which can succeed from that time on.
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }

    /// Whether the same request can succeed later.
    pub fn is_temporary(&self) -> bool {
        self.code.exit() == Exit::Temporary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_this_one() {
        let rows: String =
            Code::ALL.iter().map(|code| format!("| `{code}` | {} | {} |\n", code.exit() as u8, code.hint())).collect();
        assert!(include_str!("../../docs/refusals.md").contains(&rows), "docs/refusals.md should contain:\n{rows}");
    }

    #[test]
    fn each_code_stands_on_the_wire_as_its_text() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
    }
}
