//! Flow-control windows: how much peers may send that nobody has read yet. What is granted stays below a bound, however
//! many connections there are, and one source's stays below two thirds of it, however many it has.

use super::bounds;
use super::pool::lock;
use quinn::{Connection, VarInt};
use sluse_protocol::ids::SourceName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The bytes that can still be granted.
#[derive(Debug)]
pub struct Windows {
    granted: Mutex<Granted>,
    /// What can be granted to one source.
    share: u64,
    /// A full window of one connection.
    full: u32,
}

#[derive(Debug)]
struct Granted {
    left: u64,
    to: HashMap<SourceName, u64>,
}

/// A window that was granted; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    windows: Arc<Windows>,
    source: SourceName,
    bytes: u64,
}

impl Windows {
    /// So many bytes to grant, windows of `full` bytes while there are many.
    pub fn new(bytes: u64, full: u32) -> Self {
        let granted = Granted { left: bytes, to: HashMap::new() };
        Self { granted: Mutex::new(granted), share: bytes / 3 * 2, full }
    }

    /// Widens a connection's window for as long as the lease lives.
    pub fn widen(self: &Arc<Self>, source: &SourceName, connection: &Connection) -> Lease {
        let lease = self.lease(source);
        // At most a full window, which is a u32.
        let window = u32::try_from(lease.bytes).unwrap_or(0).saturating_add(bounds::FIRST_WINDOW_BYTES);
        connection.set_receive_window(VarInt::from_u32(window));
        lease
    }

    /// What makes the first window a full one, or half of what is left, for all and for the source, so that there is always something
    /// left for the next.
    fn lease(self: &Arc<Self>, source: &SourceName) -> Lease {
        let mut granted = lock(&self.granted);
        let left = granted.left;
        let to = granted.to.entry(source.clone()).or_default();
        let half = left.min(self.share.saturating_sub(*to)) / 2;
        let bytes = half.min(u64::from(self.full.saturating_sub(bounds::FIRST_WINDOW_BYTES)));
        *to += bytes;
        granted.left -= bytes;
        Lease { windows: Arc::clone(self), source: source.clone(), bytes }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut granted = lock(&self.windows.granted);
        granted.left += self.bytes;
        if let Some(to) = granted.to.get_mut(&self.source) {
            *to -= self.bytes;
            if *to == 0 {
                granted.to.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::limits::CONNECTION_WINDOW_BYTES;

    fn windows() -> Arc<Windows> {
        Arc::new(Windows::new(bounds::WINDOWS_BYTES, CONNECTION_WINDOW_BYTES))
    }

    fn source(number: usize) -> SourceName {
        format!("source{number}").parse().unwrap()
    }

    #[test]
    fn leases_never_add_up_to_more_than_there_is_and_come_back() {
        let windows = windows();
        let leases: Vec<_> = (0..1000).map(|number| windows.lease(&source(number))).collect();
        assert!(leases.iter().map(|lease| lease.bytes).sum::<u64>() <= bounds::WINDOWS_BYTES);
        assert!(leases[..2].iter().all(|lease| lease.bytes == leases[0].bytes), "the first get all they can use");
        drop(leases);
        let granted = lock(&windows.granted);
        assert_eq!((granted.left, granted.to.len()), (bounds::WINDOWS_BYTES, 0));
    }

    #[test]
    fn a_source_with_many_connections_leaves_others_a_third_of_all() {
        let windows = windows();
        let many: Vec<_> = (0..16).map(|_| windows.lease(&source(0))).collect();
        assert!(many.iter().map(|lease| lease.bytes).sum::<u64>() <= bounds::WINDOWS_BYTES / 3 * 2);
        assert_eq!(
            many[0].bytes,
            u64::from(CONNECTION_WINDOW_BYTES - bounds::FIRST_WINDOW_BYTES),
            "alone, one gets all it can use"
        );
        assert!(windows.lease(&source(1)).bytes >= bounds::WINDOWS_BYTES / 6);
    }
}
