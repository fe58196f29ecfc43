//! What becomes one dataset, decided. Pure: what arrived and the time come in; actions go out. [`crate::forward`] does what is
//! decided here.
//!
//! A group (a study, an upload) gathers files. It closes when somebody said that nothing more comes, or when nothing came for
//! the flow's quiet time, if it has one; not while a file of it is unfinished, and not without files. After a restart the same parcels come in
//! again, and the quiet time begins anew: nothing here must outlive the process.

mod open;
mod pool;

use crate::spool::{Ends, FileId, Label, Listed, Says, Tail};
use pool::Pool;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use open::{InInboxes, Open};

/// Files of one dataset: with more a group is closed, and what follows is another version.
pub const MAX_FILES: usize = 100_000;

/// A parcel's name in the spool.
pub type ParcelName = String;

/// When the groups of a flow close, and how long a file may stay unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nothing came for so long; none where it is said when a group is whole.
    pub quiet: Option<Duration>,
    /// A file that got no bytes for so long is given up.
    pub expire: Duration,
}

/// Bytes of one parcel in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The parcel.
    pub parcel: ParcelName,
    /// How many of its bytes count: those in front.
    pub bytes: u64,
}

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// Its path in the dataset.
    pub path: DataPath,
    /// When it was changed last.
    pub mtime: Timestamp,
    /// Its SHA-256, where it is known without reading it again.
    pub sha256: Option<Sha256>,
    /// Whether it shows how something stands now.
    pub stands: bool,
    /// What stands for its content when it is compared, where that is not its SHA-256.
    pub same_as: Option<Sha256>,
    /// Its bytes, in their order.
    pub parts: Vec<Part>,
}

/// A dataset that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Its flow.
    pub flow: AgreementId,
    /// What it was gathered by.
    pub group: String,
    /// Its name, where the client chose it.
    pub dataset: Option<DatasetName>,
    /// Its files, ascending by path.
    pub files: Vec<Gathered>,
    /// The list that named them, where one did: then they are all of the dataset.
    pub list: Option<List>,
}

/// A list that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its parcel, which goes when the dataset was made.
    pub parcel: ParcelName,
    /// How many files it names that are not there, or not as long as it says.
    pub missing: usize,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a dataset of these files.
    Close(Closed),
    /// Delete these parcels: they say nothing that counts any more.
    Delete(Vec<ParcelName>),
    /// So many files of a flow were given up: they stayed unfinished for too long.
    GivenUp(AgreementId, usize),
}

#[derive(Debug)]
struct File {
    parts: Vec<Part>,
    /// Of a file in one parcel.
    sha256: Option<Sha256>,
    ends: Option<Ends>,
    touched: Duration,
}

#[derive(Debug, Default)]
struct Group {
    dataset: Option<DatasetName>,
    files: BTreeMap<FileId, File>,
    /// Which whole file has a path.
    paths: BTreeMap<DataPath, FileId>,
    /// Parcels without bytes, which said something that still counts.
    words: Vec<ParcelName>,
    closed: bool,
    changed: Duration,
}

/// All groups that are open.
#[derive(Debug)]
pub struct Gatherer {
    rules: BTreeMap<AgreementId, Rules>,
    groups: BTreeMap<(AgreementId, String), Group>,
    /// Files in inboxes.
    pool: Pool,
}

impl Gatherer {
    /// Nothing gathered yet.
    pub fn new(rules: BTreeMap<AgreementId, Rules>) -> Self {
        Self { rules, groups: BTreeMap::new(), pool: Pool::default() }
    }

    /// Whether a flow is configured. Parcels of one that is not stay where they are.
    pub fn knows(&self, flow: &AgreementId) -> bool {
        self.rules.contains_key(flow)
    }

