//! What the watcher writes and moves in an outbox: receipts, markers, finished things, and words for people.
//!
//! Each of these can be done twice; a crash in the middle is followed by the same again.

use super::record::{Record, Stage, Why};
use super::scan::{self, DELIVERED, PROBLEM, RECEIPTS, REJECTED};
use super::settings::Outbox;
use crate::journal::Journal;
use sluse_host::files;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the largest receipt or signature.
const MAX_RECEIPT: u64 = 64 * 1024;

const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// What a person finds beside what was refused.
const WHY: &str = "WHY.txt";

/// Puts the receipts of a record's transfer that are here beside its entry.
///
/// # Errors
/// When they cannot be read or written.
pub fn put_receipts(outbox: &Outbox, record: &Record) -> io::Result<()> {
    copy_receipts(outbox, record, &outbox.folder.join(record.name.clone() + RECEIPTS)).map(drop)
}

/// Removes the done-marker of an entry that was taken.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn unmark(outbox: &Outbox, record: &Record) -> io::Result<()> {
    match outbox.marker() {
        Some(end) => gone(fs::remove_file(outbox.folder.join(record.name.clone() + end))),
        None => Ok(()),
    }
}

/// Says in the outbox why nothing of it is sent; or takes that away.
///
/// # Errors
/// When the file cannot be written or removed.
pub fn tell_problem(outbox: &Outbox, why: Option<&Why>) -> io::Result<()> {
    let path = outbox.folder.join(PROBLEM);
    let Some(why) = why else { return gone(fs::remove_file(path)) };
    let text = format!(
        "Nothing in this folder can be sent at the moment. It stays here and is tried again by itself.\n\n\
         Agreement: {}\nWhy:       {why}\nDo this:   {}\n",
        outbox.agreement, why.hint
    );
    files::replace(&path, text.as_bytes(), FILE_MODE)
}

/// Puts a record's entry, with its receipts, where finished things go. What lies in the outbox under its name but is something
/// else by now stays there.
///
/// # Errors
/// When it cannot be moved; then it lies where it was.
pub fn put_away(outbox: &Outbox, record: &Record, delete: bool) -> io::Result<()> {
    let kind = if matches!(record.stage, Stage::Refused { .. }) { REJECTED } else { DELIVERED };
    let (above, place) = (outbox.folder.join(kind), outbox.folder.join(kind).join(record.id().as_str()));
    make_folder(&above)?;
    make_folder(&place)?;
    let copied = copy_receipts(outbox, record, &place.join(record.name.clone() + RECEIPTS))?;
    if let Stage::Refused { why, since } = &record.stage {
        files::replace(&place.join(WHY), explanation(outbox, record, why, *since).as_bytes(), FILE_MODE)?;
    }
    let target = place.join(&record.name);
    if move_entry(record, &outbox.folder.join(&record.name), &target)? {
        unmark(outbox, record)?;
    }
    if delete {
        delete_entry(&target)?;
    }
    remove_beside(outbox, record, &copied)?;
    for folder in [&place, &above, &outbox.folder] {
        files::sync_folder(folder)?;
    }
    Ok(())
}

/// Makes a folder in an outbox, or finds it. Whoever fills the outbox could put a link there, to another outbox for
/// example, and have us carry what is theirs to where they may not write.
fn make_folder(path: &Path) -> io::Result<()> {
    files::create_folder(path, FOLDER_MODE)?;
    if fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is a link, where the watcher's own folder belongs: remove it", path.display())))
}

/// Moves the entry if it is still the record's content; whether it lies at `target` then.
fn move_entry(record: &Record, source: &Path, target: &Path) -> io::Result<bool> {
    if scan::look(target)?.is_some() {
        return Ok(true);
    }
    let before = scan::look_across_moves(source)?;
    if scan::look(source)? != Some(record.fingerprint) {
        return Ok(false);
    }
    fs::rename(source, target)?;
    if scan::look_across_moves(target)? == before {
        return Ok(true);
    }
    // Somebody wrote to it in this very moment: it is something new, and nobody sent that.
    if scan::look(source)?.is_some() {
        return Err(io::Error::other(format!("{} was changed while it was moved there", target.display())));
    }
    fs::rename(target, source)?;
    Ok(false)
}

fn delete_entry(target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => gone(fs::remove_dir_all(target)),
        Ok(_) => gone(fs::remove_file(target)),
        Err(error) => gone(Err(error)),
    }
}

/// Copies the receipts of a record's transfer into `folder`; their names.
fn copy_receipts(outbox: &Outbox, record: &Record, folder: &Path) -> io::Result<Vec<String>> {
    let Some(transfer) = &record.transfer else { return Ok(Vec::new()) };
    let from = Journal::new(&outbox.identity).transfer(transfer);
    let mut copied = Vec::new();
    for kind in ReceiptKind::ALL {
        // The signature first: a receipt that is there has one.
        for end in ["json.sig", "json"] {
            let bytes = match files::read_bounded(&from.join(format!("{kind}.{end}")), MAX_RECEIPT) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            let name = receipt_name(transfer, *kind, end);
            copy_once(folder, &name, &bytes)?;
            copied.push(name);
        }
    }
    Ok(copied)
}

