//! `sluse audit extends`: what an outside witness runs before it keeps a newer checkpoint in place of an older one.

use crate::evidence::{Signers, consistency_of};
use crate::failure::{Ended, Failure};
use crate::output::Output;
use sluse_protocol::refusal::Exit;
use std::path::PathBuf;

/// `sluse audit extends`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The checkpoint that was kept, its signature beside it
    old: PathBuf,
    /// The newer one, its signature and NEW.consistency beside it
    new: PathBuf,
    /// Who may sign: the zone's `allowed_signers` file or its public key
    #[arg(long, value_name = "KEYFILE")]
    signer: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When one of the checkpoints is not good, or the newer log does not begin with the older one.
    pub fn run(self, out: &Output) -> Ended {
        let signers = Signers::read(&self.signer)?;
        let (zone, old) = signers.named_checkpoint_file(&self.old)?;
        let (same, new) = signers.named_checkpoint_file(&self.new)?;
        if zone != same {
            return Err(Failure::new(Exit::Integrity, format!("the checkpoints are of zones {zone} and {same}")));
        }
        Signers::check_extended(&consistency_of(&self.new), &old, &new)?;
        if out.is_json() {
            out.object(&serde_json::json!({"ok": true, "old": old, "new": new}));
        } else {
            out.line(format!("OK: the log of {} entries begins with the one of {}", new.size, old.size));
        }
        Ok(Exit::Done)
    }
}
