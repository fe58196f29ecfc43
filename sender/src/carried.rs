//! What a transfer's chunks carry: the files one after another, or a version's difference from another one.

use crate::buffers::Buffer;
use crate::error::Error;
use crate::plan::{Opener, Plan};
use crate::stream;
use sluse_protocol::digest::Sha256;
use sluse_protocol::limits;
use sluse_protocol::sync::Delta;
use sluse_protocol::sync::recipe::{self, Step};
use std::sync::Arc;

/// What is carried.
#[derive(Debug)]
pub(crate) struct Carried {
    plan: Arc<Plan>,
    difference: Option<Difference>,
}

/// A version's difference from another: the recipe, and the stretches of the files' stream that are its literals.
#[derive(Debug)]
pub(crate) struct Difference {
    delta: Delta,
    recipe: Vec<u8>,
    literals: Vec<Stretch>,
    /// The SHA-256 of each file, in the plan's order.
    digests: Vec<Sha256>,
}

/// A stretch of the files' stream that is carried.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Where it begins in what is carried.
    place: u64,
    /// Where it begins in the files' stream.
    start: u64,
    length: u64,
}

impl Difference {
    /// The difference from the version that `base` brought, as `steps` make it; `digests` are those of the files.
    pub fn new(base: sluse_protocol::ids::TransferId, steps: &[Step], digests: Vec<Sha256>) -> Self {
        let recipe = recipe::encode(steps);
        let (mut literals, mut place, mut start) = (Vec::new(), recipe.len() as u64, 0);
        for step in steps {
            if step.literal > 0 {
                literals.push(Stretch { place, start, length: step.literal });
            }
            place += step.literal;
            start += step.literal + step.copy;
        }
        let recipe_bytes = recipe.len() as u64;
        let delta = Delta { base, recipe_bytes, literal_bytes: place - recipe_bytes };
        Self { delta, recipe, literals, digests }
    }

    /// What the offer says of it.
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    /// SHA-256 of its recipe.
    pub fn recipe_sha256(&self) -> Sha256 {
        Sha256::of(&self.recipe)
    }
}

impl Carried {
    /// The files of `plan`, or what is different in them.
    pub fn new(plan: Arc<Plan>, difference: Option<Difference>) -> Self {
        Self { plan, difference }
    }

    /// The files.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the offer says of a difference.
    pub fn delta(&self) -> Option<&Delta> {
        self.difference.as_ref().map(Difference::delta)
    }

    /// The digests of the files, where they are known before anything is carried.
    pub fn digests(&self) -> Option<Vec<Sha256>> {
        self.difference.as_ref().map(|difference| difference.digests.clone())
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.delta().map_or(self.plan.totals().bytes, Delta::bytes)
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        // The zone takes no more than 2^20.
        u32::try_from(self.bytes().div_ceil(u64::from(limits::CHUNK_BYTES))).unwrap_or(u32::MAX)
    }

    /// Reads a chunk into `buffer`, which is empty.
    pub fn read_chunk(&self, opener: &mut Opener, index: u32, buffer: &mut Buffer) -> Result<(), Error> {
        let (start, length) = self.extent(index);
        let Some(difference) = &self.difference else {
            return stream::read_stretch(&self.plan, opener, start, length, buffer);
        };
        let end = start + length;
        if let Some(recipe) = difference.recipe.get(start as usize..) {
            let here = &recipe[..recipe.len().min(length as usize)];
            buffer.rest()[..here.len()].copy_from_slice(here);
            buffer.fill(here.len());
        }
        for stretch in difference.within(start, end) {
            stream::read_stretch(&self.plan, opener, stretch.start, stretch.length, buffer)?;
        }
        Ok(())
    }

    /// The names of the files that a chunk holds bytes of, in a few words.
    pub fn files_of(&self, index: u32) -> String {
        let (start, length) = self.extent(index);
        let (start, length) = match &self.difference {
            None => (start, length),
            Some(difference) => {
                let stretches: Vec<_> = difference.within(start, start + length).collect();
                let first = stretches.first().map_or(0, |stretch| stretch.start);
                (first, stretches.last().map_or(0, |stretch| stretch.start + stretch.length - first))
            }
        };
        stream::files_of(&self.plan, start, length)
    }

    /// Where a chunk begins in what is carried, and its length.
    fn extent(&self, index: u32) -> (u64, u64) {
        let size = u64::from(limits::CHUNK_BYTES);
        let start = u64::from(index) * size;
        (start, self.bytes().saturating_sub(start).min(size))
    }
}

impl Difference {
    /// The literals, cut to what lies from `start` to `end` in what is carried.
    fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Stretch> + '_ {
        let first = self.literals.partition_point(|stretch| stretch.place + stretch.length <= start);
        self.literals[first..].iter().take_while(move |stretch| stretch.place < end).map(move |stretch| {
            let (from, upto) = (stretch.place.max(start), (stretch.place + stretch.length).min(end));
            Stretch { place: from, start: stretch.start + (from - stretch.place), length: upto - from }
        })
    }
}
