//! `sluse audit signers`: the zone's signing keys, as an exported log shows them to somebody who knows one of them.

use super::lines;
use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::output::Output;
use sluse_protocol::audit::Entry;
use sluse_protocol::key_statement::{KEY_ROTATED, Signed};
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// `sluse audit signers`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An exported log
    file: PathBuf,
    /// Who may sign, as it was known so far: an `allowed_signers` file of the zone or its public key
    #[arg(long, value_name = "KEYFILE")]
    signer: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the log cannot be read, or no statement leads from the known key to the one in force.
    pub fn run(self, out: &Output) -> Ended {
        let signers = Signers::read(&self.signer)?.following(&statements(&self.file)?)?;
        out.data(signers.text());
        Ok(Exit::Done)
    }
}

/// What the zone stated of its keys, as it stands in an exported log. Whether the log is whole is not looked at: statements are
/// believed by their signatures.
///
/// # Errors
/// When it cannot be read.
pub fn statements(log: &Path) -> Result<Vec<Signed>, Failure> {
    let act = format!("\"act\":\"{KEY_ROTATED}\"");
    let mut statements = Vec::new();
    lines::of_file(log, |line| {
        if line.contains(&act) {
            let bad = |error: &dyn std::error::Error| {
                Failure::new(Exit::Integrity, "an entry of the zone's keys cannot be read").because(error)
            };
            let entry: Entry = serde_json::from_str(line).map_err(|error| bad(&error))?;
            statements.extend(Signed::of_entry(&entry).map_err(|error| bad(&error))?);
        }
        Ok(())
    })?;
    Ok(statements)
}
