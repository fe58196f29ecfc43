//! `sluse-courier`: takes what goes to one room elsewhere.

use clap::Parser as _;
use sluse_courier::command_line::Cli;
use sluse_protocol::refusal::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    sluse_host::logging::start(None);
    match cli.run() {
        Ok(()) => ExitCode::from(Exit::Done as u8),
        Err(ended) => {
            Cli::report(&ended);
            ExitCode::from(ended.exit() as u8)
        }
    }
}
