//! `sluse archive`: whether archived bags are what was put there, however long ago; which ones a zone reads again.

use super::bag::{self, Examined};
use crate::evidence::Signers;
use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::{Output, bytes};
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{ArchiveInfo, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
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
    /// The archived bags that a zone knows: when each was read again last, and what was found
    List {
        #[command(flatten)]
        zone: ZoneFolder,
    },
    /// Have the zone read an archived bag no more: another keeper has it, or its time is over
    End {
        /// The transfer that brought it
        id: TransferId,
        /// Why; `list` tells it, the audit log has its digest
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        zone: ZoneFolder,
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
    /// When there is no bag, what is named cannot be read, or the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Check { path, signer } => check_all(&path, &Signers::read(&signer)?, out),
            Command::List { zone } => list(&Operator::connect(&zone)?, out),
            Command::End { id, reason, zone } => {
                let end = OperatorRequest::ArchiveEnd { transfer: id.clone(), reason };
                Operator::connect(&zone)?.act(&end, &[])?;
                out.done(&format!("The archived bag of {id} is read no more."))
            }
        }
    }
}

fn list(operator: &Operator, out: &Output) -> Ended {
    let archives = operator.archives()?;
    if out.is_json() {
        out.object(&archives);
        return Ok(Exit::Done);
    }
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.to_string());
    let found = |archive: &ArchiveInfo| match (archive.ended, archive.fixity) {
        (Some(_), _) => "ended",
        (None, None) => "not read yet",
        (None, Some(fixity)) if fixity.is_whole() => "whole",
        (None, Some(_)) => "damaged",
    };
    let row = |archive: &ArchiveInfo| {
        let (delivered, checked) = (archive.delivered.to_string(), time(archive.checked));
        vec![
            archive.transfer.to_string(),
            archive.room.to_string(),
            archive.bag.clone(),
            delivered,
            checked,
            found(archive).into(),
        ]
    };
    let rows: Vec<Vec<String>> = archives.iter().map(row).collect();
    out.table(&["TRANSFER", "ROOM", "BAG", "DELIVERED", "READ", "FOUND"], &rows);
    Ok(Exit::Done)
}

fn check_all(path: &Path, signers: &Signers, out: &Output) -> Ended {
    let (bags, named) = find(path)?;
    let checked: Vec<Checked> = bags.into_iter().map(|bag| check(bag, signers, named)).collect();
    let good = checked.iter().all(|checked| checked.ok);
    if out.is_json() {
        out.object(&serde_json::json!({"ok": good, "checked": checked}));
    } else {
        checked.iter().for_each(|checked| print(out, checked));
    }
    if !good {
        let (wrong, all) = (checked.iter().filter(|checked| !checked.ok).count(), checked.len());
        out.note(format!("{wrong} of {all} bags are not what was put there: bring them back from another copy."));
    }
    Ok(if good { Exit::Done } else { Exit::Integrity })
}

fn check(dir: PathBuf, signers: &Signers, must_be_archived: bool) -> Checked {
    let examined = bag::examine(&dir, signers).unwrap_or_else(|failure| Examined::unreadable(&failure));
    let Examined { mut problems, transfer, files, bytes, archived, .. } = examined;
    if must_be_archived && !archived {
        problems.push("archive.json, the zone's signed statement of an archived bag, is not there".into());
    }
    // A good bag in another's place is not the one that was put there.
    if let (Some(named), Some(found)) = (name(&dir), &transfer)
        && named != *found
    {
        problems.push(format!("its folder bears the name of another transfer: this is {found}"));
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
    if is_bag || name(path).is_some() {
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

/// The transfer whose name a folder bears, as a bag's does, whatever became of its files.
fn name(path: &Path) -> Option<TransferId> {
    path.file_name()?.to_str()?.parse().ok()
}

fn look(folder: &Path, depth: usize, bags: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A leading dot is what is still being written; links lead elsewhere.
        if !entry.file_type()?.is_dir() || entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match entry.path() {
            path if name(&path).is_some() => bags.push(path),
            path if depth > 1 => look(&path, depth - 1, bags)?,
            _ => {}
        }
    }
    Ok(())
}
