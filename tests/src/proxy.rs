//! A UDP relay between a source and a zone, in which a test breaks the path: silence, loss, another address.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a relay thread looks whether it is to stop.
const TICK: Duration = Duration::from_millis(20);

/// A relay that listens on loopback.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    zone: SocketAddr,
    front: UdpSocket,
    stop: AtomicBool,
    silent: AtomicBool,
    /// One datagram in so many is dropped; 0 for none.
    drop_one_in: AtomicU64,
    relayed: AtomicU64,
    bytes_to_zone: AtomicU64,
    bytes_from_zone: AtomicU64,
    backs: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Proxy {
    /// A relay in front of `zone`.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn start(zone: SocketAddr) -> io::Result<Self> {
        let front = UdpSocket::bind("127.0.0.1:0")?;
        front.set_read_timeout(Some(TICK))?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            zone,
            front,
            stop: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            drop_one_in: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
            bytes_to_zone: AtomicU64::new(0),
            bytes_from_zone: AtomicU64::new(0),
            backs: Mutex::default(),
        });
        let relay = Arc::clone(&shared);
        std::thread::spawn(move || relay.forward());
        Ok(Self { address, shared })
    }

    /// Where sources reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops everything, both ways, until told otherwise.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// Drops one datagram in `n`; 0 for none.
    pub fn drop_one_in(&self, n: u64) {
        self.shared.drop_one_in.store(n, Ordering::SeqCst);
    }

    /// From here on the zone sees every source at another address, as after a NAT rebinding.
    pub fn rebind(&self) {
        self.shared.backs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes of UDP payload that went towards the zone.
    pub fn bytes_to_zone(&self) -> u64 {
        self.shared.bytes_to_zone.load(Ordering::SeqCst)
    }

    /// Bytes of UDP payload that came from the zone.
    pub fn bytes_from_zone(&self) -> u64 {
        self.shared.bytes_from_zone.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn forward(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        while !self.stop.load(Ordering::SeqCst) {
            let Ok((length, source)) = self.front.recv_from(&mut buffer) else { continue };
            if self.drops() {
                continue;
            }
            let Ok(back) = self.back(source) else { continue };
            self.bytes_to_zone.fetch_add(length as u64, Ordering::SeqCst);
            // A datagram that cannot be sent is a lost one.
            let _ = back.send(&buffer[..length]);
        }
    }

    /// The socket from which the zone sees `source`.
    fn back(self: &Arc<Self>, source: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let mut backs = self.backs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(back) = backs.get(&source) {
            return Ok(Arc::clone(back));
        }
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        back.connect(self.zone)?;
        back.set_read_timeout(Some(TICK))?;
        backs.insert(source, Arc::clone(&back));
        let (relay, socket) = (Arc::clone(self), Arc::clone(&back));
        std::thread::spawn(move || relay.answer(&socket, source));
        Ok(back)
    }

    fn answer(&self, back: &UdpSocket, source: SocketAddr) {
        let mut buffer = vec![0; 65_536];
        while !self.stop.load(Ordering::SeqCst) {
            let Ok(length) = back.recv(&mut buffer) else { continue };
            if !self.drops() {
                self.bytes_from_zone.fetch_add(length as u64, Ordering::SeqCst);
                // A datagram that cannot be sent is a lost one.
                let _ = self.front.send_to(&buffer[..length], source);
            }
        }
    }

    fn drops(&self) -> bool {
        let n = self.drop_one_in.load(Ordering::SeqCst);
        let count = self.relayed.fetch_add(1, Ordering::SeqCst);
        self.silent.load(Ordering::SeqCst) || (n != 0 && count % n == n - 1)
    }
}
