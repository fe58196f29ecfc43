//! `sluse-gateway`: one of its processes, or both as children of one command.

use clap::Parser as _;
use sluse_gateway::command_line::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    sluse_host::logging::start(None);
    match cli.run() {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            Cli::report(&error);
            ExitCode::from(Cli::exit(&error) as u8)
        }
    }
}
