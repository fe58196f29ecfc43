//! Delivers to rooms that are no folders of this host, by their couriers ([`sluse_protocol::courier`]): never partial, never twice.
//!
//! The bag's own files are made in a folder of `deliver`'s own, by the same code as in any bag; the dataset's files go from the quarantine
//! to the [`Courier`] and lie nowhere in between. The order: what an earlier attempt left of something else is removed there; the
//! dataset's files are given away, each compared when it is there; the bag's own files; then the [`Journal`] says, durably, that the bag
//! is about to be visible; then it is made so. A bag that is visible is taken for ours only where the journal says so and the list of its
//! own files is the one that the journal names. A target that has all files listed first gets them as [`listed`] says.

mod courier;
mod journal;
mod listed;
mod shipment;

use super::attempts::Attempt;
use super::bag::{self, Documents};
use super::delivery::{self, Visible};
use super::error::DeliverError;
use super::lists::Lists;
use super::place::Place;
use super::tag_file::Written;
use super::tags;
use age::x25519::Identity;
use courier::{Courier, Opened, Published};
use journal::{Journal, Publishing};
use shipment::{Parcel, Shipment, compare};
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_protocol::courier::{FileHead, LAST_FILE, Remains, STEP_BYTES, Stored, Verified};
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::ids::{DatasetName, RoomName, TransferId};
use sluse_protocol::path::DataPath;
use sluse_protocol::receipt::ReceiptKind;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a courier may take to lay a receipt, or to take a delivery back: others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of the longest list of a bag's own files.
const MAX_TAG_MANIFEST: u64 = 64 * 1024;

/// The couriers, and the folder of deliveries that are not whole.
pub struct Elsewhere {
    couriers: Option<PathBuf>,
    folder: PathBuf,
}

