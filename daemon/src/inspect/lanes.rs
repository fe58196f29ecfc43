//! Small files of one transfer, read side by side.
//!
//! A transfer streams by on one thread. Its large files are read there, as they come; small ones are gathered and handed to
//! threads, each of which reads whole files with all engines. What they say is taken in the files' order, so that nothing depends
//! on which thread was the quicker.

use super::engine::{Engine, FileFacts, Guarded, Verdict};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Entry;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes of the largest file that is gathered in memory.
pub const SMALL_FILE: u64 = 1024 * 1024;

/// Files that may be ahead of the first one whose verdicts are still to come: so many are in memory at most.
const AHEAD: usize = 32;

/// How many files are read at the same time, of one transfer and of all: who sends files that keep every thread of his own busy must
/// not stop the others.
pub struct Slots {
    of_transfer: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to read a file.
pub struct Slot(Arc<Slots>);

impl Slots {
    /// So many of one transfer, and so many in all.
    pub fn new(of_transfer: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self { of_transfer, free: Mutex::new(in_all), freed: Condvar::new() })
    }

    /// Waits for one.
    pub fn take(self: &Arc<Self>) -> Slot {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// What every engine says of one file.
pub struct Judged {
    /// The file.
    pub entry: Entry,
    /// A verdict of each engine, in the engines' order.
    pub verdicts: Vec<Verdict>,
}

/// A small file, whole.
struct Job {
    number: u64,
    entry: Entry,
    file: FileFacts,
    digest: Sha256,
    bytes: Vec<u8>,
}

type Done = (u64, Judged, Vec<u8>);

/// The threads of one transfer, and what they have said that is not taken yet.
pub struct Lanes {
    /// None once all files were given.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    waiting: BTreeMap<u64, Judged>,
    /// Files that were given, and those whose verdicts were taken.
    given: u64,
    taken: u64,
    spare: Vec<Vec<u8>>,
}

impl Lanes {
    /// Starts as many threads as a transfer may have.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(engines: &[Arc<dyn Engine>], slots: &Arc<Slots>) -> io::Result<Self> {
        let (jobs, given) = sync_channel(AHEAD);
        let (told, done) = sync_channel(AHEAD);
        let given = Arc::new(Mutex::new(given));
        let mut lanes = Self {
            jobs: Some(jobs),
            done,
            threads: Vec::new(),
            waiting: BTreeMap::new(),
            given: 0,
            taken: 0,
            spare: Vec::new(),
        };
        for _ in 0..slots.of_transfer {
            let (engines, slots, given, told) = (engines.to_vec(), Arc::clone(slots), Arc::clone(&given), told.clone());
            let work = move || read_all(&engines, &slots, &given, &told);
            lanes.threads.push(std::thread::Builder::new().name("lane".into()).spawn(work)?);
        }
        Ok(lanes)
    }

    /// Memory for the next small file.
    pub fn memory(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Gives a small file, whole, to be read.
    pub fn read(&mut self, entry: &Entry, file: FileFacts, digest: Sha256, bytes: Vec<u8>) {
        let job = Job { number: self.given, entry: entry.clone(), file, digest, bytes };
        self.given += 1;
        if let Some(jobs) = &self.jobs
            && jobs.send(job).is_err()
        {
            // That there are no verdicts is noticed at the end.
            tracing::error!("no thread is left that inspects");
        }
    }

    /// Gives a file that was read already.
    pub fn judged(&mut self, judged: Judged) {
        self.waiting.insert(self.given, judged);
        self.given += 1;
    }

    /// The verdicts on the next file in order, if they are there; waits for them where too many files are ahead, or when there
    /// are no more to come.
    pub fn take_next(&mut self) -> Option<Judged> {
        let must = self.jobs.is_none() || self.given - self.taken >= AHEAD as u64;
        while !self.waiting.contains_key(&self.taken) {
            let (number, judged, bytes) = if must { self.done.recv().ok()? } else { self.done.try_recv().ok()? };
            self.waiting.insert(number, judged);
            self.spare.push(bytes);
        }
        let next = self.waiting.remove(&self.taken)?;
        self.taken += 1;
        Some(next)
    }

    /// There are no more files. What [`Self::take_next`] gives from now on, until it gives none, is all.
    pub fn close(&mut self) {
        self.jobs = None;
    }

    /// Whether the verdicts on every file were taken.
    pub fn all_taken(&self) -> bool {
        self.taken == self.given
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // What it did not say is missed.
            let _ = thread.join();
        }
    }
}

fn read_all(engines: &[Arc<dyn Engine>], slots: &Arc<Slots>, jobs: &Mutex<Receiver<Job>>, done: &SyncSender<Done>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { number, entry, file, digest, mut bytes }) = job else { return };
        let slot = slots.take();
        let read = |engine: &Arc<dyn Engine>| {
            let mut scan = Guarded::begin(engine.as_ref(), &file);
            scan.feed(&bytes);
            scan.finish(&digest)
        };
        let verdicts = engines.iter().map(read).collect();
        drop(slot);
        bytes.clear();
        if done.send((number, Judged { entry, verdicts }, bytes)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::engine::{Sample, Scan};
    use sluse_protocol::document::Kind;
    use sluse_protocol::finding::Class;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    /// Counts the files that are open at once, those that were at most, and those that are over. Every fortieth file is over only
    /// after another one.
    #[derive(Default, Clone)]
    struct Slow(Arc<[AtomicUsize; 3]>);

    struct SlowScan(Slow, bool, u64);

    impl Slow {
        fn open(&self) -> usize {
            self.0[0].load(Ordering::SeqCst)
        }

        fn most(&self) -> usize {
            self.0[1].load(Ordering::SeqCst)
        }

        fn over(&self) -> usize {
            self.0[2].load(Ordering::SeqCst)
        }
    }

    impl Engine for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn version(&self) -> String {
            String::new()
        }

        fn sample(&self) -> Sample {
            Sample { bytes: Vec::new(), class: Class::Malware }
        }

        fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
            let open = self.0[0].fetch_add(1, Ordering::SeqCst) + 1;
            self.0[1].fetch_max(open, Ordering::SeqCst);
            let number: u64 = file.path.as_str().parse().unwrap();
            assert_ne!(number, 13);
            Box::new(SlowScan(self.clone(), number.is_multiple_of(40), 0))
        }
    }

    impl Scan for SlowScan {
        fn feed(&mut self, bytes: &[u8]) {
            self.2 += bytes.len() as u64;
            let (over, deadline) = (self.0.over(), Instant::now() + Duration::from_secs(60));
            while self.1 && self.0.over() == over {
                assert!(Instant::now() < deadline, "no other file is read meanwhile");
                std::thread::sleep(Duration::from_millis(1));
            }
        }

        fn finish(self: Box<Self>, _: &Sha256) -> Verdict {
            self.0.0[0].fetch_sub(1, Ordering::SeqCst);
            self.0.0[2].fetch_add(1, Ordering::SeqCst);
            Verdict::Read { bytes: self.2, seen: Vec::new() }
        }
    }

    fn entry(number: u64) -> (Entry, FileFacts, Vec<u8>) {
        let bytes = vec![b'x'; number as usize];
        let path = number.to_string().parse().unwrap();
        let file = FileFacts { path, size: number, content: Arc::default() };
        let entry = Entry {
            path: file.path.clone(),
            kind: Kind::File,
            size: number,
            sha256: Some(Sha256::of(&bytes)),
            mtime: 0,
            mtime_ns: 0,
            executable: false,
        };
        (entry, file, bytes)
    }

    #[test]
    fn verdicts_come_in_the_order_of_files_however_quick_each_was() {
        let engine = Slow::default();
        let engines: Vec<Arc<dyn Engine>> = vec![Arc::new(engine.clone())];
        let mut lanes = Lanes::start(&engines, &Slots::new(3, 4)).unwrap();
        let mut taken = Vec::new();
        for number in 0..150 {
            let (entry, file, bytes) = entry(number);
            if number % 50 == 49 {
                let verdicts = vec![Verdict::Read { bytes: number, seen: Vec::new() }];
                lanes.judged(Judged { entry, verdicts });
            } else {
                lanes.read(&entry, file, Sha256::of(&bytes), bytes);
            }
            while let Some(judged) = lanes.take_next() {
                taken.push(judged);
            }
            assert!(number + 1 - (taken.len() as u64) < AHEAD as u64);
        }
        lanes.close();
        taken.extend(std::iter::from_fn(|| lanes.take_next()));
        assert!(lanes.all_taken());
        for (number, judged) in taken.iter().enumerate() {
            assert_eq!(judged.entry.path.as_str(), number.to_string());
            // The one over which the engine crashed costs itself alone.
            let crashed = matches!(judged.verdicts[0], Verdict::NotInspected(_));
            assert_eq!(crashed, number == 13, "{number}");
        }
        assert_eq!(taken.len(), 150);
        // The one that crashed was never closed.
        assert_eq!(engine.open(), 1);
    }

    #[test]
    fn no_more_files_are_read_at_once_than_there_are_slots() {
        let engine = Slow::default();
        let (engines, slots): (Vec<Arc<dyn Engine>>, _) = (vec![Arc::new(engine.clone())], Slots::new(2, 3));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut lanes = Lanes::start(&engines, &slots).unwrap();
                    for number in 20..40 {
                        let (entry, file, bytes) = entry(number);
                        lanes.read(&entry, file, Sha256::of(&bytes), bytes);
                    }
                    lanes.close();
                    assert_eq!(std::iter::from_fn(|| lanes.take_next()).count(), 20);
                });
            }
        });
        assert!(engine.most() <= 3);
    }
}
