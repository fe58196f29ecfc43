//! What goes wrong inside, as the peer hears of it. The journal gets the cause; the peer a stable code.

use super::pool::Panicked;
use sluse_protocol::refusal::{Code, Refusal};
use std::io;

/// The disk said no: full is temporary, anything else is a fault.
pub fn storage(attempted: &'static str, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_space(),
        _ => {
            tracing::error!(%error, attempted, "the quarantine cannot be written");
            Refusal::new(Code::Internal, "the zone could not write")
        }
    }
}

/// There is no room.
pub fn no_space() -> Refusal {
    Refusal::new(Code::NoSpace, "the quarantine has no room left")
}

/// The peer broke the protocol.
pub fn violation(what: &'static str) -> Refusal {
    Refusal::new(Code::ProtocolViolation, what)
}

/// A job of ours did not end.
pub fn panicked(_: Panicked) -> Refusal {
    super::control::broken("a job panicked")
}

/// Why something that a peer began does not go on.
#[derive(Debug)]
pub enum Stop {
    /// The peer hears why.
    Refused(Refusal),
    /// The peer is gone, or gave up: there is nobody to tell.
    Gone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// Whether a refused request ends its connection: those of trust and protocol do, as does losing the transfer.
pub fn ends_connection(code: Code) -> bool {
    matches!(
        code,
        Code::ProtocolVersion
            | Code::ProtocolViolation
            | Code::TooLarge
            | Code::TakenOver
            | Code::UnknownCertificate
            | Code::RevokedSource
            | Code::CertificateExpired
            | Code::EnrolmentOnly
    )
}
