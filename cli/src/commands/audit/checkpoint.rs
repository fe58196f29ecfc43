//! `sluse audit checkpoint`: a signed statement of how long the log is, and its root.

use crate::evidence::signature_of;
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::files;
use sluse_protocol::audit::parse_checkpoint;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// `sluse audit checkpoint`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; its signature goes to FILE.sig. Neither may exist
    file: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, or a file cannot be written.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let (reply, text) = Operator::connect(zone)?.ask(&OperatorRequest::Checkpoint, &[])?;
        let OperatorReply::Checkpoint { signature } = reply else { return Err(unexpected()) };
        let (_, position) = std::str::from_utf8(&text).ok().and_then(parse_checkpoint).ok_or_else(unexpected)?;
        let beside = signature_of(&self.file);
        write(&self.file, &text)?;
        write(&beside, signature.as_bytes())?;
        if out.is_json() {
            out.object(&serde_json::json!({
                "checkpoint": self.file, "signature": beside, "entries": position.size, "root": position.root,
            }));
        } else {
            out.line(self.file.display().to_string());
            out.note(format!(
                "{} entries, root {}. Keep both files outside of this host.",
                position.size, position.root
            ));
        }
        Ok(Exit::Done)
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    files::write_new(file, bytes, 0o644).map_err(|e| Failure::file(Exit::Fault, "write the checkpoint to", file, &e))
}
