//! The chunk buffers: a fixed number, used again and again, so that memory does not grow with the dataset.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Buffers of chunks in the sender: 12 of 4 MiB. At most six wait between reading and sending; the others are on their way,
/// until the zone has acknowledged their packets.
pub(crate) const BUFFERS: usize = 12;

/// A set of buffers of one size.
#[derive(Debug)]
pub(crate) struct Pool {
    size: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Buffers that may still be made.
    unmade: usize,
    free: Vec<Vec<u8>>,
    closed: bool,
}

impl Pool {
    /// At most `count` buffers of `size` bytes; each is made when it is first needed.
    pub fn new(count: usize, size: usize) -> Arc<Self> {
        let state = State { unmade: count, free: Vec::with_capacity(count), closed: false };
        Arc::new(Self { size, state: Mutex::new(state), freed: Condvar::new() })
    }

    /// Waits for a free buffer; `None` when the pool was closed.
    pub fn take(self: &Arc<Self>) -> Option<Buffer> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(bytes) = state.free.pop() {
                return Some(Buffer { bytes, filled: 0, pool: Arc::clone(self) });
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                return Some(Buffer { bytes: vec![0; self.size], filled: 0, pool: Arc::clone(self) });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends everybody's waiting.
    pub fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_all();
    }

    /// A panic in another thread leaves the state whole: each critical section is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer and how much of it is filled; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// What is not filled yet.
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Says that `count` more bytes are filled, and returns them.
    pub fn fill(&mut self, count: usize) -> &[u8] {
        let start = self.filled;
        self.filled += count;
        &self.bytes[start..self.filled]
    }

    /// Forgets what is filled.
    pub fn empty(&mut self) {
        self.filled = 0;
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.filled == self.bytes.len()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.lock().free.push(std::mem::take(&mut self.bytes));
        self.pool.freed.notify_one();
    }
}
