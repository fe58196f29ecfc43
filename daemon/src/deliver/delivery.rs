//! Delivers one dataset: never partial, never twice.
//!
//! The order: what a crash left under the temporary name is removed; the bag is written there, made durable and read back;
//! one rename makes it visible; the folders of both names are synced. A bag that is visible already is only checked.

use super::attempts::Attempt;
use super::bag::{self, Contents, Documents};
use super::current;
use super::error::DeliverError;
use super::place::{Facts, Place};
use super::tags;
use crate::quarantine::ReadError;
use crate::quarantine::dataset::Dataset;
use crate::quarantine::folder::Folder;
use crate::quarantine::hashed::{Hashed, Unseen};
use crate::quarantine::manifest::Plain;
use age::x25519::Identity;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Header;
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::ids::{DatasetName, TransferId};
use std::io;
use std::path::Path;

/// The folder of a room in which bags are written. Only `deliver` may look into it.
const INCOMING: &str = ".sluse-incoming";

/// A bag that is visible in its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible {
    /// Its folder, relative to the room's.
    pub bag: String,
    /// SHA-256 of its `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
}

/// Delivers what `grant` releases from `sealed` into its room below `rooms`, for as long as `attempt` goes on.
///
/// # Errors
/// When digests do not agree, the room or the disk fails, or the attempt was ended; then nothing of it is left in the room.
pub fn deliver(
    attempt: &Attempt,
    rooms: &Place,
    sealed: &Path,
    grant: &ReleaseGrant,
    identity: &Identity,
    documents: &dyn Documents,
) -> Result<Visible, DeliverError> {
    let granted = grant.statement();
    let room = rooms.folder(&granted.room_folder).map_err(DeliverError::io("the room's folder"))?;
    let target = room.make(granted.dataset.as_str(), 0o755).map_err(DeliverError::io("the dataset's folder"))?;
    let name = granted.transfer.as_str();
    let incoming = room.make(INCOMING, 0o700).map_err(DeliverError::io("the room's incoming folder"))?;
    incoming.remove_tree(name).map_err(DeliverError::io("removing what an earlier attempt left"))?;
    let ours = make_ours(&incoming, name).inspect_err(|_| give_up(&room, &incoming, granted))?;
    let tagmanifest = if target.has(name).map_err(DeliverError::io("the dataset's folder"))? {
        incoming.remove_if_empty(name);
        already_there(&target, granted, ours)?
    } else {
        let written = write(attempt, (&incoming, &target), sealed, granted, identity, documents);
        let tagmanifest = match written.and_then(|written| attempt.goes_on().map(|()| written)) {
            Err(error) => {
                give_up(&room, &incoming, granted);
                return Err(error);
            }
            Ok(tagmanifest) => tagmanifest,
        };
        incoming.rename(name, &target, name).map_err(DeliverError::io("making the bag visible"))?;
        tagmanifest
    };
    for place in [&target, &incoming, &room] {
        place.sync().map_err(DeliverError::io("syncing the room"))?;
    }
    Ok(Visible { bag: format!("{}/{name}", granted.dataset), tagmanifest })
}

/// Takes back a delivery that was begun: nothing of it is left under its temporary name. Whether its bag is visible all the same: then
/// nothing is changed.
///
/// # Errors
/// When the room cannot be looked into.
pub fn withdraw(rooms: &Place, room_folder: &str, dataset: &DatasetName, transfer: &TransferId) -> io::Result<bool> {
    let room = rooms.folder(room_folder)?;
    let there = |opened: io::Result<Place>| match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    if let Some(target) = there(room.folder(dataset.as_str()))?
        && target.has(transfer.as_str())?
    {
        return Ok(true);
    }
    if let Some(incoming) = there(room.folder(INCOMING))? {
        incoming.remove_tree(transfer.as_str())?;
        incoming.sync()?;
    }
    room.remove_if_empty(dataset.as_str());
    Ok(false)
}

/// Removes a version's bag from its room: in one step from the sight of those who read there, and then its files. What is gone is fine.
///
/// # Errors
/// When it is the current version, or the room fails.
pub fn remove(rooms: &Place, room_folder: &str, dataset: &DatasetName, transfer: &TransferId) -> io::Result<()> {
    let (room, leaving) = (rooms.folder(room_folder)?, format!("{transfer}.removed"));
    let incoming = room.make(INCOMING, 0o700)?;
    incoming.remove_tree(&leaving)?;
    match room.folder(dataset.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(target) if target.has(transfer.as_str())? => {
            if current::current(&target)?.as_ref() == Some(transfer) {
                return Err(io::Error::other("it is the current one in the room"));
            }
            target.rename(transfer.as_str(), &incoming, &leaving)?;
            target.sync()?;
        }
        Ok(_) => {}
    }
    incoming.remove_tree(&leaving)?;
    incoming.sync()
}

