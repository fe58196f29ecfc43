//! Proofs about the log for those who do not have it: that an entry stands in it, and that one log begins with another
//! (RFC 9162, sections 2.1.3 and 2.1.4; the same as RFC 6962's).

use super::{Entry, Position, leaf, node};
use crate::digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Hashes of the longest proof: two for every level of a tree of 2^64 leaves.
const MAX_HASHES: usize = 128;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// The entry cannot be read.
    #[error("it does not hold an audit entry")]
    NoEntry,
    /// The entry is not the last one of that log.
    #[error("its audit entry has another number than the log's last")]
    OtherNumber,
    /// The hashes lead to another root.
    #[error("its path does not lead from the audit entry to the log's root")]
    OtherRoot,
    /// The hashes do not connect the two logs.
    #[error("the later log does not begin with the earlier one, as far as this proof shows")]
    NotExtended,
}

/// Proof that an entry is the last one of the log that a receipt names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// The entry's line, as it stands in the log.
    pub entry: String,
    /// Its audit path, from the leaf up. All of its hashes stand to the left: the entry is the last one.
    pub path: Vec<Sha256>,
}

impl Inclusion {
    /// Checks that the entry is the last one of the log at `position`.
    ///
    /// # Errors
    /// Why it is not shown to be.
    pub fn check(&self, position: &Position) -> Result<Entry, BadProof> {
        let entry: Entry = serde_json::from_str(&self.entry).map_err(|_| BadProof::NoEntry)?;
        if entry.number.checked_add(1) != Some(position.size) {
            return Err(BadProof::OtherNumber);
        }
        let root = self.path.iter().fold(leaf(self.entry.as_bytes()), |right, left| node(&left.0, &right));
        let levels = entry.number.count_ones() as usize;
        if self.path.len() != levels || root != position.root.0 {
            return Err(BadProof::OtherRoot);
        }
        Ok(entry)
    }
}

/// The leaves of a whole log, for proofs over any part of it.
#[derive(Debug, Default)]
pub struct Leaves(Vec<[u8; 32]>);

impl Leaves {
    /// Appends an entry's line.
    pub fn append(&mut self, line: &[u8]) {
        self.0.push(leaf(line));
    }

    /// The log when it had `size` entries; `None` when it never had so many.
    pub fn position(&self, size: u64) -> Option<Position> {
        let leaves = self.0.get(..usize::try_from(size).ok()?)?;
        Some(Position { size, root: Sha256(root(leaves)) })
    }

    /// The proof that this log begins with its own first `old` entries; `None` when it has fewer.
    pub fn consistency(&self, old: u64) -> Option<Vec<Sha256>> {
        let old = usize::try_from(old).ok().filter(|old| *old <= self.0.len())?;
        let mut path = Vec::new();
        if old > 0 {
            subproof(&self.0, old, true, &mut path);
        }
        Some(path)
    }
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha2::Sha256::digest([]).into(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
            node(&root(left), &root(right))
        }
    }
}

