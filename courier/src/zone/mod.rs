//! A room that is another landing zone's, over QUIC: the bag goes there as a dataset, under an agreement of that zone, from the source that
//! this courier is enrolled as. It is visible when that zone has signed that it stands in its room, and not before: it inspects what comes,
//! may hold it for days, and may reject it.
//!
//! A bag is one transfer there, whatever happens: its key follows from ours, and [`memory`] knows it from the moment it was accepted.
//! [`sending`] runs the sender's library, which reads what `deliver` hands over ([`feed`]). Bytes are encrypted by the connection, and lie
//! nowhere here. [`evidence`] is what that zone says and signs.

mod evidence;
mod feed;
mod memory;
mod sending;

use crate::leash::Leash;
use crate::settings::Zone;
use crate::target::{Bag, Target, Told, Trouble};
use memory::Memory;
use sending::{Parcel, Sending};
use sluse_protocol::courier::{AtZone, FileHead, NotKept};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::MAX_ENTRIES;
use sluse_protocol::path::DataPath;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::State;
use sluse_sender::{Error, Identity, Known};
use std::sync::Arc;

/// A bag at another zone.
pub struct Room {
    way: Zone,
    bag: Bag,
    leash: Arc<Leash>,
    identity: Arc<Identity>,
    memory: Arc<Memory>,
    /// What the zone says of the transfer that was begun there.
    known: Option<Known>,
    /// What it has signed.
    signed: Option<AtZone>,
    listed: Vec<FileHead>,
    not_kept: Vec<NotKept>,
    sending: Option<Sending>,
    /// Files that were begun.
    begun: usize,
    /// Bytes of the file that was begun that were put, and of the bag.
    put: (u64, u64),
    /// Bytes of the bag.
    total: u64,
    /// The bag's last bytes: without them nothing there is whole, and they go when it is to be.
    last: Vec<u8>,
}

impl Room {
    /// The room of a zone, which is asked when the bag is opened.
    ///
    /// # Errors
    /// When the identity cannot be read, or an attempt before has not ended.
    pub fn connect(way: &Zone, bag: Bag, leash: Arc<Leash>) -> Told<Self> {
        let identity = Arc::new(identity(way)?);
        let memory = Arc::new(Memory::open(&way.identity, &bag.transfer)?);
        Ok(Self {
            way: way.clone(),
            bag,
            leash,
            identity,
            memory,
            known: None,
            signed: None,
            listed: Vec::new(),
            not_kept: Vec::new(),
            sending: None,
            begun: 0,
            put: (0, 0),
            total: 0,
            last: Vec::new(),
        })
    }

    /// Whether the transfer that was begun there can still be sent.
    fn may_send(&self) -> Told<()> {
        let Some(Known { status, .. }) = &self.known else { return Ok(()) };
        match status.state {
            // One that waited too long to be whole is begun anew.
            State::Offered | State::Receiving | State::Expired => Ok(()),
            state => Err(evidence::stands_not(self.identity.zone(), state, status.reason.as_ref())),
        }
    }

    /// The file that was begun last.
    fn current(&self) -> Told<&FileHead> {
        let at = self.begun.checked_sub(1).ok_or_else(|| Trouble::new("bytes of no file"))?;
        self.listed.get(at).ok_or_else(|| Trouble::new("a file that was not listed"))
    }

    /// All is listed: the offer can be made.
    fn start(&mut self) -> Told<()> {
        self.may_send()?;
        self.listed.sort_by(|one, other| one.path.cmp(&other.path));
        self.total = self.listed.iter().fold(0, |sum, file| sum.saturating_add(file.bytes));
        let anew = self.known.as_ref().is_some_and(|known| known.status.state == State::Expired);
        let parcel = Parcel { bag: &self.bag, files: &self.listed, not_kept: self.not_kept.clone(), anew };
        let sending = Sending::begin(&self.way, parcel, Arc::clone(&self.identity), Arc::clone(&self.memory))?;
        self.sending = Some(sending);
        Ok(())
    }

    fn not_kept(&mut self, what: NotKept) {
        if !self.not_kept.contains(&what) {
            self.not_kept.push(what);
        }
    }
}

impl Target for Room {
    /// What was begun is gone on with also when it is to be begun anew: it cannot be taken back, and a second one would be one too many.
    fn open(&mut self, _anew: bool) -> Told<bool> {
        self.signed = self.memory.signed()?;
        let Some(sent) = self.memory.sent()? else { return Ok(false) };
        self.not_kept = sent.not_kept;
        if self.signed.is_none() {
            let known = ask(&self.identity, &sent.transfer)?;
            self.signed = self.memory.keep(&known.receipts)?;
            self.known = Some(known);
        }
        Ok(self.signed.is_some())
    }

