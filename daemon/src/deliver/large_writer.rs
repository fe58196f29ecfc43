//! Writes large files past the page cache, with two threads: a disk that has two writes to do takes them in less time than one
//! after the other, most of all while it is read back from, too.

use crate::direct::{self, BLOCK, Memory, Output};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes written at a time, a multiple of [`BLOCK`].
const STEP: usize = 4 * 1024 * 1024;

/// Threads that write.
const THREADS: usize = 2;

/// Buffers: one is filled while each thread writes one and has one waiting.
const BUFFERS: usize = 2 * THREADS + 1;

/// The threads, and the file that they write. After an error it is of no more use.
pub struct LargeWriter {
    lanes: Vec<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
    written: Receiver<Written>,
    spare: Vec<Memory>,
    current: Option<Current>,
}

/// The file that is being written.
struct Current {
    output: Arc<Output>,
    /// The bytes that come next, so many of them.
    filling: Option<(Memory, usize)>,
    /// Steps that were handed to the threads, and which of them are written.
    begun: u64,
    done: Vec<bool>,
    /// Steps from the beginning that are all written.
    whole: u64,
}

/// A step of a file to be written.
struct Work {
    output: Arc<Output>,
    step: u64,
    memory: Memory,
    length: usize,
}

struct Written {
    step: u64,
    memory: Memory,
    result: io::Result<()>,
}

impl LargeWriter {
    /// Starts the threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start() -> io::Result<Self> {
        let (done, written) = sync_channel(BUFFERS);
        let (mut lanes, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (lane, work) = sync_channel::<Work>(1);
            let done = done.clone();
            let thread = std::thread::Builder::new().name("write".into()).spawn(move || {
                for Work { output, step, mut memory, length } in work {
                    let result = output.write(&memory.bytes()[..length], step * STEP as u64);
                    drop(output);
                    if done.send(Written { step, memory, result }).is_err() {
                        return;
                    }
                }
            })?;
            threads.push(thread);
            lanes.push(lane);
        }
        let spare = (0..BUFFERS).map(|_| Memory::new(STEP)).collect();
        Ok(Self { lanes, threads, written, spare, current: None })
    }

    /// Begins a file, which is empty and will have `length` bytes.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn begin(&mut self, file: File, length: u64) -> io::Result<()> {
        direct::reserve(&file, length)?;
        let output = Arc::new(Output::new(file));
        self.current = Some(Current { output, filling: None, begun: 0, done: Vec::new(), whole: 0 });
        Ok(())
    }

    /// Takes the file's next bytes; says how many from its beginning are written.
    ///
    /// # Errors
    /// When the disk fails, also with bytes that were taken before.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<u64> {
        while !bytes.is_empty() {
            let (mut memory, filled) = match self.current()?.filling.take() {
                Some(filling) => filling,
                None => (self.spare()?, 0),
            };
            let (now, later) = bytes.split_at(bytes.len().min(STEP - filled));
            memory.bytes()[filled..][..now.len()].copy_from_slice(now);
            bytes = later;
            match filled + now.len() {
                STEP => self.hand_over(memory, STEP)?,
                filled => self.current()?.filling = Some((memory, filled)),
            }
        }
        while let Ok(written) = self.written.try_recv() {
            self.note(written)?;
        }
        Ok(self.current()?.whole * STEP as u64)
    }

    /// Writes what is left; the file and its length.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(&mut self) -> io::Result<(File, u64)> {
        let mut tail = None;
        if let Some((mut memory, filled)) = self.current()?.filling.take() {
            let whole = filled - filled % BLOCK;
            tail = Some((whole, memory.bytes()[whole..filled].to_vec()));
            self.hand_over(memory, whole)?;
        }
        while self.current()?.whole < self.current()?.begun {
            let written = self.written.recv().map_err(io::Error::other)?;
            self.note(written)?;
        }
        let current = self.current.take().ok_or_else(no_file)?;
        let mut length = current.begun * STEP as u64;
        if let Some((whole, tail)) = tail {
            length = length - STEP as u64 + whole as u64;
            // What does not fill a block cannot go past the cache.
            current.output.through_the_cache();
            current.output.write(&tail, length)?;
            length += tail.len() as u64;
        }
        let output = Arc::into_inner(current.output).ok_or_else(|| io::Error::other("a thread still writes"))?;
        Ok((output.into_file(), length))
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        self.current.as_mut().ok_or_else(no_file)
    }

    /// A buffer that is free, or becomes so.
    fn spare(&mut self) -> io::Result<Memory> {
        loop {
            if let Some(memory) = self.spare.pop() {
                return Ok(memory);
            }
            let written = self.written.recv().map_err(io::Error::other)?;
            self.note(written)?;
        }
    }

    fn hand_over(&mut self, memory: Memory, length: usize) -> io::Result<()> {
        let current = self.current()?;
        let (output, step) = (Arc::clone(&current.output), current.begun);
        current.begun += 1;
        let lane = &self.lanes[(step % THREADS as u64) as usize];
        lane.send(Work { output, step, memory, length }).map_err(|_| io::Error::other("a thread that writes has died"))
    }

    fn note(&mut self, Written { step, memory, result }: Written) -> io::Result<()> {
        self.spare.push(memory);
        result?;
        let current = self.current()?;
        let ahead = (step - current.whole) as usize;
        if current.done.len() <= ahead {
            current.done.resize(ahead + 1, false);
        }
        current.done[ahead] = true;
        let whole = current.done.iter().take_while(|done| **done).count();
        current.done.drain(..whole);
        current.whole += whole as u64;
        Ok(())
    }
}

impl Drop for LargeWriter {
    fn drop(&mut self) {
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            // A panic of it was noticed in its lane.
            let _ = thread.join();
        }
    }
}

fn no_file() -> io::Error {
    io::Error::other("bytes of no file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_have_the_bytes_that_were_written_in_whatever_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..5 * STEP + 12_345).map(|at| (at * 7 + at / 253) as u8).collect();
        let mut writer = LargeWriter::start().unwrap();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, STEP - 1, STEP, STEP + BLOCK, 3 * STEP, bytes.len()] {
            for piece in [70_001, BLOCK, 2 * STEP] {
                let bytes = &bytes[..length];
                writer.begin(File::create(&path).unwrap(), length as u64).unwrap();
                let mut before = 0;
                for piece in bytes.chunks(piece) {
                    let written = writer.write(piece).unwrap() as usize;
                    assert!((before..=length).contains(&written));
                    if written > before {
                        assert!(fs::read(&path).unwrap()[..written] == bytes[..written], "{written} of {length}");
                    }
                    before = written;
                }
                assert_eq!(writer.finish().unwrap().1, length as u64);
                assert!(fs::read(&path).unwrap() == bytes, "{length} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_disk_that_fails_is_noticed_at_the_latest_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let mut writer = LargeWriter::start().unwrap();
        // Every write fails: the file is open for reading.
        let output = Arc::new(Output::new(File::open(&path).unwrap()));
        writer.current = Some(Current { output, filling: None, begun: 0, done: Vec::new(), whole: 0 });
        let failed =
            (0..2 * BUFFERS).find_map(|_| writer.write(&vec![1; STEP]).err()).or_else(|| writer.finish().err());
        assert_eq!(failed.unwrap().raw_os_error(), Some(nix::libc::EBADF));
    }
}
