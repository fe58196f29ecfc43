//! `sluse receipt verify`: what `ssh-keygen -Y verify` checks too, and what the receipt says.

use crate::evidence::Signers;
use crate::failure::Ended;
use crate::output::{Output, bytes};
use serde::Serialize;
use sluse_protocol::receipt::Receipt;
use sluse_protocol::refusal::Exit;
use std::path::PathBuf;

/// `sluse receipt`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check receipts' signatures, which lie beside them as FILE.sig
    Verify {
        /// The receipts
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Who may sign: the zone's `allowed_signers` file or its public key
        #[arg(long, value_name = "KEYFILE")]
        signer: PathBuf,
    },
}

#[derive(Serialize)]
struct Verified {
    file: PathBuf,
    ok: bool,
    receipt: Option<Receipt>,
    problem: Option<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When one of the receipts is not good: the first such failure.
    pub fn run(self, out: &Output) -> Ended {
        let Command::Verify { files, signer } = self.command;
        let signers = Signers::read(&signer)?;
        let (mut verified, mut failures) = (Vec::new(), Vec::new());
        for file in files {
            let (receipt, problem) = match signers.receipt_file(&file) {
                Ok(receipt) => (Some(receipt), None),
                Err(failure) => {
                    let problem = failure.message().to_owned();
                    failures.push(failure);
                    (None, Some(problem))
                }
            };
            verified.push(Verified { file, ok: receipt.is_some(), receipt, problem });
        }
        if out.is_json() {
            out.object(&verified);
        } else {
            verified.iter().filter_map(|one| one.receipt.as_ref()).for_each(|receipt| print(out, receipt));
        }
        let mut failures = failures.into_iter();
        match failures.next() {
            Some(first) => {
                failures.for_each(|failure| failure.print());
                Err(first)
            }
            None => Ok(Exit::Done),
        }
    }
}

fn print(out: &Output, receipt: &Receipt) {
    let (totals, size) = (&receipt.totals, bytes(receipt.totals.bytes));
    out.line(format!("OK: zone {} states at {}: {}", receipt.zone, receipt.time, receipt.kind));
    out.line(format!("  transfer {} of {} files, {size}, dataset {}", receipt.transfer, totals.files, receipt.dataset));
    out.line(format!("  from {} to {}, under agreement {}", receipt.source, receipt.room, receipt.agreement));
    out.line(format!("  manifest SHA-256 {}", receipt.manifest_sha256));
    if let Some(part_of) = &receipt.part_of {
        out.line(format!(
            "  in part: {} files were left out of manifest {}",
            part_of.left_out.files, part_of.manifest_sha256
        ));
    }
    match &receipt.inclusion {
        Some(_) => {
            out.line(format!("  entry {} of the audit log, proven by its path", receipt.audit.size.saturating_sub(1)))
        }
        None => out.line("  no proof that it stands in the audit log"),
    }
    if let Some(decision) = &receipt.decision {
        let by = decision.by.as_deref().unwrap_or("rule");
        out.line(format!("  decided: {} by {by}: {}", decision.rule, decision.reason));
    }
}
