//! `sluse audit checkpoint`: a signed statement of how long the log is, and its root.

use super::lines;
use crate::evidence::{Signers, consistency_of, signature_of};
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::files;
use sluse_protocol::audit::{Leaves, Position, consistency_text, parse_checkpoint};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// `sluse audit checkpoint`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; its signature goes to FILE.sig. Neither may exist
    file: PathBuf,
    /// An earlier checkpoint of this zone's: the proof that the log begins with that one goes to FILE.consistency
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, or a file cannot be written.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let operator = Operator::connect(zone)?;
        let signed = ask(&operator)?;
        let position = signed.position;
        let signature = signature_of(&self.file);
        let proof = match &self.since {
            Some(old) => {
                let old = Signers::read(&zone.layout()?.allowed_signers())?.checkpoint_file(old)?;
                Some((consistency_of(&self.file), prove(&operator, &old, &position)?))
            }
            None => None,
        };
        signed.write(&self.file)?;
        if let Some((file, text)) = &proof {
            write(file, text.as_bytes())?;
        }
        let consistency = proof.map(|(file, _)| file);
        if out.is_json() {
            out.object(&serde_json::json!({
                "checkpoint": self.file, "signature": signature, "consistency": consistency,
                "entries": position.size, "root": position.root,
            }));
        } else {
            out.line(self.file.display().to_string());
            let files = if consistency.is_some() { "all three files" } else { "both files" };
            let Position { size, root } = position;
            out.note(format!("{size} entries, root {root}. Keep {files} outside of this host."));
        }
        Ok(Exit::Done)
    }
}

/// A checkpoint as the zone signed it.
pub struct Signed {
    text: Vec<u8>,
    signature: String,
    /// The zone that says so.
    pub zone: String,
    /// What it attests.
    pub position: Position,
}

/// Asks the running zone for a checkpoint of now.
///
/// # Errors
/// When the zone does not answer.
pub fn ask(operator: &Operator) -> Result<Signed, Failure> {
    let (reply, text) = operator.ask(&OperatorRequest::Checkpoint, &[])?;
    let OperatorReply::Checkpoint { signature } = reply else { return Err(unexpected()) };
    let (zone, position) = std::str::from_utf8(&text).ok().and_then(parse_checkpoint).ok_or_else(unexpected)?;
    Ok(Signed { zone: zone.to_owned(), position, text, signature })
}

impl Signed {
    /// What it attests, after checking who signed it.
    ///
    /// # Errors
    /// When it was somebody else.
    pub fn check(&self, signers: &Signers) -> Result<Position, Failure> {
        let text = std::str::from_utf8(&self.text).map_err(|_| unexpected())?;
        signers.checkpoint("the zone's checkpoint", text, &self.signature)
    }

    /// Writes it to a new file, its signature beside it.
    ///
    /// # Errors
    /// When one of them exists, or cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        write(file, &self.text)?;
        write(&signature_of(file), self.signature.as_bytes())
    }
}

/// The proof, as text, that the running zone's log at `new` begins with what an earlier checkpoint attests.
fn prove(operator: &Operator, old: &Position, new: &Position) -> Result<String, Failure> {
    let mut leaves = Leaves::default();
    lines::of_zone(operator, new.size, |line| {
        leaves.append(line.as_bytes());
        Ok(())
    })?;
    match (leaves.position(old.size), leaves.consistency(old.size)) {
        (Some(then), Some(path)) if then == *old => Ok(consistency_text(old.size, &path)),
        _ => Err(Failure::new(
            Exit::Integrity,
            format!("the log does not begin with the {} entries that the earlier checkpoint attests", old.size),
        )
        .hint("keep the zone's folder as it is: entries were changed or cut off, or the log was replaced")),
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    files::write_new(file, bytes, 0o644).map_err(|e| Failure::file(Exit::Fault, "write the checkpoint to", file, &e))
}