impl Elsewhere {
    /// What the zone's configuration names; the folder is made where there are couriers.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(zone: &Zone) -> io::Result<Self> {
        let (couriers, folder) = (zone.couriers(), zone.layout.elsewhere());
        if couriers.is_some() {
            files::create_folder(&folder, 0o700)?;
        }
        Ok(Self { couriers, folder })
    }

    fn courier(&self, room: &RoomName) -> Result<Courier, DeliverError> {
        let none =
            || DeliverError::Fault("rooms elsewhere need `[deliver] couriers` in the zone's configuration".into());
        Courier::connect(self.couriers.as_ref().ok_or_else(none)?, room)
    }

    /// Delivers what `grant` releases from `sealed`, for as long as `attempt` goes on.
    ///
    /// # Errors
    /// When digests do not agree, the way to the room fails, or the attempt was ended; what was sent stays there, not visible, for the next one.
    pub fn deliver(
        &self,
        attempt: &Attempt,
        sealed: &Path,
        grant: &ReleaseGrant,
        identity: &Identity,
        documents: &dyn Documents,
    ) -> Result<(Visible, Stored), DeliverError> {
        let granted = grant.statement();
        let courier = self.courier(&granted.room)?;
        courier.end_with(attempt)?;
        let mut journal = Journal::open(&self.folder, granted).map_err(DeliverError::io(JOURNAL))?;
        let opened = courier.open(&granted.transfer, &granted.dataset, journal.is_new())?;
        if opened.visible {
            let there = already_there(&courier, &journal, &opened)?;
            return delivered(granted, opened, there, courier.publish()?);
        }
        journal.begin().map_err(DeliverError::io(JOURNAL))?;
        // Where all files are listed, an attempt is gone on with by a bag that is the same to the last byte, dates included.
        let time = if opened.lists { journal.granted() } else { granted.time };
        let granted = &GrantStatement { time, ..granted.clone() };
        let task = Task { attempt, courier: &courier, journal: &journal, sealed, granted, identity, documents };
        let own = self.own_files(&granted.transfer).map_err(DeliverError::io(OWN))?;
        let sent = if opened.lists { listed::send(&task, &own) } else { send(&task, &own, opened.verifies) };
        let (publishing, published) = match sent {
            Err(DeliverError::Differs) => {
                // What is there cannot be gone on with.
                journal.note_useless().map_err(DeliverError::io(JOURNAL))?;
                return Err(DeliverError::Fault("the room gives back other bytes than were sent".into()));
            }
            Err(error @ DeliverError::Integrity(_)) => {
                self.give_up(&courier, &granted.transfer);
                return Err(error);
            }
            other => other?,
        };
        delivered(granted, opened, publishing, published)
    }

    /// Removes what was sent of a bag that will never be.
    fn give_up(&self, courier: &Courier, transfer: &TransferId) {
        let removed = courier.withdraw().and_then(|_| self.forget(transfer).map_err(DeliverError::io(JOURNAL)));
        if let Err(error) = removed {
            tracing::warn!(%transfer, %error, "what was sent of a dataset that failed could not be removed");
        }
    }

    /// The folder in which the bag's own files are made: empty.
    fn own_files(&self, transfer: &TransferId) -> io::Result<Place> {
        let all = Place::root(&self.folder)?;
        all.remove_tree(transfer.as_str())?;
        all.make(transfer.as_str(), 0o700)
    }

    /// Takes back a delivery that was begun: nothing of it is left there. Whether its bag is visible all the same: then nothing is changed.
    ///
    /// # Errors
    /// When the room cannot be reached.
    pub fn withdraw(
        &self,
        room: &RoomName,
        dataset: &DatasetName,
        transfer: &TransferId,
    ) -> Result<bool, DeliverError> {
        let courier = self.courier(room)?.with_patience(PATIENCE);
        let visible = courier.open(transfer, dataset, false)?.visible || courier.withdraw()?;
        if !visible {
            self.forget(transfer).map_err(DeliverError::io(JOURNAL))?;
        }
        Ok(visible)
    }

    /// What may be left in its room of a delivery that was begun, as far as is known here.
    pub fn remains(&self, transfer: &TransferId) -> Remains {
        // Where that cannot be read, nothing speaks against the most.
        match Journal::may_be_visible(&self.folder, transfer) {
            Ok(false) => Remains::Files,
            Ok(true) | Err(_) => Remains::Bag,
        }
    }

    /// Lays a receipt beside its bag.
    ///
    /// # Errors
    /// When the room cannot be reached.
    pub fn lay(
        &self,
        (room, dataset, transfer): (&RoomName, &DatasetName, &TransferId),
        kind: ReceiptKind,
        (statement, signature): (&[u8], &str),
    ) -> Result<(), DeliverError> {
        let courier = self.courier(room)?.with_patience(PATIENCE);
        if !courier.open(transfer, dataset, false)?.visible {
            return Err(DeliverError::Fault(format!("room {room}: the bag is not there any more")));
        }
        let name = |end: &str| -> Result<DataPath, DeliverError> {
            format!("{kind}.json{end}").parse().map_err(|_| DeliverError::Fault("a receipt's name is none".into()))
        };
        courier.lay(name(".sig")?, signature.as_bytes())?;
        courier.lay(name("")?, statement)
    }

    /// Forgets a delivery that came to its end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget(&self, transfer: &TransferId) -> io::Result<()> {
        Place::root(&self.folder)?.remove_tree(transfer.as_str())?;
        Journal::forget(&self.folder, transfer)
    }
}

/// What is delivered, and by whom.
struct Task<'a> {
    attempt: &'a Attempt,
    courier: &'a Courier,
    journal: &'a Journal,
    sealed: &'a Path,
    granted: &'a GrantStatement,
    identity: &'a Identity,
    documents: &'a dyn Documents,
}

/// Gives the bag away and has it made visible; its own files are made in `own`.
fn send(task: &Task<'_>, own: &Place, verifies: Verified) -> Result<(Publishing, Published), DeliverError> {
    let Task { attempt, courier, journal, sealed, granted, identity, documents } = *task;
    let dataset = delivery::open(sealed, granted, identity)?;
    let manifest = delivery::open_manifest(sealed, granted, identity)?;
    let reads_back = verifies == Verified::ReadBack;
    let recipient = bag::recipient(granted)?;
    let lists = Lists::begin(own, granted.room_names, recipient.is_some()).map_err(DeliverError::io(OWN))?;
    let shipment = Shipment { courier, journal, lists, recipient, reads_back, there: (0, 0), current: None };
    let composed = bag::compose(own, granted, dataset, manifest, documents, attempt.watch(shipment))?;
    let (last, before): (Vec<_>, Vec<_>) = composed.tags.iter().partition(|tag| tag.path == LAST_FILE);
    let ship = |tag: &Written| ship(courier, own, tag, granted, reads_back);
    before.into_iter().try_for_each(ship)?;
    attempt.goes_on()?;
    let publishing = Publishing { tagmanifest: composed.tagmanifest, verified: verifies };
    journal.note_publishing(publishing).map_err(DeliverError::io(JOURNAL))?;
    last.into_iter().try_for_each(ship)?;
    Ok((publishing, courier.publish()?))
}

