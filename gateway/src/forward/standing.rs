//! How the spool stands, for whoever asks, and in the log what waits for somebody. Both again and again: what stays for months must not
//! be found out by a full disk.

use super::memory::Memory;
use crate::gather::Gatherer;
use crate::spool::Spool;
use crate::status::{Flow, Inboxes, Late, MOST_NAMED, Status, Stays, Why};
use sluse_host::clock;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often it is looked at, and written though it is as before.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Hexadecimal digits by which a group is named: as in datasets' names.
const DIGITS: usize = 12;

/// What keeps account of how the spool stands.
pub struct Standing {
    spool: Spool,
    flows: Vec<AgreementId>,
    /// A group of which nothing came for so long is late.
    late: Duration,
    /// When it is looked at next.
    due: Option<Instant>,
    written: Option<(Instant, Status)>,
    told: Option<Instant>,
}

impl Standing {
    /// For the flows of a spool. What waits for longer than `late` is told of.
    pub fn new(spool: Spool, flows: Vec<AgreementId>, late: Duration) -> Self {
        Self { spool, flows, late, due: None, written: None, told: None }
    }

    /// Looks, now and then. What cannot be looked at or written is told of, and keeps nothing else from being done.
    pub fn look(&mut self, gatherer: &Gatherer, memory: &Memory, stays: &mut BTreeMap<String, Why>) {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        self.due = Some(Instant::now() + LOOK_EVERY);
        // Whoever moved one away has seen to it.
        let arrived = self.spool.arrived();
        stays.retain(|parcel, _| fs::symlink_metadata(arrived.join(parcel)).is_ok());
        let kept = self.status(gatherer, memory, stays).and_then(|status| {
            self.tell(&status);
            self.write(status)
        });
        if let Err(error) = kept {
            self.due = Some(Instant::now() + WRITE_EVERY);
            tracing::warn!("how the spool stands cannot be written down: {error}");
        }
    }

    fn status(&self, gatherer: &Gatherer, memory: &Memory, stays: &BTreeMap<String, Why>) -> io::Result<Status> {
        let (time, mut flows) = (clock::now(), BTreeMap::new());
        for flow in &self.flows {
            flows.insert(flow.clone(), in_outbox(&self.spool.outbox(flow.as_str()))?);
        }
        let over = time.plus(-i64::try_from(self.late.as_secs()).unwrap_or(i64::MAX));
        let mut late = Vec::new();
        for open in gatherer.open() {
            let flow = flows.entry(open.flow.clone()).or_default();
            flow.open += 1;
            flow.files += open.files + open.unfinished;
            flow.bytes += open.bytes;
            let Some(since) = changed(&self.spool.arrived().join(open.latest))?.filter(|since| *since <= over) else {
                continue;
            };
            let mut dataset = memory.pseudonym(open.flow.as_str(), open.group);
            dataset.truncate(DIGITS);
            let (flow, files, unfinished, bytes) = (open.flow.clone(), open.files, open.unfinished, open.bytes);
            late.push(Late { flow, dataset, files, unfinished, bytes, since });
        }
        let late_datasets = late.len();
        late.sort_by_key(|late| late.since);
        late.truncate(MOST_NAMED);
        let held = gatherer.in_inboxes();
        let in_inboxes = Inboxes { files: held.files, bytes: held.bytes };
        let mut stay_parcels = BTreeMap::new();
        for why in stays.values() {
            *stay_parcels.entry(*why).or_insert(0) += 1;
        }
        let stay = stays.iter().take(MOST_NAMED).map(|(parcel, why)| Stays { parcel: parcel.clone(), why: *why });
        Ok(Status { time, flows, in_inboxes, late, late_datasets, stay: stay.collect(), stay_parcels })
    }

    /// Once when there is something, and again after each time that makes something late.
    fn tell(&mut self, status: &Status) {
        if self.told.is_some_and(|told| told.elapsed() < self.late) {
            return;
        }
        let problems = status.problems();
        for (problem, hint) in &problems {
            tracing::warn!(hint, "{problem}");
        }
        if !problems.is_empty() {
            self.told = Some(Instant::now());
        }
    }

    fn write(&mut self, status: Status) -> io::Result<()> {
        let as_before = |(at, before): &(Instant, Status)| at.elapsed() < WRITE_EVERY && status.is_as(before);
        if !self.written.as_ref().is_some_and(as_before) {
            status.write(&self.spool)?;
            self.written = Some((Instant::now(), status));
        }
        Ok(())
    }
}

/// What an outbox holds; nothing where there is none yet.
fn in_outbox(outbox: &Path) -> io::Result<Flow> {
    let mut flow = Flow::default();
    for name in names(outbox)? {
        match name.as_str() {
            "_rejected" => flow.rejected = names(&outbox.join(name))?.len(),
            name if name.starts_with(['_', '.']) => {}
            _ => flow.to_deliver += 1,
        }
    }
    Ok(flow)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
    }
}

/// When a parcel was stored; none where it is not there any more.
fn changed(path: &Path) -> io::Result<Option<Timestamp>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let since = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))))
}
