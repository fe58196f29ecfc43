//! `sluse gateway`: the gateway, which is a program of its own beside this one: this one links no servers.

use crate::failure::{Ended, Failure};
use sluse_protocol::refusal::Exit;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The program.
const PROGRAM: &str = "sluse-gateway";

/// `sluse gateway`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is taken in, and where it goes
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Becomes the gateway.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn run(self) -> Ended {
        let own = std::env::current_exe().map_err(|error| not_there().because(&error))?;
        let word = if self.check { "check" } else { "all" };
        let error = Command::new(own.with_file_name(PROGRAM)).arg(word).arg("--config").arg(self.config).exec();
        Err(not_there().because(&error))
    }
}

fn not_there() -> Failure {
    Failure::new(Exit::Configuration, "the program sluse-gateway cannot be started; it belongs beside sluse")
}
