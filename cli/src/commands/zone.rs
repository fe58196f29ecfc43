//! `sluse zone`: a landing zone's folder.

mod archive;
mod authorities;
mod backup;
mod check;
mod creds;
pub mod init;
mod inventory;
mod keys;
mod newer;
mod places;
mod restore;
mod rotate;
mod sealed;
mod unpack;

use crate::failure::Ended;
use crate::output::Output;

/// `sluse zone`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a landing zone: keys, certificate authority, configuration, empty state
    Init(init::Args),
    /// Check configuration, keys, permissions, disk and scanners: what is wrong, how to mend it
    Check(check::Args),
    /// Copy a running zone's database, keys and configuration into a file that is encrypted by age
    Backup(backup::Args),
    /// Make a zone from a backup
    Restore(restore::Args),
    /// Exchange one of the zone's keys, while transfers go on
    Rotate(rotate::Args),
    /// Each key and certificate: algorithm, fingerprint, age, expiry, and where it lies
    Inventory(inventory::Args),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Init(args) => args.run(out),
            Command::Check(args) => args.run(out),
            Command::Backup(args) => args.run(out),
            Command::Restore(args) => args.run(out),
            Command::Rotate(args) => args.run(out),
            Command::Inventory(args) => args.run(out),
        }
    }
}
