//! Files in inboxes: of which adapters keep account. What such a file is called, and when it is part of a dataset, a list says.

use super::{File, Gathered, ParcelName, Part};
use crate::spool::{FileId, Listed};
use sluse_protocol::digest::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug)]
struct Pooled {
    inbox: String,
    file: File,
}

/// All files that are in inboxes.
#[derive(Debug, Default)]
pub struct Pool {
    files: BTreeMap<FileId, Pooled>,
}

impl Pool {
    /// How many bytes of a file are there.
    pub fn bytes(&self, id: FileId) -> u64 {
        self.files.get(&id).map_or(0, |pooled| pooled.file.bytes())
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values().map(|pooled| &pooled.file)
    }

    /// Takes bytes of a file; the parcels that count no more.
    pub fn part(&mut self, inbox: String, id: FileId, offset: u64, part: Part, sha256: Sha256) -> Vec<ParcelName> {
        // Nobody waits for its end here: the adapter does.
        let file = || File { parts: Vec::new(), sha256: None, ends: None, touched: Duration::ZERO };
        let pooled = self.files.entry(id).or_insert_with(|| Pooled { inbox, file: file() });
        let mut dead = Vec::new();
        if !pooled.file.add(offset, part, sha256, &mut dead) && pooled.file.parts.is_empty() {
            self.files.remove(&id);
        }
        dead
    }

    /// A file is not wanted any more.
    pub fn withdraw(&mut self, id: FileId, dead: &mut Vec<ParcelName>) {
        let parts = self.files.remove(&id).map_or_else(Vec::new, |pooled| pooled.file.parts);
        dead.extend(parts.into_iter().map(|part| part.parcel));
    }

    /// Takes out the files of a list, ascending by path, and how many of it are not there. Of each counts what the list says:
    /// bytes behind that came without its client's hearing of them.
    pub fn take(&mut self, list: Vec<Listed>, dead: &mut Vec<ParcelName>) -> (Vec<Gathered>, usize) {
        let named = list.len();
        let mut files = Vec::new();
        for Listed { file: id, bytes, path, mtime } in list {
            let Some(Pooled { mut file, .. }) = self.files.remove(&id).filter(|pooled| pooled.file.bytes() >= bytes)
            else {
                continue;
            };
            if file.bytes() > bytes {
                file.sha256 = None;
                // A file without bytes is still its first parcel.
                file.cut(bytes.max(1), dead);
                file.parts.iter_mut().for_each(|part| part.bytes = part.bytes.min(bytes));
            }
            files.push(Gathered { path, mtime, sha256: file.sha256, stands: false, same_as: None, parts: file.parts });
        }
        let missing = named - files.len();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        (files, missing)
    }

