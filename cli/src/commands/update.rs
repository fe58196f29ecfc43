//! `sluse update`: what comes to a zone without internet.

mod bundle;
mod import;
mod place;
mod system;

use crate::failure::Ended;
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::update::Update;

/// `sluse update`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put a signed bundle in place: signatures, YARA rules, revocation lists, or the appliance's next version
    Import(import::Args),
    /// The newest update of each kind
    List,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Import(args) => args.run(&self.zone, out),
            Command::List => list(&Operator::connect(&self.zone)?, out),
        }
    }
}

fn list(operator: &Operator, out: &Output) -> Ended {
    let updates = match operator.ask(&OperatorRequest::Updates, &[])? {
        (OperatorReply::Updates { updates }, _) => updates,
        _ => return Err(unexpected()),
    };
    if out.is_json() {
        out.object(&updates);
        return Ok(Exit::Done);
    }
    let row = |update: Update| {
        let applied = update.applied.map_or_else(|| "NO: import it again".to_owned(), |time| time.to_string());
        vec![update.kind.to_string(), update.number.to_string(), applied, update.bundle.to_string(), update.key]
    };
    let rows: Vec<Vec<String>> = updates.into_iter().map(row).collect();
    out.table(&["KIND", "NUMBER", "IN PLACE SINCE", "BUNDLE", "SIGNED BY"], &rows);
    Ok(Exit::Done)
}
