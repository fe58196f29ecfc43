//! `slused`: one role of a landing zone, or all four as children of one command.

use clap::Parser as _;
use sluse_host::config::Zone;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use slused::command_line::{Cli, Command, RoleArgs};
use slused::inspect::jail::{nursery, parser};
use slused::{RoleError, leases, mailer, start, supervise};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    sluse_host::logging::start(cli.command.role());
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
        Command::All(args) => supervise::run(load(&args.zone.config)?, &args.zone.config, args.sandbox),
        Command::Receive(args) => role(Role::Receive, args),
        Command::Control(args) => role(Role::Control, args),
        Command::Inspect(args) => role(Role::Inspect, args),
        Command::Deliver(args) => role(Role::Deliver, args),
        Command::Lease(args) => leases::process::run(*args),
        Command::Notify(args) => mailer::run(load(&args.config)?),
        Command::Nursery(args) => nursery::run(args.clone()),
        Command::Parser(args) => parser::run(*args, parser::readers),
    }
}

fn role(role: Role, args: &RoleArgs) -> Result<(), RoleError> {
    start::role(role, load(&args.zone.config)?, &args.handed)
}

fn load(config: &Path) -> Result<Zone, RoleError> {
    Ok(Zone::load(config)?)
}