/// What is said of a bag that is visible.
fn delivered(
    granted: &GrantStatement,
    opened: Opened,
    publishing: Publishing,
    published: Published,
) -> Result<(Visible, Stored), DeliverError> {
    let Published { not_kept, zone } = published;
    let verified = match &zone {
        Some(_) => Verified::Receipt,
        // Its word is all that is known of what it stored.
        None if opened.lists => {
            return Err(DeliverError::Fault("the room's zone has signed nothing of what it was sent".into()));
        }
        None => publishing.verified,
    };
    let bag = format!("{}/{}", granted.dataset, granted.transfer);
    Ok((Visible { bag, tagmanifest: publishing.tagmanifest }, Stored { by: opened.by, verified, not_kept, zone }))
}

const JOURNAL: &str = "noting how far a delivery came";
const OWN: &str = "making the bag's own files";

/// That the visible bag is ours: the digest of the list of its own files; and how it was compared, which is what the attempt did that made
/// it visible, and no more.
fn already_there(courier: &Courier, journal: &Journal, opened: &Opened) -> Result<Publishing, DeliverError> {
    let other = || DeliverError::Fault("something else stands in the room under the bag's name".into());
    let Publishing { tagmanifest, verified } = journal.publishing().ok_or_else(other)?;
    if !opened.reads_back() {
        // Of one that was read back the last file may have been stored, and not been read; and it may be compared otherwise by now.
        let verified = if verified == opened.verifies { verified } else { Verified::Sizes };
        return Ok(Publishing { tagmanifest, verified });
    }
    let path: DataPath = tags::TAG_MANIFEST.parse().map_err(|_| other())?;
    let mut text = Vec::new();
    loop {
        let read = courier.read(&path, text.len() as u64)?;
        text.extend_from_slice(&read);
        if read.is_empty() || text.len() as u64 > MAX_TAG_MANIFEST {
            break;
        }
    }
    if Sha256::of(&text) != tagmanifest {
        return Err(other());
    }
    let (last, declaration) = (LAST_FILE.parse().map_err(|_| other())?, tags::BAGIT.1.as_bytes());
    match compare(courier, &last, declaration.len() as u64, Sha256::of(declaration)) {
        Err(DeliverError::Differs) => Err(other()),
        compared => compared.map(|()| Publishing { tagmanifest, verified }),
    }
}

/// Gives away one of the bag's own files, and compares it. It is sent whole: it says when this attempt was.
fn ship(
    courier: &Courier,
    own: &Place,
    tag: &Written,
    granted: &GrantStatement,
    reads_back: bool,
) -> Result<(), DeliverError> {
    let (mut file, head) = head(own, tag, granted)?;
    let (path, bytes) = (head.path.clone(), head.bytes);
    courier.begin(head)?;
    let (mut parcel, mut step) = (Parcel::new(0), vec![0; STEP_BYTES]);
    loop {
        let count = file.read(&mut step).map_err(DeliverError::io(OWN))?;
        if count == 0 {
            break;
        }
        parcel.push(courier, &step[..count])?;
    }
    if parcel.finish(courier)? != bytes {
        return Err(DeliverError::Fault("one of the bag's own files changed while it was sent".into()));
    }
    if reads_back { compare(courier, &path, bytes, tag.digest) } else { Ok(()) }
}

/// One of the bag's own files, to be read.
fn head(own: &Place, tag: &Written, granted: &GrantStatement) -> Result<(File, FileHead), DeliverError> {
    let path: DataPath = tag.path.parse().map_err(|_| DeliverError::Fault("a document has no usable name".into()))?;
    let file = own.file(&tag.path).map_err(DeliverError::io(OWN))?;
    let bytes = file.metadata().map_err(DeliverError::io(OWN))?.len();
    Ok((file, FileHead { path, bytes, mtime: granted.time.unix(), executable: false, resume: false }))
}
