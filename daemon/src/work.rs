//! Threads that do a role's tasks, so that a quick task does not wait behind a long one.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

type Task = Box<dyn FnOnce() + Send>;

/// A few threads and a bounded queue of tasks for them. When it is dropped the threads end after what is queued.
pub struct Pool {
    queue: SyncSender<Task>,
}

/// Every thread is at work and the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Pool {
    /// Starts `threads` threads called `name`, for which up to `queued` tasks wait.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(name: &str, threads: usize, queued: usize) -> io::Result<Self> {
        let (queue, tasks) = sync_channel::<Task>(queued);
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..threads {
            let tasks = Arc::clone(&tasks);
            std::thread::Builder::new().name(name.into()).spawn(move || work(&tasks))?;
        }
        Ok(Self { queue })
    }

    /// Queues a task.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn give(&self, task: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        match self.queue.try_send(Box::new(task)) {
            Ok(()) => Ok(()),
            // Threads end only when the queue does, or by a panic; then the task cannot be done either.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Full),
        }
    }
}

/// From here on a panic is logged with its place alone: its message may hold pieces of a file.
pub fn name_no_content_in_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
}

fn work(tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        // What a panic means for the task is known where the task was made; here it must not take the thread along.
        let _ = catch_unwind(AssertUnwindSafe(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_full_pool_takes_no_more_and_does_all_that_it_took() {
        let pool = Pool::start("test", 1, 2).unwrap();
        let (hold, held) = channel::<()>();
        let (done, counted) = channel();
        let (started, begins) = channel();
        pool.give(move || {
            started.send(()).unwrap();
            held.recv().unwrap();
        })
        .unwrap();
        begins.recv().unwrap();
        for _ in 0..2 {
            let done = done.clone();
            pool.give(move || done.send(()).unwrap()).unwrap();
        }
        assert_eq!(pool.give(|| ()), Err(Full));
        hold.send(()).unwrap();
        drop((pool, done));
        assert_eq!(counted.iter().count(), 2);
    }
}
