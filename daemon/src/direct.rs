//! Large files past the page cache (`O_DIRECT`).
//!
//! What passes through the zone is written once and read two or three times; in the page cache each byte would take a fresh
//! page, which costs more than to encrypt it, and push out everything else. What is read back past the cache was on the
//! disk, moreover. A file system that cannot do it says so with `EINVAL`: from there on the same bytes go through the cache.
//!
//! The kernel asks that memory, offsets and lengths are multiples of a block ([`Memory`]).

use memmap2::{Advice, MmapMut};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// What offsets and lengths are multiples of: at least the logical block of any disk that is made today.
pub const BLOCK: usize = 4096;

/// What a large page has on x86-64 and, mostly, on arm64.
const LARGE_PAGE: usize = 2 * 1024 * 1024;

/// Memory that begins at a block's border, and goes back to the kernel with its end. From a large page on it begins at such a page's
/// border and is made of them, where the kernel gives some: a disk takes only so many pieces of memory at once, and each small page is one.
#[derive(Debug)]
pub struct Memory {
    bytes: MmapMut,
    start: usize,
    length: usize,
}

impl Memory {
    /// `length` bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(length: usize) -> io::Result<Self> {
        let border = if length < LARGE_PAGE { BLOCK } else { LARGE_PAGE };
        let bytes = MmapMut::map_anon(length + border)?;
        let start = bytes.as_ptr().align_offset(border).min(border);
        if border == LARGE_PAGE {
            // A kernel without large pages refuses. The memory is as good, only slower.
            let _ = bytes.advise_range(Advice::HugePage, start, length);
        }
        Ok(Self { bytes, start, length })
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

/// A file that is read, by several threads at once if need be.
#[derive(Debug)]
pub struct Input {
    file: File,
    direct: AtomicBool,
}

impl Input {
    /// Reads `file` past the page cache, where that can be done.
    pub fn new(file: File) -> Self {
        let direct = AtomicBool::new(set_direct(&file, true));
        Self { file, direct }
    }

    /// Fills `memory`, whose length is a multiple of a block, from `offset`, a block's border, as far as the file reaches; says
    /// how far. A count that is less than the memory's length is the file's end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn fill(&self, memory: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < memory.len() {
            let direct = self.direct.load(Ordering::Acquire);
            match self.file.read_at(&mut memory[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => may_go_on(&self.file, &self.direct, direct, error)?,
            }
        }
        Ok(filled)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A file that is written, by several threads at once if need be.
#[derive(Debug)]
pub struct Output {
    file: File,
    direct: AtomicBool,
}

impl Output {
    /// Writes into `file` past the page cache, where that can be done.
    pub fn new(file: File) -> Self {
        let direct = AtomicBool::new(set_direct(&file, true));
        Self { file, direct }
    }

    /// Writes `bytes` at `offset`: whole blocks from memory at a block's border, or through the cache what is not.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let direct = self.direct.load(Ordering::Acquire);
            match self.file.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) => may_go_on(&self.file, &self.direct, direct, error)?,
            }
        }
        Ok(())
    }

    /// Writes on through the cache.
    pub fn through_the_cache(&self) {
        set_direct(&self.file, false);
        self.direct.store(false, Ordering::Release);
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// Has the file system set `length` bytes of a new file aside, where it can. A full disk shows before the first byte then, and
/// what is written can be read while more is written: a file that grows past the cache is locked against readers.
///
/// # Errors
/// When there is no room.
pub fn reserve(file: &File, length: u64) -> io::Result<()> {
    let Ok(length) = i64::try_from(length) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Whether reading or writing, which was tried past the cache if `tried_direct`, may be tried again after `error`: when it was
/// interrupted, or goes through the cache now.
fn may_go_on(file: &File, direct: &AtomicBool, tried_direct: bool, error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted {
        return Ok(());
    }
    if tried_direct && error.raw_os_error() == Some(libc::EINVAL) {
        // In this order: who sees that it is switched off finds it so.
        set_direct(file, false);
        direct.store(false, Ordering::Release);
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

    const LENGTHS: [usize; 7] = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 100_000, 1_000_000];

    #[test]
    fn a_file_is_read_as_far_as_it_reaches() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in LENGTHS {
            fs::write(&path, bytes(length)).unwrap();
            let input = Input::new(File::open(&path).unwrap());
            let mut memory = Memory::new(whole_blocks(length) + BLOCK).unwrap();
            assert_eq!(input.fill(memory.bytes(), 0).unwrap(), length);
            assert!(memory.bytes()[..length] == bytes(length), "{length}");
        }
    }

    #[test]
    fn memory_begins_at_the_border_that_the_kernel_asks_for() {
        for (length, border) in
            [(1, BLOCK), (LARGE_PAGE - 1, BLOCK), (LARGE_PAGE, LARGE_PAGE), (2 * LARGE_PAGE, LARGE_PAGE)]
        {
            let mut memory = Memory::new(length).unwrap();
            assert_eq!((memory.bytes().len(), memory.bytes().as_ptr().align_offset(border)), (length, 0));
        }
    }

    #[test]
    fn a_file_that_was_set_aside_has_its_length_and_then_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (length, file) = (3 * BLOCK, File::create(&path).unwrap());
        reserve(&file, length as u64).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        let mut memory = Memory::new(length).unwrap();
        memory.bytes().copy_from_slice(&bytes(length));
        let output = Output::new(file);
        output.write(&memory.bytes()[BLOCK..], BLOCK as u64).unwrap();
        output.write(&memory.bytes()[..BLOCK], 0).unwrap();
        assert!(output.direct.load(Ordering::Relaxed), "a whole block was refused");
        assert!(fs::read(&path).unwrap() == bytes(length));
        assert!(reserve(&File::create(&path).unwrap(), u64::MAX).is_err());
        assert!(reserve(&File::create(&path).unwrap(), 1 << 60).is_err(), "no disk has that");
    }

    #[test]
    fn what_the_kernel_refuses_past_the_cache_goes_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let output = Output::new(File::create(&path).unwrap());
        // As after a write that a full disk cut short: neither the memory nor the length fits.
        output.write(&bytes(10_001)[1..], 0).unwrap();
        output.write(&bytes(9000), 10_000).unwrap();
        assert!(fs::read(&path).unwrap() == [&bytes(10_001)[1..], &bytes(9000)].concat());
        let input = Input::new(File::open(&path).unwrap());
        let mut memory = vec![0; 3 * BLOCK + 1];
        assert_eq!(input.fill(&mut memory, 0).unwrap(), memory.len());
        assert!(memory == fs::read(&path).unwrap()[..memory.len()]);
    }
}