    /// A parcel arrived: in the order of their names.
    pub fn arrived(&mut self, parcel: ParcelName, tail: Tail, now: Duration) -> Vec<Action> {
        let Tail { label: Label { flow, group: name, dataset, says }, bytes, sha256 } = tail;
        if let Says::Inbox { file, offset } = says {
            let dead = self.pool.part(name, file, offset, Part { parcel, bytes }, sha256);
            return delete(dead);
        }
        let group = self.groups.entry((flow, name)).or_default();
        group.changed = now;
        group.dataset = dataset.or(group.dataset.take());
        let mut dead = Vec::new();
        match says {
            Says::Part { file, offset, ends } => {
                let taken = group.part(file, offset, Part { parcel, bytes }, sha256, now, &mut dead);
                if let Some(ends) = ends.filter(|_| taken) {
                    group.end(file, ends, &mut dead);
                }
            }
            Says::Withdrawn { file } => {
                group.withdraw(file, &mut dead);
                self.pool.withdraw(file, &mut dead);
                // The word goes last: what a crash leaves of the bytes is withdrawn again.
                dead.push(parcel);
            }
            Says::Closed => {
                group.closed = true;
                group.words.push(parcel);
            }
            // Those are taken with what they list.
            Says::Inbox { .. } | Says::Listed | Says::Remaining => {}
        }
        let mut actions = self.tick(now);
        if !dead.is_empty() {
            actions.push(Action::Delete(dead));
        }
        actions
    }

    /// Whether what a parcel says rests on others that are not there yet, or may rest on such. Parcels are stored in the order in
    /// which they build on one another, but a folder that changes while it is read may show the later one first: who saw one
    /// that waits looks again, and then hands it over as it is.
    pub fn waits(&self, tail: &Tail) -> bool {
        let Label { flow, group, says, .. } = &tail.label;
        match says {
            // Files of its group that were stored before it may not have been seen.
            Says::Part { ends: Some(ends), .. } if ends.closes => true,
            Says::Part { file, offset, .. } => {
                let group = self.groups.get(&(flow.clone(), group.clone()));
                group.and_then(|group| group.files.get(file)).map_or(0, File::bytes) < *offset
            }
            Says::Inbox { file, offset } => self.pool.bytes(*file) < *offset,
            Says::Withdrawn { .. } | Says::Closed | Says::Listed | Says::Remaining => true,
        }
    }

    /// A list arrived: its files leave their inboxes and are a dataset. Whether one of which files are missing was done before a
    /// crash, who makes datasets remembers.
    pub fn listed(&mut self, parcel: ParcelName, label: Label, list: Vec<Listed>) -> Vec<Action> {
        let mut dead = Vec::new();
        let (files, missing) = self.pool.take(list, &mut dead);
        let Label { flow, group, dataset, .. } = label;
        let list = Some(List { parcel, missing });
        let mut actions = vec![Action::Close(Closed { flow, group, dataset, files, list })];
        actions.extend(delete(dead));
        actions
    }

    /// It was said which files remain in an inbox.
    pub fn remaining(&mut self, parcel: ParcelName, label: &Label, files: &BTreeSet<FileId>) -> Vec<Action> {
        let mut dead = Vec::new();
        self.pool.keep(&label.group, files, &parcel, &mut dead);
        dead.push(parcel);
        delete(dead)
    }

    /// Time passed.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        let rules = &self.rules;
        self.groups.retain(|(flow, name), group| {
            let Some(rules) = rules.get(flow) else { return true };
            let mut dead = Vec::new();
            let given_up = group.give_up(rules.expire, now, &mut dead);
            if given_up > 0 {
                actions.push(Action::GivenUp(flow.clone(), given_up));
            }
            let closes = group.is_to_close(rules.quiet, now);
            if closes {
                dead.append(&mut group.words);
                if !group.files.is_empty() {
                    let (flow, name) = (flow.clone(), name.clone());
                    actions.push(Action::Close(group.close(flow, name)));
                }
            }
            if !dead.is_empty() {
                actions.push(Action::Delete(dead));
            }
            !closes
        });
        actions
    }

    /// When something is due next, if nothing arrives.
    pub fn wake_at(&self) -> Option<Duration> {
        let due = |((flow, _), group): (&(AgreementId, String), &Group)| {
            let rules = self.rules.get(flow)?;
            let unfinished = group.files.values().filter(|file| file.ends.is_none());
            let expires = unfinished.map(|file| file.touched + rules.expire).min();
            expires.or(rules.quiet.map(|quiet| group.changed + quiet))
        };
        self.groups.iter().filter_map(due).min()
    }

    /// Forgets everything: what counts will arrive again.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.pool = Pool::default();
    }
}

fn delete(dead: Vec<ParcelName>) -> Vec<Action> {
    if dead.is_empty() { Vec::new() } else { vec![Action::Delete(dead)] }
}

