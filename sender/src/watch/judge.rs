//! What a failure means for an outbox: whose matter it is, and so what rests and what is put aside.

use super::record::Why;
use crate::error::Error;
use crate::outcome::{End, Outcome};
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;

/// How handing something over ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The zone holds it durably.
    Received(TransferId),
    /// Its transfer ended without reaching the room.
    Lost(TransferId, Why),
    /// Not this time.
    Failed(Failure),
}

/// Whose matter a failure is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The way to the zone, the zone, or this host's identity: nothing that goes there can be sent now.
    Zone(Why),
    /// The agreement: nothing of this outbox can be sent now.
    Outbox(Why),
    /// Nothing is wrong: the zone takes what is in this outbox from that time on.
    Hours(Why, Timestamp),
    /// This entry, for now.
    Later(Why),
    /// This entry, for good: it is put aside for a person.
    Never(Why),
}

impl Sent {
    /// What became of a call of [`crate::send()`].
    pub fn of(result: Result<Outcome, Error>) -> Self {
        match result {
            Ok(outcome) => match outcome.end {
                End::Rejected | End::Lost => Sent::Lost(outcome.transfer.clone(), lost(&outcome)),
                End::Reached | End::Held | End::NotYet => Sent::Received(outcome.transfer),
            },
            Err(error) => Sent::Failed(Failure::of(&error)),
        }
    }
}

/// Why a transfer ended, also where the zone gave no reason.
fn lost(outcome: &Outcome) -> Why {
    match &outcome.reason {
        Some(reason) => reason.clone().into(),
        None => ended(outcome.state),
    }
}

/// Why a transfer in this state ended, where the zone gave no reason.
pub fn ended(state: sluse_protocol::transfer::State) -> Why {
    Why::here(format!("the transfer is {state}"), "Ask the landing zone's operator for the reason.")
}

impl Failure {
    /// Whose matter an error is.
    pub fn of(error: &Error) -> Self {
        let why = |default: &str| {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            Why::here(message, error.hint().unwrap_or_else(|| default.to_owned()))
        };
        match error {
            Error::GaveUp { last, .. } => Self::of(last),
            Error::Refused(refusal) => Self::refused(refusal),
            Error::Unsendable(_) => Failure::Never(Why { names_files: true, ..why("") }),
            Error::Changed { .. } | Error::Unreadable { .. } => Failure::Later(Why { names_files: true, ..why("") }),
            Error::Evidence { .. } => Failure::Later(why("")),
            Error::Fault { .. } => Failure::Later(why("Look at this host: its disk, its memory, its permissions.")),
            Error::Connection(_)
            | Error::Protocol(_)
            | Error::Identity { .. }
            | Error::Key(_)
            | Error::Tls(_)
            | Error::Invite(_) => Failure::Zone(why("")),
        }
    }

    fn refused(refusal: &Refusal) -> Self {
        let why = Why::from(refusal.clone());
        if let (Code::OutsideHours, Some(until)) = (refusal.code, refusal.until) {
            return Failure::Hours(why, until);
        }
        match refusal.code {
            Code::ProtocolVersion
            | Code::ProtocolViolation
            | Code::Unavailable
            | Code::Busy
            | Code::Internal
            | Code::UnknownCertificate
            | Code::RevokedSource
            | Code::CertificateExpired
            | Code::EnrolmentOnly
            | Code::InviteExpired
            | Code::InviteUsed
            | Code::BadProof
            | Code::Forbidden
            | Code::NoIdentity => Failure::Zone(why),
            Code::UnknownAgreement
            | Code::AgreementDraft
            | Code::AgreementInactive
            | Code::AgreementSuspended
            | Code::AgreementNotYetValid
            | Code::AgreementExpired
            | Code::SyncNotAllowed
            | Code::ForbiddenRoom => Failure::Outbox(why),
            // Somebody may still be filling an empty folder.
            Code::EmptyDataset
            | Code::NoSpace
            | Code::QuotaExceeded
            | Code::OutsideHours
            | Code::TakenOver
            | Code::UnknownTransfer
            | Code::WrongState
            | Code::BadChunk
            | Code::MissingChunks
            | Code::DigestMismatch
            | Code::UnknownBase
            | Code::NotAcknowledged
            | Code::UpdateFailed
            | Code::Held => Failure::Later(why),
            Code::TooLarge
            | Code::DatasetTooLarge
            | Code::DeletionsNotAllowed
            | Code::TooManyFiles
            | Code::ForbiddenPath
            | Code::WindowsPath
            | Code::PathCollision
            | Code::KeyReused
            | Code::BadDocument
            | Code::ChunkConflict
            | Code::Rejected
            | Code::Cancelled
            | Code::Expired
            | Code::UnknownName
            | Code::NameTaken
            | Code::Invalid
            | Code::UpdateUnsigned
            | Code::UpdateOlder
            | Code::UpdateMalformed
            | Code::UpdateTooLarge
            | Code::UpdateNoPlace => Failure::Never(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Lost;
    use std::time::Duration;

    #[test]
    fn a_host_that_is_shut_out_or_cannot_connect_puts_nothing_aside() {
        for code in [Code::RevokedSource, Code::CertificateExpired, Code::UnknownCertificate, Code::Internal] {
            let refused = Error::Refused(Refusal::new(code, "no"));
            assert!(matches!(Failure::of(&refused), Failure::Zone(_)), "{code}");
        }
        let last = Box::new(Lost::Silent("zone:1".into()).into());
        let away = Error::GaveUp { after: Duration::ZERO, last };
        let Failure::Zone(why) = Failure::of(&away) else { panic!("{away}") };
        assert_eq!(why.message, "no connection to the zone: no answer from zone:1");
    }

    #[test]
    fn hours_are_no_failure_where_the_zone_says_when_they_begin() {
        let refusal = Refusal::new(Code::OutsideHours, "at night only");
        assert!(matches!(Failure::of(&Error::Refused(refusal.clone())), Failure::Later(_)));
        let until = Timestamp::from_unix(1_800_000_000);
        let Failure::Hours(_, told) = Failure::of(&Error::Refused(refusal.until(until))) else { panic!() };
        assert_eq!(told, until);
    }

    #[test]
    fn whatever_a_retry_inside_of_send_may_mend_puts_nothing_aside_either() {
        use sluse_protocol::refusal::Exit;
        for code in Code::ALL.iter().filter(|code| matches!(code.exit(), Exit::Temporary | Exit::Fault)) {
            let refused = Error::Refused(Refusal::new(*code, "no"));
            assert!(!matches!(Failure::of(&refused), Failure::Never(_)), "{code}");
        }
    }
}
