//! Flow-control windows: how much peers may send that nobody has read yet. What is granted stays below a bound, however
//! many connections there are.

use super::bounds;
use super::pool::lock;
use quinn::{Connection, VarInt};
use sluse_protocol::limits::CONNECTION_WINDOW_BYTES;
use std::sync::{Arc, Mutex};

/// The bytes that can still be granted.
#[derive(Debug)]
pub struct Windows {
    left: Mutex<u64>,
}

/// A window that was granted; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    windows: Arc<Windows>,
    bytes: u64,
}

impl Windows {
    /// So many bytes to grant.
    pub fn new(bytes: u64) -> Self {
        Self { left: Mutex::new(bytes) }
    }

    /// Widens a connection's window: to the full one, or to half of what is left, so that there is always something left
    /// for the next.
    pub fn widen(self: &Arc<Self>, connection: &Connection) -> Lease {
        let bytes = {
            let mut left = lock(&self.left);
            let bytes = (*left / 2).min(u64::from(CONNECTION_WINDOW_BYTES - bounds::FIRST_WINDOW_BYTES));
            *left -= bytes;
            bytes
        };
        // At most CONNECTION_WINDOW_BYTES, which is a u32.
        let window = bounds::FIRST_WINDOW_BYTES.saturating_add(u32::try_from(bytes).unwrap_or(0));
        connection.set_receive_window(VarInt::from_u32(window));
        Lease { windows: Arc::clone(self), bytes }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.windows.left) += self.bytes;
    }
}
