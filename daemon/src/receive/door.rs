//! The endpoint: who is let in to a handshake at all.

use super::greet;
use super::intake::Intake;
use super::pool::lock;
use super::{bounds, frames};
use crate::pulse;
use quinn::{Endpoint, Incoming};
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use tokio::time::timeout;

/// Takes connections until the endpoint is closed. It beats the role's pulse, which is the network's threads' too.
pub async fn open(intake: Arc<Intake>, endpoint: Endpoint) {
    let hall = Arc::new(Hall { places: intake.zone.settings.receive.max_connections as usize, ..Hall::default() });
    let pulse = pulse::of("door", bounds::BEAT * 6);
    loop {
        pulse.beat();
        let incoming = match timeout(bounds::BEAT, endpoint.accept()).await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return,
            Err(_) => continue,
        };
        let peer = incoming.remote_address();
        match hall.admit(&incoming) {
            Ok(place) => drop(tokio::spawn(welcome(Arc::clone(&intake), incoming, place))),
            Err(Unwelcome::Full) => {
                tracing::debug!(%peer, "a connection was turned away: no place");
                incoming.refuse();
            }
            Err(Unwelcome::Unproven) => {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
            }
        }
    }
}

async fn welcome(intake: Arc<Intake>, incoming: Incoming, place: Place) {
    let peer = incoming.remote_address();
    let shaken = match incoming.accept() {
        Ok(connecting) => timeout(bounds::HANDSHAKE, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    match shaken {
        Ok(Ok(connection)) => {
            let seated = greet::certificate(&connection).and_then(|shown| place.sit_down(Sha256::of(&shown)));
            match seated {
                Ok(mut place) => greet::serve(intake, connection, || place.greeted()).await,
                Err(refusal) => {
                    tracing::warn!(%peer, code = %refusal.code, "refused: {}", refusal.message);
                    frames::close(&connection, &refusal);
                }
            }
        }
        Ok(Err(error)) => tracing::warn!(%peer, "handshake failed: {error}"),
        Err(_) => tracing::warn!(%peer, "handshake not finished in time"),
    }
}

/// Who is in: connections, and handshakes under way by address.
#[derive(Debug, Default)]
struct Hall {
    places: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    handshakes: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Connections that were not greeted yet, by certificate.
    ungreeted: HashMap<Sha256, usize>,
}

enum Unwelcome {
    Full,
    Unproven,
}

impl Hall {
    fn admit(self: &Arc<Self>, incoming: &Incoming) -> Result<Place, Unwelcome> {
        let address = network(incoming.remote_address().ip());
        let mut taken = lock(&self.taken);
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.handshakes >= bounds::HANDSHAKES || here >= bounds::HANDSHAKES_PER_ADDRESS {
            return Err(Unwelcome::Full);
        }
        if taken.handshakes >= bounds::HANDSHAKES_ON_TRUST && incoming.may_retry() {
            return Err(Unwelcome::Unproven);
        }
        taken.handshakes += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Ok(Place { hall: Arc::clone(self), handshake: Some(address), connected: false, ungreeted: None })
    }
}

/// What stands for one peer: an IPv4 address, or the network of an IPv6 address, of which each host has a whole one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// One less of `key`; what comes to nothing is forgotten.
fn count_down<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// A place: in a handshake first, as a connection then.
#[derive(Debug)]
struct Place {
    hall: Arc<Hall>,
    /// From where, while the handshake is under way.
    handshake: Option<IpAddr>,
    connected: bool,
    /// The certificate of a connection that was not greeted yet.
    ungreeted: Option<Sha256>,
}

impl Place {
    /// The handshake is done, in which `certificate` was shown. Whose it is, and whether that source was shut out, is not
    /// known before the greeting: until then one certificate may not fill the hall.
    fn sit_down(mut self, certificate: Sha256) -> Result<Self, Refusal> {
        self.leave_handshake();
        let mut taken = lock(&self.hall.taken);
        if taken.connections >= self.hall.places {
            return Err(Refusal::new(Code::Busy, "the zone has too many connections"));
        }
        let ungreeted = taken.ungreeted.entry(certificate).or_default();
        if *ungreeted >= bounds::UNGREETED_PER_CERTIFICATE {
            return Err(Refusal::new(Code::Busy, "too many connections with this certificate said no hello yet"));
        }
        *ungreeted += 1;
        taken.connections += 1;
        drop(taken);
        (self.connected, self.ungreeted) = (true, Some(certificate));
        Ok(self)
    }

    /// It is known who this is: the bound on each source's connections holds from here on.
    fn greeted(&mut self) {
        if let Some(certificate) = self.ungreeted.take() {
            count_down(&mut lock(&self.hall.taken).ungreeted, certificate);
        }
    }

    fn leave_handshake(&mut self) {
        let Some(address) = self.handshake.take() else { return };
        let mut taken = lock(&self.hall.taken);
        taken.handshakes -= 1;
        count_down(&mut taken.by_address, address);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave_handshake();
        self.greeted();
        if self.connected {
            lock(&self.hall.taken).connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hall(places: usize) -> Arc<Hall> {
        Arc::new(Hall { places, ..Hall::default() })
    }

    fn shaken(hall: &Arc<Hall>) -> Place {
        Place { hall: Arc::clone(hall), handshake: None, connected: false, ungreeted: None }
    }

    #[test]
    fn who_says_no_hello_does_not_take_all_places_with_one_certificate() {
        let hall = hall(256);
        let (shut_out, honest) = (Sha256::of(b"shut out"), Sha256::of(b"honest"));
        let silent: Vec<Place> = (0..256).filter_map(|_| shaken(&hall).sit_down(shut_out).ok()).collect();
        assert_eq!(silent.len(), bounds::UNGREETED_PER_CERTIFICATE);
        let mut place = shaken(&hall).sit_down(honest).unwrap();
        place.greeted();
        drop((silent, place));
        let taken = lock(&hall.taken);
        assert_eq!((taken.connections, taken.ungreeted.len()), (0, 0));
    }

    #[test]
    fn connections_that_were_greeted_are_bounded_by_the_places_alone() {
        let hall = hall(40);
        let certificate = Sha256::of(b"honest");
        let seated = || {
            let mut place = shaken(&hall).sit_down(certificate).ok()?;
            place.greeted();
            Some(place)
        };
        let places: Vec<Place> = std::iter::from_fn(seated).collect();
        assert_eq!(places.len(), 40);
    }

    #[test]
    fn an_ipv6_network_is_one_peer_and_an_ipv4_address_is_one_however_it_is_written() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