impl Group {
    /// Takes bytes of a file; whether they could be taken.
    fn part(
        &mut self,
        id: FileId,
        offset: u64,
        part: Part,
        sha256: Sha256,
        now: Duration,
        dead: &mut Vec<ParcelName>,
    ) -> bool {
        let fresh = || File { parts: Vec::new(), sha256: None, ends: None, touched: now };
        let file = self.files.entry(id).or_insert_with(fresh);
        file.touched = now;
        // Bytes after the end open a file again.
        if let Some(ends) = file.ends.take()
            && self.paths.get(&ends.path) == Some(&id)
        {
            self.paths.remove(&ends.path);
        }
        let taken = file.add(offset, part, sha256, dead);
        if !taken && file.parts.is_empty() {
            self.files.remove(&id);
        }
        taken
    }

    fn end(&mut self, id: FileId, ends: Ends, dead: &mut Vec<ParcelName>) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if file.parts.is_empty() {
            return;
        }
        self.closed |= ends.closes;
        let path = ends.path.clone();
        file.ends = Some(ends);
        if let Some(before) = self.paths.insert(path, id)
            && before != id
        {
            self.withdraw(before, dead);
        }
    }

    fn withdraw(&mut self, id: FileId, dead: &mut Vec<ParcelName>) {
        let Some(file) = self.files.remove(&id) else { return };
        if let Some(ends) = &file.ends
            && self.paths.get(&ends.path) == Some(&id)
        {
            self.paths.remove(&ends.path);
        }
        dead.extend(file.parts.into_iter().map(|part| part.parcel));
    }

    fn give_up(&mut self, after: Duration, now: Duration, dead: &mut Vec<ParcelName>) -> usize {
        let late = |file: &File| file.ends.is_none() && file.touched + after <= now;
        let late: Vec<FileId> = self.files.iter().filter(|(_, file)| late(file)).map(|(id, _)| *id).collect();
        late.iter().for_each(|id| self.withdraw(*id, dead));
        late.len()
    }

    fn is_to_close(&self, quiet: Option<Duration>, now: Duration) -> bool {
        let whole = self.paths.len() == self.files.len();
        // What has no files any more says nothing, whoever may say when it is whole.
        let quiet = quiet.is_some_and(|quiet| self.changed + quiet <= now);
        whole && (self.closed || self.files.is_empty() || self.paths.len() >= MAX_FILES || quiet)
    }

    fn close(&mut self, flow: AgreementId, group: String) -> Closed {
        let files = std::mem::take(&mut self.files).into_values();
        // Where nobody said that it is whole, it may be a part of how things stand.
        let said = self.closed;
        let mut files: Vec<Gathered> = files
            .filter_map(|File { parts, sha256, ends, .. }| {
                let Ends { path, mtime, sha256: told, stands, same_as, .. } = ends?;
                Some(Gathered { path, mtime, sha256: sha256.or(told), stands: stands && said, same_as, parts })
            })
            .collect();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Closed { flow, group, dataset: self.dataset.take(), files, list: None }
    }
}

impl File {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Takes bytes that begin at `offset`; whether they could be taken.
    fn add(&mut self, offset: u64, part: Part, sha256: Sha256, dead: &mut Vec<ParcelName>) -> bool {
        let follows = self.bytes() == offset;
        self.cut(offset, dead);
        if self.bytes() != offset {
            // What should stand in front is not there: nothing whole can come of these bytes.
            dead.push(part.parcel);
            return false;
        }
        // An end without bytes changes nothing of what stands in front of it.
        if part.bytes > 0 || self.parts.is_empty() || !follows {
            self.sha256 = self.parts.is_empty().then_some(sha256);
        }
        self.parts.push(part);
        true
    }

    /// Forgets what lies at `offset` and behind.
    fn cut(&mut self, offset: u64, dead: &mut Vec<ParcelName>) {
        let mut start = 0;
        self.parts.retain_mut(|part| {
            let begins = start;
            start += part.bytes;
            if begins >= offset {
                dead.push(std::mem::take(&mut part.parcel));
                return false;
            }
            part.bytes = part.bytes.min(offset - begins);
            true
        });
    }
}

#[cfg(test)]
mod tests;
