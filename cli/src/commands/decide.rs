//! `sluse cancel`, `release`, `reject` and `inspect-again`: an operator's acts on one transfer, each with its reason.

use super::show;
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::transfer::State;
use std::path::PathBuf;

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

/// The arguments of `sluse release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    #[command(flatten)]
    act: Args,
    /// A file, or a folder with everything in it, that is left out; may be given several times
    #[arg(long, value_name = "PATH")]
    without: Vec<String>,
    /// A file with more of them, one a line
    #[arg(long, value_name = "FILE")]
    without_from: Option<PathBuf>,
}

impl ReleaseArgs {
    /// `sluse release`
    ///
    /// # Errors
    /// When the zone refuses or does not answer, or the list cannot be read.
    pub fn run(self, out: &Output) -> Ended {
        let mut body: String = self.without.iter().map(|path| format!("{path}\n")).collect();
        if let Some(file) = &self.without_from {
            let list =
                std::fs::read_to_string(file).map_err(|error| Failure::file(Exit::Usage, "read", file, &error))?;
            if list.is_empty() {
                // Nothing left out is another choice: it is said by leaving the option out.
                return Err(Failure::new(Exit::Usage, format!("{} names nothing to leave out", file.display())));
            }
            body += &list;
        }
        self.act.choose(out, &body, |transfer, reason| OperatorRequest::Release { transfer, reason })
    }
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

    /// `sluse reject`
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn reject(self, out: &Output) -> Ended {
        self.choose(out, "", |transfer, reason| OperatorRequest::Reject { transfer, reason })
    }

    /// `body`: what is left out.
    fn choose(self, out: &Output, body: &str, request: fn(TransferId, String) -> OperatorRequest) -> Ended {
        let operator = Operator::connect(&self.zone)?;
        let id = &self.id;
        match operator.ask(&request(id.clone(), self.reason), body.as_bytes())?.0 {
            // What was decided follows from the others' choices too.
            OperatorReply::Done => {
                let details = show::fetch(&operator, id.clone())?.details;
                match (details.info.status.state, &details.part) {
                    (State::Rejected, _) => out.done(&format!("Transfer {id} is rejected.")),
                    (_, None) => out.done(&format!("Transfer {id} is released into its room.")),
                    (_, Some(part)) => {
                        out.done(&format!("Transfer {id} is released into its room in part: {}.", show::of_part(part)))
                    }
                }
            }
            OperatorReply::Reviewed { missing } => {
                out.done(&format!("Your choice is kept. Transfer {id} stays held until {missing} more has chosen."))
            }
            OperatorReply::Differing => out.done(&format!(
                "Transfer {id} stays held: you would all release it, but not the same files, and no choice counts any more. \
                 `sluse show` says who left out how much; agree, and choose again."
            )),
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
