//! Large files past the page cache (`O_DIRECT`).
//!
//! What passes through the zone is written once and read two or three times; in the page cache each byte would take a fresh
//! page, which costs more than to encrypt it, and push out everything else. What is read back past the cache was on the
//! disk, moreover. A file system that cannot do it says so with `EINVAL`: from there on the same bytes go through the cache.
//!
//! The kernel asks that memory, offsets and lengths are multiples of a block. So every thread has one [`Stage`] through which
//! it writes, and a file keeps what does not fill a block until more comes.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::libc;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

/// What offsets and lengths are multiples of: at least the logical block of any disk that is made today.
pub const BLOCK: usize = 4096;

/// Bytes that a thread gathers before it writes.
const STAGE: usize = 4 * 1024 * 1024;

/// Bytes that may be composed in one place.
const PIECE: usize = 256 * 1024;

thread_local! {
    static STAGES: RefCell<Stage> = RefCell::new(Stage { memory: Memory::new(STAGE), filled: 0 });
}

/// Memory that begins at a block's border.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Memory {
    /// `length` bytes.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { bytes, start, length }
    }

    /// The memory itself.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.length]
    }
}

/// `length`, or the next multiple of a block.
pub fn whole_blocks(length: usize) -> usize {
    length.next_multiple_of(BLOCK)
}

/// A file that is read.
#[derive(Debug)]
pub struct Input {
    file: File,
    direct: bool,
}

impl Input {
    /// Reads `file` from where it stands, which must be a block's border.
    pub fn new(file: File) -> Self {
        let direct = set_direct(&file, true);
        Self { file, direct }
    }

    /// Fills `memory`, whose length is a multiple of a block, as far as the file reaches; says how far.
    /// A count that is less than the memory's length is the file's end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn fill(&mut self, memory: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < memory.len() {
            match self.file.read(&mut memory[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => may_go_on(&self.file, &mut self.direct, error)?,
            }
        }
        Ok(filled)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A file that is written from its beginning.
#[derive(Debug)]
pub struct Output {
    file: File,
    direct: bool,
    /// What was written and does not fill a block yet.
    carried: Vec<u8>,
    /// Bytes that the file has.
    length: u64,
}

impl Output {
    /// Writes into `file` past the page cache, where that can be done.
    pub fn new(file: File) -> Self {
        let direct = set_direct(&file, true);
        Self { file, direct, carried: Vec::new(), length: 0 }
    }

    /// Writes into `file` through the page cache: better for small files.
    pub fn cached(file: File) -> Self {
        Self { file, direct: false, carried: Vec::new(), length: 0 }
    }

    /// Bytes that the file has, without those that do not fill a block yet.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.direct && self.carried.is_empty() {
            return self.put(bytes);
        }
        self.gather(|gather| {
            for piece in bytes.chunks(PIECE) {
                gather.space(piece.len())?.copy_from_slice(piece);
            }
            Ok(())
        })
    }

    /// Lets `fill` compose the next bytes in place.
    ///
    /// # Errors
    /// What `fill` says, and when the disk fails.
    pub fn gather(&mut self, fill: impl FnOnce(&mut Gather) -> io::Result<()>) -> io::Result<()> {
        STAGES.with_borrow_mut(|stage| {
            stage.filled = 0;
            let mut gather = Gather { output: self, stage };
            let carried = std::mem::take(&mut gather.output.carried);
            gather.space(carried.len())?.copy_from_slice(&carried);
            fill(&mut gather)?;
            gather.write()
        })
    }

    /// Writes what is left, and gives the file back.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(mut self) -> io::Result<(File, u64)> {
        let carried = std::mem::take(&mut self.carried);
        if !carried.is_empty() {
            set_direct(&self.file, false);
            self.direct = false;
            self.put(&carried)?;
        }
        Ok((self.file, self.length))
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.length += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) => may_go_on(&self.file, &mut self.direct, error)?,
            }
        }
        Ok(())
    }
}

/// Where a thread gathers what it writes.
#[derive(Debug)]
struct Stage {
    memory: Memory,
    filled: usize,
}

/// The next bytes of an [`Output`], as they are composed.
pub struct Gather<'a> {
    output: &'a mut Output,
    stage: &'a mut Stage,
}

