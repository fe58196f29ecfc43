//! `sluse send`: a dataset goes to the landing zone, and its receipts come back.

use crate::failure::{Ended, Failure};
use crate::identity::IdentityFolder;
use crate::output::{Output, bytes};
use crate::sending::Shown;
use serde::Serialize;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::refusal::{Exit, Refusal};
use sluse_protocol::time::duration;
use sluse_protocol::transfer::State;
use sluse_sender::{Again, Files, Options, Outcome, Wait};
use std::path::PathBuf;
use std::time::Duration;

/// `sluse send`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to send: one folder's contents, or files and folders each under its own name
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    identity: IdentityFolder,
    /// The agreement that allows it
    #[arg(long, value_name = "ID")]
    agreement: AgreementId,
    /// The dataset's name
    #[arg(long, value_name = "NAME")]
    dataset: DatasetName,
    /// How far to follow it
    #[arg(long, value_enum, default_value_t = Until::Received)]
    wait: Until,
    /// How long to follow it once it was received, for example `90s`, `10m`, `2h`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    wait_timeout: Duration,
    /// How long to try again while nothing gets through
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    give_up: Duration,
    /// Send an unchanged dataset as a new transfer, when the one before has ended
    #[arg(long)]
    again: bool,
    /// Keep the dataset in sync: send only what is new in it, and nothing when it is unchanged
    #[arg(long)]
    sync: bool,
    /// Print what happens on standard output, one JSON object a line
    #[arg(long, conflicts_with = "json")]
    events: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Until {
    /// The zone holds it durably
    Received,
    /// It is allowed into its room
    Released,
    /// It stands in its room, verified
    Delivered,
    /// The room has said that it has it, in its own signed word
    Acknowledged,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Sent {
    transfer: TransferId,
    dataset: DatasetName,
    state: State,
    files: u64,
    bytes: u64,
    sent_bytes: u64,
    unchanged: bool,
    receipts: Vec<PathBuf>,
    reason: Option<Refusal>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the paths cannot be sent, the zone refuses, or the transfer does not get as far as was asked.
    pub fn run(self, out: &Output) -> Ended {
        let identity = self.identity.load()?;
        let options = Options {
            files: Files::At(self.paths),
            agreement: self.agreement,
            dataset: self.dataset,
            again: if self.again { Again::Ended } else { Again::Never },
            apart: None,
            sync: self.sync,
            wait: match self.wait {
                Until::Received => Wait::Received,
                Until::Released => Wait::Released,
                Until::Delivered => Wait::Delivered,
                Until::Acknowledged => Wait::Acknowledged,
            },
            wait_timeout: self.wait_timeout,
            give_up: self.give_up,
        };
        let mut shown = Shown::new(out);
        let ended = sluse_sender::send(&identity, &options, &mut |progress| {
            if self.events {
                out.event(&progress);
            }
            shown.show(progress);
        });
        shown.finish();
        self.identity.warn(out);
        let outcome = ended?;
        if self.events {
            out.event(&Ending { event: "ended", sent: Sent::from(&outcome) });
        } else {
            print(out, &outcome);
        }
        conclude(&outcome)
    }
}

/// The last of the events.
#[derive(Serialize)]
struct Ending {
    event: &'static str,
    #[serde(flatten)]
    sent: Sent,
}

impl From<&Outcome> for Sent {
    fn from(outcome: &Outcome) -> Self {
        Self {
            transfer: outcome.transfer.clone(),
            dataset: outcome.dataset.clone(),
            state: outcome.state,
            files: outcome.totals.files,
            bytes: outcome.totals.bytes,
            sent_bytes: outcome.sent_bytes,
            unchanged: outcome.unchanged,
            receipts: outcome.receipts.iter().map(|(_, file)| file.clone()).collect(),
            reason: outcome.reason.clone(),
        }
    }
}

fn print(out: &Output, outcome: &Outcome) {
    let sent = Sent::from(outcome);
    if out.is_json() {
        return out.object(&sent);
    }
    out.line(format!("transfer   {}", outcome.transfer));
    out.line(format!("state      {}", outcome.state));
    let (all, now) = (bytes(sent.bytes), bytes(sent.sent_bytes));
    out.line(format!("content    {} files, {all}; {now} sent now", sent.files));
    if sent.unchanged {
        out.line("version    unchanged: this is the transfer that brought it");
    }
    for receipt in sent.receipts {
        out.line(format!("receipt    {}", receipt.display()));
    }
}

/// What is not what was waited for ends as a failure, with the zone's reason.
fn conclude(outcome: &Outcome) -> Ended {
    let exit = outcome.exit();
    if exit == Exit::Done {
        return Ok(exit);
    }
    let sentence = format!("the transfer is {}", outcome.state);
    let failure = Failure::new(exit, sentence);
    let failure = match &outcome.reason {
        Some(reason) => failure.cause(format!("{} ({})", reason.message, reason.code)),
        None => failure,
    };
    Err(failure.hint(outcome.hint().unwrap_or_default()))
}