/// Writes a copy unless it is there. The original lies in the identity folder, durable: a copy that a crash cut short is made anew.
fn copy_once(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    match files::read_bounded(&path, MAX_RECEIPT) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => gone(fs::remove_file(&path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder(folder)?,
        Err(error) => return Err(error),
    }
    files::write_new(&path, bytes, FILE_MODE)
}

fn receipt_name(transfer: &TransferId, kind: ReceiptKind, end: &str) -> String {
    format!("{transfer}.{kind}.{end}")
}

/// Takes away the receipts beside an entry that was put away with copies of them.
fn remove_beside(outbox: &Outbox, record: &Record, copied: &[String]) -> io::Result<()> {
    let folder: PathBuf = outbox.folder.join(record.name.clone() + RECEIPTS);
    for name in copied {
        gone(fs::remove_file(folder.join(name)))?;
    }
    match fs::remove_dir(&folder) {
        // Receipts of another content of the same name lie there.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => gone(other),
    }
}

fn explanation(outbox: &Outbox, record: &Record, why: &Why, since: Timestamp) -> String {
    let transfer = match &record.transfer {
        Some(transfer) => transfer.to_string(),
        None => "none: the landing zone was not given it, or did not take it".to_owned(),
    };
    let dataset = outbox.dataset_of(&record.name).map_or("none".to_owned(), |dataset| dataset.to_string());
    format!(
        "This was not delivered.\n\n\
         What:      {}\nDataset:   {dataset}\nAgreement: {}\nTransfer:  {transfer}\nWhen:      {since}\n\n\
         Why:       {why}\nDo this:   {}\n\n\
         To send it again once that is done, move it back into {}.\n",
        record.name,
        outbox.agreement,
        why.hint,
        outbox.folder.display()
    )
}

/// What is to be gone and is not there is gone.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::outbox;
    use super::*;
    use sluse_protocol::refusal::{Code, Refusal};

    fn now() -> Timestamp {
        Timestamp::from_unix(1_795_342_500)
    }

    fn record(outbox: &Outbox, name: &str, stage: Stage) -> Record {
        let fingerprint = scan::look(&outbox.folder.join(name)).unwrap().unwrap();
        Record { outbox: outbox.name.clone(), name: name.into(), fingerprint, transfer: None, stage }
    }

    fn refused() -> Stage {
        let why = Refusal::new(Code::DatasetTooLarge, "9 GB are more than the 5 GB that the agreement allows");
        Stage::Refused { since: now(), why: why.into() }
    }

    #[test]
    fn what_is_refused_lies_with_its_reason_in_a_folder_of_its_own_also_when_it_is_put_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(folder.path(), "complete = \"marker\"");
        fs::create_dir(folder.path().join("extract")).unwrap();
        fs::write(folder.path().join("extract/a.csv"), "a").unwrap();
        fs::write(folder.path().join("extract.done"), "").unwrap();
        let record = record(&outbox, "extract", refused());
        for _ in 0..2 {
            put_away(&outbox, &record, false).unwrap();
            let place = folder.path().join("_rejected").join(record.id().as_str());
            assert_eq!(fs::read_to_string(place.join("extract/a.csv")).unwrap(), "a");
            let why = fs::read_to_string(place.join("WHY.txt")).unwrap();
            for words in ["9 GB are more than", "(dataset-too-large)", "Do this:", "Agreement: lab"] {
                assert!(why.contains(words), "{why}");
            }
            let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert_eq!(left, ["_rejected"]);
        }
    }

    #[test]
    fn nothing_is_put_away_through_a_link() {
        for link in ["_rejected", "below"] {
            let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let outbox = outbox(folder.path(), "complete = \"rename\"");
            fs::write(folder.path().join("a.csv"), "a").unwrap();
            let record = record(&outbox, "a.csv", refused());
            let mut path = folder.path().join("_rejected");
            if link == "below" {
                fs::create_dir(&path).unwrap();
                path = path.join(record.id().as_str());
            }
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            put_away(&outbox, &record, false).unwrap_err();
            assert!(folder.path().join("a.csv").exists());
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{link}");
        }
    }

    #[test]
    fn new_content_under_the_same_name_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(folder.path(), "complete = \"rename\"");
        let path = folder.path().join("a.csv");
        fs::write(&path, "old").unwrap();
        let record = record(&outbox, "a.csv", Stage::Delivered { since: now() });
        fs::write(&path, "newer").unwrap();
        put_away(&outbox, &record, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn a_problem_is_told_in_words_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(folder.path(), "complete = \"rename\"");
        let why = Refusal::new(Code::AgreementExpired, "the agreement ran out on 2026-01-01").into();
        tell_problem(&outbox, Some(&why)).unwrap();
        let told = fs::read_to_string(folder.path().join(PROBLEM)).unwrap();
        assert!(told.contains("ran out on 2026-01-01") && told.contains("data controller"), "{told}");
        tell_problem(&outbox, None).unwrap();
        tell_problem(&outbox, None).unwrap();
        assert!(!folder.path().join(PROBLEM).exists());
    }
}
