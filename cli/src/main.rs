//! `sluse`: the command line for sources, operators, rooms and auditors.
//!
//! Data goes to standard output, everything else to standard error; how a command ends is one of
//! [`sluse_protocol::refusal::Exit`]. One file per command in [`commands`].

mod commands;
mod evidence;
mod failure;
mod identity;
mod landing_zone;
mod operator;
mod os;
mod output;
mod safe;
mod sending;
mod zone_folder;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let out = output::Output::new(cli.json);
    let ended = cli.command.run(&out).and_then(|exit| out.finish().map(|()| exit));
    let exit = ended.unwrap_or_else(|failure| {
        failure.print();
        failure.exit()
    });
    ExitCode::from(exit as u8)
}
