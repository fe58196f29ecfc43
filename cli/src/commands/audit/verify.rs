//! `sluse audit verify`: the log against itself, and against what left the host.

use super::{lines, signers};
use crate::evidence::{Signers, checkpoint_of};
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::layout::Layout;
use sluse_protocol::audit::{Position, Verifier};
use sluse_protocol::key_statement::Signed;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// `sluse audit verify`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An exported log; with --signer, FILE.checkpoint must attest its end [default: the running zone's log, with its own
    /// receipts and checkpoint as witnesses]
    file: Option<PathBuf>,
    /// Who may sign: the zone's `allowed_signers` file or its public key
    #[arg(long, value_name = "KEYFILE")]
    signer: Option<PathBuf>,
    /// A receipt that left the host, its signature beside it; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    receipt: Vec<PathBuf>,
    /// A checkpoint that left the host, its signature beside it; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    checkpoint: Vec<PathBuf>,
}

/// A log in which every entry follows from those before it, and what it was held against.
#[derive(Debug)]
pub struct Whole {
    /// Where it ends.
    pub end: Position,
    /// Receipts and checkpoints that agree with it.
    pub witnesses: usize,
}

type Witnesses = Vec<(String, Position)>;

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What is wrong with the log, or why it could not be read.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let verified = match &self.file {
            Some(file) => self.exported(file),
            None => {
                let layout = zone.layout()?;
                let signer = layout.allowed_signers();
                self.witnesses(Some(signer), &[]).and_then(|witnesses| live(&layout, witnesses))
            }
        };
        match verified {
            Ok(whole) => print(out, &whole),
            Err(failure) => {
                if out.is_json() && failure.exit() == Exit::Integrity {
                    out.object(&serde_json::json!({"ok": false, "problem": failure.message()}));
                }
                return Err(failure);
            }
        }
        Ok(Exit::Done)
    }

    /// An exported log. Who may sign being known, its end must be attested too: without that, nothing tells a log from one
    /// whose tail was cut off.
    fn exported(&self, file: &Path) -> Result<Whole, Failure> {
        // Who knows an old key of the zone believes the newer ones that it leads to.
        let statements = signers::statements(file)?;
        let mut witnesses = self.witnesses(None, &statements)?;
        let Some(signer) = &self.signer else { return hold(witnesses, |take| lines::of_file(file, take)) };
        let checkpoint = checkpoint_of(file);
        let attested = Signers::read(signer)?.following(&statements)?.checkpoint_file(&checkpoint)?;
        witnesses.push((format!("checkpoint {}", checkpoint.display()), attested));
        let whole = hold(witnesses, |take| lines::of_file(file, take))?;
        if whole.end.size == attested.size {
            return Ok(whole);
        }
        let message = format!("{} has entries after the {} that its checkpoint attests", file.display(), attested.size);
        Err(Failure::new(Exit::Integrity, message).hint("they were added to the file: the zone exports both together"))
    }

    /// What the options name, after checking each signature.
    fn witnesses(&self, usual: Option<PathBuf>, statements: &[Signed]) -> Result<Witnesses, Failure> {
        if self.receipt.is_empty() && self.checkpoint.is_empty() {
            return Ok(Vec::new());
        }
        let signer = self.signer.clone().or(usual);
        let signer = signer.ok_or_else(|| {
            Failure::new(Exit::Usage, "receipts and checkpoints witness nothing until their signatures are checked")
                .hint("name who may sign: --signer KEYFILE, the zone's trust/allowed_signers")
        })?;
        let signers = Signers::read(&signer)?.following(statements)?;
        let mut witnesses = Vec::new();
        for file in &self.receipt {
            witnesses.push((format!("receipt {}", file.display()), signers.receipt_file(file)?.audit));
        }
        for file in &self.checkpoint {
            witnesses.push((format!("checkpoint {}", file.display()), signers.checkpoint_file(file)?));
        }
        Ok(witnesses)
    }
}

/// Verifies the running zone's log against `witnesses`, a fresh checkpoint and every receipt that the zone has.
///
/// # Errors
/// What is wrong with it, or why it could not be read.
pub fn live(layout: &Layout, mut witnesses: Witnesses) -> Result<Whole, Failure> {
    let operator = Operator::of(layout)?;
    let signers = Signers::read(&layout.allowed_signers())?;
    own_receipts(&operator, &signers, &mut witnesses)?;
    let (reply, text) = operator.ask(&OperatorRequest::Checkpoint, &[])?;
    let OperatorReply::Checkpoint { signature } = reply else { return Err(unexpected()) };
    let text = String::from_utf8(text).map_err(|_| unexpected())?;
    witnesses.push(("checkpoint of now".into(), signers.checkpoint("the zone's checkpoint", &text, &signature)?));
    hold(witnesses, |take| lines::of_zone(&operator, u64::MAX, take))
}

/// Adds the zone's own receipts, page by page.
fn own_receipts(operator: &Operator, signers: &Signers, witnesses: &mut Witnesses) -> Result<(), Failure> {
    let mut before = None;
    loop {
        let (reply, _) = operator.ask(&OperatorRequest::Transfers { state: None, before }, &[])?;
        let OperatorReply::Transfers { transfers, more } = reply else { return Err(unexpected()) };
        for status in transfers.iter().map(|transfer| &transfer.status) {
            for kind in status.receipts.iter().copied() {
                let transfer = status.transfer.clone();
                let name = format!("{kind} receipt of {transfer}");
                let (reply, statement) = operator.ask(&OperatorRequest::Receipt { transfer, kind }, &[])?;
                let OperatorReply::Receipt { signature } = reply else { return Err(unexpected()) };
                let receipt = signers.receipt(&format!("the {name}"), &statement, &signature)?;
                witnesses.push((name, receipt.audit));
            }
        }
        before = transfers.last().map(|last| last.status.transfer.clone());
        if !more || before.is_none() {
            return Ok(());
        }
    }
}

fn hold(
    witnesses: Witnesses,
    read: impl FnOnce(&mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure>,
) -> Result<Whole, Failure> {
    let count = witnesses.len();
    let broken = |broken: sluse_protocol::audit::Broken| {
        Failure::new(Exit::Integrity, broken.to_string())
            .hint("keep the zone's folder as it is, and compare with receipts and checkpoints that lie elsewhere")
    };
    let mut verifier = Verifier::new(witnesses);
    read(&mut |line| verifier.entry(line).map(drop).map_err(broken))?;
    verifier.finish().map(|end| Whole { end, witnesses: count }).map_err(broken)
}

fn print(out: &Output, whole: &Whole) {
    let Position { size, root } = whole.end;
    if out.is_json() {
        out.object(&serde_json::json!({"ok": true, "entries": size, "root": root, "witnesses": whole.witnesses}));
        return;
    }
    out.line(format!("OK: {size} entries, root {root}; {} receipts and checkpoints agree", whole.witnesses));
    if whole.witnesses == 0 {
        out.note("Held against nothing that left the host: whoever has the zone's signing key could have written");
        out.note("all of it anew. --receipt and --checkpoint name what to hold it against.");
    }
}
