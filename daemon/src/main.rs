//! `slused`: one role of a landing zone, or all four as children of one command.

use clap::{Args, Parser, Subcommand};
use sluse_host::config::Zone;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use slused::inspect::jail::{nursery, parser};
use slused::start::{self, Handed};
use slused::{RoleError, supervise};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "slused", version, about = "The daemon of a Sluse landing zone")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All four roles as child processes of this one
    All(ZoneArgs),
    /// The role that faces the network
    Receive(RoleArgs),
    /// The role that decides, remembers and signs
    Control(RoleArgs),
    /// The role that reads quarantined content
    Inspect(RoleArgs),
    /// The role that writes to the rooms
    Deliver(RoleArgs),
    /// Starts parsers for the role inspect, which starts this by itself
    Nursery(nursery::Args),
    /// Reads hostile content without any rights, for the role inspect; the nursery starts it
    Parser(parser::Args),
}

#[derive(Args)]
struct ZoneArgs {
    /// The zone's configuration, sluse.toml in its folder
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct RoleArgs {
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    handed: Handed,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    sluse_host::logging::start();
    match run(&cli.command) {
        Ok(()) => ExitCode::from(Exit::Done as u8),
        Err(error) => {
            error.report();
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(command: &Command) -> Result<(), RoleError> {
    match command {
        Command::All(args) => supervise::run(load(&args.config)?, &args.config),
        Command::Receive(args) => role(Role::Receive, args),
        Command::Control(args) => role(Role::Control, args),
        Command::Inspect(args) => role(Role::Inspect, args),
        Command::Deliver(args) => role(Role::Deliver, args),
        Command::Nursery(args) => nursery::run(*args),
        Command::Parser(args) => parser::run(*args, parser::readers),
    }
}

fn role(role: Role, args: &RoleArgs) -> Result<(), RoleError> {
    start::role(role, load(&args.zone.config)?, &args.handed)
}

fn load(config: &Path) -> Result<Zone, RoleError> {
    Ok(Zone::load(config)?)
}
