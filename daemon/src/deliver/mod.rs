//! The `deliver` role: faces the rooms. It listens on nothing, and opens only transfers whose identity was wrapped to its
//! own key, with a grant that `control` signed.
//!
//! It asks `control` for work; [`delivery`] writes a dataset as a [`bag`] and makes it visible in one step, [`settling`] lays
//! the *delivered* receipt beside it, and [`pending`] remembers what a crash between the two would lose. What is taken out of rooms again:
//! [`removals`]. Bags that are archived it
//! reads again when `control` says so: [`fixity`]. It looks whether rooms have acknowledged: [`acknowledgements`].

use crate::RoleError;
use crate::confine;
use crate::control_link::Link;
use crate::pulse;
use crate::quarantine::identity::{self, RoleKey};
use crate::work::Pool;
use crate::zone_signers::ZoneSigners;
use age::x25519::Identity;
use nix::sys::stat::{Mode, umask};
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_host::layout::{Layout, transfer_folder};
use sluse_protocol::grant::ReleaseGrant;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits;
use sluse_protocol::roles::{AwaitedBag, CheckOutcome, DeliverOutcome, DeliverReply, DeliverRequest, FaultCause, Role};
use sluse_protocol::sharing;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

mod acknowledgements;
mod attempts;
mod bag;
mod current;
mod delivery;
mod elsewhere;
mod error;
mod fixity;
mod from_control;
mod lanes;
mod large_files;
mod large_writer;
mod lists;
mod part;
mod payload;
mod pending;
mod place;
mod read_back;
mod receipt;
mod removals;
mod sealed_file;
mod settling;
mod stored_once;
mod tag_file;
mod tags;

use acknowledgements::Useless;
use attempts::{Attempt, Attempts};
use delivery::Visible;
use elsewhere::Elsewhere;
use error::DeliverError;
use fixity::Archived;
use from_control::FromControl;
use pending::{Pending, PendingFolder, Sent};
use place::Place;

/// Deliveries that wait: none, since `control` gives no more than there are workers, unless it was started anew meanwhile.
const QUEUED: usize = 1024;

/// Archived bags that wait to be read again: `control` hands them out one at a time.
const CHECKS: usize = 4;

/// Looks at rooms, of which `control` hands out one at a time, versions to be removed, and deliveries to be taken back, which wait.
const LOOKS: usize = 1024;

/// What the role works with.
struct Deliver {
    zone: Zone,
    key: Identity,
    signers: ZoneSigners,
    rooms: Place,
    pending: PendingFolder,
    elsewhere: Elsewhere,
    settling: Mutex<()>,
    /// The same of rooms elsewhere, which may take their time.
    settling_elsewhere: Mutex<()>,
    useless: Useless,
    attempts: Attempts,
    link: Link<DeliverRequest, DeliverReply>,
}

/// What the role reads before it gives up the right to.
struct Held {
    key: Identity,
    signers: ZoneSigners,
    rooms: Place,
    pending: PendingFolder,
    elsewhere: Elsewhere,
}

/// Runs the role until the link to `control` is lost.
///
/// # Errors
/// When keys cannot be used, or the link to `control` is lost.
pub fn run(zone: Zone, control: UnixStream) -> Result<(), RoleError> {
    crate::work::name_no_content_in_panics();
    // A room's people read what is delivered; who may enter the room is for the room's folder to say.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let held = Held::load(&zone)?;
    confine::apply(Role::Deliver, &zone)?;
    work(zone, held, control)
}

impl Held {
    fn load(zone: &Zone) -> Result<Self, RoleError> {
        let layout = &zone.layout;
        Ok(Self {
            key: own_key(layout)?,
            signers: ZoneSigners::load(zone)?,
            rooms: Place::root(&zone.rooms()).map_err(RoleError::io("the folder of rooms"))?,
            pending: PendingFolder::open(&layout.pending()).map_err(RoleError::io("the folder of pending receipts"))?,
            elsewhere: Elsewhere::open(zone).map_err(RoleError::io("the folder of deliveries to rooms elsewhere"))?,
        })
    }
}

