//! `sluse transfers`: what moves, what is held.

use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::{Output, bytes};
use crate::zone_folder::ZoneFolder;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, TransferInfo};
use sluse_protocol::refusal::Exit;
use sluse_protocol::transfer::State;

/// `sluse transfers`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those in this state, for example `held`
    #[arg(long)]
    state: Option<State>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 500)]
    limit: usize,
    #[command(flatten)]
    zone: ZoneFolder,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let (transfers, more) = self.fetch(&Operator::connect(&self.zone)?)?;
        if out.is_json() {
            out.object(&transfers);
        } else {
            let rows: Vec<Vec<String>> = transfers.iter().map(row).collect();
            out.table(&["TRANSFER", "STATE", "SOURCE", "ROOM", "FILES", "SIZE", "DATASET"], &rows);
        }
        if more {
            out.note(format!("There are more than {}: --limit N shows more.", self.limit));
        }
        Ok(Exit::Done)
    }

    fn fetch(&self, operator: &Operator) -> Result<(Vec<TransferInfo>, bool), Failure> {
        let mut found: Vec<TransferInfo> = Vec::new();
        loop {
            let before = found.last().map(|last| last.status.transfer.clone());
            let (reply, _) = operator.ask(&OperatorRequest::Transfers { state: self.state, before }, &[])?;
            let OperatorReply::Transfers { transfers, more } = reply else { return Err(unexpected()) };
            let more = more && !transfers.is_empty();
            found.extend(transfers);
            if found.len() > self.limit || !more {
                let cut = found.len() > self.limit;
                found.truncate(self.limit);
                return Ok((found, more || cut));
            }
        }
    }
}

fn row(transfer: &TransferInfo) -> Vec<String> {
    let status = &transfer.status;
    let state = match status.state {
        State::Receiving if status.totals.bytes > 0 => {
            let percent = u128::from(transfer.durable_bytes) * 100 / u128::from(status.totals.bytes);
            format!("receiving {percent} %")
        }
        state => state.to_string(),
    };
    vec![
        status.transfer.to_string(),
        state,
        transfer.source.to_string(),
        transfer.room.to_string(),
        status.totals.files.to_string(),
        bytes(status.totals.bytes),
        status.dataset.to_string(),
    ]
}
