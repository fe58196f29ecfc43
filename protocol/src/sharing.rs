//! Who is served next when several want the same: shares by weight, and no queue behind what is large.
//!
//! [`Shares`] is start-time fair queueing (Goyal, Vin and Cheng, 1996): each flow has a stand, which is what it was
//! served so far divided by its weight. Whoever stands lowest is next. A flow that comes (back) begins at the stand of the one that was served
//! last, so nobody saves anything up, and nobody waits longer than it takes to serve each other flow once. Nothing is set aside: a
//! flow that is alone gets everything.
//!
//! Flows come in groups, here an agreement's transfers in those of its source ([`GroupShares`]): groups share first, and the flows of each share
//! what it gets. So a source with many agreements gets no more than one with a single one.
//!
//! That shares what is given out piece by piece. A worker, who is taken until a whole transfer is done, is shared by
//! [`may_begin`] besides: large transfers never take all of them.

use std::collections::{BTreeMap, VecDeque};

/// The largest weight.
pub const MAX_WEIGHT: u32 = 1000;

/// Stands are counted in this many parts of a byte, so that weights divide them.
const PARTS: u128 = 1 << 20;

/// What each flow was served, by weight.
#[derive(Debug, Clone)]
pub struct Shares<K> {
    /// The stand of the flow that was served last, when it was.
    now: u128,
    /// Flows that stand higher than that.
    ahead: BTreeMap<K, u128>,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { now: 0, ahead: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Shares<K> {
    /// Where a flow stands: the lowest is next.
    pub fn stand(&self, flow: &K) -> u128 {
        self.ahead.get(flow).copied().unwrap_or(self.now)
    }

    /// A flow of this weight is served something of this cost, in bytes.
    pub fn serve(&mut self, flow: &K, cost: u64, weight: u32) {
        let stand = self.stand(flow);
        let now = self.now.max(stand);
        self.now = now;
        self.ahead.insert(flow.clone(), stand + u128::from(cost.max(1)) * PARTS / u128::from(weight.max(1)));
        self.ahead.retain(|_, stand| *stand > now);
    }
}

/// How much a flow gets: its group beside other groups, and it beside the others of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// The weight of its group.
    pub group: u32,
    /// Its own within the group.
    pub own: u32,
}

impl Weights {
    /// Where nothing is set.
    pub const EVEN: Self = Self { group: 1, own: 1 };
}

/// What each flow was served, where flows come in groups. It remembers each group that it ever served.
#[derive(Debug, Clone)]
pub struct GroupShares<G, K> {
    groups: Shares<G>,
    within: BTreeMap<G, Shares<K>>,
}

impl<G, K> Default for GroupShares<G, K> {
    fn default() -> Self {
        Self { groups: Shares::default(), within: BTreeMap::new() }
    }
}

impl<G: Ord + Clone, K: Ord + Clone> GroupShares<G, K> {
    /// Where a flow stands: its group, and it within that. The lowest is next.
    pub fn stand(&self, (group, flow): &(G, K)) -> (u128, u128) {
        (self.groups.stand(group), self.within.get(group).map_or(0, |within| within.stand(flow)))
    }

    /// A flow of these weights is served something of this cost, in bytes.
    pub fn serve(&mut self, (group, flow): &(G, K), cost: u64, weights: Weights) {
        self.groups.serve(group, cost, weights.group);
        self.within.entry(group.clone()).or_default().serve(flow, cost, weights.own);
    }
}

/// A queue in which flows take turns by weight; within a flow, what came first goes first.
#[derive(Debug)]
pub struct FairQueue<G, K, T> {
    shares: GroupShares<G, K>,
    waiting: BTreeMap<(G, K), VecDeque<Waiting<T>>>,
}

#[derive(Debug)]
struct Waiting<T> {
    cost: u64,
    weights: Weights,
    item: T,
}

impl<G, K, T> Default for FairQueue<G, K, T> {
    fn default() -> Self {
        Self { shares: GroupShares::default(), waiting: BTreeMap::new() }
    }
}

impl<G: Ord + Clone, K: Ord + Clone, T> FairQueue<G, K, T> {
    /// Queues an item of this cost, in bytes, for a flow of these weights.
    pub fn push(&mut self, flow: &(G, K), weights: Weights, cost: u64, item: T) {
        let waiting = Waiting { cost, weights, item };
        match self.waiting.get_mut(flow) {
            Some(queue) => queue.push_back(waiting),
            None => drop(self.waiting.insert(flow.clone(), VecDeque::from([waiting]))),
        }
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<T> {
        let next = self.waiting.keys().min_by_key(|flow| self.shares.stand(flow))?.clone();
        let queue = self.waiting.get_mut(&next)?;
        let first = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&next);
        }
        self.shares.serve(&next, first.cost, first.weights);
        Some(first.item)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }
}

/// Transfers that a role inspects, or delivers to rooms of this host, or to rooms elsewhere, at the same time; each has threads of its own
/// that decrypt besides.
pub const WORKERS: usize = 4;

/// How long a transfer keeps a worker, roughly: seconds, minutes, longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// Up to 64 MiB.
    Small,
    /// Up to 4 GiB.
    Medium,
    /// More.
    Large,
}

impl Size {
    /// The size of a transfer of so many bytes.
    pub fn of(bytes: u64) -> Self {
        match bytes {
            0..=0x400_0000 => Self::Small,
            0x400_0001..=0x1_0000_0000 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// How many workers transfers of this size and larger ones have together.
    fn most(self) -> usize {
        match self {
            Self::Small => WORKERS,
            Self::Medium => WORKERS - 1,
            Self::Large => WORKERS - 2,
        }
    }
}

/// Whether a transfer of this size may begin while those are in work: never does a worker that is kept for smaller ones go
/// to it.
pub fn may_begin(size: Size, in_work: impl IntoIterator<Item = Size>) -> bool {
    let in_work: Vec<Size> = in_work.into_iter().collect();
    let with = |least: Size| in_work.iter().filter(|other| **other >= least).count() + usize::from(size >= least);
    [Size::Small, Size::Medium, Size::Large].into_iter().all(|least| with(least) <= least.most() || size < least)
}

/// Whether a delivery of this size to `room`, where that is elsewhere, may begin while those are in work. Rooms of this host and rooms
/// elsewhere have [`WORKERS`] each, so that a target that hangs keeps no room of this host waiting. Of those elsewhere a room has one; and a
/// second as long as that leaves one for others, and one of the two is small: one target that hangs keeps no other room waiting, and a
/// large delivery no small one to the same room.
pub fn may_deliver<R: PartialEq>(size: Size, room: Option<&R>, in_work: &[(Size, Option<R>)]) -> bool {
    let beside: Vec<&(Size, Option<R>)> =
        in_work.iter().filter(|(_, other)| other.is_some() == room.is_some()).collect();
    if !may_begin(size, beside.iter().map(|(size, _)| *size)) {
        return false;
    }
    let to_room: Vec<Size> =
        beside.iter().filter(|(_, other)| room.is_some() && other.as_ref() == room).map(|(size, _)| *size).collect();
    match to_room.as_slice() {
        [] => true,
        [other] => beside.len() + 1 < WORKERS && size.min(*other) == Size::Small,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
