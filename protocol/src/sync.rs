//! Datasets that stay in sync: of a new version only what is new travels. The zone puts the version together from that and from
//! the *base*, a version that it holds.
//!
//! [`pieces`] cuts a stream where its content says, so that what was inserted moves no cut behind it; [`align`] finds the base's
//! pieces in the new version; [`recipe`] is what follows: which bytes are the base's and which travel, the *literals*.

use crate::ids::TransferId;
use crate::path::DataPath;
use crate::transfer::State;
use serde::{Deserialize, Serialize};

pub mod align;
pub mod pieces;
pub mod recipe;

/// A version that travels as its difference from another. What is carried in chunks is the recipe and, behind it, the literals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// The transfer that brought the base.
    pub base: TransferId,
    /// Bytes of the recipe: [`recipe::Step::BYTES`] for each step.
    pub recipe_bytes: u64,
    /// Bytes of the literals.
    pub literal_bytes: u64,
}

impl Delta {
    /// Bytes that are carried.
    pub fn bytes(&self) -> u64 {
        self.recipe_bytes.saturating_add(self.literal_bytes)
    }

    /// Whether this can be a version of `bytes` bytes: what can be said before anything of it is read.
    pub fn is_possible(&self, bytes: u64) -> bool {
        let steps = self.recipe_bytes / recipe::Step::BYTES as u64;
        self.recipe_bytes.is_multiple_of(recipe::Step::BYTES as u64)
            && (1..=recipe::MAX_STEPS as u64).contains(&steps)
            && self.literal_bytes <= bytes
    }
}

/// What a zone has of a dataset, as its source may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The latest version that was sealed and is not lost, and its state: what is the same as this one need not be sent.
    pub latest: Option<Latest>,
    /// The version that a new one can be built on: the latest that stands in the room, if the zone still holds its bytes.
    pub base: Option<TransferId>,
}

/// The latest version of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    /// The transfer that carries it.
    pub transfer: TransferId,
    /// The transfer's state.
    pub state: State,
}

/// The name of the list of what a version changed, in its bag.
pub const CHANGES: &str = "changes.jsonl";

/// A line of [`CHANGES`]: the first one names the version with which was compared, each further one a file that is not as it was there.
/// Files are in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ChangeLine {
    /// The first line.
    From {
        /// `changes/1`.
        sluse: String,
        /// The transfer that brought the version before.
        from: TransferId,
    },
    /// One file.
    File {
        /// Where it lies in the dataset.
        path: DataPath,
        /// What became of it.
        change: Change,
    },
}

/// What became of a file from one version to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there.
    Added,
    /// It has other bytes, or may be executed now or no longer.
    Changed,
    /// It is not there any more.
    Deleted,
}

impl ChangeLine {
    /// The first line of the changes since the version that `from` brought.
    pub fn from(from: TransferId) -> Self {
        Self::From { sluse: "changes/1".into(), from }
    }
}
