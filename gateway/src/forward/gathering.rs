//! The thread that gathers: it looks for parcels, hands them to the [`Gatherer`], and does what that decides.

use super::closing::{Closing, Made};
use super::standing::Standing;
use crate::Error;
use crate::gather::{Action, Gatherer, Rules};
use crate::settings::{Flow, Settings};
use crate::spool::{Opened, Says, Spool};
use crate::status::Why;
use age::x25519::Identity;
use serde::de::DeserializeOwned;
use sluse_host::files;
use sluse_protocol::ids::{AgreementId, DatasetName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked whether something arrived: a look at a folder's time of change.
const LOOK: Duration = Duration::from_millis(100);

/// A change of the folder within this time before it was looked at may be followed by another of the same time.
const COARSE: Duration = Duration::from_secs(1);

/// How long nothing is tried after the spool failed.
const REST: Duration = Duration::from_secs(5);

/// How much longer than a client is promised an unfinished file is kept: bytes that began to come in time still count.
const GRACE: Duration = Duration::from_secs(3600);

/// How often the memory is cleared of what is old.
const CLEAR_EVERY: Duration = Duration::from_secs(3600);

/// Gathers.
pub struct Gathering {
    spool: Spool,
    identity: Identity,
    closing: Closing,
    gatherer: Gatherer,
    names: BTreeMap<AgreementId, DatasetName>,
    /// Parcels that the gatherer knows.
    known: BTreeSet<String>,
    /// Parcels of which nothing can be made: left where they are until somebody looks.
    stays: BTreeMap<String, Why>,
    standing: Standing,
    /// Parcels that were seen, and wait for what they may build on: what was stored before them is seen when they are seen again.
    waited: BTreeSet<String>,
    remember: Duration,
    cleared: Option<Instant>,
    /// Whether a failure may have left something between a group and its outbox.
    interrupted: bool,
    looked: Option<SystemTime>,
    begun: Instant,
}

impl Gathering {
    /// Finishes what a crash left, and is ready to run.
    ///
    /// # Errors
    /// When the spool cannot be read or written.
    pub fn new(spool: Spool, identity: Identity, settings: &Settings) -> Result<Self, Error> {
        let expire = settings.expire + GRACE;
        let rules = |flow: &Flow| (flow.name.clone(), Rules { quiet: flow.quiet, expire });
        let closing = Closing::new(spool.clone(), identity.clone());
        let flows = settings.flows.iter().map(|flow| flow.name.clone()).collect();
        let standing = Standing::new(spool.clone(), flows, settings.expire);
        let finished = closing.resume().map_err(Error::at(&spool.closing()))?;
        if finished > 0 {
            tracing::info!(datasets = finished, "finished what was interrupted");
        }
        Ok(Self {
            spool,
            identity,
            closing,
            gatherer: Gatherer::new(settings.flows.iter().map(rules).collect()),
            names: settings.flows.iter().map(|flow| (flow.name.clone(), flow.dataset.clone())).collect(),
            known: BTreeSet::new(),
            stays: BTreeMap::new(),
            standing,
            waited: BTreeSet::new(),
            remember: settings.remember,
            cleared: None,
            interrupted: false,
            looked: None,
            begun: Instant::now(),
        })
    }

    /// Gathers until the process ends.
    pub fn run(mut self) {
        loop {
            thread::sleep(LOOK);
            if let Err(error) = self.step() {
                tracing::error!("the spool fails, will try again: {error}");
                thread::sleep(REST);
                self.begin_anew();
            }
        }
    }

    /// After a failure as after a restart: what counts lies in the spool.
    fn begin_anew(&mut self) {
        self.gatherer.clear();
        self.known.clear();
        self.stays.clear();
        self.waited.clear();
        self.looked = None;
        self.interrupted = true;
    }

    fn step(&mut self) -> io::Result<()> {
        if self.interrupted {
            self.closing.resume()?;
            self.interrupted = false;
        }
        self.take_in()?;
        let actions = self.gatherer.tick(self.begun.elapsed());
        self.act(actions)?;
        if self.cleared.is_none_or(|cleared| cleared.elapsed() >= CLEAR_EVERY) {
            self.closing.memory().forget(self.remember)?;
            self.cleared = Some(Instant::now());
        }
        self.standing.look(&self.gatherer, self.closing.memory(), &mut self.stays);
        Ok(())
    }

    /// Takes in the parcels that are new, in the order in which they came.
    fn take_in(&mut self) -> io::Result<()> {
        let arrived = self.spool.arrived();
        let changed = fs::metadata(&arrived)?.modified()?;
        if self.looked == Some(changed) {
            return Ok(());
        }
        let settled = SystemTime::now().duration_since(changed).is_ok_and(|since| since > COARSE);
        let mut fresh = BTreeSet::new();
        for entry in fs::read_dir(&arrived)? {
            // intake gives parcels names of ASCII.
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !self.known.contains(&name) && !self.stays.contains_key(&name) {
                fresh.insert(name);
            }
        }
        let mut waits = None;
        for name in &fresh {
            if !self.take(name)? {
                waits = Some(name.clone());
                break;
            }
        }
        // What came behind it waits too: the order stays.
        self.waited = waits.map_or_else(BTreeSet::new, |first| fresh.split_off(&first));
        self.looked = (settled && self.waited.is_empty()).then_some(changed);
        Ok(())
    }

    /// Takes a parcel, unless it waits.
    fn take(&mut self, name: &str) -> io::Result<bool> {
        match Opened::open(&self.spool.arrived().join(name), &self.identity) {
            Ok(opened) if self.gatherer.knows(&opened.tail().label.flow) => self.hand_over(name, opened),
            Ok(_) => {
                tracing::error!(parcel = name, "belongs to a flow that is not configured: it stays in the spool");
                self.stays.insert(name.to_owned(), Why::NoFlow);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(parcel = name, "cannot be read: {error}; it stays in the spool");
                self.stays.insert(name.to_owned(), Why::Unreadable);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn hand_over(&mut self, name: &str, opened: Opened) -> io::Result<bool> {
        let tail = opened.tail().clone();
        if self.gatherer.waits(&tail) && !self.waited.contains(name) {
            return Ok(false);
        }
        let name = name.to_owned();
        self.known.insert(name.clone());
        let says = tail.label.says.clone();
        let actions = match says {
            Says::Listed => lines(opened).map(|list| self.gatherer.listed(name.clone(), tail.label, list)),
            Says::Remaining => lines(opened)
                .map(|files| self.gatherer.remaining(name.clone(), &tail.label, &files.into_iter().collect())),
            _ => Ok(self.gatherer.arrived(name.clone(), tail, self.begun.elapsed())),
        };
        match actions {
            Err(error) if is_damage(&error) => {
                tracing::error!(parcel = name, "what it lists cannot be read: {error}; it stays in the spool");
                self.stays.insert(name, Why::Unreadable);
            }
            actions => self.act(actions?)?,
        }
        Ok(true)
    }

    fn act(&mut self, actions: Vec<Action>) -> io::Result<()> {
        for action in actions {
            match action {
                Action::Close(closed) => {
                    let (flow, files) = (closed.flow.clone(), closed.files.len());
                    let list = closed.list.as_ref().map(|list| list.parcel.clone());
                    let parcels: Vec<_> = closed.files.iter().flat_map(|file| &file.parts).cloned().collect();
                    let made = match self.closing.close(closed, self.names.get(&flow)) {
                        Err(error) if is_damage(&error) => {
                            // Others go on. It is tried again when this is started again.
                            let first = list.or_else(|| parcels.first().map(|part| part.parcel.clone()));
                            self.stays.extend(first.map(|parcel| (parcel, Why::Unreadable)));
                            tracing::error!(
                                flow = flow.as_str(),
                                files,
                                "cannot be read: {error}; it stays in the spool"
                            );
                            continue;
                        }
                        made => made?,
                    };
                    // What is not complete is not looked at again before this is started again.
                    if !matches!(made, Made::Incomplete(_)) {
                        for parcel in parcels.into_iter().map(|part| part.parcel).chain(list.clone()) {
                            self.known.remove(&parcel);
                        }
                    }
                    match made {
                        Made::Dataset(version) => tracing::info!(flow = flow.as_str(), files, version, "gathered"),
                        Made::Known => tracing::info!(flow = flow.as_str(), files, "was sent before: not sent again"),
                        Made::Incomplete(missing) => {
                            self.stays.extend(list.map(|parcel| (parcel, Why::Incomplete)));
                            tracing::error!(
                                flow = flow.as_str(),
                                files,
                                missing,
                                "files are missing: it stays in the spool"
                            );
                        }
                    }
                }
                Action::Delete(parcels) => self.delete(parcels)?,
                Action::GivenUp(flow, files) => {
                    tracing::warn!(flow = flow.as_str(), files, "files that stayed unfinished were given up");
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, parcels: Vec<String>) -> io::Result<()> {
        for parcel in &parcels {
            match fs::remove_file(self.spool.arrived().join(parcel)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.known.remove(parcel),
            };
        }
        files::sync_folder(&self.spool.arrived())
    }
}

/// Whether it is what was read that is wrong, and not the disk: it is the same the next time.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidData, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof | FileTooLarge)
}

/// Bytes of the longest list: some hundred for each of 100,000 files.
const MAX_LIST: u64 = 256 * 1024 * 1024;

/// The lines of JSON that a parcel's bytes are.
fn lines<T: DeserializeOwned>(opened: Opened) -> io::Result<Vec<T>> {
    let bytes = opened.tail().bytes;
    if bytes > MAX_LIST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = Vec::new();
    opened.bytes(0, bytes)?.read_to_end(&mut text)?;
    let lines = serde_json::Deserializer::from_slice(&text).into_iter();
    Ok(lines.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{FileId, Inlet, Label, Listed};
    use sluse_protocol::time::Timestamp;
    use std::path::Path;
    use std::sync::Arc;

    struct Place {
        _folder: tempfile::TempDir,
        spool: Spool,
        inlet: Arc<Inlet>,
        gathering: Gathering,
    }

    impl Place {
        fn new() -> Self {
            let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
            let text = "[gateway]\nspool = \"s\"\npublic_key = \"p\"\nprivate_key = \"k\"\nidentity = \"i\"\n\
                        [flow.lab]\nagreement = \"lab\"\n";
            let settings = Settings::parse(text, Path::new("/")).unwrap();
            let spool = Spool::open(folder.path()).unwrap();
            let inlet = Inlet::open(spool.clone(), identity.to_public(), 0).unwrap();
            let gathering = Gathering::new(spool.clone(), identity, &settings).unwrap();
            Self { _folder: folder, spool, inlet, gathering }
        }

        fn store(&self, group: &str, says: Says, bytes: &[u8]) {
            let mut parcel = self.inlet.begin().unwrap();
            parcel.write(bytes).unwrap();
            parcel.store(Label { flow: "lab".parse().unwrap(), group: group.into(), dataset: None, says }).unwrap();
        }

        /// A file in the inbox, and a list of it.
        fn listed(&self, name: &str) {
            let file = FileId::new().unwrap();
            self.store("anna", Says::Inbox { file, offset: 0 }, b"one");
            let line = Listed { file, bytes: 3, path: name.parse().unwrap(), mtime: Timestamp::from_unix(1) };
            self.store(&format!("anna/{name}"), Says::Listed, &serde_json::to_vec(&line).unwrap());
        }

        fn count(&self, folder: &Path) -> usize {
            fs::read_dir(folder).map_or(0, |found| found.count())
        }
    }

    #[test]
    fn what_came_after_it_was_said_what_remains_is_gathered_also_if_both_are_seen_at_once() {
        let mut place = Place::new();
        place.store("anna", Says::Remaining, b"");
        place.listed("a");
        place.store("anna", Says::Remaining, b"");
        (0..2).for_each(|_| place.gathering.step().unwrap());
        assert_eq!((place.count(&place.spool.outbox("lab")), place.count(&place.spool.arrived())), (1, 0));
    }

    #[test]
    fn a_list_that_cannot_be_read_stays_and_others_are_gathered() {
        let mut place = Place::new();
        place.store("anna/bad", Says::Listed, b"nonsense");
        place.listed("a");
        (0..3).for_each(|_| place.gathering.step().unwrap());
        assert_eq!((place.count(&place.spool.outbox("lab")), place.count(&place.spool.arrived())), (1, 1));
    }
}