/// The key that `trust/deliver.pub` names: while it is exchanged the file has the old one and the new one.
fn own_key(layout: &Layout) -> Result<Identity, RoleError> {
    let path = layout.deliver_recipient();
    let public = files::read_bounded(&path, 4096).map_err(RoleError::io(path.display().to_string()))?;
    let key = RoleKey::read(&layout.deliver_key())?.named(String::from_utf8_lossy(&public).trim());
    key.ok_or_else(|| RoleError::State("deliver.key and trust/deliver.pub do not belong together".into()))
}

fn work(zone: Zone, held: Held, control: UnixStream) -> Result<(), RoleError> {
    let Held { key, signers, rooms, pending, elsewhere } = held;
    let link = Link::new(control).map_err(RoleError::io("the link to control"))?;
    let (settling, settling_elsewhere) = (Mutex::default(), Mutex::default());
    let (useless, attempts) = (Useless::default(), Attempts::default());
    let deliver = Arc::new(Deliver {
        zone,
        key,
        signers,
        rooms,
        pending,
        elsewhere,
        settling,
        settling_elsewhere,
        useless,
        attempts,
        link,
    });
    let recipient = deliver.key.to_public().to_string();
    deliver.link.tell(&DeliverRequest::Recipient { recipient }, &[])?;
    deliver.settle_all()?;
    let deliveries = Pool::start("delivery", sharing::WORKERS, QUEUED).map_err(RoleError::io("starting threads"))?;
    // Of their own: a target that hangs keeps no room of this host waiting.
    let away = Pool::start("delivery-away", sharing::WORKERS, QUEUED).map_err(RoleError::io("starting threads"))?;
    let withdrawals = Pool::start("withdrawal", sharing::WORKERS, LOOKS).map_err(RoleError::io("starting threads"))?;
    let checks = Pool::start("archive-check", 1, CHECKS).map_err(RoleError::io("starting a thread"))?;
    // A thread of its own: a room that does not answer keeps nobody else waiting.
    let looks = Pool::start("look", 1, LOOKS).map_err(RoleError::io("starting a thread"))?;
    // And of its own: what rooms elsewhere take their time for.
    let settling = Pool::start("settle", 1, 1).map_err(RoleError::io("starting a thread"))?;
    // `control` answers a poll, with work or without, or this role ends; so it does for each receipt that is settled.
    let pulse = pulse::of("work", limits::ROLE_TIMEOUT * 3);
    loop {
        pulse.beat();
        let (task, wrapped) = deliver.link.ask(&DeliverRequest::Next, &[])?;
        match task {
            DeliverReply::Idle => {
                deliver.settle_all()?;
                let doing = Arc::clone(&deliver);
                // Where one is still at it there is another after it.
                let _ = settling.give(move || doing.settle_elsewhere());
            }
            DeliverReply::Deliver { transfer, grant, signature, documents, version, elsewhere } => {
                let doing = Arc::clone(&deliver);
                let workers = if elsewhere { &away } else { &deliveries };
                let attempt = doing.attempts.begin(&transfer);
                let given = workers.give(move || {
                    doing.task(&attempt, &transfer, (&grant, &signature), (documents, version), &wrapped);
                    doing.attempts.end(&transfer, &attempt);
                });
                if given.is_err() {
                    // Not to be forgotten: `control` hands out again what was in work when the link ends.
                    return Err(RoleError::State("more tasks than deliver can do".into()));
                }
            }
            DeliverReply::Stop { transfer } => deliver.attempts.stop(&transfer),
            DeliverReply::Check { transfer, room_folder, bag, tagmanifest, totals } => {
                let doing = Arc::clone(&deliver);
                let check = move || {
                    let archived = Archived { transfer: &transfer, bag: &bag, tagmanifest, totals };
                    doing.check_archive(&room_folder, &archived);
                };
                if checks.give(check).is_err() {
                    return Err(RoleError::State("more archives than deliver can read".into()));
                }
            }
            DeliverReply::Withdraw { transfer, room_folder, dataset, elsewhere, last } => {
                let doing = Arc::clone(&deliver);
                let withdraw = move || match elsewhere {
                    Some(room) => doing.withdraw_elsewhere(transfer, &room, &dataset, last),
                    None => doing.withdraw(transfer, &room_folder, &dataset),
                };
                if withdrawals.give(withdraw).is_err() {
                    return Err(RoleError::State("more deliveries to be taken back than deliver can".into()));
                }
            }
            DeliverReply::Remove { transfer, room_folder, dataset } => {
                let doing = Arc::clone(&deliver);
                if looks.give(move || doing.remove(transfer, &room_folder, &dataset)).is_err() {
                    return Err(RoleError::State("more versions to be removed than deliver can".into()));
                }
            }
            DeliverReply::Look { bags } => {
                let doing = Arc::clone(&deliver);
                if looks.give(move || doing.look(&bags)).is_err() {
                    return Err(RoleError::State("more looks at rooms than deliver can take".into()));
                }
            }
            DeliverReply::Done
            | DeliverReply::Document
            | DeliverReply::Signed { .. }
            | DeliverReply::Receipt { .. }
            | DeliverReply::Refused(_) => {
                return Err(RoleError::State("control answered a request for work with what is no work".into()));
            }
        }
    }
}

