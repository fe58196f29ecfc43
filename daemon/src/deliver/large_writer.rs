//! Writes large files past the page cache, by two threads ([`Lanes`]).

use super::lanes::{Done, Lanes, STEP};
use crate::direct::{self, BLOCK, Memory, Output};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The threads, and the file that they write. After an error it is of no more use.
pub struct LargeWriter {
    lanes: Lanes,
    current: Option<Current>,
}

/// The file that is being written.
struct Current {
    output: Arc<Output>,
    /// The bytes that come next, so many of them.
    filling: Option<(Memory, usize)>,
    /// Steps that were begun.
    begun: u64,
    /// Steps from the beginning that are all written, and those beyond.
    whole: u64,
    done: BTreeSet<u64>,
}

impl LargeWriter {
    /// Starts the threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start() -> io::Result<Self> {
        Ok(Self { lanes: Lanes::start("write")?, current: None })
    }

    /// Begins a file, which is empty and will have `length` bytes.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn begin(&mut self, file: File, length: u64) -> io::Result<()> {
        direct::reserve(&file, length)?;
        let output = Arc::new(Output::new(file));
        self.current = Some(Current { output, filling: None, begun: 0, done: BTreeSet::new(), whole: 0 });
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
        while let Some(done) = self.lanes.poll() {
            self.note(done)?;
        }
        Ok(self.current()?.whole * STEP as u64)
    }

    /// Writes what is left; the file and its length.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(&mut self) -> io::Result<(File, u64)> {
        let mut length = self.current()?.begun * STEP as u64;
        let mut tail = Vec::new();
        if let Some((mut memory, filled)) = self.current()?.filling.take() {
            let whole = filled - filled % BLOCK;
            tail.extend_from_slice(&memory.bytes()[whole..filled]);
            length += whole as u64;
            self.hand_over(memory, whole)?;
        }
        while self.current()?.whole < self.current()?.begun {
            let done = self.lanes.wait()?;
            self.note(done)?;
        }
        let Current { output, .. } = self.current.take().ok_or_else(no_file)?;
        if !tail.is_empty() {
            // What does not fill a block cannot go past the cache.
            output.through_the_cache();
            output.write(&tail, length)?;
        }
        let output = Arc::into_inner(output).ok_or_else(|| io::Error::other("a thread still writes"))?;
        Ok((output.into_file(), length + tail.len() as u64))
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        self.current.as_mut().ok_or_else(no_file)
    }

    /// A buffer that is free, or becomes so.
    fn spare(&mut self) -> io::Result<Memory> {
        loop {
            if let Some(memory) = self.lanes.spare() {
                return Ok(memory);
            }
            let done = self.lanes.wait()?;
            self.note(done)?;
        }
    }

    fn hand_over(&mut self, memory: Memory, length: usize) -> io::Result<()> {
        let current = self.current()?;
        let (output, step) = (Arc::clone(&current.output), current.begun);
        current.begun += 1;
        self.lanes.begin(step, memory, move |memory| {
            output.write(&memory.bytes()[..length], step * STEP as u64)?;
            Ok(length)
        })
    }

    fn note(&mut self, Done { step, memory, result }: Done) -> io::Result<()> {
        self.lanes.give_back(memory);
        result?;
        let current = self.current()?;
        current.done.insert(step);
        while current.done.remove(&current.whole) {
            current.whole += 1;
        }
        Ok(())
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
        writer.current = Some(Current { output, filling: None, begun: 0, done: BTreeSet::new(), whole: 0 });
        let failed = (0..20).find_map(|_| writer.write(&vec![1; STEP]).err()).or_else(|| writer.finish().err());
        assert_eq!(failed.unwrap().raw_os_error(), Some(nix::libc::EBADF));
    }
}
