//! `sluse cancel`, `release`, `reject` and `inspect-again`: an operator's acts on one transfer, each with its reason.

use super::show;
use crate::failure::Ended;
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::transfer::State;

/// The arguments of each of these commands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transfer
    id: TransferId,
    /// Why, for the audit log and the receipt
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    zone: ZoneFolder,
}

impl Args {
    /// `sluse cancel`
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn cancel(self, out: &Output) -> Ended {
        let (operator, id) = (Operator::connect(&self.zone)?, self.id);
        operator.act(&OperatorRequest::Cancel { transfer: id.clone(), reason: self.reason }, &[])?;
        match show::fetch(&operator, id.clone())?.details.info.status.state {
            State::Delivering => out.done(&format!(
                "The delivery of transfer {id}, which was begun, is taken back; unless its bag is in the room already, it is cancelled then."
            )),
            _ => out.done(&format!("Transfer {id} is cancelled.")),
        }
    }

    /// `sluse release`
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn release(self, out: &Output) -> Ended {
        self.choose(out, "is released into its room", |transfer, reason| OperatorRequest::Release { transfer, reason })
    }

    /// `sluse reject`
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn reject(self, out: &Output) -> Ended {
        self.choose(out, "is rejected", |transfer, reason| OperatorRequest::Reject { transfer, reason })
    }

    fn choose(self, out: &Output, decided: &str, request: fn(TransferId, String) -> OperatorRequest) -> Ended {
        let operator = Operator::connect(&self.zone)?;
        let id = &self.id;
        match operator.ask(&request(id.clone(), self.reason), &[])?.0 {
            // What was decided follows from the others' choices too.
            OperatorReply::Done => match show::fetch(&operator, id.clone())?.details.info.status.state {
                State::Rejected => out.done(&format!("Transfer {id} is rejected.")),
                _ => out.done(&format!("Transfer {id} {decided}.")),
            },
            OperatorReply::Reviewed { missing } => {
                out.done(&format!("Your choice is kept. Transfer {id} stays held until {missing} more has chosen."))
            }
            _ => Err(unexpected()),
        }
    }

    /// `sluse inspect-again`
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn inspect_again(self, out: &Output) -> Ended {
        self.act(out, "will be inspected again", |transfer, reason| OperatorRequest::InspectAgain { transfer, reason })
    }

    fn act(self, out: &Output, done: &str, request: fn(TransferId, String) -> OperatorRequest) -> Ended {
        let operator = Operator::connect(&self.zone)?;
        operator.act(&request(self.id.clone(), self.reason), &[])?;
        out.done(&format!("Transfer {} {done}.", self.id))
    }
}
