//! `sluse archive check`: whether archived bags are what was put there, however long ago.

use super::bag::{self, Examined};
use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::output::{Output, bytes};
use serde::Serialize;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::Exit;
use std::io;
use std::path::{Path, PathBuf};

/// How deep below a folder bags are looked for: a room (of up to four components), a dataset, a bag.
const DEPTH: usize = 6;

/// `sluse archive`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read archived bags again: every digest, nothing missing or added, the zone's signature and proofs; each difference is named
    Check {
        /// An archived bag, or a folder: every bag below it
        path: PathBuf,
        /// Who may sign: the zone's `allowed_signers` file or its public key
        #[arg(long, value_name = "KEYFILE")]
        signer: PathBuf,
    },
}

/// One bag.
#[derive(Debug, Serialize)]
struct Checked {
    bag: PathBuf,
    ok: bool,
    /// Whether it is an archived one; others are checked as bags.
    archived: bool,
    transfer: Option<TransferId>,
    files: u64,
    bytes: u64,
    differences: Vec<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no bag, or what is named cannot be read.
    pub fn run(self, out: &Output) -> Ended {
        let Command::Check { path, signer } = self.command;
        let signers = Signers::read(&signer)?;
        let (bags, named) = find(&path)?;
        let checked: Vec<Checked> = bags.into_iter().map(|bag| check(bag, &signers, named)).collect();
        let good = checked.iter().all(|checked| checked.ok);
        if out.is_json() {
            out.object(&serde_json::json!({"ok": good, "checked": checked}));
        } else {
            checked.iter().for_each(|checked| print(out, checked));
        }
        if !good {
            let wrong = checked.iter().filter(|checked| !checked.ok).count();
            out.note(format!(
                "{wrong} of {} bags are not what was put there: bring them back from another copy.",
                checked.len()
            ));
        }
        Ok(if good { Exit::Done } else { Exit::Integrity })
    }
}

fn check(dir: PathBuf, signers: &Signers, must_be_archived: bool) -> Checked {
    let examined = bag::examine(&dir, signers).unwrap_or_else(|failure| Examined::unreadable(&failure));
    let Examined { mut problems, transfer, files, bytes, archived, .. } = examined;
    if must_be_archived && !archived {
        problems.push("archive.json, the zone's signed statement of an archived bag, is not there".into());
    }
    Checked { bag: dir, ok: problems.is_empty(), archived, transfer, files, bytes, differences: problems }
}

fn print(out: &Output, checked: &Checked) {
    let bag = checked.bag.display();
    if checked.ok {
        let what = if checked.archived { "archived" } else { "a bag, not archived" };
        out.line(format!("OK: {bag}: {what}, {} files, {}", checked.files, bytes(checked.bytes)));
        return;
    }
    out.line(format!("DIFFERS: {bag}"));
    checked.differences.iter().for_each(|difference| out.line(format!("  {difference}")));
}

/// The bags, and whether one was named.
fn find(path: &Path) -> Result<(Vec<PathBuf>, bool), Failure> {
    let is_bag = ["bagit.txt", "archive.json", "tagmanifest-sha256.txt"].iter().any(|file| path.join(file).exists());
    if is_bag || is_transfer(path) {
        return Ok((vec![path.to_owned()], true));
    }
    let mut bags = Vec::new();
    look(path, DEPTH, &mut bags).map_err(|error| Failure::file(Exit::Usage, "look through", path, &error))?;
    if bags.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("there is no bag in {}", path.display()))
            .hint("name a bag, a room's folder, or the folder of rooms"));
    }
    bags.sort();
    Ok((bags, false))
}

/// A bag's folder bears its transfer's name, whatever became of its files.
fn is_transfer(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<TransferId>().is_ok())
}

fn look(folder: &Path, depth: usize, bags: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A leading dot is what is still being written; links lead elsewhere.
        if !entry.file_type()?.is_dir() || entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match entry.path() {
            path if is_transfer(&path) => bags.push(path),
            path if depth > 1 => look(&path, depth - 1, bags)?,
            _ => {}
        }
    }
    Ok(())
}
