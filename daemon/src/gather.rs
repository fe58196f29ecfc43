//! Files of the quarantine on their way to the disk: what is composed piece by piece is written in few large calls.
//!
//! They go through the page cache, as `inspect` reads a moment later what `receive` writes (decision 7).

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};

/// Bytes that a thread gathers before it writes.
const STAGE: usize = 4 * 1024 * 1024;

thread_local! {
    static STAGES: RefCell<Vec<u8>> = RefCell::new(vec![0; STAGE]);
}

/// A file that is written from its beginning.
#[derive(Debug)]
pub struct Output {
    file: File,
    length: u64,
}

impl Output {
    /// Writes into `file`, which is empty.
    pub fn new(file: File) -> Self {
        Self { file, length: 0 }
    }

    /// Lets `fill` compose the next bytes in place.
    ///
    /// # Errors
    /// What `fill` says, and when the disk fails.
    pub fn gather(&mut self, fill: impl FnOnce(&mut Gather) -> io::Result<()>) -> io::Result<()> {
        STAGES.with_borrow_mut(|stage| {
            let mut gather = Gather { output: self, stage, filled: 0 };
            fill(&mut gather)?;
            gather.write()
        })
    }

    /// The file, and the bytes that were written.
    pub fn finish(self) -> (File, u64) {
        (self.file, self.length)
    }
}

/// Where a thread gathers what it writes.
pub struct Gather<'a> {
    output: &'a mut Output,
    stage: &'a mut [u8],
    filled: usize,
}

impl Gather<'_> {
    /// The place of the next `length` bytes, far fewer than are gathered.
    ///
    /// # Errors
    /// When the disk fails while room is made.
    pub fn space(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.filled + length > self.stage.len() {
            self.write()?;
        }
        let start = self.filled;
        self.filled += length;
        Ok(&mut self.stage[start..self.filled])
    }

    fn write(&mut self) -> io::Result<()> {
        self.output.file.write_all(&self.stage[..self.filled])?;
        self.output.length += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_bytes_that_were_gathered_in_whatever_pieces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..3 * STAGE + 12_345).map(|at| (at * 7 + at / 253) as u8).collect();
        for piece in [777, 70_000, STAGE] {
            let mut output = Output::new(File::create(file.path()).unwrap());
            for bytes in bytes.chunks(3 * piece) {
                let fill = |gather: &mut Gather| {
                    bytes.chunks(piece).try_for_each(|piece| {
                        gather.space(piece.len())?.copy_from_slice(piece);
                        Ok(())
                    })
                };
                output.gather(fill).unwrap();
            }
            assert_eq!(output.finish().1, bytes.len() as u64);
            assert!(std::fs::read(file.path()).unwrap() == bytes, "in pieces of {piece}");
        }
    }
}
