//! `sluse status`: the source's own transfers, and their receipts.

use crate::failure::{Ended, Failure};
use crate::identity::IdentityFolder;
use crate::output::{Output, bytes};
use serde::Serialize;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::refusal::{Exit, Refusal};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use sluse_sender::{Identity, Known};
use std::path::PathBuf;

/// `sluse status`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One transfer; without it all that this source sent
    id: Option<TransferId>,
    #[command(flatten)]
    identity: IdentityFolder,
    /// Ask nobody: what this host learnt last
    #[arg(long)]
    offline: bool,
}

/// A transfer, for programs.
#[derive(Serialize)]
struct Shown {
    transfer: TransferId,
    agreement: AgreementId,
    dataset: DatasetName,
    state: State,
    since: Timestamp,
    learnt: Timestamp,
    files: u64,
    folders: u64,
    bytes: u64,
    reason: Option<Refusal>,
    receipts: Vec<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer, or a receipt does not verify.
    pub fn run(self, out: &Output) -> Ended {
        let identity = self.identity.load()?;
        let known = match self.offline {
            false => sluse_sender::status(&identity, self.id.as_ref())?,
            true => offline(&identity, self.id.as_ref())?,
        };
        self.identity.warn(out);
        let mut shown = known.into_iter().map(Shown::from);
        match (self.id.is_some(), out.is_json()) {
            (true, true) => out.object(&shown.next()),
            (true, false) => shown.for_each(|shown| shown.print(out)),
            (false, true) => out.object(&shown.collect::<Vec<_>>()),
            (false, false) => {
                let rows: Vec<Vec<String>> = shown.map(|shown| shown.row()).collect();
                out.table(&["TRANSFER", "STATE", "SINCE", "FILES", "SIZE", "WHY", "DATASET"], &rows);
            }
        }
        Ok(Exit::Done)
    }
}

/// What the journal knows of one transfer, or of all.
fn offline(identity: &Identity, transfer: Option<&TransferId>) -> Result<Vec<Known>, Failure> {
    let mut known = sluse_sender::journal(identity)?;
    if let Some(transfer) = transfer {
        known.retain(|known| known.status.transfer == *transfer);
        if known.is_empty() {
            let failure = Failure::new(Exit::Refused, format!("this host's journal does not know transfer {transfer}"));
            return Err(failure.hint("Without --offline the landing zone is asked."));
        }
    }
    Ok(known)
}

impl From<Known> for Shown {
    fn from(known: Known) -> Self {
        let status = known.status;
        Self {
            transfer: status.transfer,
            agreement: status.agreement,
            dataset: status.dataset,
            state: status.state,
            since: status.since,
            learnt: known.learnt,
            files: status.totals.files,
            folders: status.totals.folders,
            bytes: status.totals.bytes,
            reason: status.reason,
            receipts: known.receipts.into_iter().map(|(_, file)| file).collect(),
        }
    }
}

impl Shown {
    fn print(&self, out: &Output) {
        out.line(format!("transfer   {}", self.transfer));
        out.line(format!("state      {} since {}, as of {}", self.state, self.since, self.learnt));
        out.line(format!("dataset    {}, under {}", self.dataset, self.agreement));
        out.line(format!("content    {} files, {} folders, {}", self.files, self.folders, bytes(self.bytes)));
        if let Some(reason) = &self.reason {
            out.line(format!("reason     {reason}"));
            out.line(format!("to do      {}", reason.hint));
        }
        for receipt in &self.receipts {
            out.line(format!("receipt    {}", receipt.display()));
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.transfer.to_string(),
            self.state.to_string(),
            self.since.to_string(),
            self.files.to_string(),
            bytes(self.bytes),
            self.reason.as_ref().map_or_else(|| "-".to_owned(), |reason| reason.code.to_string()),
            self.dataset.to_string(),
        ]
    }
}
