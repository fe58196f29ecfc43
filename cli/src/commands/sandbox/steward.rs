//! The sandbox's reviewer and operator: decides what is held as its agreement's id asks, by the commands of any zone.

use crate::failure::Failure;
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::transfer::State;

/// Under which agreement what is decided of a held transfer, and how many seconds after it was held.
const DECISIONS: [(&str, i64, Act); 4] = [
    ("reviewer-releases", 2, |transfer, reason| OperatorRequest::Release { transfer, reason }),
    ("reviewer-rejects", 2, |transfer, reason| OperatorRequest::Reject { transfer, reason }),
    ("slow", 60, |transfer, reason| OperatorRequest::Release { transfer, reason }),
    ("cancelled", 2, |transfer, reason| OperatorRequest::Cancel { transfer, reason }),
];

type Act = fn(TransferId, String) -> OperatorRequest;

/// Decides what is to be decided now.
///
/// # Errors
/// When the zone does not answer, or refuses.
pub fn round(operator: &Operator, out: &Output) -> Result<(), Failure> {
    let held = OperatorRequest::Transfers { state: Some(State::Held), before: None };
    let (OperatorReply::Transfers { transfers, .. }, _) = operator.ask(&held, &[])? else { return Err(unexpected()) };
    let now = sluse_host::clock::now();
    for status in transfers.into_iter().map(|transfer| transfer.status) {
        let decided = DECISIONS.iter().find(|(agreement, ..)| *agreement == status.agreement.as_str());
        let Some((agreement, seconds, act)) = decided.filter(|(_, seconds, _)| status.since.plus(*seconds) <= now)
        else {
            continue;
        };
        out.note(format!("{agreement}: {} was held for {seconds} s, and is decided", status.transfer));
        operator.act(&act(status.transfer, "as the agreement of the sandbox asks".into()), &[])?;
    }
    Ok(())
}
