//! The tamper-evident log: a Merkle tree of RFC 6962 over audit entries.
//!
//! An entry is one line of JSON; a leaf is `SHA-256(0x00 || line)`, a node `SHA-256(0x01 || left || right)`. Each entry
//! names the root of the tree before it, so that a changed entry shows at the next one; receipts and checkpoints carry
//! size and root, so that a rewritten log shows against whatever left the host.

use crate::digest::Sha256;
use crate::ids::TransferId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

mod proof;
pub use proof::{BadProof, Inclusion, Leaves, check_consistency, consistency_text, parse_consistency};

/// The audit log as a place: so many entries, this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them; SHA-256 of nothing for an empty log.
    pub root: Sha256,
}

/// One link of the log. Names no file and no content: `details` holds codes, counts and digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 0.
    pub number: u64,
    /// When it was written.
    pub time: Timestamp,
    /// The root of the tree over all entries before it.
    pub before: Sha256,
    /// Who: `control`, `source NAME`, `operator NAME`, `inspect`, `deliver`.
    pub actor: String,
    /// What: `transfer-received`, `source-revoked`, …
    pub act: String,
    /// The transfer that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferId>,
    /// What else is to be known.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Entry {
    /// The entry's line, without a line feed: what the leaf is made of.
    pub fn to_line(&self) -> String {
        // Serialising cannot fail: string keys only, no fallible implementations.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The tree's right edge: enough to append and to know the root. Subtrees from large to small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<[u8; 32]>,
}

impl Tree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry's line.
    pub fn append(&mut self, line: &[u8]) {
        let mut hash = leaf(line);
        // One peak merges for every trailing one-bit of the size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The audit path of the entry that is appended next, from the leaf up: the edge is all that stands to its left.
    pub fn path_of_next(&self) -> Vec<Sha256> {
        self.peaks.iter().rev().copied().map(Sha256).collect()
    }

    /// Size and root.
    pub fn position(&self) -> Position {
        let root = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        Position { size: self.size, root: Sha256(root.unwrap_or_else(|| sha2::Sha256::digest([]).into())) }
    }
}

fn leaf(line: &[u8]) -> [u8; 32] {
    sha2::Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha2::Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The first entry that was changed, removed or moved is this one or the one before it.
    #[error("entry {number} does not follow from what stands before it: {what}")]
    Entry {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something that left the host attests another log.
    #[error(
        "the {witness} attests another log at size {size}: entries before {size} were changed, or the log was replaced"
    )]
    Witness {
        /// What attests it: a receipt's or checkpoint's name.
        witness: String,
        /// The size that it attests.
        size: u64,
    },
    /// Something that left the host attests more entries than there are.
    #[error("the {witness} attests {size} entries, but the log ends at {end}: its tail was cut off")]
    Truncated {
        /// What attests it.
        witness: String,
        /// The size that it attests.
        size: u64,
        /// The entries that are there.
        end: u64,
    },
}

/// Checks a log entry by entry, and against witnesses.
#[derive(Debug, Default)]
pub struct Verifier {
    tree: Tree,
    witnesses: Vec<(String, Position)>,
}

impl Verifier {
    /// A verifier that will hold the log against `witnesses`: named positions from receipts and checkpoints whose
    /// signatures the caller has checked.
    pub fn new(mut witnesses: Vec<(String, Position)>) -> Self {
        witnesses.sort_by_key(|(_, position)| std::cmp::Reverse(position.size));
        Self { tree: Tree::new(), witnesses }
    }

    /// Takes the next entry's line.
    ///
    /// # Errors
    /// When the entry does not follow, or a witness attests another root here.
    pub fn entry(&mut self, line: &str) -> Result<Entry, Broken> {
        self.attest()?;
        let before = self.tree.position();
        let broken = |what| Broken::Entry { number: before.size, what };
        let entry: Entry = serde_json::from_str(line).map_err(|_| broken("it is not an entry"))?;
        if entry.number != before.size {
            return Err(broken("its number is another"));
        }
        if entry.before != before.root {
            return Err(broken("it names another root"));
        }
        self.tree.append(line.as_bytes());
        Ok(entry)
    }

    /// Ends the log.
    ///
    /// # Errors
    /// When a witness attests another root, or more entries than came.
    pub fn finish(mut self) -> Result<Position, Broken> {
        self.attest()?;
        let end = self.tree.position();
        match self.witnesses.pop() {
            Some((witness, attested)) => Err(Broken::Truncated { witness, size: attested.size, end: end.size }),
            None => Ok(end),
        }
    }

    fn attest(&mut self) -> Result<(), Broken> {
        let here = self.tree.position();
        while let Some((_, position)) = self.witnesses.last()
            && position.size == here.size
        {
            let agrees = position.root == here.root;
            if let Some((witness, _)) = self.witnesses.pop()
                && !agrees
            {
                return Err(Broken::Witness { witness, size: here.size });
            }
        }
        Ok(())
    }
}

