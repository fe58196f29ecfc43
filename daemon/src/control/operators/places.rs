//! Places at the operators' socket: nobody takes them all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// People connected at once.
const MAX_KNOWN: usize = 64;

/// Others connected at once, who hear why they may not; they take no place from those who may.
const MAX_STRANGERS: usize = 8;

/// Users at once of whom the system is being asked who they are, besides those that were known lately. It may be slow to say.
const MAX_ASKED: usize = 16;

/// Users that are remembered as known: for their place alone, each request is admitted by what the system says then.
const MAX_REMEMBERED: usize = 1024;

/// Connections of one user.
const MAX_EACH: usize = 8;

/// Who is connected.
#[derive(Debug, Default)]
pub struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    known: usize,
    strangers: usize,
    asked: usize,
    each: BTreeMap<u32, usize>,
    /// Who was known lately.
    remembered: BTreeSet<u32>,
}

/// As what somebody is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Known,
    Stranger,
    /// The system is being asked.
    Asked,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    uid: u32,
    taken: As,
}

impl Places {
    /// A place for a user of whom nobody was asked yet, if one is left.
    pub fn take(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut taken = self.lock();
        let kind = if taken.remembered.contains(&uid) { As::Known } else { As::Asked };
        if taken.each.get(&uid).is_some_and(|each| *each >= MAX_EACH) || !taken.enter(kind) {
            return None;
        }
        *taken.each.entry(uid).or_default() += 1;
        Some(Place { places: Arc::clone(self), uid, taken: kind })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The system has said whether the user may ask anything; whether there is a place for one such.
    pub fn settle(&mut self, known: bool) -> bool {
        let mut taken = self.places.lock();
        if !known {
            taken.remembered.remove(&self.uid);
        } else if taken.remembered.len() < MAX_REMEMBERED {
            taken.remembered.insert(self.uid);
        }
        let kind = if known { As::Known } else { As::Stranger };
        if kind == self.taken {
            return true;
        }
        let entered = taken.enter(kind);
        if entered {
            *taken.of(self.taken) -= 1;
            self.taken = kind;
        }
        entered
    }
}

impl Taken {
    fn of(&mut self, kind: As) -> &mut usize {
        match kind {
            As::Known => &mut self.known,
            As::Stranger => &mut self.strangers,
            As::Asked => &mut self.asked,
        }
    }

    fn enter(&mut self, kind: As) -> bool {
        let most = match kind {
            As::Known => MAX_KNOWN,
            As::Stranger => MAX_STRANGERS,
            As::Asked => MAX_ASKED,
        };
        let count = self.of(kind);
        let free = *count < most;
        *count += usize::from(free);
        free
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        *taken.of(self.taken) -= 1;
        let left = taken.each.remove(&self.uid).unwrap_or_default() - 1;
        if left > 0 {
            taken.each.insert(self.uid, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place, as the system says who it is for.
    fn place(places: &Arc<Places>, uid: u32, known: bool) -> Option<Place> {
        let mut place = places.take(uid)?;
        place.settle(known).then_some(place)
    }

    #[test]
    fn nobody_takes_more_than_a_share_and_strangers_none_of_those_who_may() {
        let places = Arc::new(Places::default());
        let of_one: Vec<_> = (0..MAX_EACH).map(|_| place(&places, 1, true).unwrap()).collect();
        assert!(place(&places, 1, true).is_none());
        let strangers: Vec<_> =
            (100..100 + MAX_STRANGERS as u32).map(|uid| place(&places, uid, false).unwrap()).collect();
        assert!(place(&places, 99, false).is_none());
        let others: Vec<_> = (2..).map_while(|uid| place(&places, uid, true)).collect();
        assert_eq!(of_one.len() + others.len(), MAX_KNOWN);
        drop((of_one, strangers, others));
        assert!(place(&places, 1, true).is_some() && place(&places, 99, false).is_some());
        assert!(places.lock().each.is_empty());
    }

    #[test]
    fn while_the_system_is_slow_to_say_who_strangers_are_those_who_were_known_find_a_place() {
        let places = Arc::new(Places::default());
        drop(place(&places, 1, true).unwrap());
        let waiting: Vec<_> = (100..).map_while(|uid| places.take(uid)).collect();
        assert_eq!(waiting.len(), MAX_ASKED);
        assert!(places.take(2).is_none(), "nobody knows who that is");
        assert!(place(&places, 1, true).is_some());
        // Who lost every power has no such place any more.
        assert!(place(&places, 1, false).is_some() && places.take(1).is_none());
    }
}
