//! What `deliver` hands over, as the sender's library reads files: once, from front to back, as the bytes come. Nothing is kept: what a lost
//! connection took along is not here again, and the attempt ends.

use sluse_sender::Supply;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Steps of a file, of at most [`sluse_protocol::courier::STEP_BYTES`], that wait to be read.
const WAITING: usize = 2;

/// Where the bytes of all files come out, one file after another.
#[derive(Debug, Clone)]
pub struct Feed {
    pipe: Arc<Mutex<Pipe>>,
    /// The file that is opened next.
    next: Arc<AtomicUsize>,
    /// Why nothing more is to be read.
    stopped: Arc<OnceLock<&'static str>>,
}

#[derive(Debug)]
struct Pipe {
    steps: Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

/// A feed, and the end into which its bytes go.
pub fn feed() -> (SyncSender<Vec<u8>>, Feed) {
    let (give, steps) = sync_channel(WAITING);
    let pipe = Arc::new(Mutex::new(Pipe { steps, current: Vec::new(), at: 0 }));
    (give, Feed { pipe, next: Arc::default(), stopped: Arc::default() })
}

impl Feed {
    /// Lets nothing more be read, so that nothing is ever whole.
    pub fn stop(&self, why: &'static str) {
        // The first reason is as good as any.
        let _ = self.stopped.set(why);
    }

    fn goes_on(&self) -> io::Result<()> {
        self.stopped.get().map_or(Ok(()), |why| Err(io::Error::other(*why)))
    }

    /// Nothing is half-done in it.
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supply for Feed {
    fn open(&self, number: usize, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let next = from == 0 && self.next.compare_exchange(number, number + 1, SeqCst, SeqCst).is_ok();
        if next { Ok(Box::new(self.clone())) } else { Err(io::Error::other("it was handed over once")) }
    }
}

/// As many bytes as are asked for belong to the file that was opened last: whoever reads knows its length.
impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.pipe();
        loop {
            self.goes_on()?;
            let left = pipe.current.len() - pipe.at;
            if left > 0 {
                let count = left.min(buffer.len());
                buffer[..count].copy_from_slice(&pipe.current[pipe.at..pipe.at + count]);
                pipe.at += count;
                return Ok(count);
            }
            pipe.current = pipe.steps.recv().map_err(|_| io::Error::other("the zone no longer hands it over"))?;
            pipe.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(feed: &Feed, number: usize, bytes: u64) -> Vec<u8> {
        let mut read = Vec::new();
        feed.open(number, 0).unwrap().take(bytes).read_to_end(&mut read).unwrap();
        read
    }

    #[test]
    fn files_come_one_after_another_and_none_of_them_twice() {
        let (give, feed) = feed();
        let given = std::thread::spawn(move || {
            for step in [b"abc".to_vec(), Vec::new(), b"defg".to_vec()] {
                give.send(step).unwrap();
            }
        });
        assert_eq!(read(&feed, 0, 2), b"ab");
        assert_eq!(read(&feed, 1, 0), b"");
        assert!(feed.open(3, 0).is_err() && feed.open(1, 0).is_err() && feed.open(2, 1).is_err());
        assert_eq!(read(&feed, 2, 5), b"cdefg");
        given.join().unwrap();
        let ended = feed.open(3, 0).unwrap().read(&mut [0; 1]).unwrap_err();
        assert!(ended.to_string().contains("no longer"), "{ended}");
    }

    #[test]
    fn nothing_is_read_from_one_that_was_stopped() {
        let (give, feed) = feed();
        give.send(b"abc".to_vec()).unwrap();
        feed.stop("the disk is full");
        assert_eq!(feed.open(0, 0).unwrap().read(&mut [0; 3]).unwrap_err().to_string(), "the disk is full");
    }
}
