//! `sluse audit`: the tamper-evident log.

mod checkpoint;
mod export;
mod lines;
pub mod verify;

use crate::failure::Ended;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;

/// `sluse audit`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find the first entry that was changed, removed or moved
    Verify(verify::Args),
    /// Write the log to a file, one JSON entry a line
    Export(export::Args),
    /// Write a signed checkpoint to a file: keep it outside of the host
    Checkpoint(checkpoint::Args),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it could not be done, or what is wrong with the log.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Verify(args) => args.run(&self.zone, out),
            Command::Export(args) => args.run(&self.zone, out),
            Command::Checkpoint(args) => args.run(&self.zone, out),
        }
    }
}
