//! `sluse audit export`: the log as a file that an auditor can take along.

use super::{checkpoint, lines};
use crate::evidence::checkpoint_of;
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
    /// File to write; the checkpoint of its end goes to FILE.checkpoint. Neither may exist
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
        // The log grows on meanwhile: the file ends where the checkpoint says.
        let written = checkpoint::ask(&operator).and_then(|signed| {
            lines::of_zone(&operator, signed.position.size, |line| writeln!(writer, "{line}").map_err(failed))?;
            writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(failed)?;
            signed.write(&checkpoint_of(file))?;
            Ok(signed.position.size)
        });
        let entries = written.as_ref().copied().unwrap_or_default();
        if let Err(failure) = written {
            // Half a log would verify as a log with its tail cut off.
            let _ = std::fs::remove_file(file);
            return Err(failure);
        }
        if out.is_json() {
            out.object(&serde_json::json!({"file": file, "checkpoint": checkpoint_of(file), "entries": entries}));
        } else {
            out.line(file.display().to_string());
            out.note(format!(
                "{entries} entries, and {}, its signature beside it. An auditor checks them with:",
                checkpoint_of(file).display()
            ));
            out.note(format!("sluse audit verify {} --signer allowed_signers --receipt FILE…", file.display()));
        }
        Ok(Exit::Done)
    }
}
