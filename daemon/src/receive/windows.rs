//! Flow-control windows: how much peers may send that nobody has read yet. What is granted stays below a bound, however
//! many connections there are.

use super::bounds;
use super::pool::lock;
use quinn::{Connection, VarInt};
use std::sync::{Arc, Mutex};

/// The bytes that can still be granted.
#[derive(Debug)]
pub struct Windows {
    left: Mutex<u64>,
    /// A full window of one connection.
    full: u32,
}

/// A window that was granted; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    windows: Arc<Windows>,
    bytes: u64,
}

impl Windows {
    /// So many bytes to grant, windows of `full` bytes while there are many.
    pub fn new(bytes: u64, full: u32) -> Self {
        Self { left: Mutex::new(bytes), full }
    }

    /// Widens a connection's window for as long as the lease lives.
    pub fn widen(self: &Arc<Self>, connection: &Connection) -> Lease {
        let lease = self.lease();
        // At most a full window, which is a u32.
        let window = u32::try_from(lease.bytes).unwrap_or(0).saturating_add(bounds::FIRST_WINDOW_BYTES);
        connection.set_receive_window(VarInt::from_u32(window));
        lease
    }

    /// What makes the first window a full one, or half of what is left, so that there is always something left for the next.
    fn lease(self: &Arc<Self>) -> Lease {
        let mut left = lock(&self.left);
        let bytes = (*left / 2).min(u64::from(self.full.saturating_sub(bounds::FIRST_WINDOW_BYTES)));
        *left -= bytes;
        Lease { windows: Arc::clone(self), bytes }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.windows.left) += self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_add_up_to_more_than_there_is_and_come_back() {
        let windows = Arc::new(Windows::new(bounds::WINDOWS_BYTES, sluse_protocol::limits::CONNECTION_WINDOW_BYTES));
        let leases: Vec<_> = (0..1000).map(|_| windows.lease()).collect();
        assert!(leases.iter().map(|lease| lease.bytes).sum::<u64>() <= bounds::WINDOWS_BYTES);
        assert!(leases[..2].iter().all(|lease| lease.bytes == leases[0].bytes), "the first get all they can use");
        drop(leases);
        assert_eq!(*lock(&windows.left), bounds::WINDOWS_BYTES);
    }
}
