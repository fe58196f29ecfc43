//! `sluse retain`: a legal hold on one transfer.

use crate::failure::Ended;
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::OperatorRequest;

/// `sluse retain`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transfer
    id: TransferId,
    /// Why; `show` tells it, the audit log has its digest
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Let it be purged in its time again
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    zone: ZoneFolder,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let (transfer, reason) = (self.id.clone(), self.reason);
        let (request, done) = match self.lift {
            false => (OperatorRequest::Retain { transfer, reason }, "is not purged until that is lifted"),
            true => (OperatorRequest::LiftRetention { transfer, reason }, "is purged when its retention is over"),
        };
        Operator::connect(&self.zone)?.act(&request, &[])?;
        out.done(&format!("Transfer {} {done}.", self.id))
    }
}
