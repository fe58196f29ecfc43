//! `sluse bag verify`: a delivered dataset, where it stands.
//!
//! A bag (RFC 8493) is good when it is complete and every digest agrees; when its receipts are signed by the zone; and when
//! the source's manifest, which they attest, lists exactly the files that the bag holds.

mod archived;
mod contents;
mod evidence;
mod manifests;
mod opened;

use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::output::{Output, bytes};
use serde::Serialize;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// Problems that are told one by one; more are counted.
const MAX_TOLD: usize = 20;

/// `sluse bag`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a bag: every digest, its completeness, and its receipts
    Verify {
        /// The bag's folder
        dir: PathBuf,
        /// Who may sign: the zone's `allowed_signers` file or its public key
        #[arg(long, value_name = "KEYFILE")]
        signer: PathBuf,
        /// The room's age identity: what comes out of encrypted files is checked too
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Decrypt the files of a bag that was encrypted to the room's key, and check what comes out
    Decrypt {
        /// The bag's folder
        dir: PathBuf,
        /// The room's age identity, as age-keygen writes it
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// A new folder for the files
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// A bag in which everything agrees.
#[derive(Debug, Serialize)]
pub struct Good {
    ok: bool,
    bag: PathBuf,
    transfer: TransferId,
    files: u64,
    bytes: u64,
    receipts: Vec<(ReceiptKind, PathBuf)>,
}

/// What is wrong with a bag, problem by problem.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the bag is not good, or cannot be read.
    pub fn run(self, out: &Output) -> Ended {
        let (dir, signer, identity) = match self.command {
            Command::Verify { dir, signer, identity } => (dir, signer, identity),
            Command::Decrypt { dir, identity, to } => {
                let files = opened::decrypt(&dir, &opened::read_identity(&identity)?, &to)?;
                return out.done(&format!("{files} files are decrypted in {}, each with its digest.", to.display()));
            }
        };
        let identity = identity.as_deref().map(opened::read_identity).transpose()?;
        let good = verify_opening(&dir, &Signers::read(&signer)?, identity.as_ref()).inspect_err(|failure| {
            if out.is_json() && failure.exit() == Exit::Integrity {
                out.object(&serde_json::json!({"ok": false, "bag": dir, "problem": failure.message()}));
            }
        })?;
        if out.is_json() {
            out.object(&good);
            return Ok(Exit::Done);
        }
        out.line(format!("OK: {} files, {}, of transfer {}", good.files, bytes(good.bytes), good.transfer));
        for (kind, file) in &good.receipts {
            out.line(format!("  {kind} receipt is signed: {}", file.display()));
        }
        Ok(Exit::Done)
    }
}

/// What was found of a bag.
#[derive(Debug)]
pub struct Examined {
    /// What is wrong with it, problem by problem.
    pub problems: Vec<String>,
    /// The transfer that brought it, where a receipt says so.
    pub transfer: Option<TransferId>,
    /// Files of the dataset.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it holds the statement of an archived bag.
    pub archived: bool,
    receipts: Vec<(ReceiptKind, PathBuf)>,
}

impl Examined {
    /// A bag that cannot be read.
    pub fn unreadable(failure: &Failure) -> Self {
        let problems = vec![failure.sentence()];
        Self { problems, transfer: None, files: 0, bytes: 0, archived: false, receipts: Vec::new() }
    }
}

/// Looks at a bag.
///
/// # Errors
/// When it cannot be read.
pub fn examine(dir: &Path, signers: &Signers) -> Result<Examined, Failure> {
    let mut problems = Problems::default();
    let found = contents::read(dir, &mut problems)?;
    let listed = manifests::read(dir, &mut problems)?;
    manifests::compare(&found, &listed, &mut problems);
    let evidence = evidence::check(dir, signers, &found, &listed, &mut problems)?;
    let archived = archived::check(dir, signers, &found, listed.is_archive(), &mut problems);
    let (transfer, receipts) = evidence.map(|evidence| (evidence.transfer, evidence.receipts)).unzip();
    let (files, bytes, receipts) = (found.payload.len() as u64, found.payload_bytes, receipts.unwrap_or_default());
    Ok(Examined { problems: problems.0, transfer, files, bytes, archived, receipts })
}

pub use opened::read_identity;

/// The folder of the receipts that came after the delivery, beside a bag.
pub fn receipts_beside(dir: &Path) -> PathBuf {
    evidence::beside(dir)
}

/// Checks a bag.
///
/// # Errors
/// When it is not good, or cannot be read.
pub fn verify(dir: &Path, signers: &Signers) -> Result<Good, Failure> {
    verify_opening(dir, signers, None)
}

/// Checks a bag, and what comes out of its encrypted files.
///
/// # Errors
/// When it is not good, or cannot be read; when it is not encrypted and an identity is given.
pub fn verify_opening(
    dir: &Path,
    signers: &Signers,
    identity: Option<&age::x25519::Identity>,
) -> Result<Good, Failure> {
    let Examined { mut problems, transfer, files, bytes, receipts, .. } = examine(dir, signers)?;
    if let Some(identity) = identity {
        problems.extend(opened::check(dir, identity)?);
    }
    match transfer {
        Some(transfer) if problems.is_empty() => {
            Ok(Good { ok: true, bag: dir.to_owned(), transfer, files, bytes, receipts })
        }
        _ => Err(failure(dir, problems)),
    }
}

fn failure(dir: &Path, problems: Vec<String>) -> Failure {
    let count = problems.len();
    let message = format!("the bag {} is not good", dir.display());
    let told = problems.into_iter().take(MAX_TOLD);
    let failure = told.fold(Failure::new(Exit::Integrity, message), Failure::cause);
    let failure = if count > MAX_TOLD { failure.cause(format!("and {} more", count - MAX_TOLD)) } else { failure };
    failure.hint("do not use it; tell the landing zone's operator, who can deliver it anew")
}

#[cfg(test)]
mod tests;
