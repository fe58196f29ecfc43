//! The command line of `slused`.

use crate::inspect::jail::{nursery, parser};
use crate::leases::process as lease;
use crate::start::Handed;
use clap::{Args, Parser, Subcommand};
use sluse_protocol::roles::Role;
use std::path::PathBuf;

/// The daemon of a Sluse landing zone: one role, or all four as children of one command.
#[derive(Debug, Parser)]
#[command(name = "slused", version, about = "The daemon of a Sluse landing zone")]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
}

/// What `slused` can run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All four roles as child processes of this one
    All(AllArgs),
    /// The role that faces the network
    Receive(RoleArgs),
    /// The role that decides, remembers and signs
    Control(RoleArgs),
    /// The role that reads quarantined content
    Inspect(RoleArgs),
    /// The role that writes to the rooms
    Deliver(RoleArgs),
    /// Says whether anybody can still write to files that the role inspect hands it; it has CAP_LEASE and nothing else
    Lease(lease::Args),
    /// Mails alerts by the relay that `[notify]` names: codes and numbers, which it asks of the role control
    Notify(ZoneArgs),
    /// Starts parsers for the role inspect, which starts this by itself
    Nursery(nursery::Args),
    /// Reads hostile content without any rights, for the role inspect; the nursery starts it
    Parser(parser::Args),
}

impl Command {
    /// The role that this process is to be, if it is one.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Receive(_) => Some(Role::Receive),
            Self::Control(_) => Some(Role::Control),
            Self::Inspect(_) => Some(Role::Inspect),
            Self::Deliver(_) => Some(Role::Deliver),
            Self::All(_) | Self::Notify(_) | Self::Lease(_) | Self::Nursery(_) | Self::Parser(_) => None,
        }
    }
}

/// Which zone.
#[derive(Debug, Args)]
pub struct ZoneArgs {
    /// The zone's configuration, sluse.toml in its folder
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// What the supervisor is given.
#[derive(Debug, Args)]
pub struct AllArgs {
    /// The zone.
    #[command(flatten)]
    pub zone: ZoneArgs,
    /// The zone is a sandbox: it refuses what a dataset's name asks it to refuse. `sluse sandbox` says so.
    #[arg(long, hide = true)]
    pub sandbox: bool,
}

/// What a role is given.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// The zone.
    #[command(flatten)]
    pub zone: ZoneArgs,
    /// What the supervisor hands over.
    #[command(flatten)]
    pub handed: Handed,
}
