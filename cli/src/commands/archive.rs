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

/// How deep below a folder bags are looked for: a room (of up to four components), a dataset, a bag; and what is in receipts beside it.
const DEPTH: usize = 7;

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
    /// Whether it holds the statement of an archived one; without it none is good.
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

/// What was found below a folder.
#[derive(Debug, Default)]
struct Found {
    bags: Vec<PathBuf>,
    /// Where bags may lie that were not looked for, and why.
    skipped: Vec<Skipped>,
}

/// A place in which nothing was looked for.
#[derive(Debug, Serialize)]
struct Skipped {
    path: PathBuf,
    why: String,
}

fn check_all(path: &Path, signers: &Signers, out: &Output) -> Ended {
    let Found { bags, skipped } = find(path)?;
    let checked: Vec<Checked> = bags.into_iter().map(|bag| check(bag, signers)).collect();
    let wrong = checked.iter().filter(|checked| !checked.ok).count();
    let good = wrong == 0 && skipped.is_empty();
    if out.is_json() {
        out.object(&serde_json::json!({"ok": good, "checked": checked, "skipped": skipped}));
    } else {
        checked.iter().for_each(|checked| print(out, checked));
        skipped.iter().for_each(|it| out.line(format!("SKIPPED: {}: {}", it.path.display(), it.why)));
    }
    if wrong > 0 {
        out.note(format!(
            "{wrong} of {} bags are not what was put there: bring them back from another copy.",
            checked.len()
        ));
    }
    if !skipped.is_empty() {
        out.note("Of what was skipped nothing is known: name it, or take it away.");
    }
    Ok(if good { Exit::Done } else { Exit::Integrity })
}

fn check(dir: PathBuf, signers: &Signers) -> Checked {
    let examined = bag::examine(&dir, signers).unwrap_or_else(|failure| Examined::unreadable(&failure));
    let Examined { mut problems, transfer, files, bytes, archived, .. } = examined;
    // Whoever can write there can take away all that makes a bag an archived one.
    if !archived {
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
        out.line(format!("OK: {bag}: archived, {} files, {}", checked.files, bytes(checked.bytes)));
        return;
    }
    out.line(format!("DIFFERS: {bag}"));
    checked.differences.iter().for_each(|difference| out.line(format!("  {difference}")));
}

/// The bag, or all that lie below.
fn find(path: &Path) -> Result<Found, Failure> {
    if is_bag(path) {
        return Ok(Found { bags: vec![path.to_owned()], skipped: Vec::new() });
    }
    let mut found = Found::default();
    look(path, DEPTH, &mut found).map_err(|error| Failure::file(Exit::Usage, "look through", path, &error))?;
    if found.bags.is_empty() && found.skipped.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("there is no bag in {}", path.display()))
            .hint("name a bag, a room's folder, or the folder of rooms"));
    }
    found.bags.sort();
    found.skipped.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Whether a folder bears a bag's name, whatever became of its files, or has files of one, whatever it is called.
fn is_bag(path: &Path) -> bool {
    let files = ["bagit.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "archive.json"];
    name(path).is_some() || files.iter().any(|file| path.join(file).symlink_metadata().is_ok())
}

/// The transfer whose name a folder bears, as a bag's does.
fn name(path: &Path) -> Option<TransferId> {
    path.file_name()?.to_str()?.parse().ok()
}

fn look(folder: &Path, depth: usize, found: &mut Found) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let why = if kind.is_symlink() {
            "a link, which is not followed".to_owned()
        } else if !kind.is_dir() {
            continue;
        } else if entry.file_name().as_encoded_bytes().starts_with(b".") {
            "a folder that is hidden, or still being written".to_owned()
        } else if is_bag(&path) {
            found.bags.push(path);
            continue;
        } else if depth == 1 {
            "a folder that lies too deep".to_owned()
        } else {
            match look(&path, depth - 1, found) {
                Ok(()) => continue,
                Err(error) => format!("cannot be looked through: {error}"),
            }
        };
        found.skipped.push(Skipped { path, why });
    }
    Ok(())
}