impl Deliver {
    fn task(
        &self,
        attempt: &Attempt,
        transfer: &TransferId,
        grant: (&str, &str),
        bag: (Vec<String>, bool),
        wrapped: &[u8],
    ) {
        if self.link.is_lost() {
            // Nobody would hear of it: `control` hands it out again.
            return;
        }
        let grant = match self.check(transfer, grant) {
            Ok(grant) => grant,
            Err(reason) => {
                tracing::error!(%transfer, code = FaultCause::BadGrant.as_str(), reason, "a grant was refused");
                let outcome = DeliverOutcome::BadGrant { reason };
                return self.link.tell_or_end(&DeliverRequest::Delivered { transfer: transfer.clone(), outcome }, &[]);
            }
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.deliver(attempt, &grant, bag, wrapped)))
            .unwrap_or_else(|_| Err(DeliverError::Fault("deliver crashed over it".into())));
        let outcome = match done {
            Ok(()) => return,
            Err(DeliverError::Link(error)) => {
                tracing::error!(%transfer, %error, "the link was lost during a delivery");
                return self.link.end();
            }
            Err(DeliverError::Integrity(reason)) => DeliverOutcome::Integrity { reason },
            // Closing its connection is what ended it, perhaps.
            Err(_) if attempt.is_stopped() => DeliverOutcome::Stopped,
            Err(error @ (DeliverError::Fault(_) | DeliverError::Differs | DeliverError::Stopped)) => {
                DeliverOutcome::Fault { reason: error.to_string() }
            }
        };
        if outcome == DeliverOutcome::Stopped {
            tracing::info!(%transfer, "a delivery was ended");
        } else {
            tracing::error!(%transfer, ?outcome, "a dataset was not delivered");
        }
        self.link.tell_or_end(&DeliverRequest::Delivered { transfer: transfer.clone(), outcome }, &[]);
    }

    /// Reads an archived bag again and tells what was found.
    fn check_archive(&self, room_folder: &str, archived: &Archived<'_>) {
        if self.link.is_lost() {
            return;
        }
        let transfer = archived.transfer.clone();
        let read =
            || self.rooms.folder(room_folder).map(|room| fixity::check(&room, archived, self.signers.of_receipts()));
        let outcome = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(fixity)) => CheckOutcome::Read { fixity },
            Ok(Err(error)) => CheckOutcome::Fault { reason: format!("reading an archived bag: {error}") },
            Err(_) => CheckOutcome::Fault { reason: "deliver crashed over it".into() },
        };
        match &outcome {
            CheckOutcome::Read { fixity } if fixity.is_whole() => tracing::info!(%transfer, "archived bag is whole"),
            outcome => tracing::error!(%transfer, ?outcome, "an archived bag is not as it was"),
        }
        self.link.tell_or_end(&DeliverRequest::Checked { transfer, outcome }, &[]);
    }

    /// Looks whether rooms have acknowledged.
    fn look(&self, bags: &[AwaitedBag]) {
        if self.link.is_lost() {
            return;
        }
        let look = || acknowledgements::look(&self.rooms, bags, &self.link, &self.signers, &self.useless);
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(Ok(())) => self.link.tell_or_end(&DeliverRequest::Looked, &[]),
            // What it was about is handed out again.
            Ok(Err(error)) => {
                tracing::error!(%error, "the link was lost during a look at the rooms");
                self.link.end();
            }
            Err(_) => self.link.end(),
        }
    }

    /// The grant, if it is `control`'s, for this transfer and this key; or why it is not.
    fn check(&self, transfer: &TransferId, (statement, signature): (&str, &str)) -> Result<ReleaseGrant, String> {
        let grant = self.signers.grant(statement, signature).map_err(|error| error.to_string())?;
        if grant.statement().transfer != *transfer {
            return Err("the grant is for another transfer".into());
        }
        if grant.statement().deliver != self.key.to_public().to_string() {
            return Err("the grant is for another key than deliver's".into());
        }
        Ok(grant)
    }

    /// `documents`: names of those that go into the bag; `version`: whether `current` is to name it.
    fn deliver(
        &self,
        attempt: &Attempt,
        grant: &ReleaseGrant,
        (documents, version): (Vec<String>, bool),
        wrapped: &[u8],
    ) -> Result<(), DeliverError> {
        attempt.goes_on()?;
        let granted = grant.statement();
        let identity = identity::unwrap(wrapped, &self.key, &granted.identity)
            .map_err(|error| DeliverError::Fault(format!("the transfer's identity: {error}")))?;
        let sealed = transfer_folder(&self.zone.layout.sealed(), &granted.transfer);
        let documents =
            FromControl { link: &self.link, signers: &self.signers, transfer: &granted.transfer, names: documents };
        let (visible, elsewhere) = if granted.elsewhere {
            let (visible, stored) = self.elsewhere.deliver(attempt, &sealed, grant, &identity, &documents)?;
            (visible, Some(Sent { room: granted.room.clone(), dataset: granted.dataset.clone(), stored }))
        } else {
            (delivery::deliver(attempt, &self.rooms, &sealed, grant, &identity, &documents)?, None)
        };
        tracing::info!(transfer = %granted.transfer, "dataset delivered");
        let Visible { bag, tagmanifest } = visible;
        let (transfer, room_folder) = (granted.transfer.clone(), granted.room_folder.clone());
        let pending = Pending { transfer, room_folder, bag, tagmanifest, elsewhere };
        let settling = if granted.elsewhere { &self.settling_elsewhere } else { &self.settling };
        let _one_at_a_time = settling.lock().unwrap_or_else(PoisonError::into_inner);
        if version && !granted.elsewhere {
            let dataset =
                self.rooms.folder(&granted.room_folder).and_then(|room| room.folder(granted.dataset.as_str()));
            dataset
                .and_then(|dataset| current::switch(&dataset, &granted.transfer))
                .map_err(DeliverError::io("naming the current version"))?;
        }
        self.pending.add(&pending).map_err(DeliverError::io("remembering a delivery"))?;
        Ok(self.tell(&pending).map(drop)?)
    }
}

#[cfg(test)]
mod tests;
