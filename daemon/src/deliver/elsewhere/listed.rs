//! Delivers to a target that has all files of a bag listed before the first byte of one, and then takes them in the order of their paths: a
//! room that is another landing zone's, to which a bag is offered by its list.
//!
//! The bag is composed twice. The first time from what the sealed manifest tells, without a byte of the dataset: that gives the list, and the
//! bag's own files. The second time from the bytes, which go to the courier between the files that come before them and those behind; each file
//! must be what the manifest said, and the bag the one that was listed.

use super::journal::Publishing;
use super::shipment::{Shipment, in_data};
use super::{JOURNAL, OWN, Published, Task, head, ship};
use crate::deliver::bag::{self, Composed, Content};
use crate::deliver::delivery;
use crate::deliver::error::DeliverError;
use crate::deliver::lists::Lists;
use crate::deliver::payload::Finished;
use crate::deliver::place::Place;
use crate::deliver::tag_file::Written;
use crate::deliver::tags;
use crate::quarantine::dataset::Visitor;
use sluse_protocol::courier::{FileHead, Verified};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Entry;
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::path::{DataPath, NameRule};

const WHAT: &str = "writing a list of the bag";

/// Lists the bag, gives it away and has it made visible; its own files are made in `own`.
pub fn send(task: &Task<'_>, own: &Place) -> Result<(Publishing, Published), DeliverError> {
    let Task { attempt, courier, journal, granted, .. } = *task;
    check(granted)?;
    let made = own.make("listed", 0o700).map_err(DeliverError::io(OWN))?;
    let Composed { mut tags, tagmanifest } = list(task, &made)?;
    for tag in &tags {
        courier.list(head(&made, tag, granted)?.1)?;
    }
    // What is sent is this bag or none: whatever becomes visible from here on is ours.
    attempt.goes_on()?;
    let publishing = Publishing { tagmanifest, verified: Verified::Receipt };
    journal.note_publishing(publishing).map_err(DeliverError::io(JOURNAL))?;
    tags.sort_by(|one, other| path(one).cmp(path(other)));
    let (before, behind): (Vec<_>, Vec<_>) = tags.iter().partition(|tag| tag.path.as_str() < tags::DATA);
    let ship = |tag: &Written| ship(courier, &made, tag, granted, false);
    before.into_iter().try_for_each(ship)?;
    if give(task, own)? != tagmanifest {
        return Err(DeliverError::Fault("what was sent is not what was listed".into()));
    }
    attempt.goes_on()?;
    behind.into_iter().try_for_each(ship)?;
    Ok((publishing, courier.publish()?))
}

/// What cannot go to such a room, whatever is tried.
fn check(granted: &GrantStatement) -> Result<(), DeliverError> {
    if granted.room_recipient.is_some() {
        let why = "a room that is another zone takes no key of its own, since that zone inspects what comes: `room change --no-recipient`";
        return Err(DeliverError::Fault(why.into()));
    }
    if granted.room_names == NameRule::WindowsMap {
        let why = "a room that is another zone takes names as they are: it must be added with `--names posix`";
        return Err(DeliverError::Fault(why.into()));
    }
    Ok(())
}

/// Composes the bag from what the manifest tells.
fn list(task: &Task<'_>, made: &Place) -> Result<Composed, DeliverError> {
    let Task { attempt, courier, sealed, granted, identity, documents, .. } = *task;
    let dataset = delivery::open(sealed, granted, identity)?.names_only();
    let manifest = delivery::open_manifest(sealed, granted, identity)?;
    let lists = Lists::begin(made, granted.room_names, false).map_err(DeliverError::io(OWN))?;
    let listing = Listing { courier, lists, listed: (0, 0) };
    bag::compose(made, granted, dataset, manifest, documents, attempt.watch(listing))
}

/// Composes the bag from the dataset's bytes, and gives these away.
fn give(task: &Task<'_>, own: &Place) -> Result<Sha256, DeliverError> {
    let Task { attempt, courier, journal, sealed, granted, identity, documents } = *task;
    let made = own.make("sent", 0o700).map_err(DeliverError::io(OWN))?;
    let dataset = delivery::open(sealed, granted, identity)?;
    let manifest = delivery::open_manifest(sealed, granted, identity)?;
    let lists = Lists::begin(&made, granted.room_names, false).map_err(DeliverError::io(OWN))?;
    let shipment =
        Shipment { courier, journal, lists, recipient: None, reads_back: false, there: (0, 0), current: None };
    Ok(bag::compose(&made, granted, dataset, manifest, documents, attempt.watch(shipment))?.tagmanifest)
}

/// As the order of files is, component by component.
fn path(tag: &Written) -> std::str::Split<'_, char> {
    tag.path.split('/')
}

/// Lists the dataset's files.
struct Listing<'a> {
    courier: &'a super::Courier,
    lists: Lists<'a>,
    /// Files and bytes so far.
    listed: (u64, u64),
}

impl Listing<'_> {
    fn place(&mut self, entry: &Entry) -> Result<DataPath, DeliverError> {
        self.lists.place(&entry.path).map_err(DeliverError::io(WHAT))
    }
}

impl Visitor for Listing<'_> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let listed = self.place(entry)?;
        self.courier.folder(in_data(&listed)?)
    }

    fn begin(&mut self, _: &Entry) -> Result<(), DeliverError> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<(), DeliverError> {
        Ok(())
    }

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let listed = self.place(entry)?;
        let (bytes, mtime, executable) = (entry.size, entry.mtime, entry.executable);
        self.courier.list(FileHead { path: in_data(&listed)?, bytes, mtime, executable, resume: false })?;
        self.listed = (self.listed.0 + 1, self.listed.1 + bytes);
        // It is the digest that the file must have when it is sent.
        self.lists.list(listed.as_str(), entry.sha256, entry.sha256).map_err(DeliverError::io(WHAT))
    }
}

impl Content for Listing<'_> {
    fn finish(self) -> Result<Finished, DeliverError> {
        self.lists.finish(self.listed.0, self.listed.1).map_err(DeliverError::io(WHAT))
    }
}
