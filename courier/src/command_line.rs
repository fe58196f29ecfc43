//! The words of the command line, and what each does.

use crate::serve;
use crate::settings::Settings;
use crate::target::Trouble;
use clap::{Parser, Subcommand};
use sluse_host::config::ConfigError;
use sluse_protocol::refusal::Exit;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// Takes what a landing zone delivers to a room that is elsewhere.
#[derive(Debug, Parser)]
#[command(name = "sluse-courier", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the zone
    Serve {
        #[command(flatten)]
        args: Args,
        /// Where to listen; without it standard input is a socket that listens already
        #[arg(long, value_name = "SOCKET")]
        listen: Option<PathBuf>,
    },
    /// Check the configuration, and that the target takes a file, gives it back and removes it
    Check(Args),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// The courier's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The configuration is wrong.
    #[error("the configuration cannot be used")]
    Configuration(Vec<ConfigError>),
    /// The target cannot be used.
    #[error("the target cannot be used")]
    Target(#[from] Trouble),
    /// The socket cannot be used.
    #[error("the socket cannot be used")]
    Socket(#[source] io::Error),
}

impl Ended {
    /// How a process that ends so exits.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Target(_) => Exit::Temporary,
            Self::Socket(_) => Exit::Fault,
        }
    }
}

impl Cli {
    /// Does it.
    ///
    /// # Errors
    /// When the configuration is wrong, or the target or the socket cannot be used.
    pub fn run(&self) -> Result<(), Ended> {
        match &self.command {
            Command::Serve { args, listen } => {
                let settings = args.load()?;
                let listener = match listen {
                    Some(path) => bind(path),
                    None => io::stdin().as_fd().try_clone_to_owned().map(UnixListener::from),
                };
                serve::run(settings, &listener.map_err(Ended::Socket)?).map_err(Ended::Socket)
            }
            Command::Check(args) => Ok(serve::check(&args.load()?)?),
        }
    }

    /// Prints why it ended.
    #[expect(clippy::print_stderr, reason = "the last words of a command are for whoever started it")]
    pub fn report(ended: &Ended) {
        eprintln!("Error: {ended}");
        if let Ended::Configuration(errors) = ended {
            for error in errors {
                eprintln!("Caused by: {error}\nHint: {}", error.hint);
            }
        }
        let mut source = std::error::Error::source(ended);
        while let Some(cause) = source {
            eprintln!("Caused by: {cause}");
            source = cause.source();
        }
    }
}

/// Listens where nobody does; a socket of a courier that was killed is in the way.
fn bind(path: &std::path::Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

impl Args {
    fn load(&self) -> Result<Settings, Ended> {
        Settings::load(&self.config).map_err(Ended::Configuration)
    }
}
