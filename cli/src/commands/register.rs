//! `sluse register`: the register of disclosures (*utleveringsoversikt*).

mod correct;
mod csv;
mod export;
mod html;
mod json;
mod log;
mod reconcile;
mod records;
mod rooms;

use crate::failure::Ended;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;

/// `sluse register`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write what was disclosed as CSV, as JSON, or as a page to print, in Norwegian
    Export(export::Args),
    /// Correct a record by a new one, which names it
    Correct(correct::Args),
    /// Compare register, audit log, receipts and rooms, and name every difference; ends with 5 when there is one
    Reconcile(reconcile::Args),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Export(args) => args.run(&self.zone, out),
            Command::Correct(args) => args.run(&self.zone, out),
            Command::Reconcile(args) => args.run(&self.zone, out),
        }
    }
}