/// Makes the bag's folder, and sees that nobody but us may exchange what will lie in it before it is visible: who can write
/// to the room can make our incoming folder before we do. The owner is compared with that of what we just made, since file
/// systems of other hosts name us as they like.
fn make_ours(incoming: &Place, name: &str) -> Result<Facts, DeliverError> {
    let facts = || -> io::Result<(Facts, Facts)> { Ok((incoming.make(name, 0o755)?.facts()?, incoming.facts()?)) };
    let (ours, above) = facts().map_err(DeliverError::io("making the bag"))?;
    if above.are_of(ours) {
        return Ok(ours);
    }
    Err(DeliverError::Fault(format!(
        "others may write to the room's folder {INCOMING}: remove it, or give it to us alone"
    )))
}

fn write(
    attempt: &Attempt,
    (incoming, target): (&Place, &Place),
    sealed: &Path,
    granted: &GrantStatement,
    identity: &Identity,
    documents: &dyn Documents,
) -> Result<Sha256, DeliverError> {
    let dataset = open(sealed, granted, identity)?;
    let source_manifest = open_manifest(sealed, granted, identity)?;
    let bag = incoming.make(granted.transfer.as_str(), 0o755).map_err(DeliverError::io("making the bag"))?;
    let before = files_before(target).map_err(DeliverError::io("the version before"))?;
    match bag::write(attempt, &bag, granted, Contents { dataset, source_manifest, before }, documents) {
        Err(DeliverError::Differs) => Err(who_differs(sealed, granted, identity)),
        other => other,
    }
}

/// The files of the version that is the current one in the room, if there is one.
fn files_before(target: &Place) -> io::Result<Option<Place>> {
    let Some(version) = current::current(target)? else { return Ok(None) };
    // Others may have taken it away, or put something else there.
    Ok(target.folder(&format!("{version}/{}", tags::DATA)).ok())
}

/// Opens the dataset that is granted.
///
/// # Errors
/// When it is another, or cannot be read.
pub fn open(sealed: &Path, granted: &GrantStatement, identity: &Identity) -> Result<Dataset, ReadError> {
    let dataset = Dataset::open(sealed, identity.clone(), &granted.transfer, granted.manifest_sha256)?;
    let Header::Manifest { source, agreement, dataset: name, totals, .. } = dataset.header() else {
        return Err(ReadError::integrity("the manifest is a plan"));
    };
    let agrees = *source == granted.source
        && *agreement == granted.agreement
        && *name == granted.dataset
        && *totals == granted.totals;
    agrees.then_some(dataset).ok_or_else(|| ReadError::integrity("the manifest is not what the grant says of it"))
}

/// Opens its manifest, as its source signed it.
///
/// # Errors
/// When it cannot be read.
pub fn open_manifest(sealed: &Path, granted: &GrantStatement, identity: &Identity) -> Result<Plain, ReadError> {
    let folder = Folder::open(sealed).map_err(|error| ReadError::of_sealed("the transfer's folder", &error))?;
    Plain::open(&folder, identity, granted.manifest_sha256)
}

/// What was read back differs from the manifest: because the room's disk lies, or because what was sealed does. Tells which
/// by reading the sealed dataset alone.
fn who_differs(sealed: &Path, granted: &GrantStatement, identity: &Identity) -> DeliverError {
    let read = open(sealed, granted, identity).and_then(|dataset| dataset.walk(&mut Hashed::new(Unseen)));
    match read {
        Err(error) => error.into(),
        Ok(()) => DeliverError::Fault("the room's storage gives back other bytes than were written".into()),
    }
}

/// Removes what was written of a bag that does not come to be, and the dataset's folder if it is empty.
fn give_up(room: &Place, incoming: &Place, granted: &GrantStatement) {
    let removed = incoming.remove_tree(granted.transfer.as_str());
    if let Err(error) = removed {
        tracing::warn!(transfer = %granted.transfer, %error, "a partial bag could not be removed; the next attempt will");
    }
    room.remove_if_empty(granted.dataset.as_str());
}

/// Checks that what stands under the bag's name is this transfer's: it was read back before it came there.
fn already_there(target: &Place, granted: &GrantStatement, ours: Facts) -> Result<Sha256, DeliverError> {
    let other = |_| DeliverError::Fault("something else stands in the room under the bag's name".into());
    let bag = target.folder(granted.transfer.as_str()).map_err(other)?;
    if !bag.facts().map_err(other)?.are_of(ours) {
        // The manifest alone does not tell: it is in the bag for all who read there, and can be copied.
        return Err(other(io::ErrorKind::PermissionDenied.into()));
    }
    let digest = |name: &str| -> io::Result<Sha256> { bag::digest_of(&mut bag.file(name)?) };
    let list = if granted.part.is_some() { tags::RELEASED_MANIFEST } else { tags::SOURCE_MANIFEST };
    if digest(list).map_err(other)? != granted.released_manifest() {
        return Err(other(io::ErrorKind::InvalidData.into()));
    }
    digest(tags::TAG_MANIFEST).map_err(other)
}