/// A checkpoint's text (C2SP tlog-checkpoint): origin, size, root in base64, one a line. Signed in SSHSIG format.
pub fn checkpoint(origin: &str, position: &Position) -> String {
    use base64::Engine as _;
    let root = base64::engine::general_purpose::STANDARD.encode(position.root.0);
    format!("{origin}\n{}\n{root}\n", position.size)
}

/// Reads a checkpoint's text: origin and position. `None` when it is not, byte for byte, what [`checkpoint`] writes.
pub fn parse_checkpoint(text: &str) -> Option<(&str, Position)> {
    use base64::Engine as _;
    let mut lines = text.lines();
    let (origin, size, root) = (lines.next()?, lines.next()?.parse().ok()?, lines.next()?);
    let root = base64::engine::general_purpose::STANDARD.decode(root).ok()?;
    let position = Position { size, root: Sha256(root.try_into().ok()?) };
    (checkpoint(origin, &position) == text).then_some((origin, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree's definition in RFC 6962, section 2.1, word for word.
    fn reference_root(lines: &[Vec<u8>]) -> [u8; 32] {
        match lines.len() {
            0 => sha2::Sha256::digest([]).into(),
            1 => leaf(&lines[0]),
            n => {
                let split = n.next_power_of_two() / 2;
                node(&reference_root(&lines[..split]), &reference_root(&lines[split..]))
            }
        }
    }

    pub(super) fn log(count: u64) -> (Vec<String>, Vec<Position>) {
        let mut tree = Tree::new();
        let mut lines = Vec::new();
        let mut positions = vec![tree.position()];
        for number in 0..count {
            let entry = Entry {
                number,
                time: Timestamp::from_unix(0),
                before: tree.position().root,
                actor: "control".into(),
                act: format!("act-{number}"),
                transfer: None,
                details: Default::default(),
            };
            tree.append(entry.to_line().as_bytes());
            lines.push(entry.to_line());
            positions.push(tree.position());
        }
        (lines, positions)
    }

    fn verify(lines: &[String], witnesses: Vec<(String, Position)>) -> Result<Position, Broken> {
        let mut verifier = Verifier::new(witnesses);
        for line in lines {
            verifier.entry(line)?;
        }
        verifier.finish()
    }

    #[test]
    fn every_size_has_the_root_that_rfc_6962_defines() {
        let lines: Vec<Vec<u8>> = (0..70u8).map(|n| vec![n; usize::from(n)]).collect();
        let mut tree = Tree::new();
        for (size, line) in lines.iter().enumerate() {
            assert_eq!(tree.position().root.0, reference_root(&lines[..size]), "{size}");
            tree.append(line);
        }
    }

    #[test]
    fn a_changed_removed_or_moved_entry_is_found_where_it_is() {
        let (lines, _) = log(20);
        assert_eq!(verify(&lines, vec![]).map(|end| end.size), Ok(20));
        let number_of = |lines: &[String]| match verify(lines, vec![]) {
            Err(Broken::Entry { number, .. }) => number,
            other => unreachable!("{other:?}"),
        };
        let mut changed = lines.clone();
        changed[7] = changed[7].replace("act-7", "act-8");
        assert_eq!(number_of(&changed), 8);
        let mut removed = lines.clone();
        removed.remove(7);
        assert_eq!(number_of(&removed), 7);
        let mut moved = lines.clone();
        moved.swap(7, 12);
        assert_eq!(number_of(&moved), 7);
    }

    #[test]
    fn a_replaced_log_or_a_cut_tail_shows_against_what_left_the_host() {
        let (lines, positions) = log(20);
        let witness = |size: usize| vec![("receipt".to_owned(), positions[size])];
        assert!(verify(&lines, witness(13)).is_ok());
        let (mut other, _) = log(3);
        other[2] = other[2].replace("act-2", "act-x");
        assert_eq!(verify(&other, witness(3)), Err(Broken::Witness { witness: "receipt".into(), size: 3 }));
        let cut = Broken::Truncated { witness: "receipt".into(), size: 13, end: 12 };
        assert_eq!(verify(&lines[..12], witness(13)), Err(cut));
    }

    #[test]
    fn checkpoints_read_back() {
        let (_, positions) = log(5);
        assert_eq!(parse_checkpoint(&checkpoint("sluse", &positions[5])), Some(("sluse", positions[5])));
        let good = checkpoint("sluse", &positions[5]);
        for text in [
            "x\ny\nz\n",
            &good.replace("\n5", "\n+5"),
            &good.replace("\n5", "\n05"),
            good.trim_end(),
            &(good.clone() + "x\n"),
        ] {
            assert_eq!(parse_checkpoint(text), None, "{text}");
        }
    }
}
