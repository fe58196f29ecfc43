//! `sluse audit export`: the log as a file that an auditor can take along.

use super::lines;
use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::refusal::Exit;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// `sluse audit export`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; it must not exist
    file: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, or the file cannot be written.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let operator = Operator::connect(zone)?;
        let file = &self.file;
        let failed = |error: io::Error| Failure::file(Exit::Fault, "write the log to", file, &error);
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
        let mut writer = BufWriter::with_capacity(256 * 1024, created);
        let mut entries = 0u64;
        let written = lines::of_zone(&operator, |line| {
            entries += 1;
            writeln!(writer, "{line}").map_err(failed)
        });
        let written = written.and_then(|()| writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(failed));
        if let Err(failure) = written {
            // Half a log would verify as a log with its tail cut off.
            let _ = std::fs::remove_file(file);
            return Err(failure);
        }
        if out.is_json() {
            out.object(&serde_json::json!({"file": file, "entries": entries}));
        } else {
            out.line(file.display().to_string());
            out.note(format!(
                "{entries} entries. An auditor checks them with: sluse audit verify {} --signer",
                file.display()
            ));
            out.note("allowed_signers --receipt FILE…");
        }
        Ok(Exit::Done)
    }
}
