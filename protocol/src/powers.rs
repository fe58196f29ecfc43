//! What a person may ask of `control`: one table. Which person has which power is the system's groups' matter.

use crate::operator::OperatorRequest;
use crate::refusal::{Code, Refusal};
use std::fmt;

/// A kind of person at the operators' socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Says who takes part: sources, rooms, backups. Decides of no data.
    Administrator,
    /// Runs the flows: agreements, transfers that hang, legal holds.
    Operator,
    /// Decides of what is held.
    Reviewer,
    /// Reads.
    Auditor,
}

impl Power {
    /// Every power.
    pub const ALL: &[Power] = &[Power::Administrator, Power::Operator, Power::Reviewer, Power::Auditor];

    /// The setting of `[control]` that names its group.
    pub fn setting(self) -> &'static str {
        match self {
            Power::Administrator => "administrators_group",
            Power::Operator => "operators_group",
            Power::Reviewer => "reviewers_group",
            Power::Auditor => "auditors_group",
        }
    }

    /// Whether one person may not have both: who decides has no hand in what is decided of, and who audits in nothing.
    pub fn excludes(self, other: Power) -> bool {
        use Power::{Administrator, Auditor, Operator, Reviewer};
        match (self, other) {
            _ if self == other => false,
            (Auditor, _) | (_, Auditor) | (Reviewer, _) | (_, Reviewer) => true,
            (Administrator | Operator, Administrator | Operator) => false,
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Power::Administrator => "administrator",
            Power::Operator => "operator",
            Power::Reviewer => "reviewer",
            Power::Auditor => "auditor",
        })
    }
}

const ANYBODY: &[Power] = Power::ALL;
const ADMINISTRATOR: &[Power] = &[Power::Administrator];
const OPERATOR: &[Power] = &[Power::Operator];
const REVIEWER: &[Power] = &[Power::Reviewer];

/// The table: who may ask for what.
pub fn allowed(request: &OperatorRequest) -> &'static [Power] {
    use OperatorRequest as R;
    match request {
        R::SourceInvite { .. }
        | R::RoomAdd { .. }
        | R::RoomChange { .. }
        | R::Snapshot
        | R::SnapshotBytes { .. }
        | R::Rest
        | R::Update { .. } => ADMINISTRATOR,
        // A stolen host does not wait until the right person is there.
        R::SourceRevoke { .. } => &[Power::Administrator, Power::Operator],
        R::AgreementAdd
        | R::AgreementChange { .. }
        | R::AgreementActivate { .. }
        | R::AgreementSuspend { .. }
        | R::AgreementResume { .. }
        | R::AgreementEnd { .. }
        | R::Cancel { .. }
        | R::Retain { .. }
        | R::LiftRetention { .. }
        | R::RegisterCorrect { .. }
        | R::ArchiveEnd { .. } => OPERATOR,
        R::InspectAgain { .. } => &[Power::Operator, Power::Reviewer],
        R::Release { .. } | R::Reject { .. } => REVIEWER,
        // What names files, or says what stands in them, is not for those who run the host.
        R::Show { .. } | R::Manifest { .. } | R::ArchiveList { .. } => {
            &[Power::Operator, Power::Reviewer, Power::Auditor]
        }
        R::SourceList { .. }
        | R::RoomList { .. }
        | R::AgreementList { .. }
        | R::AgreementShow { .. }
        | R::Transfers { .. }
        | R::Receipt { .. }
        | R::AuditLines { .. }
        | R::Checkpoint
        | R::Register { .. }
        | R::Updates
        | R::Health => ANYBODY,
    }
}

/// Why only who has the host may ask this, whatever group a person is in, if that is so: where powers are separated, the database
/// shows what reviewers chose unseen, and what names files; and who cannot write a zone's files has nothing to exchange or to update.
pub fn of_the_host(request: &OperatorRequest, separated: bool) -> Option<&'static str> {
    match request {
        OperatorRequest::Snapshot | OperatorRequest::SnapshotBytes { .. } if separated => {
            Some("a copy shows what persons may not see")
        }
        OperatorRequest::Rest => Some("nobody else can exchange keys"),
        OperatorRequest::Update { .. } => Some("nobody else can put an update in place"),
        _ => None,
    }
}

/// Whether somebody with these powers may ask this.
///
/// # Errors
/// [`Code::Forbidden`], with who may.
pub fn check(powers: &[Power], request: &OperatorRequest) -> Result<(), Refusal> {
    let allowed = allowed(request);
    if powers.iter().any(|power| allowed.contains(power)) {
        return Ok(());
    }
    let list = |powers: &[Power]| powers.iter().map(Power::to_string).collect::<Vec<_>>().join(" or ");
    let message = format!("only {} may do this, not {}", list(allowed), list(powers));
    Err(Refusal::new(Code::Forbidden, message))
}

/// Two of the powers that one person may not have together.
pub fn conflict(powers: &[Power]) -> Option<(Power, Power)> {
    let pairs = powers.iter().flat_map(|one| powers.iter().map(move |other| (*one, *other)));
    pairs.into_iter().find(|(one, other)| one.excludes(*other))
}

#[cfg(test)]
mod tests;