impl Gather<'_> {
    /// The place of the next `length` bytes, at most [`PIECE`].
    ///
    /// # Errors
    /// When the disk fails while room is made.
    pub fn space(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.stage.filled + length > STAGE {
            self.write()?;
            // What did not fill a block comes first again.
            let carried = std::mem::take(&mut self.output.carried);
            self.stage.memory.bytes()[..carried.len()].copy_from_slice(&carried);
            self.stage.filled = carried.len();
        }
        let start = self.stage.filled;
        self.stage.filled += length;
        Ok(&mut self.stage.memory.bytes()[start..self.stage.filled])
    }

    /// Writes the whole blocks, and has the file keep the rest.
    fn write(&mut self) -> io::Result<()> {
        let filled = self.stage.filled;
        let whole = if self.output.direct { filled - filled % BLOCK } else { filled };
        let (now, later) = self.stage.memory.bytes()[..filled].split_at(whole);
        self.output.put(now)?;
        self.output.carried.extend_from_slice(later);
        self.stage.filled = 0;
        Ok(())
    }
}

/// Has the file system set `length` bytes of a new file aside, where it can. A full disk shows before the first byte then, and
/// what is written can be read while more is written: a file that grows past the cache is locked against readers.
///
/// # Errors
/// When there is no room.
pub fn reserve(file: &File, length: u64) -> io::Result<()> {
    let Ok(length) = i64::try_from(length) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Whether reading or writing may be tried again after `error`: when it was interrupted, or goes through the cache now.
fn may_go_on(file: &File, direct: &mut bool, error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted {
        return Ok(());
    }
    if *direct && error.raw_os_error() == Some(libc::EINVAL) {
        set_direct(file, false);
        *direct = false;
        return Ok(());
    }
    Err(error)
}

/// Switches the file's reads and writes; says whether they go past the cache now.
fn set_direct(file: &File, direct: bool) -> bool {
    let Ok(flags) = fcntl(file, FcntlArg::F_GETFL) else { return false };
    let mut flags = OFlag::from_bits_retain(flags);
    flags.set(OFlag::O_DIRECT, direct);
    fcntl(file, FcntlArg::F_SETFL(flags)).is_ok() && direct
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 + at / 253) as u8).collect()
    }

    const LENGTHS: [usize; 9] = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 100_000, STAGE, STAGE + BLOCK, 3 * STAGE + 12_345];

    #[test]
    fn a_file_has_the_bytes_that_were_written_in_whatever_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in LENGTHS {
            for piece in [777, BLOCK, 70_000, 4 * STAGE] {
                for make in [Output::new, Output::cached] {
                    let mut output = make(File::create(&path).unwrap());
                    let direct = output.direct;
                    bytes(length).chunks(piece).for_each(|piece| output.write(piece).unwrap());
                    assert_eq!(output.direct, direct, "a whole block was refused");
                    assert_eq!(output.finish().unwrap().1, length as u64);
                    assert!(fs::read(&path).unwrap() == bytes(length), "{length} in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_read_as_far_as_it_reaches() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in LENGTHS {
            fs::write(&path, bytes(length)).unwrap();
            let mut input = Input::new(File::open(&path).unwrap());
            let mut memory = Memory::new(whole_blocks(length) + BLOCK);
            assert_eq!(input.fill(memory.bytes()).unwrap(), length);
            assert!(memory.bytes()[..length] == bytes(length), "{length}");
        }
    }

    #[test]
    fn a_file_that_was_set_aside_has_its_length_and_then_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (length, file) = (3 * STAGE + 12_345, File::create(&path).unwrap());
        reserve(&file, length as u64).unwrap();
        let mut output = Output::new(file);
        output.write(&bytes(length)).unwrap();
        assert_eq!(output.finish().unwrap().1, length as u64);
        assert!(fs::read(&path).unwrap() == bytes(length));
        assert!(reserve(&File::create(&path).unwrap(), u64::MAX).is_err());
        assert!(reserve(&File::create(&path).unwrap(), 1 << 60).is_err(), "no disk has that");
    }

    #[test]
    fn what_the_kernel_refuses_past_the_cache_goes_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut output = Output::new(File::create(&path).unwrap());
        // As after a write that a full disk cut short: neither the memory nor the length fits.
        output.put(&bytes(10_001)[1..]).unwrap();
        output.write(&bytes(9000)).unwrap();
        output.finish().unwrap();
        assert!(fs::read(&path).unwrap() == [&bytes(10_001)[1..], &bytes(9000)].concat());
        let mut input = Input::new(File::open(&path).unwrap());
        let mut memory = vec![0; 3 * BLOCK + 1];
        assert_eq!(input.fill(&mut memory).unwrap(), memory.len());
        assert!(memory == fs::read(&path).unwrap()[..memory.len()]);
    }
}
