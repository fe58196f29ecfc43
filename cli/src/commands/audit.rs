//! `sluse audit`: the tamper-evident log.

pub mod checkpoint;
mod export;
mod extends;
pub mod lines;
mod signers;
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
    /// Write the log to a file, one JSON entry a line, and the signed checkpoint of its end
    Export(export::Args),
    /// Write a signed checkpoint to a file: keep it outside of the host
    Checkpoint(checkpoint::Args),
    /// Print who signs for the zone, as a log shows it to somebody who knows one of its keys: an `allowed_signers` file
    Signers(signers::Args),
    /// Check that a newer checkpoint's log begins with an older one's
    Extends(extends::Args),
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
            Command::Signers(args) => args.run(out),
            Command::Extends(args) => args.run(out),
        }
    }
}
