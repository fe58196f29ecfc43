//! `sluse-gateway`: the words of its command line, and what each does.

use crate::settings::Settings;
use crate::spool::Spool;
use crate::status::{self, Status, Told};
use crate::{Error, forward, intake, keys};
use clap::{Parser, Subcommand};
use sluse_protocol::refusal::Exit;
use std::io::Write as _;
use std::path::PathBuf;

/// Takes data from systems that cannot speak Sluse's protocol, and sends it to a landing zone.
#[derive(Debug, Parser)]
#[command(name = "sluse-gateway", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Both processes, as children of this one
    All(Args),
    /// The process that source systems talk to: takes in, and cannot read what it stored
    Intake(Args),
    /// The process that talks to the landing zone: gathers what arrived, and sends it
    Forward {
        #[command(flatten)]
        args: Args,
        /// Print what happens on standard output, one JSON object a line
        #[arg(long)]
        events: bool,
    },
    /// Make the keys that are not there yet: the spool's, and those of SFTP
    Keys(Args),
    /// Only check the configuration
    Check(Args),
    /// How the gateway stands: what is gathered, waits or is damaged. Ends with 0 when all is well, with 70 when somebody should see
    /// to something, with 6 when the process that sends does not run
    Status {
        #[command(flatten)]
        args: Args,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Args {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Cli {
    /// Does it; how it ended.
    ///
    /// # Errors
    /// When the configuration is wrong, or the process cannot start or go on.
    pub fn run(&self) -> Result<Exit, Error> {
        match &self.command {
            Command::All(args) => crate::all::run(&args.config, args.load()?)?,
            Command::Intake(args) => intake::run(args.load()?)?,
            Command::Forward { args, events } => forward::run(&args.load()?, *events)?,
            Command::Keys(args) => keys::make(&args.load()?)?,
            Command::Check(args) => drop(args.load()?),
            Command::Status { args, json } => return tell(&args.load()?, *json),
        }
        Ok(Exit::Done)
    }

    /// Prints why it ended.
    #[expect(clippy::print_stderr, reason = "the last words of a command are for whoever started it")]
    pub fn report(error: &Error) {
        match error {
            Error::Configuration(errors) => {
                for error in errors {
                    eprintln!("Error: {error}\nHint: {}", error.hint);
                }
            }
            other => {
                eprintln!("Error: {other}");
                let mut source = std::error::Error::source(other);
                while let Some(cause) = source {
                    eprintln!("Caused by: {cause}");
                    source = cause.source();
                }
                if let Some(hint) = other.hint() {
                    eprintln!("Hint: {hint}");
                }
            }
        }
    }

    /// How a process that ends so exits.
    pub fn exit(error: &Error) -> Exit {
        error.exit()
    }
}

fn tell(settings: &Settings, json: bool) -> Result<Exit, Error> {
    let status = Status::read(&Spool::at(&settings.spool))?;
    let Told { lines, exit } = status::tell(status.as_ref(), sluse_host::clock::now(), json)?;
    std::io::stdout().lock().write_all(lines.as_bytes()).map_err(Error::fault("writing to standard output"))?;
    Ok(exit)
}

impl Args {
    fn load(&self) -> Result<Settings, Error> {
        Settings::load(&self.config).map_err(Error::Configuration)
    }
}
