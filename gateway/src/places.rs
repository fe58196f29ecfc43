//! Who holds which connection of a listener. Pure: connections come and go, and whom to hang up on goes out.
//!
//! A *guest* is whoever has not shown yet who he is. A newcomer is never turned away for them: where all places of guests are taken, the
//! one goes that came first from the network which has most. So whoever opens connections again and again takes his own place, and not
//! another's. A *member* has shown who he is; there are as many places for members, of which each account may hold a share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of an address that are one network's: of IPv6 a host has as many addresses as it likes.
const NETWORK_BITS: u32 = 64;

/// Why somebody who has shown who he is gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// All are taken.
    #[error("too many connections")]
    All,
    /// The account holds its share.
    #[error("too many connections of this account")]
    Account,
    /// He was hung up on as a guest, in this moment.
    #[error("the connection was hung up on")]
    Gone,
}

/// The places of one listener. `H` is by what a guest is hung up on.
#[derive(Debug)]
pub struct Places<H> {
    most: usize,
    /// The share of each account.
    shares: Vec<usize>,
    count: u64,
    guests: BTreeMap<u64, (u128, H)>,
    /// The accounts of members.
    members: BTreeMap<u64, usize>,
}

impl<H> Places<H> {
    /// For `most` guests and as many members, of which each account may be `shares`.
    pub fn new(most: usize, shares: Vec<usize>) -> Self {
        Self { most, shares, count: 0, guests: BTreeMap::new(), members: BTreeMap::new() }
    }

    /// Somebody comes: his number, and whom to hang up on for that.
    pub fn enter(&mut self, peer: IpAddr, hang_up: H) -> (u64, Option<H>) {
        let number = self.count;
        // They do not run out: 2⁶⁴ connections take longer than any host lives.
        self.count += 1;
        self.guests.insert(number, (network(peer), hang_up));
        let full = self.guests.len() > self.most;
        (number, full.then(|| self.give_way()).flatten())
    }

    /// The guest who has to go.
    fn give_way(&mut self) -> Option<H> {
        let mut held: BTreeMap<u128, (usize, u64)> = BTreeMap::new();
        for (number, (network, _)) in &self.guests {
            // Numbers ascend: the first one is the oldest.
            held.entry(*network).or_insert((0, *number)).0 += 1;
        }
        let most = held.values().map(|(count, _)| *count).max()?;
        let oldest = held.values().filter(|(count, _)| *count == most).map(|(_, number)| *number).min()?;
        self.guests.remove(&oldest).map(|(_, hang_up)| hang_up)
    }

    /// Somebody has shown whose he is. Who was a member before stays the one that he was.
    ///
    /// # Errors
    /// When there is no place for him.
    pub fn admit(&mut self, number: u64, account: usize) -> Result<(), NoPlace> {
        if self.members.contains_key(&number) {
            return Ok(());
        }
        self.guests.remove(&number).ok_or(NoPlace::Gone)?;
        let held = self.members.values().filter(|member| **member == account).count();
        if self.members.len() >= self.most {
            return Err(NoPlace::All);
        }
        if held >= self.shares.get(account).copied().unwrap_or(0) {
            return Err(NoPlace::Account);
        }
        self.members.insert(number, account);
        Ok(())
    }

    /// Somebody is gone.
    pub fn leave(&mut self, number: u64) {
        self.guests.remove(&number);
        self.members.remove(&number);
    }
}

/// What stands for the network that an address is of: the whole address of IPv4.
fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> NETWORK_BITS << NETWORK_BITS,
    }
}

/// The places of a listener, for its threads.
#[derive(Debug)]
pub struct Door<H>(Arc<Mutex<Places<H>>>);

impl<H> Clone for Door<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> Door<H> {
    /// See [`Places::new`].
    pub fn new(most: usize, shares: Vec<usize>) -> Self {
        Self(Arc::new(Mutex::new(Places::new(most, shares))))
    }

    /// Somebody comes, for as long as the place lives; and whom to hang up on for that.
    pub fn enter(&self, peer: IpAddr, hang_up: H) -> (Place<H>, Option<H>) {
        let (number, gives_way) = self.lock().enter(peer, hang_up);
        (Place { door: self.clone(), number }, gives_way)
    }

    fn lock(&self) -> MutexGuard<'_, Places<H>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct Place<H> {
    door: Door<H>,
    number: u64,
}

impl<H> Place<H> {
    /// See [`Places::admit`].
    ///
    /// # Errors
    /// When there is no place for him.
    pub fn admit(&self, account: usize) -> Result<(), NoPlace> {
        self.door.lock().admit(self.number, account)
    }
}

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        self.door.lock().leave(self.number);
    }
}

/// The share of an account, where its section says none: half of what there is, or all where no other account is.
pub fn usual_share(all: usize, accounts: usize) -> usize {
    if accounts > 1 { all.div_ceil(2) } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_opens_connections_again_and_again_takes_his_own_places() {
        let mut places = Places::new(4, vec![4]);
        let (patient, _) = places.enter(address("10.0.0.1"), "patient");
        for _ in 0..3 {
            assert_eq!(places.enter(address("10.0.0.2"), "flood").1, None);
        }
        for _ in 0..100 {
            assert_eq!(places.enter(address("10.0.0.2"), "flood").1, Some("flood"));
        }
        assert_eq!(places.enter(address("10.0.0.3"), "late").1, Some("flood"));
        assert_eq!(places.admit(patient, 0), Ok(()));
    }

    #[test]
    fn a_host_with_many_addresses_of_one_network_is_one() {
        let mut places = Places::new(3, vec![3]);
        places.enter(address("fd00::1"), 1);
        places.enter(address("fd00:0:0:1::1"), 2);
        places.enter(address("fd00:0:0:1::2"), 3);
        assert_eq!(places.enter(address("fd00::1"), 4).1, Some(1), "of two that have as many, who came first");
        assert_eq!(places.enter(address("::ffff:10.0.0.1"), 5).1, Some(2));
    }

    #[test]
    fn an_account_holds_its_share_and_leaves_room_for_others() {
        let mut places = Places::new(4, vec![2, 4]);
        let mut admit = |account| {
            let (number, _) = places.enter(address("10.0.0.1"), ());
            (number, places.admit(number, account))
        };
        let first = admit(0);
        assert_eq!((first.1, admit(0).1, admit(0).1), (Ok(()), Ok(()), Err(NoPlace::Account)));
        assert_eq!((admit(1).1, admit(1).1, admit(1).1), (Ok(()), Ok(()), Err(NoPlace::All)));
        assert_eq!(places.admit(first.0, 1), Ok(()), "a member stays one");
        places.leave(first.0);
        assert_eq!(places.admit(first.0, 1), Err(NoPlace::Gone));
        let (number, _) = places.enter(address("10.0.0.1"), ());
        assert_eq!(places.admit(number, 0), Ok(()));
    }

    #[test]
    fn a_place_is_free_when_its_connection_is_gone() {
        let door = Door::new(1, vec![usual_share(1, 1)]);
        let (one, _) = door.enter(address("10.0.0.1"), 1);
        assert_eq!(one.admit(0), Ok(()));
        let (two, _) = door.enter(address("10.0.0.1"), 2);
        assert_eq!(two.admit(0), Err(NoPlace::All));
        drop((one, two));
        let (three, gives_way) = door.enter(address("10.0.0.1"), 3);
        assert_eq!((three.admit(0), gives_way, usual_share(5, 2)), (Ok(()), None, 3));
    }
}
