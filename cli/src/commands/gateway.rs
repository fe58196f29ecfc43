//! `sluse gateway`: the gateway, which is a program of its own beside this one: this one links no servers.

use crate::failure::{Ended, Failure};
use crate::output::Output;
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
    /// Only tell how it stands: what is gathered, waits or is damaged. Ends with 0 when all is well, with 70 when somebody should see to
    /// something, with 6 when the process that sends does not run
    #[arg(long, conflicts_with = "check")]
    status: bool,
}

impl Args {
    /// Becomes the gateway.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn run(self, out: &Output) -> Ended {
        let own = std::env::current_exe().map_err(|error| not_there().because(&error))?;
        let word = match (self.check, self.status) {
            (true, _) => "check",
            (_, true) => "status",
            _ => "all",
        };
        let mut command = Command::new(own.with_file_name(PROGRAM));
        command.arg(word).arg("--config").arg(self.config).args((self.status && out.is_json()).then_some("--json"));
        let error = command.exec();
        Err(not_there().because(&error))
    }
}

fn not_there() -> Failure {
    Failure::new(Exit::Configuration, "the program sluse-gateway cannot be started; it belongs beside sluse")
}
