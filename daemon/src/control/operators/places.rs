//! Places at the operators' socket: nobody takes them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// People connected at once.
const MAX_KNOWN: usize = 64;

/// Others connected at once, who hear why they may not; they take no place from those who may.
const MAX_STRANGERS: usize = 8;

/// Connections of one user.
const MAX_EACH: usize = 8;

/// Who is connected.
#[derive(Debug, Default)]
pub struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    known: usize,
    strangers: usize,
    each: BTreeMap<u32, usize>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    uid: u32,
    known: bool,
}

impl Places {
    /// A place for a user, if one is left.
    pub fn take(self: &Arc<Self>, uid: u32, known: bool) -> Option<Place> {
        let mut taken = self.lock();
        let (all, most) = if known { (taken.known, MAX_KNOWN) } else { (taken.strangers, MAX_STRANGERS) };
        if all >= most || taken.each.get(&uid).is_some_and(|each| *each >= MAX_EACH) {
            return None;
        }
        *taken.of(known) += 1;
        *taken.each.entry(uid).or_default() += 1;
        Some(Place { places: Arc::clone(self), uid, known })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn of(&mut self, known: bool) -> &mut usize {
        if known { &mut self.known } else { &mut self.strangers }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        *taken.of(self.known) -= 1;
        let left = taken.each.remove(&self.uid).unwrap_or_default() - 1;
        if left > 0 {
            taken.each.insert(self.uid, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share_and_strangers_none_of_those_who_may() {
        let places = Arc::new(Places::default());
        let of_one: Vec<_> = (0..MAX_EACH).map(|_| places.take(1, true).unwrap()).collect();
        assert!(places.take(1, true).is_none());
        let strangers: Vec<_> = (100..100 + MAX_STRANGERS as u32).map(|uid| places.take(uid, false).unwrap()).collect();
        assert!(places.take(99, false).is_none());
        let others: Vec<_> = (2..).map_while(|uid| places.take(uid, true)).collect();
        assert_eq!(of_one.len() + others.len(), MAX_KNOWN);
        drop((of_one, strangers, others));
        assert!(places.take(1, true).is_some() && places.take(99, false).is_some());
        assert!(places.lock().each.is_empty());
    }
}