    fn list(&mut self, file: FileHead) -> Told<()> {
        self.may_send()?;
        if self.sending.is_some() || self.listed.len() as u64 >= MAX_ENTRIES {
            return Err(Trouble::new("more files than a zone takes"));
        }
        if file.executable {
            self.not_kept(NotKept::ExecutableBits);
        }
        self.listed.push(file);
        Ok(())
    }

    fn begin(&mut self, file: FileHead) -> Told<u64> {
        if self.begun == 0 {
            self.start()?;
        }
        self.begun += 1;
        self.put.0 = 0;
        let same = |listed: &FileHead| (&listed.path, listed.bytes) == (&file.path, file.bytes);
        if !self.current().is_ok_and(same) {
            return Err(Trouble::new("a file that was not listed, or not in its place"));
        }
        Ok(0)
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> Told<()> {
        let (size, count) = (self.current()?.bytes, bytes.len() as u64);
        if offset != self.put.0 || offset.saturating_add(count) > size {
            return Err(Trouble::new("bytes that do not follow"));
        }
        self.put = (offset + count, self.put.1 + count);
        if self.put.1 == self.total {
            self.last.extend_from_slice(bytes);
            return Ok(());
        }
        let sending = self.sending.as_ref().ok_or_else(|| Trouble::new("nothing is being sent"))?;
        sending.put(bytes.to_vec())
    }

    fn end(&mut self) -> Told<()> {
        if self.put.0 == self.current()?.bytes {
            return Ok(());
        }
        Err(Trouble::new("a file ended before it had all its bytes"))
    }

    fn folder(&mut self, _path: &DataPath) -> Told<()> {
        self.may_send()?;
        self.not_kept(NotKept::EmptyFolders);
        Ok(())
    }

    fn read(&mut self, _path: &DataPath, _offset: u64) -> Told<Vec<u8>> {
        Err(Trouble::new("another zone gives nothing back"))
    }

    fn publish(&mut self) -> Told<Vec<NotKept>> {
        if self.signed.is_none() {
            let whole = self.begun == self.listed.len() && self.put.1 == self.total;
            let sending = self.sending.take().filter(|_| whole);
            let sending = sending.ok_or_else(|| Trouble::new("not all that was listed was sent"))?;
            self.leash.holds()?;
            sending.put(std::mem::take(&mut self.last))?;
            let outcome = sending.finish()?;
            self.signed = self.memory.keep(&outcome.receipts)?;
            if self.signed.is_none() {
                let zone = self.identity.zone();
                return Err(evidence::stands_not(zone, outcome.state, outcome.reason.as_ref()));
            }
        }
        Ok(self.not_kept.clone())
    }

    fn signed(&self) -> Option<AtZone> {
        self.signed.clone()
    }

    /// Nothing can be laid beside a bag in another zone's room: it lies here, beside what that zone signed.
    fn lay(&mut self, name: &DataPath, bytes: &[u8]) -> Told<()> {
        if self.signed.is_none() || name.components().count() != 1 {
            return Err(Trouble::new("a receipt of a bag that is not there"));
        }
        self.memory.write(name.as_str(), bytes)
    }

    /// What that zone does not have whole never comes into its room, and expires there by itself. What it has whole is its own to decide on.
    fn withdraw(&mut self) -> Told<bool> {
        self.sending = None;
        let Some(Known { status, .. }) = &self.known else { return Ok(self.signed.is_some()) };
        match status.state {
            _ if self.signed.is_some() => Ok(true),
            State::Offered | State::Receiving => Ok(false),
            state if state.is_lost() => Ok(false),
            state => Err(Trouble::new(format!(
                "the zone {} has it whole ({state}) and may let it into its room: its operators must reject or cancel it first",
                self.identity.zone()
            ))),
        }
    }
}

fn identity(way: &Zone) -> Told<Identity> {
    Identity::load(&way.identity).map_err(|error| Trouble::new(error.to_string()))
}

fn ask(identity: &Identity, transfer: &TransferId) -> Told<Known> {
    let known = sluse_sender::status(identity, Some(transfer)).map_err(|error| evidence::not_sent(&error))?;
    known.into_iter().next().ok_or_else(|| Trouble::new("the zone says nothing of the transfer"))
}

/// Asks the zone whether it knows us.
///
/// # Errors
/// When it cannot be reached, is another one, or does not take our certificate.
pub fn check(way: &Zone) -> Told<()> {
    let identity = identity(way)?;
    let none: TransferId = "20000101-000000-00000000".parse().map_err(|_| Trouble::new("a check's name is none"))?;
    match sluse_sender::status(&identity, Some(&none)) {
        Err(Error::Refused(refusal)) if refusal.code == Code::UnknownTransfer => Ok(()),
        Err(error) => Err(evidence::not_sent(&error)),
        Ok(_) => Ok(()),
    }
}
