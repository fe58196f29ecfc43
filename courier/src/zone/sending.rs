//! A bag on its way to another zone: a thread that runs the sender's library, which reads what is handed over.

use super::evidence;
use super::feed::{Feed, feed};
use super::memory::{Memory, Sent};
use crate::settings::Zone;
use crate::target::{Bag, Told, Trouble};
use sluse_protocol::courier::{FileHead, NotKept};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::ZoneName;
use sluse_protocol::time::Timestamp;
use sluse_sender::{Again, Files, Given, GivenFile, Identity, Options, Outcome, Progress, Wait};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// How long the zone may be away, without any progress, before an attempt ends.
const GIVE_UP: Duration = Duration::from_secs(20);

/// How long an attempt waits for the zone's receipt once it has all: what takes longer, as a person's decision does, is asked after in later
/// attempts.
const WAIT: Duration = Duration::from_secs(20);

/// A bag that is being sent.
#[derive(Debug)]
pub struct Sending {
    zone: ZoneName,
    give: SyncSender<Vec<u8>>,
    ended: Receiver<Told<Outcome>>,
}

/// What is sent.
pub struct Parcel<'a> {
    /// The bag.
    pub bag: &'a Bag,
    /// Its files, in the order of their paths.
    pub files: &'a [FileHead],
    /// What of it does not travel.
    pub not_kept: Vec<NotKept>,
    /// Whether the transfer that was begun there has expired.
    pub anew: bool,
}

impl Sending {
    /// Begins to send.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(way: &Zone, parcel: Parcel<'_>, identity: Arc<Identity>, memory: Arc<Memory>) -> Told<Self> {
        let Parcel { bag, files, not_kept, anew } = parcel;
        let (zone, (give, feed)) = (identity.zone().clone(), feed());
        let given = |file: &FileHead| {
            let mtime = Timestamp::from_unix(file.mtime);
            GivenFile { path: file.path.clone(), bytes: file.bytes, mtime }
        };
        let cannot = |error| Trouble::new(format!("the courier cannot send: {error}"));
        // Nothing tells whether these bytes are those of an attempt before: they are read.
        let version = Sha256::of(&sluse_host::random::bytes::<32>().map_err(cannot)?[..]);
        let files = Given { files: files.iter().map(given).collect(), version, supply: Arc::new(feed.clone()) };
        let options = Options {
            agreement: way.agreement.clone(),
            dataset: bag.dataset.clone(),
            files: Files::Given(files),
            // What the zone decided against is not sent again.
            again: if anew { Again::Lost } else { Again::Never },
            // The same bag is the same transfer there, and no other bag is.
            apart: Some(bag.transfer.to_string()),
            sync: false,
            wait: Wait::Delivered,
            wait_timeout: WAIT,
            give_up: GIVE_UP,
        };
        let (tell, ended) = sync_channel(1);
        let work = move || {
            let sent = send(&identity, &options, &memory, &not_kept, &feed);
            // Nothing of it is held when its end is heard of.
            drop((options, feed, memory));
            // Nobody may wait any more.
            let _ = tell.send(sent);
        };
        std::thread::Builder::new().name("send".into()).spawn(work).map_err(cannot)?;
        Ok(Self { zone, give, ended })
    }

    /// Hands bytes over.
    ///
    /// # Errors
    /// When sending has ended, and why.
    pub fn put(&self, bytes: Vec<u8>) -> Told<()> {
        match self.ended.try_recv() {
            Err(TryRecvError::Empty) => {}
            Ok(ended) => return Err(self.early(ended)),
            Err(TryRecvError::Disconnected) => return Err(died()),
        }
        match self.give.send(bytes) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended.recv().map_or_else(|_| died(), |ended| self.early(ended))),
        }
    }

    /// Waits for what becomes of it, after its last byte.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn finish(self) -> Told<Outcome> {
        let Self { give, ended, .. } = self;
        drop(give);
        ended.recv().unwrap_or_else(|_| Err(died()))
    }

    /// What ended before all was handed over was not taken.
    fn early(&self, ended: Told<Outcome>) -> Trouble {
        match ended {
            Ok(outcome) => evidence::stands_not(&self.zone, outcome.state, outcome.reason.as_ref()),
            Err(trouble) => trouble,
        }
    }
}

fn send(identity: &Identity, options: &Options, memory: &Memory, not_kept: &[NotKept], feed: &Feed) -> Told<Outcome> {
    let mut progress = |progress| {
        if let Progress::Accepted { transfer, .. } = progress
            && let Err(error) = memory.note(&Sent { transfer, not_kept: not_kept.to_vec() })
        {
            tracing::error!(%error, "which transfer it is there could not be noted");
            feed.stop("which transfer it is there could not be noted");
        }
    };
    let outcome = sluse_sender::send(identity, options, &mut progress).map_err(|error| evidence::not_sent(&error))?;
    let (transfer, bytes, sent) = (&outcome.transfer, outcome.totals.bytes, outcome.sent_bytes);
    tracing::info!(%transfer, bytes, sent, state = %outcome.state, "the zone has the bag");
    Ok(outcome)
}

fn died() -> Trouble {
    Trouble::new("what sends has died")
}
