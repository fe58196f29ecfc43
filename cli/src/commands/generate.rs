//! `sluse generate`: man pages and shell completions of all binaries, for packages and for hosts without one.

use super::Cli;
use crate::failure::{Ended, Failure};
use crate::output::Output;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use sluse_protocol::refusal::Exit;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Shells that completions are made for, and where each looks for them.
const SHELLS: &[(Shell, &str)] = &[
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
    (Shell::Fish, "share/fish/vendor_completions.d"),
];

/// `sluse generate`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Below which folder, for example `/usr/local`: they go to `share/` there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn run(self, out: &Output) -> Ended {
        let binaries = [
            ("sluse", "1", Cli::command()),
            ("slused", "8", slused::command_line::Cli::command()),
            ("sluse-gateway", "8", sluse_gateway::command_line::Cli::command()),
        ];
        for (name, section, command) in binaries {
            let written = self.write(name, section, command);
            written.map_err(|error| Failure::file(Exit::Fault, "write below", &self.folder, &error))?;
        }
        out.done(&format!("Man pages and completions lie in {}.", self.folder.join("share").display()))
    }

    fn write(&self, name: &str, section: &str, mut command: clap::Command) -> io::Result<()> {
        // Before completions are made, which adds `help` everywhere.
        let mut explained = without_help(command.clone());
        for (shell, place) in SHELLS {
            let place = self.folder.join(place);
            fs::create_dir_all(&place)?;
            clap_complete::generate_to(*shell, &mut command, name, &place)?;
        }
        let place = self.folder.join(format!("share/man/man{section}"));
        fs::create_dir_all(&place)?;
        explained.build();
        pages(&explained, section, &place)
    }
}

/// `help` explains the other commands and needs no page.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// The page of a command, and of each below it: `sluse-zone-init.1`.
fn pages(command: &clap::Command, section: &str, place: &Path) -> io::Result<()> {
    Man::new(command.clone()).section(section).generate_to(place)?;
    command.get_subcommands().try_for_each(|below| pages(below, section, place))
}
