//! Two threads that read or write one large file past the page cache, a step each. A disk that has two things to do takes them in
//! less time than one after the other, most of all while it is written and read back from at once.

use crate::direct::Memory;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a step, a multiple of [`crate::direct::BLOCK`].
pub const STEP: usize = 4 * 1024 * 1024;

/// Threads.
pub const THREADS: usize = 2;

/// Buffers: each thread works on one and has one waiting, and one is filled or emptied.
const BUFFERS: usize = 2 * THREADS + 1;

/// What is to be done with a buffer; says how many of its bytes count.
type Work = Box<dyn FnOnce(&mut Memory) -> io::Result<usize> + Send>;

/// The threads and their buffers.
pub struct Lanes {
    lanes: Vec<SyncSender<(u64, Memory, Work)>>,
    threads: Vec<JoinHandle<()>>,
    done: Receiver<Done>,
    spare: Vec<Memory>,
}

/// A step that was done.
pub struct Done {
    /// Its number.
    pub step: u64,
    /// Its buffer, to be given back.
    pub memory: Memory,
    /// How many bytes of it count.
    pub result: io::Result<usize>,
}

impl Lanes {
    /// Starts the threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start(name: &str) -> io::Result<Self> {
        let (end, done) = sync_channel(BUFFERS);
        let (mut lanes, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (lane, steps) = sync_channel::<(u64, Memory, Work)>(BUFFERS);
            let end = end.clone();
            threads.push(std::thread::Builder::new().name(name.into()).spawn(move || {
                for (step, mut memory, work) in steps {
                    let result = work(&mut memory);
                    if end.send(Done { step, memory, result }).is_err() {
                        return;
                    }
                }
            })?);
            lanes.push(lane);
        }
        let spare = (0..BUFFERS).map(|_| Memory::new(STEP)).collect::<io::Result<_>>()?;
        Ok(Self { lanes, threads, done, spare })
    }

    /// A buffer that is free.
    pub fn spare(&mut self) -> Option<Memory> {
        self.spare.pop()
    }

    /// Gives a buffer back.
    pub fn give_back(&mut self, memory: Memory) {
        self.spare.push(memory);
    }

    /// Has a step done.
    ///
    /// # Errors
    /// When the thread has died.
    pub fn begin(
        &self,
        step: u64,
        memory: Memory,
        work: impl FnOnce(&mut Memory) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<()> {
        let lane = &self.lanes[(step % THREADS as u64) as usize];
        lane.send((step, memory, Box::new(work))).map_err(|_| died())
    }

    /// A step that is done, whichever is first.
    ///
    /// # Errors
    /// When a thread has died.
    pub fn wait(&self) -> io::Result<Done> {
        self.done.recv().map_err(|_| died())
    }

    /// A step that is done already.
    pub fn poll(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            // A panic of it was noticed in its lane.
            let _ = thread.join();
        }
    }
}

fn died() -> io::Error {
    io::Error::other("a thread that reads or writes has died")
}
