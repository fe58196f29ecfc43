//! What a version of a dataset lacks that is in its room, and the list of what it changes there.
//!
//! What it lacks is told before it is decided, by what was sealed. The list goes into the room: it compares what was released of both, since
//! what was left out has no name there.

use super::super::documents::{Entries, Which};
use super::super::failure::{Failure, refuse};
use super::super::offers::Offer;
use super::super::shared::Control;
use super::super::store::agreements;
use super::super::store::transfers::{self, Transfer};
use super::super::uploads::Arrived;
use super::before;
use sluse_protocol::agreement::{Agreement, Sync};
use sluse_protocol::document::{Entry, Kind};
use sluse_protocol::ids::TransferId;
use sluse_protocol::path::DataPath;
use sluse_protocol::refusal::Code;
use sluse_protocol::sync::{Change, ChangeLine};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufWriter, Write as _};

/// Refuses a version that lacks files of the one in the room, where the agreement lets none be deleted.
///
/// # Errors
/// The refusal.
pub fn check_deletions(control: &Control, plan: &Arrived, offer: &Offer, agreement: &Agreement) -> Result<(), Failure> {
    if agreement.sync.as_ref().is_none_or(|sync| sync.deletions) {
        return Ok(());
    }
    let of = (&offer.source, &offer.agreement, &offer.dataset);
    let Some(current) = control.store.read(|sql| transfers::delivered_version(sql, of, None))? else { return Ok(()) };
    let lacks = lacking(control, Entries::open(plan.path())?, &current)?;
    if lacks.deleted == 0 {
        return Ok(());
    }
    refuse(
        Code::DeletionsNotAllowed,
        format!("the version lacks {} of the {} files in the room", lacks.deleted, lacks.files),
    )
}

/// How many files of the version in the room a new one lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The version in the room.
    pub current: TransferId,
    /// Its files.
    pub files: u64,
    /// Those of them that the new one lacks.
    pub deleted: u64,
}

impl Lacking {
    /// Why a version that lacks so much is held; nothing if it is not.
    pub fn objection(&self, sync: &Sync) -> Option<String> {
        let most = u128::from(sync.hold_deletions_above) * u128::from(self.files);
        let held = u128::from(self.deleted) * 100 > most;
        held.then(|| {
            let Self { files, deleted, .. } = self;
            format!(
                "{deleted} of the {files} files in the room would be deleted, more than {} %",
                sync.hold_deletions_above
            )
        })
    }
}

/// Compares a sealed transfer with the version that is in the room now, where its agreement has datasets kept in sync: what it lacks.
///
/// # Errors
/// When the database or a document cannot be read.
pub fn compare(control: &Control, id: &TransferId) -> Result<Option<Lacking>, Failure> {
    let current = control.store.read(|sql| {
        let transfer = transfers::get(sql, id)?;
        match agreements::get(sql, &transfer.agreement)?.agreement.sync {
            Some(_) => before(sql, &transfer),
            None => Ok(None),
        }
    })?;
    let Some(current) = current else { return Ok(None) };
    lacking(control, control.documents.entries(id, Which::Manifest)?, &current).map(Some)
}

fn lacking(control: &Control, mut new: Entries, current: &Transfer) -> Result<Lacking, Failure> {
    let mut lacking = Lacking { current: current.id.clone(), files: 0, deleted: 0 };
    differences(&mut released(control, current)?, &mut new, |before, after| {
        lacking.files += u64::from(before.is_some());
        lacking.deleted += u64::from(after.is_none());
        Ok(())
    })?;
    Ok(lacking)
}

/// Whether a released version has a list of changes: one that another stood in the room before.
///
/// # Errors
/// When the database fails.
pub fn has_list(control: &Control, transfer: &Transfer) -> Result<bool, Failure> {
    if control.documents.has(&transfer.id, Which::Changes)? {
        return Ok(true);
    }
    control.store.read(|sql| {
        let synced = agreements::get(sql, &transfer.agreement)?.agreement.sync.is_some();
        Ok(synced && before(sql, transfer)?.is_some())
    })
}

/// Makes the list of what a version that is being delivered changes, unless that was done: delivered again it has the same one.
///
/// # Errors
/// When there is no other version in the room, or a document cannot be read or written.
pub fn make_list(control: &Control, transfer: &Transfer) -> Result<(), Failure> {
    if control.documents.has(&transfer.id, Which::Changes)? {
        return Ok(());
    }
    let Some(current) = control.store.read(|sql| before(sql, transfer))? else {
        return refuse(Code::WrongState, "there is no other version in the room");
    };
    let (path, file) = control.documents.arriving()?;
    write_list(control, transfer, &current, file)?;
    control.store.write(|write| control.documents.keep(write, &path, &transfer.id, Which::Changes))
}

fn write_list(control: &Control, transfer: &Transfer, current: &Transfer, file: File) -> Result<(), Failure> {
    let mut list = BufWriter::new(file);
    let mut write = |line: &ChangeLine| {
        let line = serde_json::to_vec(line).map_err(|error| Failure::io("writing a list of changes")(error.into()))?;
        list.write_all(&[line.as_slice(), b"\n"].concat()).map_err(Failure::io("writing a list of changes"))
    };
    write(&ChangeLine::from(current.id.clone()))?;
    let content = |entry: &Entry| (entry.size, entry.executable, entry.sha256);
    differences(&mut released(control, current)?, &mut released(control, transfer)?, |before, after| {
        let (path, change): (&DataPath, Change) = match (before, after) {
            (Some(before), None) => (&before.path, Change::Deleted),
            (None, Some(after)) => (&after.path, Change::Added),
            (Some(before), Some(after)) if content(before) != content(after) => (&after.path, Change::Changed),
            _ => return Ok(()),
        };
        write(&ChangeLine::File { path: path.clone(), change })
    })?;
    let file = list.into_inner().map_err(|error| Failure::io("writing a list of changes")(error.into_error()))?;
    file.sync_all().map_err(Failure::io("writing a list of changes"))
}

/// The files of a transfer that its room has, or gets.
fn released(control: &Control, transfer: &Transfer) -> Result<Entries, Failure> {
    let which = if transfer.part.is_some() { Which::Part } else { Which::Manifest };
    control.documents.entries(&transfer.id, which)
}

/// Tells of each file what it was in one list and is in the other. Both ascend, and are read side by side.
fn differences(
    old: &mut Entries,
    new: &mut Entries,
    mut tell: impl FnMut(Option<&Entry>, Option<&Entry>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut there, mut next) = (next_file(old)?, next_file(new)?);
    loop {
        let order = match (&there, &next) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(there), Some(next)) => there.path.cmp(&next.path),
        };
        tell(there.as_ref().filter(|_| order.is_le()), next.as_ref().filter(|_| order.is_ge()))?;
        if order.is_le() {
            there = next_file(old)?;
        }
        if order.is_ge() {
            next = next_file(new)?;
        }
    }
}

fn next_file(entries: &mut Entries) -> Result<Option<Entry>, Failure> {
    while let Some(entry) = entries.next()? {
        if entry.kind == Kind::File {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
