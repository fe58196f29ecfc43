//! Partial release: what of a dataset enters its room where persons leave some of its files out.
//!
//! What is released is a version of the manifest of its own ([`crate::document::Header::Part`]): the same entries in the same order, without those that
//! are left out. It follows from the sealed manifest and the choice alone, so that two persons who leave out the same files choose for the same digest.

use crate::digest::Sha256;
use crate::document::{Entry, Totals};
use crate::path::DataPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What of a dataset is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// SHA-256 of the manifest that lists it.
    pub manifest_sha256: Sha256,
    /// What it adds up to.
    pub totals: Totals,
    /// What is left out.
    pub left_out: Totals,
}

/// That a manifest lists a part of a dataset, and of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOf {
    /// SHA-256 of the manifest of the whole, as its source sealed it.
    pub manifest_sha256: Sha256,
    /// What was left out.
    pub left_out: Totals,
}

/// What a person leaves out: files, and folders with everything that is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without(BTreeSet<DataPath>);

/// Why files cannot be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWithout {
    /// A line is not the path of a file or folder; lines count from 1.
    #[error("line {0} of what is to be left out is no path in a dataset")]
    Path(usize),
    /// So many names that the dataset does not have: somebody meant something else.
    #[error("{0} of the names to be left out are not in the dataset")]
    Unknown(usize),
    /// No file would be released.
    #[error("nothing would be left")]
    Everything,
    /// The sums do not fit.
    #[error("the manifest adds up to too much")]
    TooMuch,
}

impl Without {
    /// Reads paths, one a line; no text leaves nothing out.
    ///
    /// # Errors
    /// [`BadWithout::Path`].
    pub fn parse(text: &str) -> Result<Self, BadWithout> {
        let paths = text.lines().enumerate().map(|(at, line)| line.parse().map_err(|_| BadWithout::Path(at + 1)));
        paths.collect::<Result<_, _>>().map(Self)
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names by which a path is left out: its own, and those of folders above it.
    pub fn names<'w>(&'w self, path: &'w DataPath) -> impl Iterator<Item = &'w DataPath> {
        let above = path.as_str().match_indices('/').map(move |(at, _)| &path.as_str()[..at]);
        above.chain([path.as_str()]).filter_map(move |name| self.0.get(&name.parse::<DataPath>().ok()?))
    }
}

/// Divides a manifest's entries into those that are released and those that are left out.
#[derive(Debug)]
pub struct Division<'w> {
    without: &'w Without,
    unknown: BTreeSet<&'w DataPath>,
    kept: Totals,
    left_out: Totals,
}

impl<'w> Division<'w> {
    /// Nothing is divided yet.
    pub fn new(without: &'w Without) -> Self {
        let (kept, left_out) = (Totals::default(), Totals::default());
        Self { without, unknown: without.0.iter().collect(), kept, left_out }
    }

    /// Whether the next entry is released.
    ///
    /// # Errors
    /// [`BadWithout::TooMuch`].
    pub fn keeps(&mut self, entry: &Entry) -> Result<bool, BadWithout> {
        let mut keeps = true;
        for name in self.without.names(&entry.path) {
            self.unknown.remove(name);
            keeps = false;
        }
        let sum = if keeps { &mut self.kept } else { &mut self.left_out };
        *sum = sum.plus(entry).ok_or(BadWithout::TooMuch)?;
        Ok(keeps)
    }

    /// What is released, and what is left out, after the last entry.
    ///
    /// # Errors
    /// When a name was in vain, or no file is left.
    pub fn finish(self) -> Result<(Totals, Totals), BadWithout> {
        if !self.unknown.is_empty() {
            return Err(BadWithout::Unknown(self.unknown.len()));
        }
        if self.kept.files == 0 {
            return Err(BadWithout::Everything);
        }
        Ok((self.kept, self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Kind;
    use proptest::prelude::*;

    fn entry(path: &str) -> Entry {
        let (path, sha256) = (path.parse().unwrap(), Some(Sha256::of(path.as_bytes())));
        Entry { path, kind: Kind::File, size: 3, mtime: 0, mtime_ns: 0, executable: false, sha256 }
    }

    fn divide(without: &str, paths: &[&str]) -> Result<(Vec<String>, Totals, Totals), BadWithout> {
        let without = Without::parse(without)?;
        let (mut division, mut kept) = (Division::new(&without), Vec::new());
        for path in paths {
            if division.keeps(&entry(path))? {
                kept.push((*path).to_owned());
            }
        }
        division.finish().map(|(released, left_out)| (kept, released, left_out))
    }

    #[test]
    fn files_and_whole_folders_are_left_out_by_their_names() {
        let paths = ["a", "a!", "b/c/d.csv", "b/c/e.csv", "b/cc.csv", "f"];
        let (kept, released, left_out) = divide("a\nb/c\n", &paths).unwrap();
        assert_eq!(kept, ["a!", "b/cc.csv", "f"]);
        assert_eq!((released.files, released.bytes, left_out.files, left_out.bytes), (3, 9, 3, 9));
    }

    #[test]
    fn a_name_in_vain_is_told_and_so_is_a_choice_that_leaves_nothing() {
        assert_eq!(divide("a\nx\nb/y", &["a", "b/c"]).unwrap_err(), BadWithout::Unknown(2));
        assert_eq!(divide("a\nb", &["a", "b/c"]).unwrap_err(), BadWithout::Everything);
        assert_eq!(divide("a\n../b", &["a", "b/c"]).unwrap_err(), BadWithout::Path(2));
        assert_eq!(divide("", &["a"]).unwrap().2, Totals::default());
    }

    proptest! {
        #[test]
        fn what_is_released_is_everything_but_what_is_named_or_lies_below_it(
            paths in proptest::collection::btree_set("[ab!]{1,2}(/[ab!]{1,2}){0,2}", 1..20),
            names in proptest::collection::btree_set("[ab!]{1,2}(/[ab!]{1,2}){0,1}", 0..5)
        ) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let text = names.iter().map(|name| format!("{name}\n")).collect::<String>();
            let out = |path: &str| names.iter().any(|name| path == name || path.starts_with(&format!("{name}/")));
            match divide(&text, &paths) {
                Ok((kept, ..)) => {
                    let expected: Vec<&str> = paths.iter().copied().filter(|path| !out(path)).collect();
                    prop_assert_eq!(kept, expected);
                }
                Err(BadWithout::Everything) => prop_assert!(paths.iter().all(|path| out(path))),
                Err(BadWithout::Unknown(count)) => {
                    let vain = |name: &&String| !paths.iter().any(|path| path == name || path.starts_with(&format!("{name}/")));
                    prop_assert_eq!(count, names.iter().filter(vain).count());
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