    /// Forgets the files of an inbox that are not among `remaining` and came before `parcel`, which says so.
    pub fn keep(&mut self, inbox: &str, remaining: &BTreeSet<FileId>, parcel: &str, dead: &mut Vec<ParcelName>) {
        self.files.retain(|id, pooled| {
            let later = pooled.file.parts.first().is_some_and(|part| part.parcel.as_str() > parcel);
            let stays = pooled.inbox != inbox || remaining.contains(id) || later;
            if !stays {
                dead.extend(pooled.file.parts.drain(..).map(|part| part.parcel));
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::super::*;

    fn inbox(file: u8, offset: u64, bytes: u64) -> Tail {
        tail("lab", bytes, Says::Inbox { file: id(file), offset })
    }

    fn list(files: &[(u8, u64, &str)]) -> (Label, Vec<Listed>) {
        let line = |(file, bytes, path): &(u8, u64, &str)| {
            let (path, mtime) = (path.parse().unwrap(), Timestamp::from_unix(1));
            Listed { file: id(*file), bytes: *bytes, path, mtime }
        };
        (tail("lab/extract", 0, Says::Listed).label, files.iter().map(line).collect())
    }

    #[test]
    fn a_file_in_an_inbox_stays_until_a_list_names_it_and_is_then_called_as_the_list_says() {
        let mut gatherer = gatherer();
        assert_eq!(gatherer.arrived("1".into(), inbox(1, 0, 5), at(0)), []);
        assert_eq!(gatherer.arrived("2".into(), inbox(1, 5, 3), at(0)), []);
        assert_eq!(gatherer.arrived("3".into(), inbox(2, 0, 7), at(0)), []);
        assert_eq!(gatherer.tick(at(1_000_000)), []);
        let (label, lines) = list(&[(1, 8, "b"), (2, 7, "a")]);
        let actions = gatherer.listed("4".into(), label, lines);
        let files = vec![("a", vec![("3", 7)]), ("b", vec![("1", 5), ("2", 3)])];
        assert_eq!((closed(&actions), deleted(&actions)), (vec![("lab/extract", files)], vec![]));
        let (label, lines) = list(&[(1, 8, "b"), (2, 7, "a")]);
        let again = gatherer.listed("4".into(), label, lines);
        let Action::Close(closed) = &again[0] else { panic!("closed first") };
        assert_eq!((closed.files.len(), &closed.list), (0, &Some(List { parcel: "4".into(), missing: 2 })));
    }

    #[test]
    fn bytes_behind_what_the_list_says_do_not_count() {
        let mut gatherer = gatherer();
        gatherer.arrived("1".into(), inbox(1, 0, 5), at(0));
        gatherer.arrived("2".into(), inbox(1, 5, 3), at(0));
        gatherer.arrived("3".into(), inbox(2, 0, 4), at(0));
        let (label, lines) = list(&[(1, 5, "a"), (2, 0, "b")]);
        let actions = gatherer.listed("4".into(), label, lines);
        let files = vec![("a", vec![("1", 5)]), ("b", vec![("3", 0)])];
        assert_eq!((closed(&actions), deleted(&actions)), (vec![("lab/extract", files)], vec!["2"]));
        let Action::Close(closed) = &actions[0] else { panic!("closed first") };
        assert_eq!(closed.files[1].sha256, None, "the parcel's digest is not the file's any more");
    }

    #[test]
    fn a_list_of_which_something_is_missing_is_told_and_stays() {
        let mut gatherer = gatherer();
        gatherer.arrived("1".into(), inbox(1, 0, 5), at(0));
        gatherer.arrived("2".into(), inbox(2, 0, 5), at(0));
        let (label, lines) = list(&[(1, 5, "a"), (2, 6, "b"), (3, 1, "c")]);
        let actions = gatherer.listed("3".into(), label, lines);
        let Action::Close(closed) = &actions[0] else { panic!("closed first") };
        let list = Some(List { parcel: "3".into(), missing: 2 });
        assert_eq!((closed.files.len(), &closed.list, deleted(&actions)), (1, &list, vec![]));
    }

    #[test]
    fn what_does_not_remain_in_its_inbox_is_deleted_and_so_is_what_is_withdrawn() {
        let mut gatherer = gatherer();
        for file in 1..=3 {
            gatherer.arrived(file.to_string(), inbox(file, 0, 5), at(0));
        }
        let mut other = inbox(4, 0, 5);
        other.label.group = "other".into();
        gatherer.arrived("4".into(), other, at(0));
        gatherer.arrived("6".into(), inbox(6, 0, 5), at(0));
        let label = tail("lab", 0, Says::Remaining).label;
        let actions = gatherer.remaining("5".into(), &label, &BTreeSet::from([id(1), id(3)]));
        assert_eq!(deleted(&actions), ["2", "5"]);
        let actions = gatherer.arrived("7".into(), tail("lab", 0, Says::Withdrawn { file: id(3) }), at(0));
        assert_eq!(deleted(&actions), ["3", "7"]);
        let left = [1, 4, 6].map(|file| gatherer.pool.bytes(id(file)));
        assert_eq!(left, [5; 3], "what remains, what is in another inbox, what came later");
    }

    #[test]
    fn what_builds_on_what_is_not_there_waits() {
        let mut gatherer = gatherer();
        assert!(!gatherer.waits(&inbox(1, 0, 5)) && gatherer.waits(&inbox(1, 5, 5)));
        assert!(!gatherer.waits(&part(1, 0, 5, None)) && gatherer.waits(&part(1, 5, 5, Some("a"))));
        gatherer.arrived("1".into(), inbox(1, 0, 5), at(0));
        gatherer.arrived("2".into(), part(1, 0, 5, None), at(0));
        assert!(!gatherer.waits(&inbox(1, 5, 5)) && !gatherer.waits(&part(1, 5, 5, Some("a"))));
        assert!(gatherer.waits(&tail("lab", 0, Says::Listed)));
    }
}