/// SUBPROOF of RFC 9162, section 2.1.4.1: `known` says whether the verifier has the root of the first `old` leaves.
fn subproof(leaves: &[[u8; 32]], old: usize, known: bool, path: &mut Vec<Sha256>) {
    if old == leaves.len() {
        if !known {
            path.push(Sha256(root(leaves)));
        }
        return;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if old <= left.len() {
        subproof(left, old, known, path);
        path.push(Sha256(root(right)));
    } else {
        subproof(right, old - left.len(), false, path);
        path.push(Sha256(root(left)));
    }
}

/// Checks that the log at `new` begins with the log at `old` (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// When `path` does not show it.
pub fn check_consistency(old: &Position, new: &Position, path: &[Sha256]) -> Result<(), BadProof> {
    extends(old, new, path).then_some(()).ok_or(BadProof::NotExtended)
}

fn extends(old: &Position, new: &Position, path: &[Sha256]) -> bool {
    if old.size == new.size {
        return path.is_empty() && old.root == new.root;
    }
    if old.size == 0 || old.size > new.size {
        return old.size == 0 && path.is_empty() && old.root.0 == root(&[]);
    }
    let mut hashes = path.iter().map(|hash| hash.0);
    let first = if old.size.is_power_of_two() { Some(old.root.0) } else { hashes.next() };
    let Some(first) = first else { return false };
    let shift = (old.size - 1).trailing_ones();
    let (mut at, mut last) = ((old.size - 1) >> shift, (new.size - 1) >> shift);
    let (mut old_root, mut new_root) = (first, first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = node(&hash, &old_root);
            new_root = node(&hash, &new_root);
            // A right edge without a brother goes up as it is.
            let up = if at == 0 { 0 } else { at.trailing_zeros() };
            (at, last) = (at >> up, last >> up);
        } else {
            new_root = node(&new_root, &hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_root == old.root.0 && new_root == new.root.0
}

/// A consistency proof's text: `old SIZE`, then each hash in base64, one a line (as in C2SP tlog-witness).
pub fn consistency_text(old: u64, path: &[Sha256]) -> String {
    let hashes = path.iter().map(|hash| STANDARD.encode(hash.0) + "\n");
    format!("old {old}\n{}", hashes.collect::<String>())
}

/// Reads a consistency proof's text: the size of the earlier log, and the hashes. `None` when it is none.
pub fn parse_consistency(text: &str) -> Option<(u64, Vec<Sha256>)> {
    let mut lines = text.lines();
    let old = lines.next()?.strip_prefix("old ")?.parse().ok()?;
    let hash = |line: &str| Some(Sha256(STANDARD.decode(line).ok()?.try_into().ok()?));
    let path = lines.take(MAX_HASHES + 1).map(hash).collect::<Option<Vec<_>>>()?;
    (path.len() <= MAX_HASHES && consistency_text(old, &path) == text).then_some((old, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Tree, tests::log};

    #[test]
    fn the_path_of_the_last_entry_leads_to_the_root_at_every_size_and_nowhere_else() {
        let (lines, positions) = log(70);
        let mut tree = Tree::new();
        for (number, line) in lines.iter().enumerate() {
            let proof = Inclusion { entry: line.clone(), path: tree.path_of_next() };
            tree.append(line.as_bytes());
            let position = positions[number + 1];
            assert_eq!(proof.check(&position).unwrap().number, number as u64);
            let other = Inclusion { entry: line.replace("act-", "acts-"), ..proof.clone() };
            assert_eq!(other.check(&position), Err(BadProof::OtherRoot));
            assert_eq!(proof.check(&positions[number]), Err(BadProof::OtherNumber));
            let mut longer = proof.clone();
            longer.path.push(position.root);
            assert_eq!(longer.check(&position), Err(BadProof::OtherRoot));
            if !proof.path.is_empty() {
                let mut changed = proof.clone();
                changed.path[0].0[0] ^= 1;
                assert_eq!(changed.check(&position), Err(BadProof::OtherRoot));
            }
        }
        assert_eq!(Inclusion { entry: "{}".into(), path: vec![] }.check(&positions[1]), Err(BadProof::NoEntry));
    }

    #[test]
    fn every_log_is_shown_to_begin_with_every_shorter_one_and_with_no_other() {
        let (lines, positions) = log(40);
        for new in 0..=lines.len() {
            let mut leaves = Leaves::default();
            lines[..new].iter().for_each(|line| leaves.append(line.as_bytes()));
            assert_eq!(leaves.position(new as u64), Some(positions[new]));
            for old in 0..=new {
                let path = leaves.consistency(old as u64).unwrap();
                assert_eq!(parse_consistency(&consistency_text(old as u64, &path)), Some((old as u64, path.clone())));
                let (before, after) = (positions[old], positions[new]);
                assert_eq!(check_consistency(&before, &after, &path), Ok(()), "{old} {new}");
                let forged = Position { root: Sha256::of(b"forged"), ..before };
                assert!(check_consistency(&forged, &after, &path).is_err(), "{old} {new}");
                let forged = Position { root: Sha256::of(b"forged"), ..after };
                // Every log begins with the empty one: there is nothing to show.
                assert!(old == 0 && new > 0 || check_consistency(&before, &forged, &path).is_err(), "{old} {new}");
                if let Some((_, shorter)) = path.split_last() {
                    assert!(check_consistency(&before, &after, shorter).is_err(), "{old} {new}");
                }
            }
            assert_eq!(leaves.consistency(new as u64 + 1), None);
        }
    }

    #[test]
    fn texts_that_are_no_consistency_proof_are_not_read() {
        let endless = "old 1\n".to_owned() + &(STANDARD.encode([0; 32]) + "\n").repeat(MAX_HASHES + 1);
        for text in ["", "old\n", "old -1\n", "old +1\n", "old 1\nAAAA\n", "old 1", &endless] {
            assert_eq!(parse_consistency(text), None, "{text}");
        }
    }
}
