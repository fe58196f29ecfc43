//! Threads for work that would hold the network up: hashing, encrypting, writing; and the buffers that such work is fed
//! from.

use super::bounds;
use super::share::{Queue, Share};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads and the jobs that wait for them, in which sources take turns. Whoever submits a job waits for it
/// before the next, so that there are never more jobs than chunks in flight.
#[derive(Default)]
pub struct Pool {
    jobs: Mutex<Queue<Job>>,
    more: Condvar,
}

/// The job did not end: it panicked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a job of the pool panicked")]
pub struct Panicked;

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("waiting", &lock(&self.jobs).len()).finish()
    }
}

impl Pool {
    /// Starts the threads, which live as long as the process.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start() -> io::Result<Arc<Self>> {
        let pool = Arc::new(Self::default());
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..cores.clamp(2, bounds::SINKS) {
            let pool = Arc::clone(&pool);
            std::thread::Builder::new().name("sink".into()).spawn(move || pool.work())?;
        }
        Ok(pool)
    }

    /// Has a thread do `job` for a source, which costs as much as so many bytes. When nobody waits for the result any more, the job is done all the same and its result
    /// dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        share: &Share,
        bytes: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        self.begin(share, bytes, job).await.map_err(|_| Panicked)
    }

    /// Like [`Self::run`], but the job is queued at once and waited for later.
    pub fn begin<T: Send + 'static>(
        &self,
        share: &Share,
        bytes: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Nobody may wait any more: then the result is dropped, here, on this thread.
            let _ = done.send(job());
        };
        lock(&self.jobs).push(&share.flow, share.weights, bounds::JOB_BYTES + bytes as u64, Box::new(job));
        self.more.notify_one();
        result
    }

    fn work(&self) {
        loop {
            let job = {
                let mut jobs = lock(&self.jobs);
                loop {
                    match jobs.pop() {
                        Some(job) => break job,
                        None => jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            // The job's owner learns of a panic by its result not coming; this thread goes on.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }
}

/// Record buffers: so many, used again and again.
#[derive(Debug)]
pub struct Buffers {
    free: Mutex<Vec<Box<[u8]>>>,
    permits: Arc<Semaphore>,
}

impl Buffers {
    /// As many as [`bounds::RECORDS`], none of them allocated yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), permits: Arc::new(Semaphore::new(bounds::RECORDS)) })
    }

    /// An empty buffer, when there is one.
    pub async fn take(self: &Arc<Self>) -> Buffer {
        // The semaphore is never closed; without a permit the count is off, not the memory safety.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let bytes = lock(&self.free).pop().unwrap_or_else(|| vec![0; bounds::RECORD_BYTES].into_boxed_slice());
        Buffer { bytes, filled: 0, pool: Arc::clone(self), _permit: permit }
    }
}

/// A buffer of [`bounds::RECORD_BYTES`], of which some are filled.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    pool: Arc<Buffers>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// What was filled in.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Where the next bytes go.
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// `count` bytes of the rest are filled now.
    pub fn advance(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.bytes.len());
    }

    /// Copies `bytes`, of which there must be no more than the rest holds.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.pool.free).push(std::mem::take(&mut self.bytes));
    }
}

/// A panic in another thread leaves the data behind these locks whole: each critical section is one step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::sharing::Weights;

    #[test]
    fn a_source_with_many_streams_does_not_keep_another_ones_records_waiting() {
        let pool = Pool::default();
        let share = |name: &str| Share { flow: (name.parse().unwrap(), None), weights: Weights::EVEN };
        let (many, one) = (share("many"), share("one"));
        let order = Arc::new(Mutex::new(Vec::new()));
        let job = |name| {
            let order = Arc::clone(&order);
            move || lock(&order).push(name)
        };
        let mut results: Vec<_> = (0..100).map(|_| pool.begin(&many, bounds::RECORD_BYTES, job("many"))).collect();
        results.push(pool.begin(&one, bounds::RECORD_BYTES, job("one")));
        for _ in 0..results.len() {
            let next = lock(&pool.jobs).pop().unwrap();
            next();
        }
        let order = lock(&order);
        assert_eq!((order.len(), order.iter().position(|name| *name == "one")), (101, Some(1)));
    }
}
