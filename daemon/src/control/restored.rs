//! The first start of a zone that was restored from a backup. `sluse zone restore` leaves a note; what follows from it is one
//! transaction: the log says that and from where, and every transfer that was in quarantine is given up, since no backup has its key
//! or bytes. Its source may send it again with the same idempotency key. Invites that were not used are taken back. What else was revoked since
//! cannot be known: `sluse zone restore` says from when on an operator must do it again.

use super::failure::Failure;
use super::store::transfers::{self, Transfer};
use super::store::{Store, Who, Write, sources, transition, updates};
use crate::RoleError;
use rusqlite::OptionalExtension as _;
use serde_json::json;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::audit::Entry;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::restored::{RESTORED, Restored};
use sluse_protocol::transfer::{Event, State};
use std::io;

/// Bytes of the longest note.
const MAX_NOTE_BYTES: u64 = 4 * 1024 * 1024;

/// Newer transfers that the log's entry names; it says how many there are.
const MOST_NAMED: usize = 200;

/// States in which a transfer's bytes are all that there is of it.
const IN_QUARANTINE: &[State] =
    &[State::Receiving, State::Received, State::Inspecting, State::Held, State::Released, State::Delivering];

/// Does what a note asks for, and removes it.
///
/// # Errors
/// When the note or the database cannot be used.
pub fn settle(layout: &Layout, store: &Store) -> Result<(), RoleError> {
    let path = layout.restored();
    let bytes = match files::read_bounded(&path, MAX_NOTE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(RoleError::io(path.display().to_string()))?,
    };
    let state = |what: String| RoleError::State(format!("{}: {what}", path.display()));
    let restored: Restored = serde_json::from_slice(&bytes).map_err(|error| state(error.to_string()))?;
    store.write(|write| note(write, &restored)).map_err(|failure| state(failure.to_string()))?;
    std::fs::remove_file(&path).map_err(RoleError::io(path.display().to_string()))
}

fn note(write: &mut Write<'_>, restored: &Restored) -> Result<(), Failure> {
    if is_noted(write, restored)? {
        return Ok(());
    }
    let who = Who::Operator(restored.by.clone());
    let named: Vec<_> = restored.newer.iter().take(MOST_NAMED).collect();
    // One that was used, or taken back, after the backup would let somebody in a second time.
    let invites = sources::withdraw_all_invites(write)?;
    // What was imported since is not known here: the log says from where on older ones are taken again.
    let updates = updates::all(&write.sql)?.into_iter().map(|update| (update.kind.to_string(), update.number.into()));
    let updates: serde_json::Map<String, serde_json::Value> = updates.collect();
    let details = json!({
        "size": restored.backup.size,
        "root": restored.backup.root,
        "attested": restored.attested,
        "newer": restored.newer.len(),
        "transfers": named,
        "invites": invites,
        "updates": updates,
    });
    write.record(&who, RESTORED, None, details)?;
    for transfer in transfers::all_in(&write.sql, IN_QUARANTINE)? {
        give_up(write, &who, restored, &transfer)?;
    }
    Ok(())
}

/// The first entry after the backup's is this note's: a crash may have left the file.
fn is_noted(write: &Write<'_>, restored: &Restored) -> Result<bool, Failure> {
    let number = i64::try_from(restored.backup.size).unwrap_or(i64::MAX);
    let mut statement = write.sql.prepare("SELECT line FROM audit WHERE number = ?")?;
    let line: Option<String> = statement.query_row([number], |row| row.get(0)).optional()?;
    let Some(line) = line else { return Ok(false) };
    let entry: Entry = serde_json::from_str(&line).map_err(|_| Failure::broken("an audit entry cannot be read"))?;
    Ok(entry.act == RESTORED)
}

fn give_up(write: &mut Write<'_>, who: &Who, restored: &Restored, transfer: &Transfer) -> Result<(), Failure> {
    let delivered = restored.newer.contains(&transfer.id);
    let message = if delivered {
        "the zone was restored from a backup; a receipt that is newer shows what became of this"
    } else {
        "the zone was restored from a backup, which holds no data: send it again"
    };
    transfers::set_reason(write, &transfer.id, Some(&Refusal::new(Code::Cancelled, message)))?;
    // What may stand in its room already is not asked for again.
    if !delivered {
        transfers::free_key(write, &transfer.id)?;
    }
    let details = json!({"code": RESTORED});
    match transfer.state {
        State::Delivering => transition::apply(write, &transfer.id, Event::Fail, &Who::Control, details)?,
        _ => transition::apply(write, &transfer.id, Event::Cancel, who, details)?,
    };
    Ok(())
}
