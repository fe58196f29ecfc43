//! `sluse send`: a dataset goes to the landing zone, and its receipts come back.

use crate::failure::{Ended, Failure};
use crate::identity::IdentityFolder;
use crate::output::{Output, bytes};
use crate::sending::Shown;
use serde::Serialize;
use sluse_protocol::ids::{AgreementId, DatasetName, TransferId};
use sluse_protocol::refusal::{Exit, Refusal};
use sluse_protocol::transfer::State;
use sluse_sender::{Again, Options, Outcome, Wait};
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
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Until {
    /// The zone holds it durably
    Received,
    /// It is allowed into its room
    Released,
    /// It stands in its room, verified
    Delivered,
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
            paths: self.paths,
            agreement: self.agreement,
            dataset: self.dataset,
            again: if self.again { Again::Ended } else { Again::Never },
            wait: match self.wait {
                Until::Received => Wait::Received,
                Until::Released => Wait::Released,
                Until::Delivered => Wait::Delivered,
            },
            wait_timeout: self.wait_timeout,
            give_up: self.give_up,
        };
        let mut shown = Shown::new(out);
        let ended = sluse_sender::send(&identity, &options, &mut |progress| shown.show(progress));
        shown.finish();
        let outcome = ended?;
        print(out, &outcome);
        conclude(&outcome)
    }
}

fn print(out: &Output, outcome: &Outcome) {
    let receipts: Vec<PathBuf> = outcome.receipts.iter().map(|(_, file)| file.clone()).collect();
    if out.is_json() {
        return out.object(&Sent {
            transfer: outcome.transfer.clone(),
            dataset: outcome.dataset.clone(),
            state: outcome.state,
            files: outcome.totals.files,
            bytes: outcome.totals.bytes,
            sent_bytes: outcome.sent_bytes,
            receipts,
            reason: outcome.reason.clone(),
        });
    }
    out.line(format!("transfer   {}", outcome.transfer));
    out.line(format!("state      {}", outcome.state));
    let totals = &outcome.totals;
    let sent = bytes(outcome.sent_bytes);
    out.line(format!("content    {} files, {}; {sent} sent now", totals.files, bytes(totals.bytes)));
    for receipt in receipts {
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

/// Reads a time such as `90s`, `10m`, `2h` or `1d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number and s, m, h or d, for example 90s".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "90", "-1s", "1.5h", "1 h", "9999999999s", "1µ"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
